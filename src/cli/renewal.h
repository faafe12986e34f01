// Renewal: replaces certificates while they are in use, before they expire.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/timer.h"

namespace orch::cli {

/// How long to wait until the next attempt: until `due`, but at most an hour, because clocks of machines
/// without a battery jump; after `failures` attempts in vain 10 s doubling to 10 minutes.
base::Duration until_next_attempt(base::WallTime due, base::WallTime now, int failures);

class Renewal {
 public:
  /// Replaces what is due; gives when that is the case again. May block.
  using Renew = std::function<base::Result<base::WallTime>()>;
  /// Clock and timers must outlive this.
  Renewal(base::WallTime due, Renew renew, const base::Clock& clock, base::Timers& timers);
  /// Waits for an attempt under way.
  ~Renewal();

 private:
  /// What a timer's callback holds: cancelling does not wait for one that runs already.
  struct Gate {
    std::mutex mutex;
    Renewal* renewal = nullptr;  // under mutex; null once that is gone
  };
  void schedule();
  void attempt();

  const Renew renew_;
  const base::Clock& clock_;
  base::Timers& timers_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::mutex mutex_;
  base::WallTime due_;          // under mutex_
  int failures_ = 0;            // under mutex_
  bool stopping_ = false;       // under mutex_
  base::Timers::Id timer_ = 0;  // under mutex_
  base::ThreadPool pool_{"renewal", 1};
};

}  // namespace orch::cli
