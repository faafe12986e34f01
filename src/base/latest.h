// Latest: a value that is replaced as a whole while others read it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace orch::base {

/// Thread-safe. Readers keep what they got for as long as they hold it. (std::atomic<std::shared_ptr> of GCC
/// 12 unlocks its readers without an order that ThreadSanitizer, or the standard, could rely on: GCC bug
/// 101761.)
template <typename T>
class Latest {
 public:
  explicit Latest(std::shared_ptr<T> value = nullptr) : value_(std::move(value)) {}
  std::shared_ptr<T> get() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  void set(std::shared_ptr<T> value) {
    const std::lock_guard lock(mutex_);
    value_.swap(value);  // what it was ends outside the lock
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<T> value_;
};

}  // namespace orch::base
