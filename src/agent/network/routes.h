// Routes: keeps this node's routes to the pods of the other nodes, as Node objects come, change and go.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/network/routes_plan.h"
#include "agent/network/work_signal.h"
#include "base/status.h"
#include "client/informer.h"

namespace orch::agent {

struct RoutesConfig {
  std::string node_name;
  OverlayMode mode = OverlayMode::kAuto;
  VxlanConfig vxlan;
  /// Routes carry this protocol number, so that those of an earlier run are known again.
  int route_protocol = 79;
};

/// What a Node object says about its network.
NodeNet read_node_net(const api::Object& node);

/// Thread-safe. Construct before the informers start; the factory must outlive this. Changes are made by one
/// thread through the ip and bridge commands, by difference to what the kernel has (read at start and after a
/// failure, which is tried again with back-off). Node events that change nothing here cost nothing.
class Routes {
 public:
  Routes(client::InformerFactory& informers, RoutesConfig config);
  /// Stops; routes stay, so that pods keep their connections while the agent restarts.
  ~Routes();
  void start();
  /// Outcome of the last change.
  base::Status status() const;

 private:
  struct Kernel {
    std::set<std::string> routes, neighbors, fdb;
  };
  void run();
  /// What each Node object says, from the informer.
  std::vector<NodeNet> nodes() const;
  base::Status apply(const RoutePlan& plan);
  base::Status ensure_vxlan(const RoutePlan& plan);
  base::Status read_kernel(Kernel& out) const;

  client::Informer& informer_;
  const RoutesConfig config_;
  const std::shared_ptr<WorkSignal> signal_ = std::make_shared<WorkSignal>();
  std::thread thread_;
  // Only on the thread:
  bool known_ = false;  // kernel_ is what the kernel has
  Kernel kernel_;
  std::string vxlan_made_;

  mutable std::mutex mutex_;
  base::Status status_;  // under mutex_
};

}  // namespace orch::agent
