// Whether a node takes a pod that was bound to it: the scheduler may have been passed by, or been behind.
// Pure. As pkg/kubelet/lifecycle/predicate.go of Kubernetes judges, by the rules of api/placement.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/kubelet/plan.h"
#include "api/placement.h"
#include "base/status.h"

namespace orch::agent {

/// Reason and message with which such a pod fails ("OutOfcpu", "NodeAffinity", "NodePorts",
/// "TaintToleration", "PodOSNotSupported", …); nothing when the node takes it. `node` is this node with the
/// pods that are there and have not ended, the one in question not among them.
std::optional<Waiting> rejection(const Pod& pod, const api::PodInfo& wants, const api::NodeInfo& node);

/// What the node has not enough of for the pod, if nothing else speaks against it.
std::vector<api::Shortage> only_short_of(const Pod& pod, const api::PodInfo& wants,
                                         const api::NodeInfo& node);

// --- Critical pods ----------------------------------------------------------------------------------

/// A static pod, or one whose priority is that of the system's classes: room is made for it (as in
/// pkg/kubelet/preemption of Kubernetes).
bool is_critical(const Pod& pod);

/// A pod that is here, as a candidate to be sent away.
struct Preemptible {
  std::string uid;
  bool critical = false;
  int64_t priority = 0;
  QosClass qos = QosClass::kBestEffort;
  api::PodPtr wants;
};
/// Uids of the pods to send away so that what is `missing` becomes free: as few and as unimportant as
/// possible, best-effort before burstable before guaranteed. Fails when all of them together are not enough.
base::Result<std::vector<std::string>> pods_to_preempt(const Pod& pod, const std::vector<Preemptible>& others,
                                                       const std::vector<api::Shortage>& missing);

}  // namespace orch::agent
