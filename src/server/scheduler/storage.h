// Storage: claims, volumes and storage classes as the volume plugins read them, with what was promised by
// decisions whose writes are still under way.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/selector.h"
#include "server/scheduler/objects.h"
#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// core/v1 PersistentVolumeClaim.
struct Claim {
  std::string ns, name, uid, phase, volume, storage_class, attributes_class;
  std::string mode = "Filesystem";
  std::vector<std::string> access_modes;
  std::optional<int64_t> requested;  // bytes
  std::optional<api::LabelSelector> selector;
  std::optional<std::string> selected_node;
  std::string owner_uid;  // of its controller
  bool deleting = false;
  bool bind_completed = false;

  bool bound() const { return !volume.empty() && bind_completed; }
  bool once_per_pod() const;
};

/// core/v1 PersistentVolume.
struct Volume {
  std::string name, storage_class, attributes_class, phase;
  std::string mode = "Filesystem";
  std::vector<std::string> access_modes;
  int64_t capacity = 0;
  bool deleting = false;
  bool claimed = false;  // has a claimRef
  std::string claim_ns, claim_name, claim_uid;
  bool has_affinity = false;
  std::vector<NodeTerm> affinity;  // or-ed
  std::vector<std::pair<std::string, std::string>> labels;
  std::string driver, handle;         // of CSI
  std::string plugin, plugin_driver;  // of a disk that a CSI driver took over
  std::string plugin_handle;

  bool is_for(const Claim& claim) const;
  bool reachable_from(const NodeInfo& node) const;
};

/// storage/v1 StorageClass.
struct StorageClass {
  std::string name, provisioner;
  std::optional<std::string> binding_mode;
  /// or-ed terms of and-ed requirements: label, allowed values
  std::vector<std::vector<std::pair<std::string, std::vector<std::string>>>> topologies;

  bool waits_for_pod() const { return binding_mode == "WaitForFirstConsumer"; }
  bool allows(const NodeInfo& node) const;
};

/// storage/v1 CSINode.
struct CsiNode {
  std::vector<std::pair<std::string, std::optional<int64_t>>> drivers;  // with the volumes they can attach
  std::vector<std::string> migrated;                                    // in-tree plugins
  bool has_migrated(std::string_view plugin) const;
};

/// storage/v1 CSIStorageCapacity.
struct CsiCapacity {
  std::string storage_class;
  std::optional<int64_t> limit;  // of one volume
  std::optional<api::LabelSelector> topology;
};

Claim read_claim(const api::Object& object);
Volume read_volume(const api::Object& object);
StorageClass read_storage_class(const api::Object& object);

/// The smallest volume that does for the claim, on the node if there is one; one that was made for it goes
/// before any other. Those in `taken` do not count. Null: none does. Without a node and with `only_own`,
/// those that wait for any claim do not count either: where the pod runs decides.
std::shared_ptr<const Volume> find_matching_volume(const Claim& claim,
                                                   const std::vector<std::shared_ptr<const Volume>>& volumes,
                                                   const NodeInfo* node, const std::set<std::string>& taken,
                                                   bool only_own);

/// Not thread-safe.
class Storage {
 public:
  explicit Storage(const Objects& objects);

  std::shared_ptr<const Claim> claim(std::string_view ns, std::string_view name) const;
  std::shared_ptr<const Volume> volume(std::string_view name) const;
  std::vector<std::shared_ptr<const Volume>> volumes() const;
  std::shared_ptr<const StorageClass> storage_class(std::string_view name) const;
  std::shared_ptr<const CsiNode> csi_node(std::string_view name) const;
  std::vector<std::shared_ptr<const CsiCapacity>> capacities() const;
  /// CSIDriver.spec.storageCapacity; false also when there is no such driver.
  bool driver_reports_capacity(std::string_view driver) const;
  /// Volumes attached to a node by CSI drivers: driver/handle, driver.
  std::vector<std::pair<std::string, std::string>> attached(std::string_view node) const;

  /// Of versions that events speak of.
  std::shared_ptr<const StorageClass> read_class(const api::ObjectPtr& object) const {
    return classes_.of(object);
  }
  std::shared_ptr<const CsiNode> read_csi_node(const api::ObjectPtr& object) const {
    return csi_nodes_.of(object);
  }
  std::shared_ptr<const CsiCapacity> read_capacity(const api::ObjectPtr& object) const {
    return capacities_.of(object);
  }

  /// From now on the volume is the claim's, the claim waits for a volume on the node.
  void assume_volume(const std::string& volume, const Claim& claim);
  void assume_claim(std::string_view ns, const std::string& claim, const std::string& node);
  /// Written, or given up.
  void forget_volume(const std::string& volume) { assumed_volumes_.erase(volume); }
  void forget_claim(std::string_view ns, const std::string& claim);

 private:
  const Objects& objects_;
  Parsed<Claim> claims_;
  Parsed<Volume> volumes_;
  Parsed<StorageClass> classes_;
  Parsed<CsiNode> csi_nodes_;
  Parsed<CsiCapacity> capacities_;
  std::map<std::string, std::shared_ptr<const Volume>, std::less<>> assumed_volumes_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const Claim>> assumed_claims_;
};

}  // namespace orch::server::scheduler
