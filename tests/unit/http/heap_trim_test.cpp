#include "http/heap_trim.h"

#include "tests/catch.h"

using orch::http::TrimPolicy;

namespace {

/// So many connections at one time; what the last of them that said anything said.
int64_t burst(TrimPolicy& policy, size_t count, int64_t now) {
  int64_t due = 0;
  for (size_t i = 0; i < count; ++i) {
    if (const int64_t at = policy.note(now)) due = at;
  }
  return due;
}

}  // namespace

TEST_CASE("memory is given back once a burst of connections is over") {
  TrimPolicy policy;
  // A few connections are no burst, over any time.
  CHECK(burst(policy, TrimPolicy::kWorthwhile - 1, 1000) == 0);
  CHECK(burst(policy, 1, 50'000) == 52'000);
  CHECK(burst(policy, 300, 51'000) == 0);  // asked once
  auto look = policy.look(52'000);
  CHECK_FALSE(look.trim);
  CHECK(look.again == 54'000);
  CHECK(burst(policy, TrimPolicy::kWorthwhile - 1, 53'000) == 0);  // hardly anything
  look = policy.look(54'000);
  CHECK(look.trim);
  CHECK(look.again == 0);
  // All over again.
  CHECK(burst(policy, TrimPolicy::kWorthwhile - 1, 60'000) == 0);
  CHECK(burst(policy, 1, 60'000) == 62'000);
}

TEST_CASE("memory is given back now and then while connections keep coming") {
  TrimPolicy policy;
  int64_t due = burst(policy, 1000, 100);
  int64_t now = 0;
  bool trimmed = false;
  while (!trimmed) {
    REQUIRE(due > now);
    now = due;
    burst(policy, 1000, now);
    const auto look = policy.look(now);
    trimmed = look.trim;
    due = look.again;
  }
  CHECK(now == 100 + TrimPolicy::kAtLatest);
}
