#include "api/duration.h"

#include <array>
#include <cstdint>
#include <limits>

#include "api/go_text.h"

namespace orch::api {
namespace {

constexpr int64_t kMicro = 1000;
constexpr int64_t kMilli = 1000 * kMicro;
constexpr int64_t kSecond = 1000 * kMilli;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

/// "8h" or, when there is a rest, "8h20m".
std::string pair_text(int64_t large, std::string_view unit, int64_t rest, std::string_view rest_unit) {
  return rest == 0 ? base::cat(large, unit) : base::cat(large, unit, rest, rest_unit);
}

struct Unit {
  std::string_view name;
  int64_t nanoseconds;
};
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", kMicro},
                                         {"\xC2\xB5s", kMicro},  // micro sign
                                         {"\xCE\xBCs", kMicro},  // Greek mu
                                         {"ms", kMilli},
                                         {"s", kSecond},
                                         {"m", kMinute},
                                         {"h", kHour}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// One "12.5ms" at the front of `text`, which it removes; -1 if there is none or it does not fit.
int64_t take_term(std::string_view& text, std::string_view& problem) {
  problem = "invalid duration ";
  double whole = 0;
  double fraction = 0;
  double scale = 1;
  size_t i = 0;
  size_t digits = 0;
  for (; i < text.size() && is_digit(text[i]); ++i, ++digits) whole = whole * 10 + (text[i] - '0');
  if (i < text.size() && text[i] == '.') {
    for (++i; i < text.size() && is_digit(text[i]); ++i, ++digits) {
      fraction = fraction * 10 + (text[i] - '0');
      scale *= 10;
    }
  }
  if (digits == 0) return -1;
  size_t end = i;
  while (end < text.size() && text[end] != '.' && !is_digit(text[end])) ++end;
  const std::string_view name = text.substr(i, end - i);
  if (name.empty()) {
    problem = "missing unit in duration ";
    return -1;
  }
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    const auto size = static_cast<double>(unit.nanoseconds);
    const double value = whole * size + fraction / scale * size;
    if (value >= static_cast<double>(std::numeric_limits<int64_t>::max())) return -1;
    text.remove_prefix(end);
    return static_cast<int64_t>(whole) * unit.nanoseconds + static_cast<int64_t>(fraction / scale * size);
  }
  problem = "unknown unit in duration ";
  return -1;
}

/// "1.5" for 1500 of a unit of 1000.
std::string decimal(int64_t value, int64_t unit) {
  std::string out = std::to_string(value / unit);
  std::string rest = std::to_string(unit + value % unit).substr(1);
  rest.erase(rest.find_last_not_of('0') + 1);
  return rest.empty() ? out : out + "." + rest;
}

}  // namespace

std::string human_duration(base::Duration duration) {
  const int64_t nano = duration.count();
  const int64_t seconds = nano / kSecond;
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  const int64_t days = hours / 24;
  if (seconds < 120) return base::cat(seconds, "s");
  if (minutes < 10) return pair_text(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return base::cat(minutes, "m");
  if (hours < 8) return pair_text(hours, "h", minutes % 60, "m");
  if (hours < 48) return base::cat(hours, "h");
  if (hours < 192) return pair_text(days, "d", hours % 24, "h");
  if (days < 2 * 365) return base::cat(days, "d");
  if (days < 8 * 365) return pair_text(days / 365, "y", days % 365, "d");
  return base::cat(days / 365, "y");
}

std::string age_text(std::string_view timestamp, base::WallTime now) {
  const auto time = base::parse_time(timestamp);
  if (timestamp.empty() || !time.ok()) return "<unknown>";
  return human_duration(now - time.value());
}

base::Result<base::Duration> parse_duration(std::string_view text) {
  const auto bad = [&](std::string_view problem) {
    return base::Status(base::Code::kBadRequest, base::cat("time: ", problem, go_quote(text)));
  };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return base::Duration(0);
  if (rest.empty()) return bad("invalid duration ");
  int64_t total = 0;
  while (!rest.empty()) {
    std::string_view problem;
    const int64_t term = take_term(rest, problem);
    if (problem.starts_with("unknown")) {
      size_t from = rest.find_first_not_of("0123456789.");
      const size_t to = rest.find_first_of("0123456789.", from);
      return bad(base::cat("unknown unit ", go_quote(rest.substr(from, to - from)), " in duration "));
    }
    if (term < 0) return bad(problem);
    if (total > std::numeric_limits<int64_t>::max() - term) return bad("invalid duration ");
    total += term;
  }
  return base::Duration(negative ? -total : total);
}

std::string format_duration(base::Duration duration) {
  const int64_t nano = duration.count();
  if (nano == 0) return "0s";
  if (nano < 0) {
    if (nano == std::numeric_limits<int64_t>::min()) return "-2562047h47m16.854775808s";
    return "-" + format_duration(-duration);
  }
  if (nano < kMicro) return base::cat(nano, "ns");
  if (nano < kMilli) return decimal(nano, kMicro) + "\xC2\xB5s";
  if (nano < kSecond) return decimal(nano, kMilli) + "ms";
  std::string out;
  if (nano >= kHour) out += base::cat(nano / kHour, "h");
  if (nano >= kMinute) out += base::cat(nano % kHour / kMinute, "m");
  return out + decimal(nano % kMinute, kSecond) + "s";
}

}  // namespace orch::api
