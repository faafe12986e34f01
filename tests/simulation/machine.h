// What a simulated world runs on: random numbers, clocks, timers and tasks that nothing moves but its steps.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/tasks.h"
#include "base/timer.h"

namespace orch::simulation {

/// SplitMix64: the same numbers from the same seed on every machine.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  /// 0 to n - 1.
  size_t below(size_t n) { return n <= 1 ? 0 : static_cast<size_t>(next() % n); }
  int64_t between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(below(static_cast<size_t>(most - least + 1)));
  }
  bool chance(double p) { return p > 0 && static_cast<double>(next() >> 11U) * 0x1.0p-53 < p; }
  template <typename T>
  const T& of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  uint64_t state_;
};

/// Both times move with pass(); jump() moves the wall clock alone, as somebody who sets it.
class Clock final : public base::Clock {
 public:
  base::WallTime now() const override { return wall_; }
  base::MonoTime mono() const override { return mono_; }
  void pass(base::Duration d);
  void jump(base::Duration d);
  /// Sets the wall clock to the latest time that it ever had.
  void mend();

 private:
  base::WallTime wall_{std::chrono::seconds(1767225600)};  // 2026-01-01T00:00:00Z
  base::MonoTime mono_{std::chrono::seconds(1000)};
  base::WallTime latest_ = wall_;  // before it was set back
  base::Duration rest_{0};         // below the wall clock's resolution
};

/// Callbacks run when run_due() is called.
class Timers final : public base::Timers {
 public:
  explicit Timers(Clock& clock) : clock_(clock) {}
  Id after(base::Duration delay, std::function<void()> callback) override;
  Id on_clock_set(std::function<void()> callback) override;
  bool cancel(Id id) override;
  /// Runs what is due; true if there was anything.
  bool run_due();
  /// Tells those who asked that the wall clock was set.
  void clock_was_set();
  /// How long until the next callback is due, 0 when one is; nothing = there is none.
  std::optional<base::Duration> wait() const;
  void clear();

 private:
  Clock& clock_;
  Id last_ = 0;
  std::map<std::pair<base::MonoTime, Id>, std::function<void()>> pending_;
  std::map<Id, base::MonoTime> when_;
  std::map<Id, std::function<void()>> on_set_;
};

/// Tasks of all components in one list, of which the world runs one at a time.
class Tasks final : public base::TaskMaker {
 public:
  std::unique_ptr<base::Tasks> make(std::string name, size_t at_once) override;
  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  /// Runs the n-th that waits.
  void run(size_t n);
  /// Runs those of the components of this name, and what they post themselves.
  void run_all(std::string_view name);

 private:
  class Queue;
  struct Task {
    Queue* queue;
    std::function<void()> work;
  };
  std::deque<Task> waiting_;
};

}  // namespace orch::simulation
