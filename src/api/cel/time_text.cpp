#include "api/cel/time_text.h"

#include <array>
#include <charconv>

#include "base/time_zone.h"

namespace orch::api::cel {

namespace {

constexpr int64_t kDay = 86400;

/// Reads pieces of a text front to back.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool literal(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  /// Exactly so many digits.
  bool number(size_t digits, int64_t& out) {
    if (text_.size() < digits) return false;
    out = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return false;
      out = out * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(digits);
    return true;
  }
  size_t digits() const {
    size_t n = 0;
    while (n < text_.size() && text_[n] >= '0' && text_[n] <= '9') ++n;
    return n;
  }
  std::string_view rest() const { return text_; }
  void skip(size_t n) { text_.remove_prefix(n); }

 private:
  std::string_view text_;
};

bool leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

int days_in(int64_t year, int64_t month) {
  static constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && leap(year) ? 29 : kDays[static_cast<size_t>(month - 1)];
}

bool read_date(Reader& in, int64_t& day_number) {
  int64_t year = 0;
  int64_t month = 0;
  int64_t day = 0;
  if (!in.number(4, year) || !in.literal('-') || !in.number(2, month) || !in.literal('-') ||
      !in.number(2, day) || month < 1 || month > 12 || day < 1 || day > days_in(year, month)) {
    return false;
  }
  day_number = days_from_civil(year, static_cast<int>(month), static_cast<int>(day));
  return true;
}

bool read_fraction(Reader& in, int32_t& nanos) {
  if (!in.literal('.') && !in.literal(',')) return true;
  const size_t digits = in.digits();
  if (digits == 0) return false;
  for (size_t i = 0, unit = 100'000'000; i < digits; ++i, unit /= 10) {
    nanos += static_cast<int32_t>(static_cast<size_t>(in.rest()[i] - '0') * unit);
  }
  in.skip(digits);
  return true;
}

bool read_zone(Reader& in, int32_t& offset) {
  if (in.literal('Z')) return true;
  const bool minus = in.literal('-');
  if (!minus && !in.literal('+')) return false;
  int64_t hours = 0;
  int64_t minutes = 0;
  if (!in.number(2, hours) || !in.literal(':') || !in.number(2, minutes) || hours > 24 || minutes > 60) {
    return false;
  }
  offset = static_cast<int32_t>(hours * 3600 + minutes * 60) * (minus ? -1 : 1);
  return true;
}

std::optional<ZonedTime> read_time(std::string_view text, bool zone_needed) {
  Reader in(text);
  ZonedTime out;
  int64_t day = 0;
  int64_t hour = 0;
  int64_t minute = 0;
  int64_t second = 0;
  if (!read_date(in, day) || !in.literal('T')) return std::nullopt;
  // Go takes an hour of one digit.
  const size_t digits = in.digits();
  if (!in.number(digits == 1 ? 1 : 2, hour) || hour > 23 || !in.literal(':') || !in.number(2, minute) ||
      minute > 59 || !in.literal(':') || !in.number(2, second) || second > 59) {
    return std::nullopt;
  }
  if (!read_fraction(in, out.nanos)) return std::nullopt;
  if (zone_needed || !in.rest().empty()) {
    if (!read_zone(in, out.offset) || !in.rest().empty()) return std::nullopt;
  }
  out.seconds = day * kDay + hour * 3600 + minute * 60 + second - out.offset;
  return out;
}

std::optional<int> atoi(std::string_view text, std::string& error) {
  int out = 0;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (code != std::errc() || end != digits.data() + digits.size()) {
    error = "strconv.Atoi: parsing \"" + std::string(text) + "\": invalid syntax";
    return std::nullopt;
  }
  return out;
}

}  // namespace

int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

CivilTime civil_time(int64_t seconds) {
  int64_t days = seconds / kDay;
  int64_t rest = seconds % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  CivilTime out{};
  out.hour = static_cast<int>(rest / 3600);
  out.minute = static_cast<int>(rest % 3600 / 60);
  out.second = static_cast<int>(rest % 60);
  out.weekday = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const int64_t z = days + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const int64_t of_era = z - era * 146097;
  const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t mp = (5 * of_year + 2) / 153;
  out.day = static_cast<int>(of_year - (153 * mp + 2) / 5 + 1);
  out.month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  out.year = year_of_era + era * 400 + (out.month <= 2);
  out.year_day = static_cast<int>(days - days_from_civil(out.year, 1, 1));
  return out;
}

std::optional<ZonedTime> parse_rfc3339(std::string_view text) { return read_time(text, true); }

std::optional<ZonedTime> parse_date_time(std::string_view text) {
  if (text.empty()) return ZonedTime{};
  return read_time(text, false);
}

std::optional<int64_t> parse_date(std::string_view text) {
  Reader in(text);
  int64_t day = 0;
  if (!read_date(in, day) || !in.rest().empty()) return std::nullopt;
  return day * kDay;
}

