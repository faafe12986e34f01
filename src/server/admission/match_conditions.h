// matchConditions of a webhook, compiled: the last question before it is called.
#pragma once

#include <memory>
#include <string>

#include "base/json_fwd.h"
#include "base/status.h"
#include "server/admission/admission.h"

namespace orch::server {

/// What conditions look at besides the request. Objects are as the webhook sees them.
struct MatchSubject {
  const api::Resource& row;
  const Json& object;
  const Json& old_object;
  Authorizer& authorizer;
};

/// Immutable, thread-safe.
class MatchConditions {
 public:
  virtual ~MatchConditions() = default;
  /// False as soon as one condition is false. Otherwise what could not be evaluated is kUnknown with the
  /// texts of all errors: the caller's failure policy decides.
  virtual base::Result<bool> match(const AdmissionRequest& request, const MatchSubject& subject) const = 0;
};

/// Null when there are none.
std::shared_ptr<const MatchConditions> make_match_conditions(const Json& conditions);

}  // namespace orch::server
