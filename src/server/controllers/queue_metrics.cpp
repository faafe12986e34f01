#include "server/controllers/queue_metrics.h"

namespace orch::server {

QueueMetrics make_queue_metrics(base::Metrics& metrics, const std::string& name,
                                const std::function<Unfinished()>& unfinished) {
  const base::MetricLabels labels = {{"name", name}};
  QueueMetrics out;
  out.adds = &metrics.counter("workqueue_adds_total", "Keys added to the controller's queue.", labels);
  out.retries = &metrics.counter("workqueue_retries_total", "Plans that failed and are tried again.", labels);
  out.depth = &metrics.gauge("workqueue_depth", "Keys that wait.", labels);
  out.work = &metrics.histogram("workqueue_work_duration_seconds", "Time to plan and apply one key.", labels);
  out.patience =
      &metrics.histogram("workqueue_queue_duration_seconds", "Time a key waits until it runs.", labels);
  metrics.computed("workqueue_unfinished_work_seconds", "For how long the keys that run now do, together.",
                   labels, [unfinished] { return unfinished().together; });
  metrics.computed("workqueue_longest_running_processor_seconds",
                   "For how long the one that runs longest does.", labels,
                   [unfinished] { return unfinished().longest; });
  return out;
}

double seconds_between(base::MonoTime from, base::MonoTime to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace orch::server
