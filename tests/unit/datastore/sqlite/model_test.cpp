// ORCH_STORE_SEEDS=N runs N seeds, ORCH_STORE_SEED=S begins with S.
#include "tests/unit/datastore/model.h"

#include <cstdlib>

#include "base/log.h"
#include "tests/unit/datastore/sqlite/fixture.h"

namespace {

uint64_t number(const char* variable, uint64_t fallback) {
  const char* text = std::getenv(variable);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("the SQLite store does what a model does") {
  orch::base::set_log_level(orch::base::LogLevel(-1));
  const uint64_t first = number("ORCH_STORE_SEED", 1);
  const uint64_t seeds = number("ORCH_STORE_SEEDS", 6);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    orch::testing::check_model(std::make_unique<orch::testing::SqliteUnderTest>(seed), seed, 10000);
  }
  orch::base::set_log_level(orch::base::LogLevel::kInfo);
}
