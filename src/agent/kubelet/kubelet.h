// Kubelet: the node agent. Runs the pods bound to this node through a container runtime and reports on them
// and on the machine.
//
// Everything comes by constructor. Containers outlive it: stop() (or a crash) leaves them running, and the
// next Kubelet adopts them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/config.h"
#include "api/object.h"
#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/timer.h"
#include "client/client.h"
#include "client/informer.h"

namespace orch::agent {

/// All outlive the Kubelet.
struct KubeletDeps {
  client::Client& client;
  /// Shared informers of this process: the kubelet uses services (all namespaces), and pods of this node.
  client::InformerFactory& informers;
  Runtime& runtime;
  const base::Clock& clock;
  base::Timers& timers;
  base::Metrics& metrics;
};

/// Where a container of a pod is, for logs, exec and attach.
struct ContainerLocation {
  std::string id;  // runtime id; "" when it has none yet
  std::string sandbox_id;
  std::string log_path;  // file on the host
  bool running = false;
  bool tty = false, use_stdin = false;
};

class Kubelet {
 public:
  Kubelet(KubeletConfig config, const KubeletDeps& deps);
  ~Kubelet();
  /// Lists what runs, adopts it, starts the node's heartbeats and the pods' workers. Returns when the runtime
  /// was read; fails only if that cannot be.
  base::Status start();
  /// Ends all work; containers go on.
  void stop();

  /// The network is set up (or is not any more): the node's readiness is looked at now.
  void network_changed();
  /// Services work on this node, or why not; shown in the node's status.
  void services_changed(const base::Status& status);
  bool node_ready() const;
  const KubeletConfig& config() const;

  // --- For the node's API server -------------------------------------------------------------------
  /// Pods of this node with their current status.
  std::vector<Json> pods() const;
  /// kNotFound worded as the kubelet does. `previous`: the instance before the newest.
  base::Result<ContainerLocation> find_container(std::string_view ns, std::string_view pod,
                                                 std::string_view container, bool previous) const;
  /// The ready sandbox of a pod.
  base::Result<std::string> find_sandbox(std::string_view ns, std::string_view pod) const;
  Runtime& runtime() const;

  /// What one pod uses, for summaries.
  struct PodUsage {
    std::string ns, name, uid;
    uint64_t cpu_ns = 0, memory_usage = 0, memory_working_set = 0, memory_rss = 0;
    base::WallTime started;
  };
  std::vector<PodUsage> pod_usage() const;
  PodUsage node_usage() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::agent
