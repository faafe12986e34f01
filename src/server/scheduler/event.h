// Event: what happened in the cluster that may let a waiting pod fit.
#pragma once

#include <cstdint>

#include "server/scheduler/types.h"

namespace orch::server::scheduler {

enum EventKind : uint32_t {
  kNodeAdded = 1U << 0,
  kNodeGone = 1U << 1,
  kNodeAllocatable = 1U << 2,
  kNodeLabels = 1U << 3,
  kNodeTaints = 1U << 4,  // and spec.unschedulable
  kPodAdded = 1U << 5,    // a pod got to a node
  kPodLabels = 1U << 6,   // of a pod on a node
  kPodShrank = 1U << 7,   // a pod on a node requests less
  kPodGone = 1U << 8,     // from a node, or it gave up the room it was promised there
  kOwnLabels = 1U << 9,   // of the waiting pod itself
  kOwnShrank = 1U << 10,
  kOwnTolerations = 1U << 11,
  kOwnSpec = 1U << 12,       // its node selector or affinity
  kClaimChanged = 1U << 13,  // added or updated, as the following
  kVolumeChanged = 1U << 14,
  kClassChanged = 1U << 15,
  kCsiNodeChanged = 1U << 16,
  kCsiDriverChanged = 1U << 17,
  kCsiCapacityChanged = 1U << 18,
  kAttachmentGone = 1U << 19,
  kResourceClaimChanged = 1U << 20,
  kSliceChanged = 1U << 21,
  kDeviceClassChanged = 1U << 22,
  kOwnClaims = 1U << 23,  // claims were made for the waiting pod
  kOther = 1U << 31,      // whatever else an extender waits for
  kEverything = ~0U,
};
inline constexpr uint32_t kOwnChange = kOwnLabels | kOwnShrank | kOwnTolerations | kOwnSpec | kOwnClaims;

/// Kinds that happened at once to one object, as it was and as it is; null where there was or is none.
/// Valid while it is handled.
struct Event {
  uint32_t kinds = 0;
  const NodeInfo* node_before = nullptr;
  const NodeInfo* node = nullptr;  // also of pods: where they are or were
  const PodInfo* pod_before = nullptr;
  const PodInfo* pod = nullptr;
  api::ObjectPtr before = {}, after = {};  // of the other kinds
};

}  // namespace orch::server::scheduler
