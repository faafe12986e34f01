// Value validation: whether an object keeps to its schema, in the words of kube-openapi's validator as
// apiextensions passes them on (k8s.io/kube-openapi/pkg/validation/validate).
#pragma once

#include <string_view>

#include "api/field_error.h"
#include "api/structural/schema.h"
#include "base/json_fwd.h"

namespace orch::api::structural {

/// Checks types, limits, enums, patterns, formats, required members and allOf/anyOf/oneOf/not. With `old`,
/// what is wrong with a part that did not change is let pass (KEP-4008), where the part of both objects can
/// be told to be the same. `base` is put before paths: "status", or "" for whole objects.
void validate_value(const Node& schema, const Json& value, const Json* old, std::string_view base,
                    FieldErrors& errors);

/// Lists of type set have no item twice, lists of type map no key twice.
void validate_lists(const Node& schema, const Json& object, FieldErrors& errors);

}  // namespace orch::api::structural
