// Client certificates, bearer tokens and anonymous requests, put together as the API server's authenticator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

/// Knows one kind of bearer token. Thread-safe.
class TokenAuthenticator {
 public:
  virtual ~TokenAuthenticator() = default;
  /// A user, nothing (not this kind of token), or kUnauthorized with the reason. `audiences` empty = the API
  /// server's own.
  virtual base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) = 0;
};

struct AnonymousOptions {
  bool enabled = true;
  /// When not empty, only these paths (exact, without query) may be asked anonymously, as the conditions of
  /// AuthenticationConfiguration; else any, and authorization decides.
  std::vector<std::string> paths;
};

/// A user whom a proxy in front of the API vouches for by headers, as X-Remote-User; the proxy shows a
/// certificate of a CA of its own. Immutable, thread-safe.
struct FrontProxies {
  std::vector<std::string> allowed_names;  // common names; empty: any
  std::vector<std::string> username_headers, uid_headers, group_headers, extra_prefixes;

  /// Nothing when the request is not by such a proxy or names nobody.
  std::optional<UserInfo> user(const http::Request& request) const;
  /// Takes these headers off a request, so that nobody behind the API believes them.
  void strip(http::Request& request) const;
};

/// Tries the headers of a front proxy, the client certificate (CN is the user, O the groups), HTTP Basic
/// (join tokens), then each token authenticator; a request without credentials is system:anonymous. Wrong
/// credentials, a certificate of another CA among them, are refused, not made anonymous, with one and the
/// same message ("Unauthorized"); the reason is logged at debug level. Adds system:authenticated or
/// system:unauthenticated.
class RequestAuthenticator final : public Authenticator {
 public:
  RequestAuthenticator(std::vector<std::unique_ptr<TokenAuthenticator>> tokens, AnonymousOptions anonymous,
                       FrontProxies proxies = {});
  base::Result<std::optional<UserInfo>> authenticate(const http::Request& request) override;
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  base::Result<std::optional<UserInfo>> anonymous(const http::Request& request) const;

  const std::vector<std::unique_ptr<TokenAuthenticator>> tokens_;
  const AnonymousOptions anonymous_;
  const FrontProxies proxies_;
};

/// The token of `Authorization: Bearer T`, or of a WebSocket's subprotocol
/// `base64url.bearer.authorization.k8s.io.<base64url of T>`; for `Authorization: Basic` its "user:password".
/// Empty when there is none.
std::string bearer_token(const http::Request& request);

}  // namespace orch::server
