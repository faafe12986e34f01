#include "api/schema/scalars.h"

#include <array>
#include <cstdio>

#include "api/go_text.h"

namespace orch::api::schema {
namespace {

base::Status bad(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// --- Time -----------------------------------------------------------------------------------------

/// Days since 1970 of a date in the Gregorian calendar, and the inverse: eras of 400 years that start in
/// March, so that the leap day is the last of its year.
int64_t days_from_date(int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct Date {
  int64_t year;
  int month, day;
};

Date date_from_days(int64_t days) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t day_of_era = days - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted = (5 * day_of_year + 2) / 153;
  int month = static_cast<int>(shifted < 10 ? shifted + 3 : shifted - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          static_cast<int>(day_of_year - (153 * shifted + 2) / 5 + 1)};
}

int days_in_month(int64_t year, int month) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return kDays.at(static_cast<size_t>(month - 1)) + (month == 2 && leap ? 1 : 0);
}

constexpr std::string_view kSecondsLayout = "2006-01-02T15:04:05Z07:00";
constexpr std::string_view kMicrosLayout = "2006-01-02T15:04:05.000000Z07:00";

/// Takes a text apart piece by piece, as Go's time.Parse does with the layout, with the same errors.
class TimeParser {
 public:
  TimeParser(std::string_view text, bool micro) : whole_(text), rest_(text), micro_(micro) {}

  base::Result<Instant> parse() {
    bool good = date() && literal('T') && clock() && fraction() && zone();
    if (!good) return bad(problem_);
    if (!rest_.empty()) return bad(says(": extra text: " + go_quote(rest_)));
    if (day_ < 1 || day_ > days_in_month(year_, month_)) return bad(says(": day out of range"));
    int64_t seconds = days_from_date(year_, month_, day_) * 86400 + hour_ * 3600 + minute_ * 60 + second_;
    return Instant{seconds - offset_, nanos_};
  }

 private:
  bool date() {
    if (rest_.size() < 4) return mismatch(rest_, "2006");
    std::string_view here = rest_;
    for (int i = 0; i < 4; ++i) {
      if (!is_digit(rest_[static_cast<size_t>(i)])) return mismatch(here, "2006");
      year_ = year_ * 10 + (rest_[static_cast<size_t>(i)] - '0');
    }
    rest_.remove_prefix(4);
    return literal('-') && two("01", month_) && in_range(month_ >= 1 && month_ <= 12, "month") &&
           literal('-') && two("02", day_);
  }

  bool clock() {
    if (rest_.empty() || !is_digit(rest_[0])) return mismatch(rest_, "15");
    hour_ = rest_[0] - '0';
    rest_.remove_prefix(1);
    if (!rest_.empty() && is_digit(rest_[0])) {
      hour_ = hour_ * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
    }
    return in_range(hour_ < 24, "hour") && literal(':') && two("04", minute_) &&
           in_range(minute_ < 60, "minute") && literal(':') && two("05", second_) &&
           in_range(second_ < 60, "second");
  }

  bool fraction() {
    bool there = rest_.size() >= 2 && (rest_[0] == '.' || rest_[0] == ',') && is_digit(rest_[1]);
    size_t digits = 0;
    while (there && 1 + digits < rest_.size() && is_digit(rest_[1 + digits])) ++digits;
    if (micro_) {
      if (digits < 6) return mismatch(rest_, ".000000");
      digits = 6;
    }
    int32_t unit = 100'000'000;
    for (size_t i = 1; i <= digits; ++i, unit /= 10) nanos_ += (rest_[i] - '0') * unit;
    if (there) rest_.remove_prefix(1 + digits);
    return true;
  }

  bool zone() {
    if (!rest_.empty() && rest_[0] == 'Z') {
      rest_.remove_prefix(1);
      return true;
    }
    std::string_view here = rest_;
    bool form = rest_.size() >= 6 && (rest_[0] == '+' || rest_[0] == '-') && rest_[3] == ':';
    for (size_t i : {1, 2, 4, 5}) form = form && is_digit(rest_[i]);
    if (!form) return mismatch(here, "Z07:00");
    int hours = (here[1] - '0') * 10 + (here[2] - '0');
    int minutes = (here[4] - '0') * 10 + (here[5] - '0');
    if (!in_range(hours <= 24, "time zone offset hour")) return false;
    if (!in_range(minutes <= 60, "time zone offset minute")) return false;
    offset_ = (hours * 60 + minutes) * 60 * (here[0] == '-' ? -1 : 1);
    rest_.remove_prefix(6);
    return true;
  }

