// Lifecycle hooks of containers (core/v1 LifecycleHandler). Blocking.
#pragma once

#include <chrono>
#include <string>

#include "agent/cri/runtime.h"
#include "agent/kubelet/pod.h"
#include "base/status.h"

namespace orch::agent {

/// Runs exec, httpGet or sleep inside or towards a container, at most `timeout`. The error's message is what
/// the container's status shows (it may hold a command's output, so events do not repeat it).
base::Status run_hook(Runtime& runtime, const std::string& container_id, const ContainerRef& container,
                      const Json& handler, const std::string& pod_ip, std::chrono::seconds timeout);

}  // namespace orch::agent
