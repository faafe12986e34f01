// What expressions are told of the kinds that are served: for type checking of admission policies.
#pragma once

#include "api/cel/cel.h"
#include "api/resources/resource.h"

namespace orch::api {

/// The type of the row's objects, as its OpenAPI definition describes them, not yet named; null when CEL has
/// no type for it.
cel::Type expression_type(const Resource& row);

}  // namespace orch::api
