// Scheduler: gives every pod without a node one. One thread decides, on state only it touches; bindings and
// reports are written by a small pool.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/timer.h"
#include "client/client.h"
#include "client/informer.h"
#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

class Scheduler {
 public:
  /// Registers with the informers of pods and nodes; start them after. Places pods whose schedulerName is
  /// `name`.
  Scheduler(client::Client& client, client::InformerFactory& informers, const base::Clock& clock,
            base::Metrics& metrics, Plugins plugins, std::string name = "default-scheduler");
  /// Ends the thread; bindings under way are finished.
  ~Scheduler();
  /// To be called once the informers are synced.
  void start();

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;  // informers, which may go on for a while, hold it weakly
};

}  // namespace orch::server::scheduler
