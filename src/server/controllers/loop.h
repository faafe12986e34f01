// ControllerLoop: runs every controller. One queue each; a key never runs twice at once and is never lost;
// failures are retried with exponential back-off.
#pragma once

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/tasks.h"
#include "base/timer.h"
#include "client/client.h"
#include "client/informer.h"
#include "server/controllers/controller.h"

namespace orch::server {

class ControllerLoop {
 public:
  /// `informers` is shared with others and is started by the caller after the constructor (which registers
  /// handlers) and before start().
  ControllerLoop(client::Client& client, client::InformerFactory& informers, base::Timers& timers,
                 const base::Clock& clock, base::Metrics& metrics, std::vector<Controller> controllers,
                 size_t max_threads = 8, base::TaskMaker& tasks = base::pools_of_threads());
  /// Stops; plans under way end first.
  ~ControllerLoop();
  /// From now on queued keys run; those queued while the informers filled up run too.
  void start();
  /// Waits until every queue is empty and nothing runs or waits for a retry within `horizon` (tests).
  bool idle() const;

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;  // informers, which may go on for a while, hold it weakly
};

}  // namespace orch::server
