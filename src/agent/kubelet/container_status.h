// core/v1 ContainerStatus of a pod's containers. Pure; part of pod_status().
#pragma once

#include "agent/kubelet/pod_status.h"

namespace orch::agent {

/// One status for each of `containers`: init containers in the spec's order, others by name.
Json container_statuses(const Pod& pod, const std::vector<ContainerRef>& containers,
                        const PodRuntime& runtime, const Json& previous, const StatusInput& input);

/// For a pod that ended: containers that nobody knows the end of become terminated with code 137.
void end_missing(const Pod& pod, Json& init_statuses, Json& statuses);

/// Characters of termination messages in all statuses of a pod together.
inline constexpr size_t kMaxTerminationMessages = 12 * 1024;

}  // namespace orch::agent