std::optional<int64_t> parse_go_duration(std::string_view text) {
  bool minus = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    minus = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  while (!text.empty()) {
    Reader in(text);
    const size_t whole_digits = in.digits();
    uint64_t whole = 0;
    for (size_t i = 0; i < whole_digits; ++i) {
      if (whole > kLimit / 10) return std::nullopt;
      whole = whole * 10 + static_cast<uint64_t>(text[i] - '0');
      if (whole > kLimit) return std::nullopt;
    }
    in.skip(whole_digits);
    std::string_view part;
    if (in.literal('.')) {
      part = in.rest().substr(0, in.digits());
      in.skip(part.size());
    }
    if (whole_digits == 0 && part.empty()) return std::nullopt;
    size_t length = 0;
    while (length < in.rest().size() && in.rest()[length] != '.' &&
           (in.rest()[length] < '0' || in.rest()[length] > '9')) {
      ++length;
    }
    const std::string_view unit = in.rest().substr(0, length);
    const uint64_t factor = unit == "ns"                                   ? 1
                            : unit == "us" || unit == "µs" || unit == "μs" ? 1'000
                            : unit == "ms"                                 ? 1'000'000
                            : unit == "s"                                  ? 1'000'000'000
                            : unit == "m"                                  ? 60'000'000'000
                            : unit == "h"                                  ? 3'600'000'000'000
                                                                           : 0;
    if (factor == 0 || whole > kLimit / factor) return std::nullopt;
    uint64_t value = whole * factor;
    if (!part.empty()) {
      uint64_t digits = 0;
      double scale = 1;
      for (char c : part) {
        if (digits > (kLimit - 1) / 10) break;
        digits = digits * 10 + static_cast<uint64_t>(c - '0');
        scale *= 10;
      }
      value += static_cast<uint64_t>(static_cast<double>(digits) * (static_cast<double>(factor) / scale));
    }
    total += value;
    if (value > kLimit || total > kLimit) return std::nullopt;
    text = in.rest().substr(length);
  }
  if (minus) return static_cast<int64_t>(~total + 1);
  if (total > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(total);
}

std::optional<int64_t> parse_strfmt_duration(std::string_view text, std::string& error) {
  if (const auto nanos = parse_go_duration(text)) return nanos;
  struct Unit {
    std::string_view exact, also, prefix;
    int64_t nanos;
  };
  static constexpr std::array<Unit, 8> kUnits = {{{"ns", "ns", "nano", 1},
                                                  {"us", "µs", "micro", 1'000},
                                                  {"ms", "ms", "milli", 1'000'000},
                                                  {"s", "s", "sec", 1'000'000'000},
                                                  {"m", "m", "min", 60'000'000'000},
                                                  {"h", "hr", "hour", 3'600'000'000'000},
                                                  {"d", "d", "day", 86'400'000'000'000},
                                                  {"w", "wk", "week", 604'800'000'000'000}}};
  int64_t total = 0;
  bool known = false;
  std::string_view rest = text;
  while (!rest.empty()) {
    Reader in(rest);
    const size_t digits = in.digits();
    if (digits == 0) {
      rest.remove_prefix(1);
      continue;
    }
    int64_t factor = 0;
    std::from_chars(rest.data(), rest.data() + digits, factor);
    in.skip(digits);
    while (in.literal(' ')) {
    }
    std::string unit;
    while (unit.size() < in.rest().size()) {
      const char c = in.rest()[unit.size()];
      if (c >= 'A' && c <= 'Z') {
        unit += static_cast<char>(c + 32);
      } else if ((c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80) {
        unit += c;
      } else {
        break;
      }
    }
    in.skip(unit.size());
    for (const Unit& u : kUnits) {
      if (unit == u.exact || unit == u.also || unit.starts_with(u.prefix)) {
        known = true;
        total += factor * u.nanos;
      }
    }
    rest = in.rest();
  }
  if (known) return total;
  error = "unable to parse " + std::string(text) + " as duration";
  return std::nullopt;
}

std::string go_duration_text(int64_t nanos) {
  if (nanos == 0) return "0s";
  uint64_t left = nanos < 0 ? ~static_cast<uint64_t>(nanos) + 1 : static_cast<uint64_t>(nanos);
  const std::string sign = nanos < 0 ? "-" : "";
  auto with_fraction = [](uint64_t value, uint64_t unit) {
    std::string out = std::to_string(value / unit);
    if (value % unit == 0) return out;
    std::string part = std::to_string(value % unit + unit).substr(1);
    while (part.back() == '0') part.pop_back();
    return out + "." + part;
  };
  if (left < 1'000) return sign + std::to_string(left) + "ns";
  if (left < 1'000'000) return sign + with_fraction(left, 1'000) + "µs";
  if (left < 1'000'000'000) return sign + with_fraction(left, 1'000'000) + "ms";
  const uint64_t minutes = left / 60'000'000'000;
  std::string out = with_fraction(left % 60'000'000'000, 1'000'000'000) + "s";
  if (minutes > 0) out = std::to_string(minutes % 60) + "m" + out;
  if (minutes >= 60) out = std::to_string(minutes / 60) + "h" + out;
  return sign + out;
}

std::optional<int32_t> zone_offset(std::string_view zone, int64_t seconds, std::string& error) {
  const size_t colon = zone.find(':');
  if (colon != std::string_view::npos) {
    const auto hours = atoi(zone.substr(0, colon), error);
    if (!hours) return std::nullopt;
    const auto minutes = atoi(zone.substr(colon + 1), error);
    if (!minutes) return std::nullopt;
    const int total = zone[0] == '-' ? *hours * 60 - *minutes : *hours * 60 + *minutes;
    return total * 60;
  }
  const base::Result<base::TimeZonePtr> found = base::load_time_zone(zone);
  if (!found.ok()) {
    error = found.error().message();
    return std::nullopt;
  }
  return static_cast<int32_t>((*found)->offset_at(base::WallTime(std::chrono::seconds(seconds))));
}

}  // namespace orch::api::cel
