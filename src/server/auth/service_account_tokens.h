// Service-account tokens: JWTs signed by this cluster, bound to live objects.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pki/pki.h"
#include "server/auth/authenticators.h"
#include "server/auth/lookup.h"

namespace orch::server {

/// Labels of a token Secret: the day its token was used last, and that since which it is refused. Days are
/// written as 2026-01-31, in UTC.
inline constexpr std::string_view kTokenLastUsed = "kubernetes.io/legacy-token-last-used";
inline constexpr std::string_view kTokenInvalidSince = "kubernetes.io/legacy-token-invalid-since";
/// When Kubernetes began to write uses down (v1.26): an earlier day is that of a clock that is not set.
inline constexpr std::string_view kTokenTrackingBegan = "2022-12-09";
/// The day of a time, as these labels have it.
std::string token_date(base::WallTime time);

using LegacyTokenUse = std::function<void(const api::ObjectPtr& secret, const std::string& date)>;

struct ServiceAccountTokenOptions {
  /// Accepted `iss` claims; the first is the one this server signs with.
  std::vector<std::string> issuers;
  /// The API server's own audiences.
  std::vector<std::string> audiences;
  /// Over the keys a signature may verify under (several while a key is rotated).
  pki::JwtVerifier verifier;
  /// Called when the token of a Secret is used, or refused for kTokenInvalidSince, on a day that its label
  /// kTokenLastUsed does not have yet; may be empty. The request waits for it.
  LegacyTokenUse on_legacy_use;
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
  void note_use(const api::ObjectPtr& secret) const;

  const ServiceAccountTokenOptions options_;
  const Lookup& lookup_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, ClaimsPtr> cache_;  // under mutex_; by SHA-256 of the token
};

}  // namespace orch::server
