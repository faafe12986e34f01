// Who has how many requests under way: one client that asks for much at once is to leave the others their
// time, also while a priority level has seats for all of it (seats stand for threads here, not for
// processors).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

namespace orch::server {

/// Counts requests by user, in so many counters that two who ask for much seldom share one. Thread-safe.
class Crowd {
 public:
  /// What one user may have under way without having to be patient: client-go's controllers and kubectl stay
  /// below it but for moments.
  static constexpr size_t kAtOnce = 4;

  /// One request, from when its user is known until it is answered. Movable; outlived by the Crowd.
  class Member {
   public:
    Member() = default;
    Member(Member&& other) noexcept : count_(std::exchange(other.count_, nullptr)), before_(other.before_) {}
    Member& operator=(Member&& other) noexcept {
      std::swap(count_, other.count_);
      before_ = other.before_;
      return *this;
    }
    ~Member() {
      if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_relaxed);
    }
    /// Its user asks for so much at once that this one has to be patient.
    bool patient() const { return before_ >= kAtOnce; }

   private:
    friend class Crowd;
    explicit Member(std::atomic<size_t>& count)
        : count_(&count), before_(count.fetch_add(1, std::memory_order_relaxed)) {}

    std::atomic<size_t>* count_ = nullptr;
    size_t before_ = 0;
  };

  Member join(std::string_view user) {
    return Member(counts_[std::hash<std::string_view>()(user) % kCounts]);
  }

 private:
  static constexpr size_t kCounts = 1024;
  std::array<std::atomic<size_t>, kCounts> counts_{};
};

}  // namespace orch::server
