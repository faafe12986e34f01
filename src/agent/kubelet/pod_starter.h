// PodStarter: makes a pod's sandbox and containers, step by step as its plan says. Blocking; used by the
// pod's worker only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/kubelet/container_config.h"
#include "agent/kubelet/node_context.h"
#include "agent/kubelet/plan.h"

namespace orch::agent {

/// What a worker keeps between its turns for starting things.
struct StartState {
  bool prepared = false;  // folders and cgroup are there
  PodVolumes volumes;
  bool volumes_current = false;
  SandboxConfig sandbox;  // of the newest one
  std::string sandbox_id;
};

class PodStarter {
 public:
  PodStarter(NodeContext& node, StartState& state) : node_(node), state_(state) {}

  /// Folders, cgroup, volumes. The error was reported as an event.
  base::Status prepare(const Pod& pod);
  /// A new sandbox with its addresses, in the cache. The error was reported as an event.
  base::Result<SandboxStatus> create_sandbox(const Pod& pod, uint32_t attempt);

  struct Started {
    enum class State : uint8_t { kStarted, kLater, kFailed };
    State state = State::kFailed;
    Waiting waiting;           // for kLater and kFailed: what the status shows
    base::WallTime retry_at;   // for kLater by back-off
    std::string id;            // of the container, also when it failed after creation
    bool hook_failed = false;  // postStart: the container has to be killed
  };
  Started start_container(const Pod& pod, const StartContainer& start, const SandboxStatus& sandbox);

 private:
  base::Result<ContainerConfig> config_of(const Pod& pod, const StartContainer& start,
                                          const SandboxStatus& sandbox, const ImageOutcome& image);
  base::Status ensure_sandbox_config(const Pod& pod, const SandboxStatus& sandbox);
  std::vector<RegistryAuth> pull_auths(const Pod& pod);
  /// Hosts file and termination log of a container.
  base::Status add_own_mounts(const Pod& pod, const StartContainer& start,
                              const std::vector<std::string>& ips, std::vector<Mount>& mounts);
  base::Result<std::string> runtime_handler(const Pod& pod);
  PayloadInput payload_input(ObjectSource& objects, const std::vector<std::string>& ips);
  void link_log(const Pod& pod, const std::string& container, const std::string& id,
                const std::string& log_path);

  NodeContext& node_;
  StartState& state_;
};

/// Host path of a container's termination message, by the id the runtime gave it or would have.
std::string termination_file(const std::string& pod_dir, std::string_view container, uint32_t attempt);

}  // namespace orch::agent
