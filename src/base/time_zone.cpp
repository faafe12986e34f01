#include "base/time_zone.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "embed/time_zone_rules.h"

namespace orch::base {
namespace {

constexpr int64_t kDay = 86400;
constexpr const char* kFolders[] = {"/usr/share/zoneinfo/", "/usr/share/lib/zoneinfo/", "/usr/lib/locale/TZ/",
                                    "/etc/zoneinfo/"};

int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

/// Days since 1970; the month may be out of range.
int64_t days_of(int64_t year, int64_t month, int64_t day) {
  const int64_t months = year * 12 + month - 1;
  const int64_t y = floor_divide(months, 12);
  const auto m = static_cast<unsigned>(months - y * 12 + 1);
  const std::chrono::year_month_day first{std::chrono::year(static_cast<int>(y)), std::chrono::month(m),
                                          std::chrono::day(1)};
  return std::chrono::sys_days(first).time_since_epoch().count() + day - 1;
}

int64_t year_of(int64_t second) {
  const std::chrono::sys_days day{std::chrono::days(floor_divide(second, kDay))};
  return static_cast<int>(std::chrono::year_month_day(day).year());
}

int weekday_of(int64_t days) { return static_cast<int>(((days + 4) % 7 + 7) % 7); }

int64_t seconds_of(WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t.time_since_epoch()).count();
}

Status bad(std::string message) { return Status(Code::kBadRequest, std::move(message)); }

/// Big-endian numbers of a file, one after the other; zeroes past its end, which `good` then tells.
class Bytes {
 public:
  explicit Bytes(std::string_view text) : text_(text) {}
  int64_t number(size_t size) {
    uint64_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    if (size == 4) return static_cast<int32_t>(static_cast<uint32_t>(value));
    return static_cast<int64_t>(value);
  }
  std::string_view take(size_t size) {
    if (size > text_.size()) {
      good_ = false;
      text_ = {};
      return {};
    }
    const std::string_view out = text_.substr(0, size);
    text_.remove_prefix(size);
    return out;
  }
  std::string_view rest() const { return text_; }
  bool good() const { return good_; }

 private:
  std::string_view text_;
  bool good_ = true;
};

/// RFC 8536, section 3.1.
struct TzifHeader {
  bool good = false;
  char version = 0;
  int64_t isut = 0, isstd = 0, leap = 0, times = 0, types = 0, chars = 0;

  explicit TzifHeader(Bytes& in) {
    const std::string_view magic = in.take(4), kind = in.take(1);
    in.take(15);
    for (int64_t* n : {&isut, &isstd, &leap, &times, &types, &chars}) *n = in.number(4);
    const bool sane = std::min({isut, isstd, leap, times, types, chars}) >= 0;
    good = in.good() && magic == "TZif" && sane && types > 0;
    if (good) version = kind.front();
  }
  size_t body(size_t time_size) const {
    return static_cast<size_t>(times) * (time_size + 1) + static_cast<size_t>(types) * 6 +
           static_cast<size_t>(chars) + static_cast<size_t>(leap) * (time_size + 4) +
           static_cast<size_t>(isstd + isut);
  }
};

}  // namespace

// --- Rules ---------------------------------------------------------------------------------------------

struct TimeZone::RuleParser {
  std::string_view text;
  bool good = true;

