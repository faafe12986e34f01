// Forward declaration of the JSON tree, for headers. Sources that touch a tree include base/json.h.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace orch {
using Json = nlohmann::json;
}
