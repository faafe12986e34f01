// When a component begins with its work after something has changed.
#include "agent/network/work_signal.h"

#include <thread>

#include "tests/catch.h"

using orch::agent::WorkSignal;
using std::chrono::milliseconds;

TEST_CASE("a change that comes alone is taken at once, those that follow are collected") {
  struct Case {
    int since_ms, settle_ms, pause_ms;
  };
  for (const Case& c : {Case{1000000, 3, 0}, Case{51, 3, 0}, Case{50, 3, 3}, Case{10, 5, 5}, Case{0, 3, 3},
                        Case{0, 0, 0}, Case{100, 0, 0}}) {
    INFO(c.since_ms << " " << c.settle_ms);
    CHECK(WorkSignal::pause(milliseconds(c.since_ms), milliseconds(c.settle_ms)) == milliseconds(c.pause_ms));
  }
}

TEST_CASE("keys are taken once, until it is stopped") {
  WorkSignal signal;
  std::set<std::string> keys;
  signal.add("b");
  signal.add("a");
  signal.add("b");
  // An hour that would be noticed: the first change waits for nothing.
  CHECK(signal.wait(keys, {}, std::chrono::hours(1)));
  CHECK(keys == std::set<std::string>{"a", "b"});
  CHECK(signal.wait(keys, std::chrono::steady_clock::now(), milliseconds(0)));
  CHECK(keys.empty());
  std::thread other([&] { signal.add("c"); });
  CHECK(signal.wait(keys, {}, milliseconds(1)));
  CHECK(keys == std::set<std::string>{"c"});
  other.join();
  signal.stop();
  CHECK(signal.stopping());
  CHECK_FALSE(signal.wait(keys, {}, std::chrono::hours(1)));
}
