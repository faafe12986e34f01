#include "server/flowcontrol/processor_accounts.h"

#include "tests/catch.h"

using namespace orch;
using namespace std::chrono_literals;
using server::ProcessorAccounts;

TEST_CASE("who takes more than a tenth of a processor takes much") {
  struct Row {
    base::Duration used, every;
    bool much;
  };
  const Row rows[] = {
      {100us, 5ms, false},  // a get now and then
      {300us, 5ms, false},  // 6 %
      {600us, 5ms, true},   // 12 %
      {5ms, 100ms, false},  // a list ten times a second
      {20ms, 100ms, true}, {30us, 1ms, false}, {30us, 100us, true}, {2ms, 2ms, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.used.count(), row.every.count());
    ProcessorAccounts accounts;
    base::MonoTime now{100h};
    for (base::Duration t{}; t < 2s; t += row.every) {
      now += row.every;
      accounts.charge("noisy", row.used, now);
    }
    CHECK(accounts.takes_much("noisy", now) == row.much);
    CHECK_FALSE(accounts.takes_much("quiet", now));
    // A second later nobody remembers.
    CHECK_FALSE(accounts.takes_much("noisy", now + 1s));
  }
}

TEST_CASE("what is used is added up whatever order threads read the clock in") {
  ProcessorAccounts accounts;
  const base::MonoTime now{50h};
  for (int i = 0; i < 10; ++i) accounts.charge("a", 1ms, now - std::chrono::milliseconds(i % 3));
  CHECK(accounts.takes_much("a", now));
  accounts.charge("a", 10h, now);
  CHECK(accounts.takes_much("a", now + 500ms));
  CHECK_FALSE(accounts.takes_much("a", now + 10s));
}

TEST_CASE("a meter counts what its thread does, and not what it waits") {
  const server::ProcessorMeter meter;
  const base::Duration before = meter.used();
  volatile unsigned sum = 0;
  for (unsigned i = 0; i < 20'000'000; ++i) sum = sum + i;
  CHECK(meter.used() > before);
  CHECK(meter.used() < 100s);
}
