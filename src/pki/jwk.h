// JSON Web Key Sets of others (RFC 7517), and the tokens they vouch for (RFC 7515).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace orch::pki {

/// Immutable, thread-safe.
class JwkSet {
 public:
  /// kBadRequest for what is no set; keys that are neither RSA nor EC P-256, P-384 or P-521 are left out.
  static base::Result<JwkSet> parse(std::string_view json);
  /// The payload if the token is signed by one of the keys (the one it names, if it names one) with one of
  /// `algorithms`: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512. kUnauthorized otherwise.
  base::Result<std::string> verify(std::string_view token, const std::vector<std::string>& algorithms) const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

}  // namespace orch::pki
