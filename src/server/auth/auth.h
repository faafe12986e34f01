// Who is asking, and may they: the interfaces of authentication and authorization.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"
#include "http/message.h"

namespace orch::server {

/// authentication.k8s.io UserInfo.
struct UserInfo {
  std::string name;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
  bool in_group(std::string_view group) const;
};

/// Names that Kubernetes gives a meaning to (k8s.io/apiserver/pkg/authentication/user).
inline constexpr std::string_view kGroupMasters = "system:masters";
inline constexpr std::string_view kGroupNodes = "system:nodes";
inline constexpr std::string_view kGroupAuthenticated = "system:authenticated";
inline constexpr std::string_view kGroupUnauthenticated = "system:unauthenticated";
inline constexpr std::string_view kGroupBootstrappers = "system:bootstrappers";
inline constexpr std::string_view kGroupServiceAccounts = "system:serviceaccounts";
inline constexpr std::string_view kUserAnonymous = "system:anonymous";

/// "system:serviceaccount:<namespace>:<name>".
std::string service_account_user_name(std::string_view ns, std::string_view name);
/// The node's name of a user `system:node:<name>` in group system:nodes. Nothing: not a node. Empty: a node
/// that cannot be told.
std::optional<std::string_view> node_identity(const UserInfo& user);
/// authentication.k8s.io/v1 UserInfo (username, uid, groups, extra), empty members left out.
Json user_to_json(const UserInfo& user);

/// What an authorizer decides on (authorization.k8s.io ResourceAttributes / NonResourceAttributes).
struct Attributes {
  const UserInfo* user = nullptr;
  std::string verb;
  bool resource_request = false;
  std::string group, version, resource, subresource, ns, name;
  std::string path;            // non-resource requests
  std::string field_selector;  // of list, watch and deletecollection, as sent (KEP-4601)
};

/// Whom a bearer token belongs to, and which of the wanted audiences it was issued for.
struct TokenUser {
  UserInfo user;
  std::vector<std::string> audiences;
};

/// Thread-safe.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  /// A user, nothing (this authenticator does not apply), or kUnauthorized (credentials present but wrong).
  virtual base::Result<std::optional<UserInfo>> authenticate(const http::Request& request) = 0;
  /// The same for a token alone, as TokenReview asks. `audiences` empty = the API server's own.
  virtual base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) = 0;
};

enum class Decision : uint8_t { kAllow, kDeny, kNoOpinion };
struct Verdict {
  Decision decision = Decision::kNoOpinion;
  std::string reason;
  /// What kept an authorizer from deciding, "" if nothing did. A request that nobody allowed is then not
  /// refused (403) but failed (500).
  std::string error = {};
};

/// Thread-safe; only those that ask a webhook wait.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual Verdict authorize(const Attributes& attributes) = 0;
};

}  // namespace orch::server
