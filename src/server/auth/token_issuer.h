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

/// Thread-safe.
class TokenIssuer {
 public:
  /// `key_pem` is the private signing key; tokens name `issuer`; `audiences` are the API server's own and
  /// stand in when a request names none. `lookup` and `clock` must outlive this.
  TokenIssuer(std::string issuer, std::string key_pem, std::vector<std::string> audiences,
              const Lookup& lookup, const base::Clock& clock);

  /// TokenRequest of authentication.k8s.io/v1 posted to serviceaccounts/token: the object with its status.
  /// Bound to a Pod, Secret or Node when asked. A pod's token for the API server asked for 3607 seconds, what
  /// the kubelet's projected volumes ask for, lives a year with a warning after those seconds, as in
  /// Kubernetes. kNotFound, kConflict, kInvalid and kBadRequest as there.
  base::Result<Json> request_token(const Json& request, std::string_view ns, std::string_view name) const;

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

  const std::string issuer_, key_pem_;
  const std::vector<std::string> audiences_;
  const Lookup& lookup_;
  const base::Clock& clock_;
};

}  // namespace orch::server
