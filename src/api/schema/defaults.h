// Defaults and normal form of decoded objects.
#pragma once

#include "api/schema/schema.h"
#include "base/json_fwd.h"

namespace orch::api::schema {

/// Sets what is absent, or has its zero value in a field where that is the same as absent, to the default
/// that the schema gives. Defaults that depend on other fields are the strategies' business.
void apply_defaults(const Schema& schema, const Type& type, Json& object);

/// Brings a decoded object into the form that Go's encoder would write after a round through storage:
/// what is empty and may be left out is left out, what is always written is there (`"resources":{}`), and
/// empty lists and maps of those are null. Order of members aside, which is alphabetical here.
void normalise(const Schema& schema, const Type& type, Json& object);

}  // namespace orch::api::schema
