#include "base/clock.h"

#include <array>
#include <cstdio>

namespace orch::base {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::seconds;

std::string format(WallTime t, bool micro) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(t - day);
  std::array<char, 64> text{};
  int n = std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d",
                        static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                        static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                        static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
  std::string out(text.data(), static_cast<size_t>(n));
  if (micro) {
    n = std::snprintf(text.data(), text.size(), ".%06d",
                      static_cast<int>(duration_cast<microseconds>(time.subseconds()).count()));
    out.append(text.data(), static_cast<size_t>(n));
  }
  return out + 'Z';
}

// Takes digits and literal characters off the front of a text; any mismatch sticks.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  int number(int digits, int low, int high) {
    int v = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = peek();
      if (c < '0' || c > '9') {
        ok_ = false;
        return 0;
      }
      v = v * 10 + (c - '0');
      rest_.remove_prefix(1);
    }
    if (v < low || v > high) ok_ = false;
    return v;
  }
  bool accept(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) ok_ = false;
  }
  /// Digits after the decimal point, as microseconds; finer digits are dropped.
  microseconds fraction() {
    int64_t v = 0;
    int digits = 0;
    while (peek() >= '0' && peek() <= '9') {
      if (digits < 6) v = v * 10 + (peek() - '0');
      ++digits;
      rest_.remove_prefix(1);
    }
    if (digits == 0) ok_ = false;
    for (; digits < 6; ++digits) v *= 10;
    return microseconds(v);
  }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

WallTime SystemClock::now() const {
  return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
}

MonoTime SystemClock::mono() const {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now());
}

FakeClock::FakeClock(WallTime start) : wall_ns_(start.time_since_epoch().count() * 1000) {}

WallTime FakeClock::now() const { return WallTime(microseconds(wall_ns_.load() / 1000)); }

MonoTime FakeClock::mono() const { return MonoTime(std::chrono::nanoseconds(mono_ns_.load())); }

void FakeClock::advance(Duration d) {
  wall_ns_ += d.count();
  mono_ns_ += d.count();
}

std::string format_time(WallTime t) { return format(t, false); }

std::string format_micro_time(WallTime t) { return format(t, true); }

Result<WallTime> parse_time(std::string_view text) {
  Scanner in(text);
  const int year = in.number(4, 0, 9999);
  in.expect('-');
  const int month = in.number(2, 1, 12);
  in.expect('-');
  const int day = in.number(2, 1, 31);
  in.expect('T');
  const int hour = in.number(2, 0, 23);
  in.expect(':');
  const int minute = in.number(2, 0, 59);
  in.expect(':');
  const int second = in.number(2, 0, 59);
  microseconds fraction{0};
  if (in.accept('.') || in.accept(',')) fraction = in.fraction();
  seconds offset{0};
  if (!in.accept('Z')) {
    const bool west = in.accept('-');
    if (!west) in.expect('+');
    offset = seconds(in.number(2, 0, 23) * 3600);
    in.expect(':');
    offset += seconds(in.number(2, 0, 59) * 60);
    if (west) offset = -offset;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!in.done() || !date.ok()) {
    return Status(Code::kBadRequest, cat("\"", text, "\" is not a time in RFC 3339 form"));
  }
  return WallTime(std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                  seconds(second) + fraction - offset);
}

}  // namespace orch::base
