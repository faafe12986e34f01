#include "base/clock.h"

#include <vector>

#include "base/timer.h"
#include "tests/catch.h"

using orch::base::FakeClock;
using orch::base::FakeTimers;
using orch::base::format_micro_time;
using orch::base::format_time;
using orch::base::parse_time;
using orch::base::WallTime;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("times are written and read in RFC 3339 form") {
  struct Case {
    std::string text;
    int64_t micros;
    std::string whole, micro;
  };
  const Case cases[] = {
      {"2026-01-01T00:00:00Z", 1767225600000000, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z"},
      {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
      {"1969-12-31T23:59:59.5Z", -500000, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.500000Z"},
      {"2024-02-29T12:34:56.123456789Z", 1709210096123456, "2024-02-29T12:34:56Z",
       "2024-02-29T12:34:56.123456Z"},
      {"2026-01-01T01:30:00+01:30", 1767225600000000, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z"},
      {"2025-12-31T16:00:00-08:00", 1767225600000000, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z"},
      {"0001-01-01T00:00:00Z", -62135596800000000, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    const auto t = parse_time(c.text);
    REQUIRE(t.ok());
    CHECK(t->time_since_epoch().count() == c.micros);
    CHECK(format_time(*t) == c.whole);
    CHECK(format_micro_time(*t) == c.micro);
  }
}

TEST_CASE("what is no time is refused") {
  for (const std::string text :
       {"", "2026-01-01", "2026-01-01 00:00:00Z", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Zx", "x026-01-01T00:00:00Z", "2026-1-01T00:00:00Z"}) {
    INFO(text);
    CHECK_FALSE(parse_time(text).ok());
  }
}

TEST_CASE("the fake clock moves both times") {
  FakeClock clock;
  const auto wall = clock.now();
  const auto mono = clock.mono();
  CHECK(format_time(wall) == "2026-01-01T00:00:00Z");
  clock.advance(milliseconds(1500));
  CHECK(clock.now() - wall == microseconds(1500000));
  CHECK(clock.mono() - mono == milliseconds(1500));
  for (int i = 0; i < 10; ++i) clock.advance(std::chrono::nanoseconds(100));
  CHECK(clock.now() - wall == microseconds(1500001));
}

TEST_CASE("the machine's clocks run") {
  const orch::base::SystemClock clock;
  CHECK(clock.now() > WallTime(seconds(1700000000)));
  const auto before = clock.mono();
  CHECK(before <= clock.mono());
}

TEST_CASE("fake timers run in order of their deadlines, at their time") {
  FakeClock clock;
  FakeTimers timers(clock);
  const auto start = clock.mono();
  std::vector<std::pair<int, int64_t>> ran;
  const auto note = [&](int n) {
    return [&ran, &clock, start, n] { ran.emplace_back(n, (clock.mono() - start) / milliseconds(1)); };
  };
  timers.after(milliseconds(20), note(2));
  timers.after(milliseconds(10), note(1));
  const auto gone = timers.after(milliseconds(15), note(9));
  timers.after(milliseconds(20), note(3));
  timers.after(milliseconds(10), [&] { timers.after(milliseconds(5), note(4)); });
  timers.after(milliseconds(-5), note(0));
  CHECK(timers.cancel(gone));
  CHECK_FALSE(timers.cancel(gone));
  timers.advance(milliseconds(19));
  CHECK(ran == std::vector<std::pair<int, int64_t>>{{0, 0}, {1, 10}, {4, 15}});
  timers.advance(milliseconds(1));
  CHECK(ran.size() == 5);
  CHECK(ran[3] == std::pair<int, int64_t>{2, 20});
  CHECK(ran[4] == std::pair<int, int64_t>{3, 20});
  timers.advance(seconds(100));
  CHECK(ran.size() == 5);
}
