#include "api/cron.h"

#include "tests/catch.h"

namespace orch::api {
namespace {

base::WallTime at(const char* text) {
  auto t = base::parse_time(text);
  INFO(text);
  REQUIRE(t.ok());
  return *t;
}

TEST_CASE("the next time of a schedule") {
  const char* berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
  const char* havana = "CST5CDT,M3.2.0/0,M11.1.0/1";  // clocks go forward at midnight
  const char* beirut = "EET-2EEST,M3.5.0/0,M10.5.0/0";
  struct Case {
    const char* schedule;
    const char* zone;
    const char* after;
    const char* next;
  };
  const std::vector<Case> cases = {
      {"* * * * *", "UTC0", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
      {"* * * * *", "UTC0", "2026-01-01T00:00:59.5Z", "2026-01-01T00:01:00Z"},
      {"0/15 * * * *", "UTC0", "2026-01-01T09:45:00Z", "2026-01-01T10:00:00Z"},
      {"20-35/15 * * * *", "UTC0", "2026-01-01T09:36:00Z", "2026-01-01T10:20:00Z"},
      {"30 6-16/4 * * 1-5", "UTC0", "2026-01-02T14:30:00Z", "2026-01-05T06:30:00Z"},
      {"0 0 29 2 *", "UTC0", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
      {"0 0 31 2 *", "UTC0", "2026-01-01T00:00:00Z", ""},
      {"0 0 31 * *", "UTC0", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
      // Either day is enough when both are named.
      {"0 0 13 * 5", "UTC0", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
      {"0 0 13 * 5", "UTC0", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"},
      {"0 0 * * 0", "UTC0", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"},
      {"0 12 1 12 *", "UTC0", "2026-12-01T12:00:00Z", "2027-12-01T12:00:00Z"},
      {"@monthly", "UTC0", "2026-12-05T00:00:00Z", "2027-01-01T00:00:00Z"},
      {"@every 90m", "UTC0", "2026-01-01T00:00:10.7Z", "2026-01-01T01:30:10Z"},
      {"@every 10ms", "UTC0", "2026-01-01T00:00:10Z", "2026-01-01T00:00:11Z"},
      {"0 12 * * *", berlin, "2026-07-01T10:00:00Z", "2026-07-02T10:00:00Z"},
      // Skipped and repeated hours.
      {"30 2 * * *", berlin, "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
      {"30 * * * *", berlin, "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
      {"30 2 * * *", berlin, "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"},
      {"30 2 * * *", berlin, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
      {"30 4 * * *", berlin, "2026-10-25T00:30:00Z", "2026-10-25T03:30:00Z"},
      // A day without midnight.
      {"0 0 * * *", havana, "2026-03-07T12:00:00Z", "2026-03-09T04:00:00Z"},
      {"0 6 8 * *", havana, "2026-03-07T12:00:00Z", "2026-03-08T10:00:00Z"},
      {"0 6 29 * *", beirut, "2026-03-27T12:00:00Z", "2026-03-29T03:00:00Z"},
      {"0 6 * 11 *", havana, "2026-10-31T12:00:00Z", "2026-11-01T11:00:00Z"},
  };
  for (const Case& c : cases) {
    INFO(c.schedule << " after " << c.after << " by " << c.zone);
    auto schedule = CronSchedule::parse(c.schedule);
    auto zone = base::TimeZone::from_rule(c.zone);
    REQUIRE(schedule.ok());
    REQUIRE(zone.ok());
    const auto next = schedule->next(at(c.after), **zone);
    CHECK((next ? base::format_time(*next) : "") == c.next);
  }
}

TEST_CASE("times of a schedule ascend through changes of clocks") {
  auto zone = base::TimeZone::from_rule("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");  // by half an hour
  auto schedule = CronSchedule::parse("*/20 */3 * * *");
  REQUIRE(zone.ok());
  base::WallTime t = at("2026-01-01T00:00:00Z");
  int times = 0;
  while (t < at("2027-01-01T00:00:00Z")) {
    const auto next = schedule->next(t, **zone);
    REQUIRE(next);
    REQUIRE(*next > t);
    t = *next;
    ++times;
  }
  CHECK(times / 24 == 365);
}

}  // namespace
}  // namespace orch::api
