// VolumeRestrictions: disks that cannot be mounted twice on a node (GCE PD, AWS EBS, iSCSI, RBD), and claims
// with ReadWriteOncePod that another pod uses already.
#include <algorithm>
#include <set>

#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

bool is_disk(const PodVolume& v) {
  using Kind = PodVolume::Kind;
  return v.kind == Kind::kGcePd || v.kind == Kind::kAwsEbs || v.kind == Kind::kRbd || v.kind == Kind::kIscsi;
}

bool conflict(const PodVolume& a, const PodVolume& b) {
  if (a.kind != b.kind || a.source != b.source) return false;
  if (a.kind == PodVolume::Kind::kAwsEbs) return true;
  if (a.kind == PodVolume::Kind::kRbd &&
      std::none_of(a.monitors.begin(), a.monitors.end(), [&](const std::string& m) {
        return std::find(b.monitors.begin(), b.monitors.end(), m) != b.monitors.end();
      })) {
    return false;
  }
  return !(a.read_only && b.read_only);
}

bool conflict(const PodInfo& a, const PodInfo& b) {
  return std::any_of(a.volumes.begin(), a.volumes.end(), [&](const PodVolume& v) {
    return is_disk(v) && std::any_of(b.volumes.begin(), b.volumes.end(),
                                     [&](const PodVolume& w) { return conflict(v, w); });
  });
}

class Filter final : public NodeFilter {
 public:
  Filter(const PodInfo& pod, std::set<std::string> exclusive, int64_t uses)
      : pod_(pod), exclusive_(std::move(exclusive)), uses_(uses) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    for (const auto& [uid, other] : node.pods) {
      if (!conflict(pod_, *other)) continue;
      reasons.emplace_back("node(s) had no available disk");
      return Verdict::kOccupied;
    }
    if (uses_ <= 0) return Verdict::kFits;
    reasons.emplace_back(
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use "
        "by "
        "another pod");
    return Verdict::kOccupied;
  }
  void add_pod(const PodInfo& other, const NodeInfo& node) override { (void)node, uses_ += uses_of(other); }
  void remove_pod(const PodInfo& other, const NodeInfo& node) override {
    (void)node, uses_ -= uses_of(other);
  }
  std::unique_ptr<NodeFilter> clone() const override { return std::make_unique<Filter>(*this); }

 private:
  int64_t uses_of(const PodInfo& other) const {
    return std::count_if(other.volumes.begin(), other.volumes.end(), [&](const PodVolume& v) {
      return v.kind == PodVolume::Kind::kClaim && exclusive_.count(v.source) != 0;
    });
  }
  const PodInfo& pod_;
  const std::set<std::string> exclusive_;  // claims for one pod only
  int64_t uses_;                           // of them, by pods on nodes
};

class VolumeRestrictions final : public Plugin {
 public:
  std::string_view name() const override { return "VolumeRestrictions"; }
  bool local() const override { return false; }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    std::set<std::string> exclusive;
    for (const PodVolume& v : pod.volumes) {
      if (v.kind != PodVolume::Kind::kClaim) continue;
      const auto claim = cluster.storage.claim(pod.ns, v.source);
      if (claim == nullptr) {
        out.verdict = Verdict::kUnsuitable;
        out.reason = base::cat("persistentvolumeclaim \"", v.source, "\" not found");
        return out;
      }
      if (claim->once_per_pod()) exclusive.insert(v.source);
    }
    int64_t used = 0;
    for (const auto& claim : exclusive) used += cluster.census.uses_of_claim(pod.ns, claim) > 0 ? 1 : 0;
    const bool disks = std::any_of(pod.volumes.begin(), pod.volumes.end(), is_disk);
    if (disks || used != 0) out.filter = std::make_unique<Filter>(pod, std::move(exclusive), used);
    return out;
  }

  uint32_t helped_by() const override { return kNodeAdded | kPodGone | kClaimChanged; }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    (void)cluster;
    if ((event.kinds & kClaimChanged) != 0) {
      return event.before == nullptr && event.after != nullptr && event.after->ns() == waiting.ns &&
             uses(waiting, event.after->name());
    }
    if ((event.kinds & kPodGone) == 0 || event.pod_before == nullptr) return true;
    const PodInfo& gone = *event.pod_before;
    if (gone.ns != waiting.ns) return false;
    return conflict(waiting, gone) ||
           std::any_of(gone.volumes.begin(), gone.volumes.end(), [&](const PodVolume& v) {
             return v.kind == PodVolume::Kind::kClaim && uses(waiting, v.source);
           });
  }

 private:
  static bool uses(const PodInfo& pod, std::string_view claim) {
    return std::any_of(pod.volumes.begin(), pod.volumes.end(), [&](const PodVolume& v) {
      return v.kind == PodVolume::Kind::kClaim && v.source == claim;
    });
  }
};

}  // namespace

PluginPtr make_volume_restrictions() { return std::make_unique<VolumeRestrictions>(); }

}  // namespace orch::server::scheduler
