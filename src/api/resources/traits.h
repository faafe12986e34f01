// Traits: what kinds differ in that need no code of their own.
#pragma once

#include <string_view>

#include "api/resources/resource.h"

namespace orch::api {

/// A strategy with the kind's printer cells and traits (what a deletion answers, generations, updates without
/// a version, creation by update); the generic one for a kind that has none. Strategies of kinds with
/// defaults or validation start from it.
Strategy traits_of(std::string_view group, std::string_view kind);

}  // namespace orch::api
