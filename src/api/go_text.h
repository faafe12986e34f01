// Text as Go prints it, where that is part of what API clients see.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"

namespace orch::api {

/// A quoted string as fmt's %q gives: printable characters as they are, the rest as Go escapes.
std::string go_quote(std::string_view text);
/// A value as field.Error prints it: strings quoted, numbers and booleans plain, anything else as JSON.
std::string go_value(const Json& value);
/// A value as fmt's %v prints it: `map[a:1 b:[x y]]`.
std::string go_plain(const Json& value);
/// JSON as json.Marshal writes it: without spaces, <, > and & escaped.
std::string go_json(const Json& value);
bool is_utf8(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace orch::api
