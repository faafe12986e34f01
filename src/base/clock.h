// Time behind an interface: production code asks a Clock, tests drive a FakeClock.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace orch::base {

/// Wall time in UTC with microsecond resolution, as metav1.Time / MicroTime need.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
/// Never jumps; for durations and deadlines.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime now() const = 0;
  virtual MonoTime mono() const = 0;
};

/// The machine's clocks. Stateless; pass by reference.
class SystemClock final : public Clock {
 public:
  WallTime now() const override;
  MonoTime mono() const override;
};

/// Stands still until advanced; both times move together. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(WallTime start = WallTime(std::chrono::seconds(1767225600)));  // 2026-01-01T00:00:00Z
  WallTime now() const override;
  MonoTime mono() const override;
  void advance(Duration d);

 private:
  std::atomic<int64_t> wall_ns_;  // so that steps under a microsecond add up
  std::atomic<int64_t> mono_ns_{1};
};

/// "2026-01-01T00:00:00Z", metav1.Time.
std::string format_time(WallTime t);
/// "2026-01-01T00:00:00.000000Z", metav1.MicroTime.
std::string format_micro_time(WallTime t);
/// RFC 3339 with any offset and fraction; kBadRequest otherwise.
Result<WallTime> parse_time(std::string_view text);

}  // namespace orch::base
