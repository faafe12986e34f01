#include "base/time_zone.h"

#include <cstdlib>
#include <string>

#include "base/file.h"
#include "tests/catch.h"

namespace orch::base {
namespace {

WallTime at(const char* text) {
  auto t = parse_time(text);
  INFO(text);
  REQUIRE(t.ok());
  return *t;
}
TimeZonePtr rule(const char* text) {
  auto zone = TimeZone::from_rule(text);
  INFO(text);
  REQUIRE(zone.ok());
  return *zone;
}

TEST_CASE("rules of time zones") {
  struct Case {
    const char* rule;
    const char* moment;
    const char* local;
  };
  const std::vector<Case> cases = {
      {"UTC0", "2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", "2026-03-29T01:59:59+01:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T00:59:59Z", "2026-10-25T02:59:59+02:00"},
      {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-07-04T12:00:00Z", "2026-07-04T08:00:00-04:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-12-04T12:00:00Z", "2026-12-04T07:00:00-05:00"},
      // In the south summer crosses the new year.
      {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2025-12-31T23:00:00Z", "2026-01-01T10:00:00+11:00"},
      {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-01T00:00:00Z", "2026-07-01T10:00:00+10:00"},
      // Ireland's winter time is behind its standard time.
      {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"},
      {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01T12:00:00Z", "2026-07-01T13:00:00+01:00"},
      {"<+0545>-5:45", "2026-01-01T00:00:00Z", "2026-01-01T05:45:00+05:45"},
      {"<-0930>9:30", "2026-01-01T00:00:00Z", "2025-12-31T14:30:00-09:30"},
      {"EET-2EEST,M3.4.4/50,M10.4.4/50", "2026-03-28T00:00:00Z", "2026-03-28T03:00:00+03:00"},
      {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", "2026-03-29T00:00:00-01:00"},
      {"A0B,J60,J300", "2024-03-01T02:00:00Z", "2024-03-01T03:00:00+01:00"},
      {"A0B,J60,J300", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"},
      {"A0B,59,300", "2024-02-29T02:00:00Z", "2024-02-29T03:00:00+01:00"},
  };
  for (const Case& c : cases) {
    INFO(c.rule << " " << c.moment);
    const auto zone = rule(c.rule);
    CHECK(format_time_in(at(c.moment), *zone) == c.local);
    const CivilTime there = zone->civil(at(c.moment)), again = zone->civil(zone->moment(there));
    CHECK(again.day == there.day);
    CHECK(again.hour * 60 + again.minute == there.hour * 60 + there.minute);
  }
  for (const char* bad : {"", "5", "CET", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
                          "CET-1x!", "<CET-1", "CET-1CEST,M3.5.0,M10.5.0/3 "}) {
    INFO(bad);
    CHECK_FALSE(TimeZone::from_rule(bad).ok());
  }
}

TEST_CASE("from clocks on the wall to moments") {
  const auto berlin = rule("CET-1CEST,M3.5.0,M10.5.0/3");
  CHECK(berlin->moment({2026, 7, 1, 12, 30, 5}) == at("2026-07-01T10:30:05Z"));
  CHECK(berlin->moment({2026, 13, 1}) == at("2026-12-31T23:00:00Z"));
  CHECK(berlin->moment({2026, 3, 32}) == at("2026-03-31T22:00:00Z"));
  CHECK(berlin->moment({2024, 3, 0}) == at("2024-02-28T23:00:00Z"));
  const CivilTime c = berlin->civil(at("2026-10-25T12:00:00Z"));
  CHECK(c.weekday == 0);
  CHECK(c.hour == 13);
  // A time that clocks show twice is one of the two, one that is skipped is beside the gap.
  const WallTime twice = berlin->moment({2026, 10, 25, 2, 30});
  CHECK((twice == at("2026-10-25T00:30:00Z") || twice == at("2026-10-25T01:30:00Z")));
  const WallTime never = berlin->moment({2026, 3, 29, 2, 30});
  CHECK((never == at("2026-03-29T00:30:00Z") || never == at("2026-03-29T01:30:00Z")));
}

/// A file of the database: transitions to offsets of one hour and zero, then a rule.
std::string tzif(bool second_part) {
  std::string out;
  auto number = [&](int64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
  };
  auto part = [&](int size) {
    out += "TZif2";
    out += std::string(15, '\0');
    for (int n : {0, 0, 0, 2, 2, 8}) number(n, 4);
    number(-1000, size);
    number(1000, size);
    out += std::string("\1\0", 2);
    number(0, 4), out += std::string("\0\0", 2);
    number(3600, 4), out += std::string("\1\4", 2);
    out += std::string("STD\0DST\0", 8);
  };
  part(4);
  if (second_part) {
    part(8);
    out += "\nCET-1\n";
  }
  return out;
}

TEST_CASE("files of the time zone database") {
  auto zone = TimeZone::from_tzif(tzif(true));
  REQUIRE(zone.ok());
  auto offset = [&](int64_t second) { return (*zone)->offset_at(WallTime(std::chrono::seconds(second))); };
  CHECK(offset(-1001) == 0);
  CHECK(offset(-1000) == 3600);
  CHECK(offset(999) == 3600);
  CHECK(offset(1000) == 3600);  // by the rule
  const std::string whole = tzif(true);
  for (size_t n = 0; n + 8 < whole.size(); ++n) {
    INFO(n);
    CHECK_FALSE(TimeZone::from_tzif(whole.substr(0, n)).ok());
  }
  std::string wrong = whole;
  wrong[wrong.size() - 7 - 20 - 2] = 9;  // a kind that there is not
  CHECK_FALSE(TimeZone::from_tzif(wrong).ok());
}

TEST_CASE("zones by name") {
  for (const char* name :
       {"", "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Etc/GMT+5", "GMT"}) {
    INFO(name);
    CHECK(load_time_zone(name).ok());
  }
  const auto berlin = load_time_zone("Europe/Berlin");
  CHECK(format_time_in(at("2026-07-01T12:00:00Z"), **berlin) == "2026-07-01T14:00:00+02:00");
  struct Case {
    const char* name;
    const char* message;
  };
  for (const Case& c : std::vector<Case>{{"Nowhere", "unknown time zone Nowhere"},
                                         {"Europe", "unknown time zone Europe"},
                                         {"Berlin", "unknown time zone Berlin"},
                                         {"CET-1", "unknown time zone CET-1"},
                                         {"/etc/localtime", "time: invalid location name"},
                                         {"../x", "time: invalid location name"}}) {
    INFO(c.name);
    CHECK(load_time_zone(c.name).status().message() == c.message);
  }
}

}  // namespace
}  // namespace orch::base
