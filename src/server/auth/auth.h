// Who is asking, and may they: the interfaces of authentication and authorization.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// What an authorizer decides on (authorization.k8s.io ResourceAttributes / NonResourceAttributes).
struct Attributes {
  const UserInfo* user = nullptr;
  std::string verb;
  bool resource_request = false;
  std::string group, version, resource, subresource, ns, name;
  std::string path;  // non-resource requests
};

/// Thread-safe.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  /// A user, nothing (this authenticator does not apply), or kUnauthorized (credentials present but wrong).
  virtual base::Result<std::optional<UserInfo>> authenticate(const http::Request& request) = 0;
  /// For TokenReview: audiences empty = the API server's own. Second of the pair: the audiences that matched.
  virtual base::Result<std::optional<UserInfo>> authenticate_token(std::string_view token,
                                                                   const std::vector<std::string>& audiences) = 0;
};

enum class Decision : uint8_t { kAllow, kDeny, kNoOpinion };
struct Verdict {
  Decision decision = Decision::kNoOpinion;
  std::string reason;
};


/// Thread-safe; no I/O that waits.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual Verdict authorize(const Attributes& attributes) = 0;
};

}  // namespace orch::server
