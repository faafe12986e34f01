// What a plain YAML 1.1 scalar means. Shared by reading and writing YAML.
#pragma once

#include <optional>
#include <string_view>

#include "base/json_fwd.h"

namespace orch::api::yaml {

/// null, boolean, integer or float; nothing when the text is a string. Infinities and NaN come as floats.
std::optional<Json> resolve(std::string_view text);
/// Text such as "1:30" that YAML 1.1 readers take for a number in base 60.
bool is_base60(std::string_view text);

}  // namespace orch::api::yaml
