// Scheduler: gives every pod without a node one. One thread decides, on state only it touches; bindings and
// reports are written by a small pool.
#pragma once

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/tasks.h"
#include "client/client.h"
#include "client/informer.h"
#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

struct SchedulerOptions {
  std::vector<Profile> profiles;  // one for each schedulerName whose pods it places
  std::vector<std::unique_ptr<Extender>> extenders;
  base::Duration first_backoff = std::chrono::seconds(1), last_backoff = std::chrono::seconds(10);
  /// How long a pod's claims may take to be bound once its node is chosen.
  base::Duration bind_timeout = std::chrono::seconds(600);
};

class Scheduler {
 public:
  /// Registers with informers; start them after.
  Scheduler(client::Client& client, client::InformerFactory& informers, const base::Clock& clock,
            base::Metrics& metrics, SchedulerOptions options,
            base::TaskMaker& tasks = base::pools_of_threads());
  /// Ends the thread; bindings under way are finished.
  ~Scheduler();
  /// To be called once the informers are synced.
  void start();
  /// In place of start(), for who drives the scheduler on a thread of its own: takes in what has happened and
  /// decides about one pod. True when there is more to do at once.
  bool step();

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;  // informers, which may go on for a while, hold it weakly
};

}  // namespace orch::server::scheduler
