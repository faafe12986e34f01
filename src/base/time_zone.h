// TimeZone: what the clocks on the walls of a place say (IANA time zone database, RFC 8536).
//
// Zones come from the machine's database (/usr/share/zoneinfo). A device without one gets the rule each zone
// follows today (time_zones.txt): right for the present, not for what was long ago.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::base {

/// A time as a clock on the wall shows it.
struct CivilTime {
  int64_t year = 1970;
  int month = 1, day = 1, hour = 0, minute = 0, second = 0;
  int weekday = 4;  // Sunday is 0
};

class TimeZone;
/// Immutable, so readable from any thread.
using TimeZonePtr = std::shared_ptr<const TimeZone>;

class TimeZone {
 public:
  static TimeZonePtr utc();
  /// kBadRequest when the text is none.
  static Result<TimeZonePtr> from_tzif(std::string_view bytes);
  /// As in the environment variable TZ: "CET-1CEST,M3.5.0,M10.5.0/3".
  static Result<TimeZonePtr> from_rule(std::string_view rule);

  /// Seconds that clocks are ahead of UTC at that moment.
  int64_t offset_at(WallTime t) const;
  CivilTime civil(WallTime t) const;
  /// The moment at which clocks show this; where they show it twice or never (the hour that is skipped), one
  /// of the two moments that the offsets before and after would give. Members may be out of range: day 0 is
  /// the last one of the month before. The weekday is not looked at.
  WallTime moment(const CivilTime& civil) const;

 private:
  struct RuleDate {
    enum class Form : uint8_t { kMonthWeekDay, kJulian, kDayOfYear } form = Form::kJulian;
    int month = 0, week = 0, day = 0;
    int64_t time = 7200;  // seconds after midnight, standard or summer time as it is before
    int64_t day_of(int64_t year) const;
  };
  struct Rule {
    int64_t standard = 0, summer = 0;  // seconds ahead of UTC
    bool has_summer = false;
    RuleDate begin, end;  // of summer time
    int64_t offset_at(int64_t second) const;
  };
  struct RuleParser;
  static std::optional<Rule> parse_rule(std::string_view text);
  int64_t offset_at_second(int64_t second) const;

  std::vector<int64_t> transitions_;  // seconds since 1970, ascending
  std::vector<int64_t> offsets_;      // from each transition on
  int64_t first_offset_ = 0;          // before all transitions
  std::optional<Rule> rule_;          // after all transitions
};

/// By name ("Europe/Berlin", "UTC", "" for UTC, "Local"). kBadRequest with the message of Go's
/// time.LoadLocation when nobody knows it. Reads files.
Result<TimeZonePtr> load_time_zone(std::string_view name);
/// The machine's own: TZ, else /etc/localtime, else UTC. Reads files.
TimeZonePtr local_time_zone();

/// RFC 3339 as Go prints it: "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00".
std::string format_time_in(WallTime t, const TimeZone& zone);

}  // namespace orch::base
