// matchConditions of webhooks and admission policies (admissionregistration.k8s.io/v1 MatchCondition).
#pragma once

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// At most 64, each with a name of its own and an expression that gives a bool.
void validate_match_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
