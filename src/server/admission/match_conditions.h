// matchConditions of a webhook, compiled: the last question before it is called.
#pragma once

#include <memory>
#include <string>

#include "base/json_fwd.h"
#include "base/status.h"
#include "server/admission/admission.h"

namespace orch::server {

/// Immutable, thread-safe.
class MatchConditions {
 public:
  virtual ~MatchConditions() = default;
  /// False as soon as one condition is false. Otherwise what could not be evaluated is kUnknown with the texts
  /// of all errors: the caller's failure policy decides. `object` and `old_object` are as the webhook sees them.
  virtual base::Result<bool> match(const AdmissionRequest& request, const Json& object,
                                   const Json& old_object) const = 0;
};

/// Null when there are none.
std::shared_ptr<const MatchConditions> make_match_conditions(const Json& conditions);

}  // namespace orch::server
