// DeviceAllocator: which devices a pod's claims get on a node. Finds what Kubernetes' structured allocator
// finds with the gates that are on by default in v1.35 (DRAAdminAccess, DRAPrioritizedList): an exhaustive
// search in the order of pools, slices and devices that ends with the first solution.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/json_fwd.h"
#include "server/scheduler/devices.h"

namespace orch::server::scheduler {

/// Devices of a driver that are managed together, as far as they can be reached from one node.
struct DevicePool {
  std::string driver, name;
  bool incomplete = false;  // slices are still to come
  bool invalid = false;     // two devices have the same name
  std::vector<const ResourceSlice*> slices;
  std::string text() const { return driver + "/" + name; }
};

struct DeviceAnswer {
  enum class Kind : uint8_t {
    kFound,
    kNone,      // not on this node; `message` may say why
    kTimedOut,  // nothing was found in time
    kFailed,    // something is wrong with a claim, a class or a pool: `message`
  };
  Kind kind = Kind::kNone;
  std::string message;
  std::vector<Json> allocations;  // of kFound, one per claim: what becomes its status.allocation
};

/// For one decision: looks at the devices as they are when it is made.
class DeviceAllocator {
 public:
  /// `limit`: how long the search of one node may take; 0 = for ever.
  DeviceAllocator(const Devices& devices, base::Duration limit);
  /// The claims must not be allocated.
  DeviceAnswer allocate(const NodeInfo& node, const std::vector<ResourceClaimPtr>& claims) const;
  /// In the order of their first slices.
  std::vector<DevicePool> pools_of(const NodeInfo& node) const;

 private:
  const Devices& devices_;
  const base::Duration limit_;
  std::vector<SlicePtr> slices_;
  std::unordered_map<std::string, std::vector<size_t>> local_;  // indexes of slices by their node
  std::vector<size_t> shared_;                                  // and of the others
  std::map<std::pair<std::string, std::string>, std::vector<size_t>> of_pool_;
  std::unordered_set<std::string> taken_;
};

}  // namespace orch::server::scheduler
