// Tokens of foreign issuers (OpenID Connect): the jwt authenticators of AuthenticationConfiguration, and the
// --oidc-* arguments of kube-apiserver.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "pki/jwk.h"
#include "server/auth/authenticators.h"
#include "server/auth/claim_rules.h"

namespace orch::server {

/// A claim and what is put in front of its value.
struct ClaimMapping {
  std::string claim, prefix;
};

/// JWTAuthenticator of apiserver.config.k8s.io/v1.
struct JwtIssuer {
  std::string url, discovery_url;      // discovery_url "": below url
  std::string ca_pem;                  // "": the system's authorities
  std::vector<std::string> audiences;  // any of them
  std::vector<std::string> algorithms = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                         "PS512", "ES256", "ES384", "ES512"};
  std::map<std::string, std::string> required_claims;
  ClaimMapping username, groups;  // groups.claim "": none
  std::string uid_claim;
  std::shared_ptr<const ClaimExpressions> expressions;  // null: there are none
};

/// What an AuthenticationConfiguration says.
struct AuthenticationConfig {
  std::vector<JwtIssuer> issuers;
  std::optional<AnonymousOptions> anonymous;
};
/// From YAML or JSON. kBadRequest in Kubernetes' words for what is not valid.
base::Result<AuthenticationConfig> parse_authentication_config(std::string_view text);

/// The user that verified claims name, or why they name none (kUnauthorized). Pure.
base::Result<UserInfo> user_of_claims(const JwtIssuer& issuer, const Json& claims, base::WallTime now);

/// Fetches an https URL, trusting only `ca_pem` ("": the system's authorities). May wait.
using Fetch = std::function<base::Result<std::string>(const std::string& url, const std::string& ca_pem)>;

/// One issuer. Its keys are fetched when its first token comes, and again when a token is signed by a key
/// that is not known, but no more often than every ten seconds. Thread-safe.
class OidcAuthenticator final : public TokenAuthenticator {
 public:
  /// `api_audiences` are what a TokenReview may ask for. `clock` must outlive this.
  OidcAuthenticator(JwtIssuer issuer, std::vector<std::string> api_audiences, Fetch fetch,
                    const base::Clock& clock);
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  base::Result<std::string> verify(std::string_view token);
  base::Status fetch_keys();  // under mutex_

  const JwtIssuer issuer_;
  const std::vector<std::string> api_audiences_;
  const Fetch fetch_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::shared_ptr<const pki::JwkSet> keys_;   // under mutex_
  std::optional<base::MonoTime> fetched_at_;  // under mutex_; the last try
  base::Status last_;                         // under mutex_; its outcome
};

}  // namespace orch::server
