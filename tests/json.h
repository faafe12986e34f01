#pragma once
// A JSON tree from text in a test.

#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/status.h"

namespace orch::testing {

inline Json json(std::string_view text) {
  auto parsed = base::parse_json(text);
  // Not Catch2's macros: threads of tests may call this.
  if (!parsed.ok()) throw std::invalid_argument(base::cat(parsed.error().message(), " in ", text));
  return std::move(*parsed);
}

}  // namespace orch::testing
