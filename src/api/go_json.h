// What Go's encoding/json says of a text that is no JSON: API clients see it in error messages.
#pragma once

#include <string>
#include <string_view>

namespace orch::api {

/// "invalid character 'h' looking for beginning of value", "unexpected end of JSON input", "invalid
/// character '[' exceeded max depth" (of 10,000); "" when the text is one JSON value. Linear, without
/// recursion.
std::string go_json_error(std::string_view text);

}  // namespace orch::api
