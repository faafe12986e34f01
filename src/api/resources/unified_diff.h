// Line differences of two trees, as k8s.io/apimachinery/pkg/util/diff prints them in error messages.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace orch::api {

/// Unified diff (three lines of context, no file header) of the indented JSON of both; "" when equal.
std::string json_diff(const Json& before, const Json& after);

}  // namespace orch::api
