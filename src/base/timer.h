// One timer thread for the process: callbacks at a point in time, with no wake-up while none is due.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"

namespace orch::base {

/// Thread-safe. Callbacks run on the timer thread and must be short (post longer work to a pool).
class Timers {
 public:
  using Id = uint64_t;
  virtual ~Timers() = default;
  /// Runs `callback` once, `delay` from now (at once when <= 0). Returns an id for cancel().
  virtual Id after(Duration delay, std::function<void()> callback) = 0;
  /// Runs `callback` each time the machine's wall clock was set (by hand, or when a machine without a clock
  /// of its own learns the time after it booted): for those who reckoned a delay from it. Until cancel().
  virtual Id on_clock_set(std::function<void()> callback) = 0;
  /// True if the callback had not started and now never will.
  virtual bool cancel(Id id) = 0;
};

/// Over the machine's monotonic clock; one thread, sleeping until the earliest deadline.
std::unique_ptr<Timers> make_timers();

/// For tests: callbacks run inside FakeTimers::advance on the caller's thread, in deadline order.
class FakeTimers final : public Timers {
 public:
  explicit FakeTimers(FakeClock& clock);
  ~FakeTimers() override;
  Id after(Duration delay, std::function<void()> callback) override;
  Id on_clock_set(std::function<void()> callback) override;
  bool cancel(Id id) override;
  /// The wall clock was set: runs who asked to know, on the caller's thread. The FakeClock is not moved.
  void clock_was_set();
  /// Advances the clock step by step to each due callback.
  void advance(Duration d);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::base
