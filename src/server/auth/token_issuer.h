// TokenIssuer: signs service-account tokens, and publishes the keys to verify them with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/lookup.h"

namespace orch::server {

struct TokenIssuerOptions {
  std::string issuer;                  // tokens name it
  std::string key_pem;                 // the private signing key
  std::vector<std::string> audiences;  // the API server's own, stand in when a request names none
  /// Public keys besides that of key_pem that tokens may have been signed with, for jwks().
  std::vector<std::string> other_keys_pem = {};
  bool extend_expiration = true;
  int64_t max_expiration_seconds = 0;  // 0: none
};

/// Thread-safe.
class TokenIssuer {
 public:
  /// `lookup` and `clock` must outlive this.
  TokenIssuer(TokenIssuerOptions options, const Lookup& lookup, const base::Clock& clock);

  /// TokenRequest of authentication.k8s.io/v1 posted to serviceaccounts/token: the object with its status.
  /// Bound to a Pod, Secret or Node when asked. A pod's token for the API server asked for 3607 seconds, what
  /// the kubelet's projected volumes ask for, lives a year with a warning after those seconds, as in
  /// Kubernetes. kNotFound, kConflict, kInvalid and kBadRequest as there. What to tell the client besides
  /// goes to `warnings`.
  base::Result<Json> request_token(const Json& request, std::string_view ns, std::string_view name,
                                   std::vector<std::string>* warnings = nullptr) const;

  /// The token of a Secret of type kubernetes.io/service-account-token: it has no expiry.
  base::Result<std::string> secret_token(const api::Object& account, std::string_view secret_name) const;

  /// The document at /openid/v1/jwks: public keys as a JSON Web Key Set.
  base::Result<std::string> jwks() const;
  /// The document at /.well-known/openid-configuration. `jwks_uri` is an https URL clients can reach.
  base::Result<std::string> openid_configuration(std::string_view jwks_uri) const;

 private:
  struct Binding;
  base::Status resolve_binding(const Json& request, std::string_view ns, std::string_view account,
                               Binding& binding) const;

  const TokenIssuerOptions o_;
  const Lookup& lookup_;
  const base::Clock& clock_;
};

}  // namespace orch::server
