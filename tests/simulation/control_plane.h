// ControlPlane: the controllers' loop, the garbage collector and the scheduler as the server runs them, but
// on the world's tasks, timers and watches. It is destroyed and made anew when it crashes.
#pragma once

#include <memory>

#include "client/informer.h"
#include "server/controllers/garbage_collector.h"
#include "server/controllers/loop.h"
#include "server/scheduler/scheduler.h"
#include "tests/simulation/control_client.h"

namespace orch::simulation {

class ControlPlane {
 public:
  explicit ControlPlane(World& world);
  ~ControlPlane();
  /// True when it has more to do at once.
  bool schedule() { return scheduler_->step(); }
  /// No key waits, runs or failed.
  bool idle() const { return loop_->idle(); }

 private:
  ControlClient controllers_, collector_, binder_;
  client::InformerFactory informers_;
  std::unique_ptr<server::ControllerLoop> loop_;
  std::unique_ptr<server::GarbageCollector> gc_;
  std::unique_ptr<server::scheduler::Scheduler> scheduler_;
};

}  // namespace orch::simulation
