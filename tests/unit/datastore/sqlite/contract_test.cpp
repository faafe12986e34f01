#include "tests/unit/datastore/contract.h"

#include "tests/unit/datastore/sqlite/fixture.h"

TEST_CASE("the SQLite store keeps the contract") {
  orch::testing::check_contract(orch::testing::sqlite_factory());
}
