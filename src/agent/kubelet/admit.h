// Whether a node takes a pod that was bound to it: the scheduler may have been passed by, or been behind.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/kubelet/plan.h"
#include "agent/kubelet/resources.h"

namespace orch::agent {

struct NodeRoom {
  int64_t milli_cpu = 0, memory = 0, pods = 0;  // allocatable
  std::vector<PodResources> used;               // by pods that are there and have not ended
};

/// Reason and message as the kubelet fails such a pod ("OutOfcpu", …); nothing when it fits.
std::optional<Waiting> rejection(const Pod& pod, const NodeRoom& room);

}  // namespace orch::agent
