// The strategies of all built-in kinds.
#pragma once

#include <memory>
#include <string_view>

#include "api/resources/resource.h"

namespace orch::api {

/// The strategy of a built-in kind; for a kind without one of its own (virtual kinds) a strategy without
/// functions, whose names are DNS subdomains. Never null. `schema` outlives it. Thread-safe.
std::shared_ptr<const Strategy> strategy_for(std::string_view group, std::string_view kind,
                                             const Schema& schema);

}  // namespace orch::api
