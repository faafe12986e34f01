// Defaults and normal form of decoded objects.
#pragma once

#include <cstdint>

#include "api/schema/schema.h"
#include "base/json_fwd.h"

namespace orch::api::schema {

/// Sets what is absent, or has its zero value in a field where that is the same as absent, to the default
/// that the schema gives. Defaults that depend on other fields are the strategies' business.
void apply_defaults(const Schema& schema, const Type& type, Json& object);

/// Brings a decoded object into the form that Go's encoder would write after a round through storage:
/// what is empty and may be left out is left out, what is always written is there (`"resources":{}`), and
/// empty lists and maps of those are null. Order of members aside, which is alphabetical here.
///
/// Empty::kKept: as Go's encoder writes what was just decoded, where an empty list that somebody sent is not
/// null yet. Empty::kSent: as Go has it in memory then: empty lists and maps that somebody sent are there,
/// also those that the encoder leaves out.
enum class Empty : uint8_t { kNull, kKept, kSent };
void normalise(const Schema& schema, const Type& type, Json& object, Empty empty = Empty::kNull);

}  // namespace orch::api::schema
