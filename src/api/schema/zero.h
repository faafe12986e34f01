// Zero values: what Go has in a field that nobody set.
#pragma once

#include "api/schema/schema.h"
#include "base/json_fwd.h"

namespace orch::api::schema {

/// How Go writes the zero value of such a field to JSON. A message is an empty object: see normalise().
Json zero_value(const Value& value);
/// Whether a decoded value is the zero value, so that omitempty leaves it out. An empty list or map is one;
/// a message never is.
bool is_zero(const Json& json, const Value& value);

}  // namespace orch::api::schema
