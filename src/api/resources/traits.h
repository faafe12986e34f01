// Traits: what kinds differ in that need no code of their own.
#pragma once

#include <string_view>

#include "api/resources/resource.h"

namespace orch::api {

/// A strategy with the kind's printer cells and traits (what a deletion answers, generations, updates without
/// a version, creation by update); the generic one for a kind that has none. Strategies of kinds with
/// defaults or validation start from it.
Strategy traits_of(std::string_view group, std::string_view kind);

/// What becomes of an object's dependents when whoever deletes it does not say.
struct OrphaningByDefault {
  bool orphans = false;           // they stay, as with propagationPolicy Orphan
  std::string_view warning = {};  // for who did not say; may be empty
};
OrphaningByDefault orphaning_of(std::string_view group, std::string_view kind);

/// The Warning header that requests for a deprecated kind are answered with; "" for the others.
std::string_view deprecation_of(std::string_view group, std::string_view kind);

}  // namespace orch::api
