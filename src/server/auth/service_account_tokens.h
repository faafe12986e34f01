// Service-account tokens: JWTs signed by this cluster, bound to live objects.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pki/pki.h"
#include "server/auth/authenticators.h"
#include "server/auth/lookup.h"

namespace orch::server {

struct ServiceAccountTokenOptions {
  /// Accepted `iss` claims; the first is the one this server signs with.
  std::vector<std::string> issuers;
  /// The API server's own audiences.
  std::vector<std::string> audiences;
  /// Over the keys a signature may verify under (several while a key is rotated).
  pki::JwtVerifier verifier;
  /// Called when a token of a Secret is used on a day not yet in its label
  /// `kubernetes.io/legacy-token-last-used`; may be empty. Must be quick and not call back.
  std::function<void(const api::ObjectPtr& secret, const std::string& date)> on_legacy_use;
};

/// Checks signature, issuer, audiences, times (a minute of leeway) and that service account, pod, secret and
/// node named by the token still exist with the same uid. Understands bound tokens (TokenRequest) and those
/// of Secrets of type kubernetes.io/service-account-token (issuer "kubernetes/serviceaccount"). Verified
/// signatures are remembered, the live checks are made each time. Thread-safe.
class ServiceAccountAuthenticator final : public TokenAuthenticator {
 public:
  /// `lookup` and `clock` must outlive this.
  ServiceAccountAuthenticator(ServiceAccountTokenOptions options, const Lookup& lookup,
                              const base::Clock& clock);
  ~ServiceAccountAuthenticator() override;
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  struct Claims;
  using ClaimsPtr = std::shared_ptr<const Claims>;

  base::Result<ClaimsPtr> verified_claims(std::string_view token);
  bool remembered(const std::string& key, ClaimsPtr& claims);
  base::Status check_times(const Claims& claims) const;
  base::Result<UserInfo> bound_user(const Claims& claims) const;
  base::Result<UserInfo> legacy_user(const Claims& claims, std::string_view token) const;
  bool gone(const api::Object& object) const;

  const ServiceAccountTokenOptions options_;
  const Lookup& lookup_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, ClaimsPtr> cache_;  // under mutex_; by SHA-256 of the token
};

}  // namespace orch::server