  bool take(char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
  }
  int64_t number() {
    int64_t n = 0;
    size_t digits = 0;
    while (digits < text.size() && digits < 4 && text[digits] >= '0' && text[digits] <= '9')
      n = n * 10 + (text[digits++] - '0');
    good &= digits > 0;
    text.remove_prefix(digits);
    return n;
  }
  /// "3", "-03:30", "25:00:00"
  int64_t time() {
    const bool negative = take('-');
    if (!negative) take('+');
    int64_t seconds = number() * 3600;
    if (take(':')) seconds += number() * 60;
    if (take(':')) seconds += number();
    return negative ? -seconds : seconds;
  }
  void name() {
    const bool quoted = take('<');
    size_t n = 0;
    auto belongs = [&](char c) {
      return quoted ? c != '>' : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    while (n < text.size() && belongs(text[n])) ++n;
    good &= n > 0;
    text.remove_prefix(n);
    if (quoted) good &= take('>');
  }
  RuleDate date() {
    RuleDate d;
    if (take('M')) {
      d.form = RuleDate::Form::kMonthWeekDay;
      d.month = static_cast<int>(number());
      good &= take('.');
      d.week = static_cast<int>(number());
      good &= take('.');
      d.day = static_cast<int>(number());
      good &= d.month >= 1 && d.month <= 12 && d.week >= 1 && d.week <= 5 && d.day <= 6;
    } else {
      d.form = take('J') ? RuleDate::Form::kJulian : RuleDate::Form::kDayOfYear;
      d.day = static_cast<int>(number());
    }
    if (take('/')) d.time = time();
    return d;
  }
};

std::optional<TimeZone::Rule> TimeZone::parse_rule(std::string_view text) {
  RuleParser in{text};
  Rule r;
  in.name();
  r.standard = -in.time();
  r.has_summer = !in.text.empty();
  if (r.has_summer) {
    in.name();
    r.summer = r.standard + 3600;
    if (!in.text.empty() && in.text.front() != ',') r.summer = -in.time();
    in.good &= in.take(',');
    r.begin = in.date();
    in.good &= in.take(',');
    r.end = in.date();
  }
  if (!in.good || !in.text.empty()) return std::nullopt;
  return r;
}

/// Days since 1970.
int64_t TimeZone::RuleDate::day_of(int64_t year) const {
  if (form == Form::kDayOfYear) return days_of(year, 1, 1) + day;
  if (form == Form::kJulian) {
    // February 29 is never counted.
    const bool leap = days_of(year, 3, 1) - days_of(year, 2, 1) == 29;
    return days_of(year, 1, 1) + day - 1 + (leap && day > 59 ? 1 : 0);
  }
  const int64_t first = days_of(year, month, 1);
  int64_t out = first + (day - weekday_of(first) + 7) % 7 + (week - 1) * 7;
  while (out >= days_of(year, month + 1, 1)) out -= 7;  // the fifth is the last
  return out;
}

int64_t TimeZone::Rule::offset_at(int64_t second) const {
  if (!has_summer) return standard;
  const int64_t year = year_of(second + standard);
  const int64_t from = begin.day_of(year) * kDay + begin.time - standard;
  const int64_t to = end.day_of(year) * kDay + end.time - summer;
  const bool is_summer = from < to ? second >= from && second < to : second >= from || second < to;
  return is_summer ? summer : standard;
}

// --- Zones ---------------------------------------------------------------------------------------------

TimeZonePtr TimeZone::utc() {
  static const TimeZonePtr zone = std::make_shared<TimeZone>();
  return zone;
}

Result<TimeZonePtr> TimeZone::from_rule(std::string_view rule) {
  auto zone = std::make_shared<TimeZone>();
  zone->rule_ = parse_rule(rule);
  if (!zone->rule_) return bad("malformed time zone information");
  return TimeZonePtr(std::move(zone));
}

Result<TimeZonePtr> TimeZone::from_tzif(std::string_view bytes) {
  Bytes in(bytes);
  TzifHeader header(in);
  size_t time_size = 4;
  if (header.good && header.version >= '2') {  // the second part says it all, with room for more
    in.take(header.body(4));
    header = TzifHeader(in);
    time_size = 8;
  }
  if (!header.good || header.body(time_size) > in.rest().size())
    return bad("malformed time zone information");
  auto zone = std::make_shared<TimeZone>();
  for (int64_t i = 0; i < header.times; ++i) zone->transitions_.push_back(in.number(time_size));
  const std::string_view kinds = in.take(static_cast<size_t>(header.times));
  std::vector<int64_t> offsets;
  std::optional<int64_t> standard;
  for (int64_t i = 0; i < header.types; ++i) {
    offsets.push_back(in.number(4));
    const bool summer = in.take(1).front() != 0;
    in.take(1);
    if (!summer && !standard) standard = offsets.back();
  }
  zone->first_offset_ = standard.value_or(offsets.front());
  for (const char kind : kinds) {
    const auto i = static_cast<unsigned char>(kind);
    if (i >= offsets.size()) return bad("malformed time zone information");
    zone->offsets_.push_back(offsets[i]);
  }
  if (!std::is_sorted(zone->transitions_.begin(), zone->transitions_.end()))
    return bad("malformed time zone information");
  in.take(static_cast<size_t>(header.chars + header.leap * static_cast<int64_t>(time_size + 4) +
                              header.isstd + header.isut));
  std::string_view footer = in.rest();
  if (time_size == 8 && footer.size() > 2 && footer.front() == '\n') {
    footer = footer.substr(1, footer.find('\n', 1) - 1);
    zone->rule_ = parse_rule(footer);
  }
  return TimeZonePtr(std::move(zone));
}

int64_t TimeZone::offset_at_second(int64_t second) const {
  const auto after = std::upper_bound(transitions_.begin(), transitions_.end(), second);
  if (after == transitions_.end() && rule_) return rule_->offset_at(second);
  if (after == transitions_.begin()) return first_offset_;
  return offsets_[static_cast<size_t>(after - transitions_.begin()) - 1];
}

int64_t TimeZone::offset_at(WallTime t) const { return offset_at_second(seconds_of(t)); }

CivilTime TimeZone::civil(WallTime t) const {
  const int64_t local = seconds_of(t) + offset_at(t);
  const int64_t days = floor_divide(local, kDay), left = local - days * kDay;
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  CivilTime out;
  out.year = static_cast<int>(date.year());
  out.month = static_cast<int>(static_cast<unsigned>(date.month()));
  out.day = static_cast<int>(static_cast<unsigned>(date.day()));
  out.hour = static_cast<int>(left / 3600);
  out.minute = static_cast<int>(left / 60 % 60);
  out.second = static_cast<int>(left % 60);
  out.weekday = weekday_of(days);
  return out;
}

WallTime TimeZone::moment(const CivilTime& c) const {
  const int64_t local = days_of(c.year, c.month, c.day) * kDay + c.hour * 3600 + c.minute * 60 + c.second;
  // Offsets are known by moments: the first guess takes local time for one, the second corrects it where a
  // change of clocks lies between.
  const int64_t guess = local - offset_at_second(local);
  return WallTime(std::chrono::seconds(local - offset_at_second(guess)));
}

namespace {

bool is_safe_name(std::string_view name) {
  return name.front() != '/' && name.front() != '\\' && name.find("..") == std::string_view::npos;
}

TimeZonePtr zone_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return nullptr;
  const auto bytes = read_file(path);
  if (!bytes.ok()) return nullptr;
  auto zone = TimeZone::from_tzif(*bytes);
  return zone.ok() ? *zone : nullptr;
}

/// Lines are a rule and the names that follow it.
std::string_view built_in_rule(std::string_view name) {
  std::string_view text = embedded::time_zone_rules();
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t space = line.find(' ');
    for (size_t at = line.find(name, space); at != std::string_view::npos; at = line.find(name, at + 1)) {
      const size_t end = at + name.size();
      if (at > 0 && line[at - 1] == ' ' && (end == line.size() || line[end] == ' '))
        return line.substr(0, space);
    }
  }
  return {};
}

}  // namespace

