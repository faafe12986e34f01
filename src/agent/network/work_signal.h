// WorkSignal: tells a component's own thread what to look at. Shared between the thread and the informer
// handlers that raise it, which may outlive the component. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace orch::agent {

class WorkSignal {
 public:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  void add(const std::string& key) {
    std::lock_guard lock(mutex_);
    if (keys_.insert(key).second) changed_.notify_all();
  }
  /// After this wait() returns false.
  void stop() {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  bool stopping() const {
    std::lock_guard lock(mutex_);
    return stopping_;
  }
  /// How long to collect more before work begins, `since` the last work began: nothing for a change that
  /// comes alone, so that it takes effect at once, and `settle` within a run of them, so that those that
  /// belong together are taken together.
  static std::chrono::nanoseconds pause(std::chrono::nanoseconds since, std::chrono::milliseconds settle) {
    return since > kAlone ? std::chrono::nanoseconds(0) : settle;
  }
  /// Sleeps until something was added or the deadline has passed, then as long as pause() says. Moves the
  /// keys out; false when stopped.
  bool wait(std::set<std::string>& keys, const Deadline& deadline, std::chrono::milliseconds settle) {
    std::unique_lock lock(mutex_);
    const auto due = [this] { return stopping_ || !keys_.empty(); };
    if (deadline) {
      changed_.wait_until(lock, *deadline, due);
    } else {
      changed_.wait(lock, due);
    }
    const auto rest = pause(std::chrono::steady_clock::now() - taken_, settle);
    if (rest.count() > 0 && !stopping_) changed_.wait_for(lock, rest, [this] { return stopping_; });
    taken_ = std::chrono::steady_clock::now();
    keys = std::exchange(keys_, {});
    return !stopping_;
  }

 private:
  static constexpr std::chrono::milliseconds kAlone{50};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> keys_;                     // under mutex_
  bool stopping_ = false;                          // under mutex_
  std::chrono::steady_clock::time_point taken_{};  // under mutex_: when keys were last moved out
};

}  // namespace orch::agent
