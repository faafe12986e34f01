// matchConditions of webhooks and admission policies (admissionregistration.k8s.io/v1 MatchCondition).
#pragma once

#include <string>
#include <string_view>

#include "api/cel/admission.h"
#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// At most 64, each with a name of its own and an expression that gives a bool. `params`: as below.
void validate_match_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors,
                               bool params = false);

/// What conditions may refer to: object, oldObject, request (of type kubernetes.AdmissionRequest),
/// namespaceObject, authorizer and authorizer.requestResource; `params` too where a policy has a paramKind.
/// Thread-safe.
const cel::Environment& admission_environment(bool params = false);

/// A program that gives a bool.
cel::CheckedProgram compile_match_condition(std::string_view expression, bool params = false);

}  // namespace orch::api
