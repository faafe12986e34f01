// Rules of taints and node selectors, used by pods, nodes and volumes.
#pragma once

#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Required, and one of the three effects.
void validate_taint_effect(std::string_view effect, const FieldPath& path, FieldErrors& errors);
/// core/v1 NodeSelector with at least one term.
void validate_node_selector(const Json& selector, bool allow_invalid_values, const FieldPath& path,
                            FieldErrors& errors);
/// Some requirement of the terms has a value that is no label value.
bool has_invalid_node_selector_value(const Json& selector);

}  // namespace orch::api
