#include "cli/renewal.h"

#include <algorithm>

#include "base/log.h"

namespace orch::cli {

namespace {

constexpr base::Duration kLongest = std::chrono::hours(1);
constexpr base::Duration kFirstRetry = std::chrono::seconds(10), kLastRetry = std::chrono::minutes(10);
constexpr int kMostDoublings = 6;

}  // namespace

base::Duration until_next_attempt(base::WallTime due, base::WallTime now, int failures) {
  if (failures > 0) return std::min(kFirstRetry * (1 << std::min(failures - 1, kMostDoublings)), kLastRetry);
  return std::clamp<base::Duration>(due - now, base::Duration::zero(), kLongest);
}

Renewal::Renewal(base::WallTime due, Renew renew, const base::Clock& clock, base::Timers& timers)
    : renew_(std::move(renew)), clock_(clock), timers_(timers), due_(due) {
  gate_->renewal = this;
  schedule();
}

Renewal::~Renewal() {
  {
    std::lock_guard lock(gate_->mutex);
    gate_->renewal = nullptr;
  }
  base::Timers::Id timer = 0;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    timer = timer_;
  }
  timers_.cancel(timer);
  pool_.drain();
}

void Renewal::schedule() {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  timer_ = timers_.after(until_next_attempt(due_, clock_.now(), failures_), [gate = gate_] {
    std::lock_guard inner(gate->mutex);
    Renewal* renewal = gate->renewal;
    if (renewal != nullptr) renewal->pool_.post([renewal] { renewal->attempt(); });
  });
}

void Renewal::attempt() {
  bool due = false;
  {
    std::lock_guard lock(mutex_);
    due = clock_.now() >= due_;
  }
  if (due) {
    const auto next = renew_();
    std::lock_guard lock(mutex_);
    if (next.ok()) {
      failures_ = 0;
      due_ = *next;
    } else {
      ++failures_;
      base::log_warning("renewal", "certificates not renewed", {{"error", next.error().message()}});
    }
  }
  schedule();
}

}  // namespace orch::cli
