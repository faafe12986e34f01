// What webhook configurations and admission policies validate alike (pkg/apis/admissionregistration).
#pragma once

#include <string>
#include <vector>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// admissionregistration.k8s.io/v1 RuleWithOperations.
void validate_admission_rule(const Json& rule, const FieldPath& path, FieldErrors& errors);

/// The member, if it is there, is one of these (in order).
void validate_one_of(const Json& object, const char* key, const std::vector<std::string>& supported,
                     const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