Result<TimeZonePtr> load_time_zone(std::string_view name) {
  if (name.empty() || name == "UTC") return TimeZone::utc();
  if (name == "Local") return local_time_zone();
  if (!is_safe_name(name)) return bad("time: invalid location name");
  for (const char* folder : kFolders) {
    if (auto zone = zone_file(folder + std::string(name))) return zone;
  }
  const std::string_view rule = built_in_rule(name);
  if (rule.empty()) return bad("unknown time zone " + std::string(name));
  return TimeZone::from_rule(rule);
}

TimeZonePtr local_time_zone() {
  if (const char* set = std::getenv("TZ")) {
    std::string_view name = set;
    if (name.starts_with(':')) name.remove_prefix(1);
    if (name.starts_with('/')) {
      auto zone = zone_file(std::string(name));
      return zone ? zone : TimeZone::utc();
    }
    if (name != "Local") {
      auto zone = load_time_zone(name);
      return zone.ok() ? *zone : TimeZone::utc();
    }
  }
  auto zone = zone_file("/etc/localtime");
  return zone ? zone : TimeZone::utc();
}

std::string format_time_in(WallTime t, const TimeZone& zone) {
  const CivilTime c = zone.civil(t);
  const int64_t minutes = zone.offset_at(t) / 60;
  char text[64];
  std::snprintf(text, sizeof text, "%04lld-%02d-%02dT%02d:%02d:%02d", static_cast<long long>(c.year), c.month,
                c.day, c.hour, c.minute, c.second);
  if (minutes == 0) return std::string(text) + "Z";
  char offset[16];
  std::snprintf(offset, sizeof offset, "%c%02d:%02d", minutes < 0 ? '-' : '+',
                static_cast<int>(std::abs(minutes) / 60), static_cast<int>(std::abs(minutes) % 60));
  return std::string(text) + offset;
}

}  // namespace orch::base
