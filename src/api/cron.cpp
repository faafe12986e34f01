#include "api/cron.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "api/duration.h"
#include "api/go_text.h"
#include "base/time_zone.h"

namespace orch::api {
namespace {

using base::cat;
using base::Code;
using base::Result;
using base::Status;

constexpr std::string_view kSpace = " \t\n\v\f\r";

struct Bounds {
  unsigned min, max;
  const char* names;  // three letters each, from min on
};

constexpr Bounds kMinutes = {0, 59, ""};
constexpr Bounds kHours = {0, 23, ""};
constexpr Bounds kDays = {1, 31, ""};
constexpr Bounds kMonths = {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"};
constexpr Bounds kWeekdays = {0, 6, "sunmontuewedthufrisat"};

Status bad(std::string message) { return Status(Code::kBadRequest, std::move(message)); }

std::vector<std::string_view> split(std::string_view text, std::string_view separators, bool keep_empty) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find_first_of(separators);
    const std::string_view part = text.substr(0, at);
    if (keep_empty || !part.empty()) parts.push_back(part);
    if (at == std::string_view::npos) return parts;
    text = text.substr(at + 1);
  }
}

Result<unsigned> parse_count(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits = digits.substr(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool broken = digits.empty() || (text.starts_with('+') && digits.starts_with('-')) ||
                      end != digits.data() + digits.size();
  if (broken || error == std::errc::result_out_of_range) {
    return bad(cat("failed to parse int from ", text, ": strconv.Atoi: parsing ", go_quote(text), ": ",
                   broken ? "invalid syntax" : "value out of range"));
  }
  if (value < 0) return bad(cat("negative number (", value, ") not allowed: ", text));
  return static_cast<unsigned>(std::min<int64_t>(value, UINT32_MAX));
}

Result<unsigned> parse_count_or_name(std::string_view text, const Bounds& bounds) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
  const std::string_view names = bounds.names;
  for (size_t i = 0; lower.size() == 3 && i < names.size(); i += 3) {
    if (names.substr(i, 3) == lower) return bounds.min + static_cast<unsigned>(i / 3);
  }
  return parse_count(text);
}

struct Range {
  unsigned begin, end, step = 1;
  bool star = false;
};

/// The part before '/'.
Status read_limits(std::string_view text, std::string_view whole, const Bounds& bounds, Range& range) {
  const auto limits = split(text, "-", true);
  if (limits[0] == "*" || limits[0] == "?") {
    range = {bounds.min, bounds.max, 1, true};
    return {};
  }
  const auto begin = parse_count_or_name(limits[0], bounds);
  if (!begin.ok()) return begin.error();
  range.begin = range.end = *begin;
  if (limits.size() > 2) return bad(cat("too many hyphens: ", whole));
  if (limits.size() == 2) {
    const auto end = parse_count_or_name(limits[1], bounds);
    if (!end.ok()) return end.error();
    range.end = *end;
  }
  return {};
}

Status read_step(const std::vector<std::string_view>& parts, std::string_view whole, const Bounds& bounds,
                 Range& range) {
  if (parts.size() == 1) return {};
  if (parts.size() > 2) return bad(cat("too many slashes: ", whole));
  const auto step = parse_count(parts[1]);
  if (!step.ok()) return step.error();
  range.step = *step;
  // "N/step" is "N-max/step".
  if (parts[0].find('-') == std::string_view::npos) range.end = bounds.max;
  if (range.step > 1) range.star = false;
  return {};
}

Status check_range(const Range& range, std::string_view whole, const Bounds& bounds) {
  if (range.begin < bounds.min) {
    return bad(cat("beginning of range (", range.begin, ") below minimum (", bounds.min, "): ", whole));
  }
  if (range.end > bounds.max) {
    return bad(cat("end of range (", range.end, ") above maximum (", bounds.max, "): ", whole));
  }
  if (range.begin > range.end) {
    return bad(cat("beginning of range (", range.begin, ") beyond end of range (", range.end, "): ", whole));
  }
  if (range.step == 0) return bad(cat("step of range should be a positive number: ", whole));
  return {};
}

Status read_field(std::string_view field, const Bounds& bounds, uint64_t& bits, bool* star) {
  for (const std::string_view part : split(field, ",", false)) {
    Range range{0, 0};
    const auto halves = split(part, "/", true);
    Status status = read_limits(halves[0], part, bounds, range);
    if (status.ok()) status = read_step(halves, part, bounds, range);
    if (status.ok()) status = check_range(range, part, bounds);
    if (!status.ok()) return status;
    for (uint64_t i = range.begin; i <= range.end; i += range.step) bits |= uint64_t{1} << i;
    if (star && range.star) *star = true;
  }
  return {};
}

uint64_t all(const Bounds& bounds) {
  return ((uint64_t{1} << (bounds.max + 1)) - 1) & ~((uint64_t{1} << bounds.min) - 1);
}

Result<CronSchedule> parse_descriptor(std::string_view text) {
  constexpr std::string_view kEvery = "@every ";
  CronSchedule s;
  if (text.starts_with(kEvery)) {
    auto duration = parse_duration(text.substr(kEvery.size()));
    if (!duration.ok()) {
      return bad(cat("failed to parse duration ", text, ": ", duration.error().message()));
    }
    s.every = *duration;
    return s;
  }
  s = {1, 1, all(kDays), all(kMonths), all(kWeekdays), true, true, {}, {}};
  if (text == "@yearly" || text == "@annually") {
    s.days = s.months = 2;
    s.any_day = false;
  } else if (text == "@monthly") {
    s.days = 2;
    s.any_day = false;
  } else if (text == "@weekly") {
    s.weekdays = 1;
    s.any_weekday = false;
  } else if (text == "@hourly") {
    s.hours = all(kHours);
  } else if (text != "@daily" && text != "@midnight") {
    return bad(cat("unrecognized descriptor: ", text));
  }
  return s;
}

/// Cuts a leading TZ=… off.
Status read_time_zone(std::string_view& text, std::string& zone) {
  if (!text.starts_with("TZ=") && !text.starts_with("CRON_TZ=")) return {};
  const size_t begin = text.find('=') + 1;
  const size_t end = text.find(' ');
  // Where Go's parser would fall over.
  if (end == std::string_view::npos) {
    return bad("invalid schedule format: runtime error: slice bounds out of range [:-1]");
  }
  zone = std::string(text.substr(begin, end - begin));
  if (const Status known = check_time_zone(zone); !known.ok()) {
    return bad(cat("provided bad location ", zone, ": ", known.message()));
  }
  text = text.substr(std::min(text.find_first_not_of(kSpace, end), text.size()));
  text = text.substr(0, text.find_last_not_of(kSpace) + 1);
  return {};
}

}  // namespace

