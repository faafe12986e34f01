// Devices: resource slices, device classes and resource claims (resource.k8s.io/v1, KEP-4381) as the plugin
// DynamicResources reads them, with the devices that decisions gave away whose writes are still under way.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "api/cel/device.h"
#include "base/clock.h"
#include "base/json_fwd.h"
#include "server/scheduler/objects.h"
#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// An entry of a slice's spec.devices.
struct Device {
  std::string name;
  std::string id;  // "driver/pool/name"
  /// By qualified name as it was given: kind and value, so that equal texts are equal values.
  std::map<std::string, std::string, std::less<>> attributes;
  api::cel::Value value;  // the variable `device`; when it has none, `broken` says why
  std::string broken;
  /// Not to be given away while DRADeviceBindingConditions and DRAPartitionableDevices are off.
  bool has_binding_conditions = false, consumes_counters = false;
};
std::string device_id(std::string_view driver, std::string_view pool, std::string_view device);

struct ResourceSlice {
  std::string name, driver, pool;
  int64_t generation = 0, slices_of_pool = 0;
  /// Whose devices can be reached: of one node, of all, or of those that match.
  std::string node_name;
  bool all_nodes = false, has_selector = false;
  std::vector<NodeTerm> selector;             // or-ed
  std::shared_ptr<const Json> selector_term;  // its one term as it is written, or null
  bool needs_partitions = false;              // what DRAPartitionableDevices brings
  std::vector<Device> devices;

  bool reachable_from(const NodeInfo& node) const;
};

struct DeviceClass {
  std::string name;
  std::vector<std::optional<std::string>> selectors;  // CEL; nothing = of a kind nobody knows
  std::shared_ptr<const Json> config;                 // spec.config
};

/// What both `exactly` and an entry of `firstAvailable` say.
struct DeviceRequest {
  std::string name, device_class, mode;
  int64_t count = 0;
  bool admin_access = false;
  std::vector<std::optional<std::string>> selectors;
  std::shared_ptr<const Json> tolerations;
};

struct ResourceClaim {
  struct Request {
    std::string name;
    std::optional<DeviceRequest> exactly;
    std::vector<DeviceRequest> first_available;
  };
  struct Constraint {
    std::vector<std::string> requests;  // of all when empty
    std::string match_attribute;        // "": of a kind nobody knows
  };
  std::string ns, name, uid, owner_uid;
  bool deleting = false;
  std::vector<Request> requests;
  std::vector<Constraint> constraints;
  std::shared_ptr<const Json> config;  // spec.devices.config

  bool allocated = false;
  bool node_bound = false;                // its allocation has a node selector
  std::vector<NodeTerm> node_selector;    // or-ed
  std::vector<std::string> devices;       // ids of those it has to itself
  std::vector<std::string> reserved_for;  // uids
  bool is_reserved_for(std::string_view uid) const;
};

using SlicePtr = std::shared_ptr<const ResourceSlice>;
using DeviceClassPtr = std::shared_ptr<const DeviceClass>;
using ResourceClaimPtr = std::shared_ptr<const ResourceClaim>;
using SelectorPtr = std::shared_ptr<const api::cel::DeviceSelector>;

ResourceSlice read_slice(const api::Object& object);
DeviceClass read_device_class(const api::Object& object);
ResourceClaim read_resource_claim(const api::Object& object);

/// An allocation that was decided on: the claim's status.allocation as it is to be written.
struct ClaimAllocation {
  ResourceClaimPtr claim;
  std::shared_ptr<const Json> allocation;  // null: it is allocated, and gets a reservation only
};

/// Not thread-safe.
class Devices {
 public:
  /// `clock` limits searches.
  Devices(const Objects& objects, const base::Clock& clock);

  /// By name: the order in which devices are given away.
  std::vector<SlicePtr> slices() const;
  DeviceClassPtr device_class(std::string_view name) const;
  ResourceClaimPtr claim(std::string_view ns, std::string_view name) const;
  ResourceClaimPtr read(const api::ObjectPtr& claim) const { return claims_.of(claim); }
  /// Compiled at first use, and kept while it is among those used most lately.
  SelectorPtr selector(const std::string& expression) const;
  /// Ids of devices that claims have to themselves, those that are promised included.
  std::unordered_set<std::string> taken() const;
  base::MonoTime now() const { return clock_.mono(); }

  /// From now on the devices are the claims'.
  void assume(const std::vector<ClaimAllocation>& allocations);
  bool is_assumed(std::string_view claim_uid) const;
  /// Not written after all, or the claim is seen to have it.
  void forget(std::string_view claim_uid);

 private:
  struct Assumed {
    std::string ns, name;
    std::vector<std::string> devices;
  };
  const Objects& objects_;
  const base::Clock& clock_;
  Parsed<ResourceSlice> slices_;
  Parsed<DeviceClass> classes_;
  Parsed<ResourceClaim> claims_;
  mutable std::unordered_map<std::string, SelectorPtr> selectors_;
  std::map<std::string, Assumed, std::less<>> assumed_;  // by uid
};

/// Ids of the devices that an allocation gives to nobody else.
std::vector<std::string> own_devices(const Json& allocation);

}  // namespace orch::server::scheduler
