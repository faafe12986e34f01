// CEL expressions of a jwt authenticator (AuthenticationConfiguration): claims become a user, and rules say
// whether that user may be. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

/// Compiled; immutable, thread-safe. Errors are kUnauthorized, in the words of kube-apiserver's oidc
/// authenticator.
class ClaimExpressions {
 public:
  virtual ~ClaimExpressions() = default;
  virtual bool names_user() const = 0;
  /// claimMappings: what is mapped by expressions, into the user.
  virtual base::Status map(const Json& claims, UserInfo& user) const = 0;
  /// claimValidationRules, then userValidationRules.
  virtual base::Status check(const Json& claims, const UserInfo& user) const = 0;
};

/// The expressions of one member of `jwt`, at `path`; null when it has none. Adds what is wrong with them,
/// and with the members beside them, to `errors`.
std::shared_ptr<const ClaimExpressions> read_claim_expressions(const Json& jwt, const api::FieldPath& path,
                                                               api::FieldErrors& errors);

}  // namespace orch::server
