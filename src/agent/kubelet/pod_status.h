// The status a node reports for a pod (core/v1 PodStatus), from what its runtime holds. Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/kubelet/plan.h"
#include "agent/kubelet/pod.h"
#include "agent/kubelet/resize.h"
#include "base/json_fwd.h"

namespace orch::agent {

/// What went into the status besides pod and runtime.
struct StatusInput {
  base::WallTime now;
  /// Why a container that should run does not, by name: ErrImagePull, CrashLoopBackOff, …
  std::map<std::string, Waiting> waiting;
  /// By container id: readiness and startup verdicts (absent: no probe, or not tried yet).
  std::map<std::string, Health> readiness, startup;
  /// Containers whose postStart hook has not ended yet.
  std::set<std::string> starting;
  /// Text of /dev/termination-log or the log's end, by container id, for those that ended.
  std::map<std::string, std::string> termination_messages;
  std::vector<std::string> host_ips;
  ResizeState resize;
  /// What running containers have, by container id; for those absent what the pod asks for.
  std::map<std::string, Amounts> actuated;
  /// Everything stopped, and the pod will not run again: makes the phase terminal.
  bool finished = false;
  /// Set when this node ended the pod (reason such as Evicted or DeadlineExceeded): phase Failed.
  std::string end_reason, end_message;
  /// What the condition DisruptionTarget says of that; "" for none.
  std::string disruption;
};

/// `pod` with the resources it was given, not those it asks for in a resize that waits. `previous` is the
/// status last reported (or the API's at first): times, phases and last states carry over.
Json pod_status(const Pod& pod, const PodRuntime& runtime, const Json& previous, const StatusInput& input);

/// The strategic merge patch that makes `from` (as the API has it) equal to `to` in what a node owns; null
/// when there is nothing to change.
Json status_patch(const Json& from, const Json& to, std::string_view uid);

/// Whether the kubelet owns a pod condition of this type.
bool owns_condition(std::string_view type);

}  // namespace orch::agent
