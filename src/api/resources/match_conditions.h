// matchConditions of webhooks and admission policies (admissionregistration.k8s.io/v1 MatchCondition).
#pragma once

#include <string>
#include <string_view>

#include "api/cel/cel.h"
#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// At most 64, each with a name of its own and an expression that gives a bool.
void validate_match_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors);

/// What expressions of webhooks may refer to: object, oldObject, request (of type
/// kubernetes.AdmissionRequest), namespaceObject, authorizer and authorizer.requestResource. Thread-safe.
const cel::Environment& admission_environment();

/// A program that gives a bool, or what is wrong in Kubernetes' words: "compilation failed: …",
/// "must evaluate to bool but got string".
cel::Compilation compile_match_condition(std::string_view expression);

}  // namespace orch::api
