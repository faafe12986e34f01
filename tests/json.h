#pragma once
// A JSON tree from text in a test.

#include <string_view>
#include <utility>

#include "base/json.h"
#include "tests/catch.h"

namespace orch::testing {

inline Json json(std::string_view text) {
  auto parsed = base::parse_json(text);
  INFO(text);
  REQUIRE(parsed.ok());
  return std::move(*parsed);
}

}  // namespace orch::testing
