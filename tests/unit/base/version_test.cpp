#include "base/version.h"

#include "tests/catch.h"

TEST_CASE("the version is one word") {
  const std::string version{orch::base::version()};
  REQUIRE_FALSE(version.empty());
  REQUIRE(version.find_first_of(" \n") == std::string::npos);
}
