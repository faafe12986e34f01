// The strategies of all built-in kinds.
#pragma once

#include <memory>
#include <string_view>

#include "api/resources/resource.h"

namespace orch::api {

/// The strategy of a built-in kind; for a kind without one of its own (custom resources, virtual kinds) a
/// shared strategy without functions, whose names are DNS subdomains. Never null. Thread-safe.
std::shared_ptr<const Strategy> strategy_for(std::string_view group, std::string_view kind);

}  // namespace orch::api
