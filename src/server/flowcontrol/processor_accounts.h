// How much of the processors each user's requests took of late: one who takes much is to leave the others
// their time, also while a priority level has seats for all of it (seats stand for threads, not for
// processors).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace orch::server {

/// What was used is forgotten by half every 64 milliseconds, so that what counts is the last tenth of a
/// second. There are so many accounts that two users who take much seldom share one. Thread-safe, without a
/// lock.
class ProcessorAccounts {
 public:
  /// `user` took more than a tenth of one processor.
  bool takes_much(std::string_view user, base::MonoTime now) const;
  /// A request of `user` took this much of a processor.
  void charge(std::string_view user, base::Duration used, base::MonoTime now);

 private:
  using Account = std::atomic<uint64_t>;  // microseconds, and below them when, in milliseconds
  static constexpr size_t kCount = 1024;
  std::array<Account, kCount> accounts_{};
};

/// What the calling thread took of the processors since it was made.
class ProcessorMeter {
 public:
  ProcessorMeter();
  base::Duration used() const;

 private:
  const base::Duration began_;
};

}  // namespace orch::server
