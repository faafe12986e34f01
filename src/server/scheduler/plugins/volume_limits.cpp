// NodeVolumeLimits: a node attaches no more volumes of a CSI driver than that says it can
// (CSINode.spec.drivers[].allocatable.count).
#include <algorithm>
#include <map>
#include <set>

#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

using VolumeIds = std::map<std::string, std::string>;  // driver/handle: driver

/// Disks of these plugins are attached by a CSI driver everywhere.
bool always_migrated(std::string_view plugin) {
  return plugin == "kubernetes.io/aws-ebs" || plugin == "kubernetes.io/gce-pd" ||
         plugin == "kubernetes.io/azure-disk" || plugin == "kubernetes.io/cinder";
}

const char* driver_of(std::string_view plugin) {
  if (plugin == "kubernetes.io/aws-ebs") return "ebs.csi.aws.com";
  if (plugin == "kubernetes.io/gce-pd") return "pd.csi.storage.gke.io";
  if (plugin == "kubernetes.io/azure-disk") return "disk.csi.azure.com";
  if (plugin == "kubernetes.io/cinder") return "cinder.csi.openstack.org";
  if (plugin == "kubernetes.io/azure-file") return "file.csi.azure.com";
  if (plugin == "kubernetes.io/vsphere-volume") return "csi.vsphere.vmware.com";
  if (plugin == "kubernetes.io/portworx-volume") return "pxd.portworx.com";
  return nullptr;
}

/// Whether a CSI driver serves the plugin's disks on the node.
bool migrated(const CsiNode* node, std::string_view plugin) {
  if (node == nullptr || plugin.empty()) return false;
  return always_migrated(plugin) || (plugin == "kubernetes.io/portworx-volume" && node->has_migrated(plugin));
}

class Filter final : public NodeFilter {
 public:
  Filter(const PodInfo& pod, const Cluster& cluster) : pod_(pod), storage_(cluster.storage) {}

  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    const auto csi_node = storage_.csi_node(node.name);
    VolumeIds wanted;
    if (Verdict verdict = collect(pod_, csi_node.get(), true, wanted, reasons); verdict != Verdict::kFits)
      return verdict;
    if (wanted.empty() || csi_node == nullptr) return Verdict::kFits;
    const bool limited = std::any_of(csi_node->drivers.begin(), csi_node->drivers.end(),
                                     [](const auto& d) { return d.second.has_value(); });
    if (!limited) return Verdict::kFits;
    VolumeIds there;
    for (const auto& [uid, other] : node.pods) {
      if (Verdict verdict = collect(*other, csi_node.get(), false, there, reasons); verdict != Verdict::kFits)
        return verdict;
    }
    for (const auto& [id, driver] : there) wanted.erase(id);
    for (auto& [id, driver] : storage_.attached(node.name)) there.emplace(id, driver);
    for (const auto& [driver, limit] : csi_node->drivers) {
      if (!limit) continue;
      auto of_driver = [&, d = &driver](const auto& entry) { return entry.second == *d; };
      const auto more = std::count_if(wanted.begin(), wanted.end(), of_driver);
      if (more == 0 || std::count_if(there.begin(), there.end(), of_driver) + more <= *limit) continue;
      reasons.emplace_back("node(s) exceed max volume count");
      return Verdict::kOccupied;
    }
    return Verdict::kFits;
  }

 private:
  Verdict collect(const PodInfo& pod, const CsiNode* node, bool asking, VolumeIds& out,
                  Reasons& reasons) const {
    auto add = [&](const std::string& driver, const std::string& handle) {
      if (!driver.empty() && !handle.empty()) out[base::cat(driver, "/", handle)] = driver;
    };
    for (const PodVolume& v : pod.volumes) {
      if (!v.is_claim()) {
        if (migrated(node, v.plugin)) add(v.driver, v.handle);
        continue;
      }
      const auto claim = storage_.claim(pod.ns, v.source);
      if (claim == nullptr) {
        if (!asking) continue;
        reasons.push_back(base::cat("looking up PVC ", pod.ns, "/", v.source, ": persistentvolumeclaim \"",
                                    v.source, "\" not found"));
        return Verdict::kUnsuitable;
      }
      if (v.kind == PodVolume::Kind::kEphemeral && claim->owner_uid != pod.uid) {
        reasons.push_back(base::cat("PVC ", claim->ns, "/", claim->name, " was not created for pod ", pod.ns,
                                    "/", pod.name, " (pod is not owner)"));
        return Verdict::kFailed;
      }
      const auto [driver, handle] = volume_of(*claim, node);
      add(driver, handle);
    }
    return Verdict::kFits;
  }

  /// One that is not there yet counts by the class that will make it.
  std::pair<std::string, std::string> volume_of(const Claim& claim, const CsiNode* node) const {
    if (const auto volume = claim.volume.empty() ? nullptr : storage_.volume(claim.volume)) {
      if (!volume->driver.empty()) return {volume->driver, volume->handle};
      if (!migrated(node, volume->plugin)) return {};
      return {volume->plugin_driver, volume->plugin_handle};
    }
    const auto cls = claim.storage_class.empty() ? nullptr : storage_.storage_class(claim.storage_class);
    if (cls == nullptr) return {};
    // No volume has such a handle: it starts with a space.
    const std::string handle = base::cat(" ", claim.ns, "/", claim.name);
    if (const char* driver = driver_of(cls->provisioner)) {
      if (!migrated(node, cls->provisioner)) return {};
      return {driver, handle};
    }
    return {cls->provisioner, handle};
  }

  const PodInfo& pod_;
  const Storage& storage_;
};

class VolumeLimits final : public Plugin {
 public:
  std::string_view name() const override { return "NodeVolumeLimits"; }
  bool local() const override { return false; }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    const bool any = std::any_of(pod.volumes.begin(), pod.volumes.end(),
                                 [](const PodVolume& v) { return v.is_claim() || !v.plugin.empty(); });
    if (any) out.filter = std::make_unique<Filter>(pod, cluster);
    return out;
  }

  uint32_t helped_by() const override {
    return kNodeAdded | kPodGone | kClaimChanged | kCsiNodeChanged | kAttachmentGone;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    if ((event.kinds & kPodGone) != 0)
      return event.pod_before == nullptr || !event.pod_before->volumes.empty();
    if ((event.kinds & kClaimChanged) != 0) {
      return event.before == nullptr && event.after->ns() == waiting.ns &&
             std::any_of(waiting.volumes.begin(), waiting.volumes.end(),
                         [&](const PodVolume& v) { return v.is_claim() && v.source == event.after->name(); });
    }
    if ((event.kinds & kCsiNodeChanged) != 0 && event.before != nullptr) return limit_grew(event, cluster);
    return true;
  }

 private:
  static bool limit_grew(const Event& event, const Cluster& cluster) {
    const auto before = cluster.storage.read_csi_node(event.before),
               now = cluster.storage.read_csi_node(event.after);
    return std::any_of(now->drivers.begin(), now->drivers.end(), [&](const auto& d) {
      auto old = std::find_if(before->drivers.begin(), before->drivers.end(),
                              [&](const auto& o) { return o.first == d.first; });
      const int64_t limit = old == before->drivers.end() ? 0 : old->second.value_or(0);
      return d.second.value_or(0) > limit;
    });
  }
};

}  // namespace

PluginPtr make_volume_limits() { return std::make_unique<VolumeLimits>(); }

}  // namespace orch::server::scheduler
