// What the metrics tell of a queue of work, under the names of client-go's work queues.
#pragma once

#include <algorithm>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"

namespace orch::server {

/// Of what runs now: for how many seconds, together and the longest of it.
struct Unfinished {
  double together = 0, longest = 0;
  /// `running`: pairs whose second is when it began.
  template <typename Running>
  static Unfinished of(const Running& running, base::MonoTime now);
};

struct QueueMetrics {
  base::Counter* adds = nullptr;
  base::Counter* retries = nullptr;
  base::Gauge* depth = nullptr;
  base::Histogram* work = nullptr;
  base::Histogram* patience = nullptr;  // how long a key waits
};

/// Makes the metrics of the queue `name`. `unfinished` is asked whenever they are read, from any thread; it
/// must hold what may be gone by then weakly.
QueueMetrics make_queue_metrics(base::Metrics& metrics, const std::string& name,
                                const std::function<Unfinished()>& unfinished);

double seconds_between(base::MonoTime from, base::MonoTime to);

template <typename Running>
Unfinished Unfinished::of(const Running& running, base::MonoTime now) {
  Unfinished out;
  for (const auto& [key, since] : running) {
    const double seconds = seconds_between(since, now);
    out.together += seconds;
    out.longest = std::max(out.longest, seconds);
  }
  return out;
}

}  // namespace orch::server
