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
  /// Sleeps until something was added or the deadline has passed, then `settle` longer so that events that
  /// belong together are taken together. Moves the keys out; false when stopped.
  bool wait(std::set<std::string>& keys, const Deadline& deadline, std::chrono::milliseconds settle) {
    std::unique_lock lock(mutex_);
    const auto due = [this] { return stopping_ || !keys_.empty(); };
    if (deadline) {
      changed_.wait_until(lock, *deadline, due);
    } else {
      changed_.wait(lock, due);
    }
    if (settle.count() > 0 && !stopping_) changed_.wait_for(lock, settle, [this] { return stopping_; });
    keys = std::exchange(keys_, {});
    return !stopping_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> keys_;  // under mutex_
  bool stopping_ = false;       // under mutex_
};

}  // namespace orch::agent
