#include "server/flowcontrol/processor_accounts.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace orch::server {
namespace {

constexpr double kHalfLife = 64;  // milliseconds
/// What a tenth of a processor comes to in the long run: rate * half-life / ln 2.
constexpr double kMuch = 0.1 * 1000 * kHalfLife / 0.6931;
constexpr uint64_t kMostMicros = UINT32_MAX;

uint32_t milliseconds(base::MonoTime now) {
  return static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
}

/// Of an account, in microseconds; one charged by a thread that read the clock a little later counts in full.
double left(uint64_t account, uint32_t now) {
  const auto age = static_cast<int32_t>(now - static_cast<uint32_t>(account));
  return static_cast<double>(account >> 32U) * std::exp2(-std::max(age, 0) / kHalfLife);
}

base::Duration thread_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

size_t index_of(std::string_view user, size_t count) { return std::hash<std::string_view>()(user) % count; }

}  // namespace

bool ProcessorAccounts::takes_much(std::string_view user, base::MonoTime now) const {
  return left(accounts_[index_of(user, kCount)].load(std::memory_order_relaxed), milliseconds(now)) > kMuch;
}

void ProcessorAccounts::charge(std::string_view user, base::Duration used, base::MonoTime now) {
  Account& account = accounts_[index_of(user, kCount)];
  const uint32_t at = milliseconds(now);
  const auto micros =
      static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(used).count());
  uint64_t before = account.load(std::memory_order_relaxed);
  uint64_t after = 0;
  do {
    const double sum = std::clamp(left(before, at) + micros, 0.0, static_cast<double>(kMostMicros));
    after = static_cast<uint64_t>(sum) << 32U | at;
  } while (!account.compare_exchange_weak(before, after, std::memory_order_relaxed));
}

ProcessorMeter::ProcessorMeter() : began_(thread_time()) {}

base::Duration ProcessorMeter::used() const { return thread_time() - began_; }

}  // namespace orch::server
