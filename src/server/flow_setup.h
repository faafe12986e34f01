// Flow control put together: from arguments, with its objects followed and kept.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/timer.h"
#include "client/informer.h"
#include "server/api_server_args.h"
#include "server/controllers/controller.h"
#include "server/controllers/loop.h"
#include "server/flowcontrol/flow_control.h"

namespace orch::server {

/// Requests at once unless max-requests-inflight and max-mutating-requests-inflight say: a tenth of
/// kube-apiserver's, for machines of a few cores.
inline constexpr int64_t kDefaultInflight = 40, kDefaultMutatingInflight = 20;

/// Null when enable-priority-and-fairness=false. kBadRequest when no seat is left.
base::Result<std::unique_ptr<FlowControl>> make_flow_control(const ApiServerArgs& args,
                                                             const base::Clock& clock, base::Timers& timers,
                                                             base::Metrics& metrics);

/// Tells a FlowControl what there is of both kinds. Thread-safe.
class FlowFeed {
 public:
  /// Before the informers start. `control` and this outlive them.
  void follow(client::InformerFactory& informers, FlowControl& control);

 private:
  void changed(const api::ObjectPtr& before, const api::ObjectPtr& after, bool level);

  FlowControl* control_ = nullptr;
  std::mutex mutex_;
  std::map<std::string, LevelConfig, std::less<>> levels_;  // under mutex_
  std::map<std::string, FlowSchema, std::less<>> schemas_;  // under mutex_
};

/// Writes what is missing of the built-in objects, before anybody is served.
base::Status ensure_flow_objects(client::Client& client);
/// Keeps the built-in objects.
Controller make_flow_objects_controller();
/// Keeps the condition Dangling of FlowSchemas.
Controller make_flow_status_controller();
/// Both at work, not started yet. They are part of the API server, whoever runs the other controllers; each
/// writes by a client, and so a field manager, of its own.
std::vector<std::unique_ptr<ControllerLoop>> flow_keepers(
    const std::vector<std::unique_ptr<client::Client>>& clients, client::InformerFactory& informers,
    base::Timers& timers, const base::Clock& clock, base::Metrics& metrics);

}  // namespace orch::server