  bool literal(char expected) {
    if (rest_.empty() || rest_[0] != expected) return mismatch(rest_, std::string_view(&expected, 1));
    rest_.remove_prefix(1);
    return true;
  }

  bool two(std::string_view layout, int& out) {
    if (rest_.size() < 2 || !is_digit(rest_[0]) || !is_digit(rest_[1])) return mismatch(rest_, layout);
    out = (rest_[0] - '0') * 10 + (rest_[1] - '0');
    rest_.remove_prefix(2);
    return true;
  }

  bool in_range(bool is, std::string_view what) {
    if (!is) problem_ = says(base::cat(": ", what, " out of range"));
    return is;
  }

  bool mismatch(std::string_view text, std::string_view layout) {
    problem_ = says(base::cat(" as ", go_quote(micro_ ? kMicrosLayout : kSecondsLayout), ": cannot parse ",
                              go_quote(text), " as ", go_quote(layout)));
    return false;
  }

  std::string says(std::string_view what) const { return base::cat("parsing time ", go_quote(whole_), what); }

  std::string_view whole_, rest_;
  bool micro_;
  int64_t year_ = 0;
  int month_ = 0, day_ = 0, hour_ = 0, minute_ = 0, second_ = 0;
  int32_t nanos_ = 0;
  int64_t offset_ = 0;
  std::string problem_;
};

std::string format_to_second(Instant time) {
  int64_t days = time.seconds / 86400, rest = time.seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  Date date = date_from_days(days);
  std::array<char, 48> out;
  int size =
      std::snprintf(out.data(), out.size(), "%04lld-%02d-%02dT%02d:%02d:%02d",
                    static_cast<long long>(date.year), date.month, date.day, static_cast<int>(rest / 3600),
                    static_cast<int>(rest / 60 % 60), static_cast<int>(rest % 60));
  return {out.data(), static_cast<size_t>(size)};
}

// --- Base64 ---------------------------------------------------------------------------------------

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (is_digit(c)) return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

base::Status bad_base64(size_t at) { return bad(base::cat("illegal base64 data at input byte ", at)); }

}  // namespace

base::Result<Instant> parse_time(std::string_view text) {
  auto time = TimeParser(text, false).parse();
  if (time.ok()) time->nanos = 0;
  return time;
}

base::Result<Instant> parse_micro_time(std::string_view text) { return TimeParser(text, true).parse(); }

std::string format_time(Instant time) { return format_to_second(time) + "Z"; }

std::string format_micro_time(Instant time) {
  return base::cat(format_to_second(time), ".", std::to_string(1'000'000 + time.nanos / 1000).substr(1), "Z");
}

base::Result<std::string> decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t group = 0;
  int have = 0;
  size_t at = 0;
  auto skip_line_ends = [&] {
    while (at < text.size() && (text[at] == '\n' || text[at] == '\r')) ++at;
  };
  for (skip_line_ends(); at < text.size(); ++at, skip_line_ends()) {
    int value = base64_value(text[at]);
    if (value >= 0) {
      group = group << 6 | static_cast<uint32_t>(value);
      if (++have == 4) {
        for (int shift : {16, 8, 0}) out += static_cast<char>(group >> shift & 0xff);
        have = 0;
        group = 0;
      }
      continue;
    }
    if (text[at] != '=' || have < 2) return bad_base64(at);
    if (have == 2) {
      ++at;
      skip_line_ends();
      if (at == text.size()) return bad_base64(text.size());
      if (text[at] != '=') return bad_base64(at - 1);
    }
    ++at;
    skip_line_ends();
    if (at != text.size()) return bad_base64(at);
    out += static_cast<char>(group >> (have == 2 ? 4 : 10) & 0xff);
    if (have == 3) out += static_cast<char>(group >> 2 & 0xff);
    return out;
  }
  if (have != 0) return bad_base64(text.size() - static_cast<size_t>(have));
  return out;
}

std::string encode_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? static_cast<uint8_t>(bytes[at + i]) : 0u);
    }
    for (size_t i = 0; i < 4; ++i) out += i <= count ? kAlphabet[group >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

}  // namespace orch::api::schema
