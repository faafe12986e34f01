// The text forms of times and durations that CEL and OpenAPI formats know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orch::api::cel {

struct ZonedTime {
  int64_t seconds = 0;  // since 1970
  int32_t nanos = 0;
  int32_t offset = 0;  // seconds east of UTC
};

/// Go's time.RFC3339: "2006-01-02T15:04:05.999Z" or with an offset.
std::optional<ZonedTime> parse_rfc3339(std::string_view text);
/// strfmt.ParseDateTime: RFC 3339 and what go-openapi takes besides (no zone, no seconds, "").
std::optional<ZonedTime> parse_date_time(std::string_view text);
/// "2006-01-02": its first second.
std::optional<int64_t> parse_date(std::string_view text);
/// Go's time.ParseDuration, in nanoseconds.
std::optional<int64_t> parse_go_duration(std::string_view text);
/// strfmt.ParseDuration: Go's form or numbers with words, "3 weeks 2 days".
std::optional<int64_t> parse_strfmt_duration(std::string_view text, std::string& error);
/// Go's Duration.String, "1h0m0s".
std::string go_duration_text(int64_t nanos);

struct CivilTime {
  int64_t year;
  int month, day, hour, minute, second;  // month and day from 1
  int weekday, year_day;                 // Sunday is 0; from 0
};
CivilTime civil_time(int64_t seconds);
int64_t days_from_civil(int64_t year, int month, int day);

/// A zone as CEL names it: "+02:00", "-8:30", "UTC", or of the machine's zone files, at that moment. Nothing,
/// and Go's error, if there is none.
std::optional<int32_t> zone_offset(std::string_view zone, int64_t seconds, std::string& error);

}  // namespace orch::api::cel
