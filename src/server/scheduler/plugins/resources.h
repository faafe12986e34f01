// How nodes are weighed by what is requested of them: shared by NodeResourcesFit and
// NodeResourcesBalancedAllocation.
#pragma once

#include <string>
#include <vector>

#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// A resource by name, as a plain index for the ones that are always there.
struct ResourceName {
  enum class Kind : uint8_t { kCpu, kMemory, kEphemeralStorage, kScalar };
  Kind kind;
  std::string name;
  explicit ResourceName(std::string n);
  int64_t of(const Resources& r) const;
};

/// Of the node and all pods that ask for nothing of it, 0 and 0 when it does not count for this pod.
struct Use {
  int64_t requested = 0, capacity = 0;
};
/// `real`: what pods request; else with a small amount for containers that request no CPU or memory.
Use use_of(const ResourceName& resource, int64_t pod_requests, const NodeInfo& node, bool real);

}  // namespace orch::server::scheduler
