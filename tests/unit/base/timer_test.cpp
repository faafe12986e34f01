#include "base/timer.h"

#include <future>

#include "tests/catch.h"

namespace orch::base {
namespace {

using namespace std::chrono_literals;

TEST_CASE("timers run in order, an earlier one first although it came later") {
  auto timers = make_timers();
  std::promise<std::string> done;
  std::string order;
  timers->after(60ms, [&] { order += "b", done.set_value(order); });
  timers->after(20ms, [&] { order += "a"; });
  const auto never = timers->after(40ms, [&] { order += "x"; });
  CHECK(timers->cancel(never));
  CHECK_FALSE(timers->cancel(never));
  auto future = done.get_future();
  REQUIRE(future.wait_for(10s) == std::future_status::ready);
  CHECK(future.get() == "ab");
}

TEST_CASE("who asked hears that the clock was set, until he does not want to") {
  FakeClock clock;
  FakeTimers timers(clock);
  int heard = 0;
  const auto id = timers.on_clock_set([&] { ++heard; });
  timers.advance(1h);
  CHECK(heard == 0);
  timers.clock_was_set();
  CHECK(heard == 1);
  CHECK(timers.cancel(id));
  timers.clock_was_set();
  CHECK(heard == 1);
}

}  // namespace
}  // namespace orch::base