Status check_time_zone(std::string_view name) { return base::load_time_zone(name).status(); }

Result<CronSchedule> CronSchedule::parse(std::string_view text) {
  if (text.empty()) return bad("empty spec string");
  std::string zone;
  if (const Status status = read_time_zone(text, zone); !status.ok()) return status;
  if (text.starts_with('@')) {
    auto schedule = parse_descriptor(text);
    if (schedule.ok()) schedule->time_zone = zone;
    return schedule;
  }
  const auto fields = split(text, kSpace, false);
  if (fields.size() != 5) {
    std::string shown;
    for (const std::string_view field : fields) shown += (shown.empty() ? "" : " ") + std::string(field);
    return bad(cat("expected exactly 5 fields, found ", fields.size(), ": [", shown, "]"));
  }
  CronSchedule s;
  s.time_zone = std::move(zone);
  Status status = read_field(fields[0], kMinutes, s.minutes, nullptr);
  if (status.ok()) status = read_field(fields[1], kHours, s.hours, nullptr);
  if (status.ok()) status = read_field(fields[2], kDays, s.days, &s.any_day);
  if (status.ok()) status = read_field(fields[3], kMonths, s.months, nullptr);
  if (status.ok()) status = read_field(fields[4], kWeekdays, s.weekdays, &s.any_weekday);
  if (!status.ok()) return status;
  return s;
}

namespace {

bool names(uint64_t bits, int value) { return (bits >> static_cast<unsigned>(value) & 1) != 0; }

bool day_matches(const CronSchedule& s, const base::CivilTime& c) {
  const bool day = names(s.days, c.day), weekday = names(s.weekdays, c.weekday);
  return s.any_day || s.any_weekday ? day && weekday : day || weekday;
}

/// The first moment of a day; where clocks are set forward at midnight it is one o'clock.
base::WallTime start_of_day(const base::TimeZone& zone, int64_t year, int month, int day) {
  const base::WallTime t = zone.moment({year, month, day});
  const base::CivilTime c = zone.civil(t);
  if (c.hour < 12) return t;
  return t + std::chrono::hours(24 - c.hour) - std::chrono::minutes(c.minute);
}

}  // namespace

std::optional<base::WallTime> CronSchedule::next(base::WallTime after, const base::TimeZone& zone) const {
  using std::chrono::seconds;
  if (every) {
    const auto step = std::max(std::chrono::floor<seconds>(*every), seconds(1));
    return std::chrono::floor<seconds>(after) + step;
  }
  constexpr int64_t kYears = 5;  // a schedule that names no day until then names none
  base::WallTime at = std::chrono::floor<seconds>(after) + seconds(1);
  const int64_t last_year = zone.civil(at).year + kYears;
  while (true) {
    const base::CivilTime c = zone.civil(at);
    if (c.year > last_year) return std::nullopt;
    if (!names(months, c.month)) {
      at = start_of_day(zone, c.year, c.month + 1, 1);
    } else if (!day_matches(*this, c)) {
      at = start_of_day(zone, c.year, c.month, c.day + 1);
    } else if (!names(hours, c.hour)) {
      at += std::chrono::hours(1) - std::chrono::minutes(c.minute) - seconds(c.second);
    } else if (!names(minutes, c.minute) || c.second != 0) {
      at += std::chrono::minutes(1) - seconds(c.second);
    } else {
      return at;
    }
  }
}

}  // namespace orch::api
