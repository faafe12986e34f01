// Whether a node takes a pod that was bound to it: the scheduler may have been passed by, or been behind.
// Pure. As pkg/kubelet/lifecycle/predicate.go of Kubernetes judges, by the rules of api/placement.h.
#pragma once

#include <optional>

#include "agent/kubelet/plan.h"
#include "api/placement.h"

namespace orch::agent {

/// Reason and message with which such a pod fails ("OutOfcpu", "NodeAffinity", "NodePorts",
/// "TaintToleration", "PodOSNotSupported", …); nothing when the node takes it. `node` is this node with the
/// pods that are there and have not ended, the one in question not among them.
std::optional<Waiting> rejection(const Pod& pod, const api::PodInfo& wants, const api::NodeInfo& node);

}  // namespace orch::agent
