// API priority and fairness: who may run now, who waits, who is refused (flowcontrol.apiserver.k8s.io,
// KEP-1040; k8s.io/apiserver pkg/util/flowcontrol). The decisions are in flow_config.h, seats.h and
// fair_queues.h; here they meet threads, time and metrics.
//
// As long as a level has free seats and nobody waits there, a request takes its seats with one atomic
// operation and no lock; queues, and R, only matter when there is too little.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/timer.h"
#include "server/flowcontrol/fair_queues.h"
#include "server/flowcontrol/flow_config.h"
#include "server/flowcontrol/work_estimate.h"

namespace orch::server {

/// One request from its classification to its end. Owned by whoever answers it; decisions may come on any
/// thread. Gives its seats back at the latest when it is destroyed. Outlived by the FlowControl.
class FlowTicket {
 public:
  enum class State : uint8_t { kWaiting, kRunning, kRefused };
  virtual ~FlowTicket() = default;
  virtual State state() const = 0;
  virtual const std::string& schema_uid() const = 0;
  virtual const std::string& level_uid() const = 0;
  /// Seconds after which one that was refused may try again.
  virtual int64_t retry_after() const = 0;
  /// Calls `ready` once when it does not wait any more, at once if so; not under any lock.
  virtual void when_decided(std::function<void()> ready) = 0;
  /// The request is answered, or (a watch) has begun. Again: nothing.
  virtual void finish() = 0;
};
using FlowTicketPtr = std::shared_ptr<FlowTicket>;

struct FlowControlOptions {
  int64_t seats = 600;  // of all levels together
  const base::Clock* clock = nullptr;
  base::Timers* timers = nullptr;
  base::Metrics* metrics = nullptr;
};

/// Thread-safe. From the start it has the mandatory levels.
class FlowControl {
 public:
  explicit FlowControl(FlowControlOptions options);
  ~FlowControl();
  /// What there is of both kinds now. Requests under way stay where they are.
  void configure(std::vector<LevelConfig> levels, std::vector<FlowSchema> schemas);

  /// Seats of a request, of which the level allows `widest` (0: no bound of its own).
  using Estimate = std::function<Work(int64_t widest)>;
  /// What dump_requests tells of a request; asked for only when it has to wait.
  struct Details {
    std::string user, verb, path, ns, name, api_version, resource, subresource;
  };
  FlowTicketPtr begin(const FlowRequest& request, base::Duration wait_limit, const Estimate& estimate,
                      const std::function<Details()>& details);
  WatchCounts& watches();
  int64_t seats() const;  // of all levels together

  /// Refuses who waits, now and from now on.
  void stop();

  /// /debug/api_priority_and_fairness/dump_*. Requests that found free seats are counted, but not listed.
  std::string dump_priority_levels() const;
  std::string dump_queues() const;
  std::string dump_requests(bool with_details) const;

  struct Rep;  // flow_level.h

 private:
  std::shared_ptr<Rep> rep_;
};

}  // namespace orch::server
