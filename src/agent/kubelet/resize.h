// Resizing pods in place (KEP-1287): what of a pod's resources this node has set aside ("allocated"), what
// its containers run with ("actuated"), and how to get from one to the other. Pure.
//
// Only CPU and memory of regular containers and sidecars change in place; everything else of `resources`
// stays what the pod was made with.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kubelet/plan.h"
#include "agent/kubelet/pod.h"
#include "agent/kubelet/resources.h"
#include "api/placement.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::agent {

// --- What is set aside ------------------------------------------------------------------------------

/// CPU and memory of what can be resized, by container name.
using Allocation = std::map<std::string, Amounts>;
/// What the pod asks for.
Allocation allocation_of(const Pod& pod);
/// Puts `allocated` in place of what the pod's tree asks for; texts that say the same stay. True when
/// something differed.
bool apply_allocation(Json& pod_tree, const Allocation& allocated);

/// Whether the node can set aside what a pod asks for now. `reason` is "" when it can, else "Infeasible"
/// (never on this node) or "Deferred" (not now), as in the condition PodResizePending.
struct ResizeVerdict {
  std::string reason, message;
};
/// `wants` is what the pod asks for, `beside` the node with all other pods.
ResizeVerdict judge_resize(const Pod& desired, const api::PodInfo& wants, const api::NodeInfo& beside);

/// A resize that waits for room, as the order of trying again sees it.
struct WaitingResize {
  bool grows = true;  // in its requests
  int64_t priority = 0;
  QosClass qos = QosClass::kBurstable;
  base::WallTime since;
};
bool tried_before(const WaitingResize& a, const WaitingResize& b);

// --- Conditions and events --------------------------------------------------------------------------

struct ResizeCondition {
  std::string reason, message;
  int64_t generation = 0;
  base::WallTime since;
};
/// Conditions PodResizePending and PodResizeInProgress of a pod.
struct ResizeState {
  std::optional<ResizeCondition> pending, in_progress;

  /// True when reason or generation is new: an event is due.
  bool set_pending(const ResizeVerdict& why, int64_t generation, base::WallTime now);
  /// Keeps the generation of one that is there, and its reason if the new one is "". True when it changed.
  bool set_in_progress(std::string_view reason, std::string_view message, int64_t generation,
                       base::WallTime now);
};
/// As the API shows them, for a node that starts again.
ResizeState resize_state_of(const Json& pod_status);
/// The conditions as the status holds them.
std::vector<Json> resize_conditions(const ResizeState& state);
/// `Pod resize started: {"containers":[…],"generation":2}`: the text of an event about it.
std::string resize_message(std::string_view what, const Pod& pod, int64_t generation,
                           std::string_view error = {});

// --- Carrying it out --------------------------------------------------------------------------------

/// What a container runs with. The record is kept with the container's annotations when it is made, and by
/// the node when it is changed.
std::string amounts_text(const Amounts& amounts);
std::optional<Amounts> parse_amounts(std::string_view text);

/// `resources` of a running container as its status shows them: as allocated, but the amounts it has.
/// `actuated` may be null: nobody knows.
Json actual_resources(const Json& allocated, const ContainerStatus& status, const Amounts* actuated);

/// One step of a resize.
struct ResizeStep {
  enum class What : uint8_t { kPodShares, kPodQuota, kPodMemory, kContainer };
  What what = What::kContainer;
  int64_t value = 0;     // of the pod's cgroup
  std::string id, name;  // of the container
  Amounts amounts;       // what the container has after this step
};
/// Memory first, then CPU. What the pod as a whole may use grows before its containers do and shrinks after
/// them; containers that shrink make room for those that grow. A limit of 0 in `wanted` stays as it is.
std::vector<ResizeStep> resize_steps(const std::vector<ResizeContainer>& containers, const PodLimits& now,
                                     const PodLimits& wanted);

/// Memory in use, in bytes; containers by id.
struct MemoryUse {
  uint64_t pod = 0;
  std::map<std::string, uint64_t> containers;
};
/// Whether a limit is about to fall; then `memory_problem` has to be asked first.
bool memory_falls(const std::vector<ResizeContainer>& containers, const PodLimits& now,
                  const PodLimits& wanted);
/// Why memory limits cannot fall below what is in use; "" when they can.
std::string memory_problem(const std::vector<ResizeContainer>& containers, const PodLimits& now,
                           const PodLimits& wanted, const MemoryUse& use);

}  // namespace orch::agent
