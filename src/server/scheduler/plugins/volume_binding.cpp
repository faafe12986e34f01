// VolumeBinding: a pod's claims are bound to volumes its node can reach; those whose class waits for the
// first pod (WaitForFirstConsumer) get one there: one of the volumes that wait for a claim, or a new one, for
// which the claim is told the node (volume.kubernetes.io/selected-node).
#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

using ClaimPtr = std::shared_ptr<const Claim>;
using VolumePtr = std::shared_ptr<const Volume>;

constexpr std::string_view kNoProvisioner = "kubernetes.io/no-provisioner";

/// The claims of a pod, sorted by what is to be done for them.
struct Claims {
  std::vector<ClaimPtr> bound, waiting;
  std::vector<VolumePtr> volumes;  // all, when somebody waits
};

class Filter final : public NodeFilter {
 public:
  Filter(Claims claims, const Cluster& cluster) : claims_(std::move(claims)), storage_(cluster.storage) {}

  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    VolumePlan ignored;
    return plan(node, reasons, ignored);
  }

  Verdict plan(const NodeInfo& node, Reasons& reasons, VolumePlan& out) const {
    bool reachable = true, all_exist = true, satisfied = true, enough_space = true;
    for (const ClaimPtr& claim : claims_.bound) {
      const auto volume = storage_.volume(claim->volume);
      all_exist = volume != nullptr;
      reachable = volume == nullptr || volume->reachable_from(node);
      if (!all_exist || !reachable) break;
    }
    std::vector<ClaimPtr> to_match, to_make;
    for (const ClaimPtr& claim : claims_.waiting) {
      if (claim->selected_node && *claim->selected_node != node.name) {
        satisfied = false;
        return refuse(reasons, reachable, satisfied, enough_space, all_exist);
      }
      (claim->selected_node ? to_make : to_match).push_back(claim);
    }
    std::stable_sort(to_match.begin(), to_match.end(), [](const ClaimPtr& a, const ClaimPtr& b) {
      return a->requested.value_or(0) < b->requested.value_or(0);
    });
    std::set<std::string> taken;
    for (const ClaimPtr& claim : to_match) {
      if (const VolumePtr v = find_matching_volume(*claim, claims_.volumes, &node, taken, false)) {
        taken.insert(v->name);
        out.matches.push_back({v->name, claim->ns, claim->name});
      } else {
        to_make.push_back(claim);
      }
    }
    for (const ClaimPtr& claim : to_make) {
      const Verdict verdict = makeable(*claim, node, satisfied, enough_space, reasons);
      if (verdict != Verdict::kFits) return verdict;
      if (!satisfied || !enough_space) break;
      out.provisions.push_back(claim->name);
    }
    return refuse(reasons, reachable, satisfied, enough_space, all_exist);
  }

 private:
  static Verdict refuse(Reasons& reasons, bool reachable, bool satisfied, bool enough_space, bool all_exist) {
    if (reachable && satisfied && enough_space && all_exist) return Verdict::kFits;
    if (!reachable) reasons.emplace_back("node(s) didn't match PersistentVolume's node affinity");
    if (!satisfied) reasons.emplace_back("node(s) didn't find available persistent volumes to bind");
    if (!enough_space) reasons.emplace_back("node(s) did not have enough free storage");
    if (!all_exist)
      reasons.emplace_back("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
    return Verdict::kUnsuitable;
  }

  Verdict makeable(const Claim& claim, const NodeInfo& node, bool& satisfied, bool& enough_space,
                   Reasons& reasons) const {
    if (claim.storage_class.empty()) {
      reasons.push_back(base::cat("no class for claim \"", claim.ns, "/", claim.name, "\""));
      return Verdict::kFailed;
    }
    const auto cls = storage_.storage_class(claim.storage_class);
    if (cls == nullptr) {
      reasons.push_back(base::cat("failed to find storage class \"", claim.storage_class, "\""));
      return Verdict::kFailed;
    }
    if (cls->provisioner.empty() || cls->provisioner == kNoProvisioner || !cls->allows(node)) {
      satisfied = false;
    } else {
      enough_space = has_room(claim, *cls, node);
    }
    return Verdict::kFits;
  }

  /// Drivers that report their capacity say what they can make where.
  bool has_room(const Claim& claim, const StorageClass& cls, const NodeInfo& node) const {
    if (!claim.requested || !storage_.driver_reports_capacity(cls.provisioner)) return true;
    Json labels = Json::object();
    for (const auto& [key, value] : node.labels) labels[key] = value;
    const auto capacities = storage_.capacities();
    return std::any_of(capacities.begin(), capacities.end(), [&](const auto& c) {
      return c->storage_class == cls.name && c->limit && *c->limit >= *claim.requested && c->topology &&
             c->topology->matches(labels);
    });
  }

  const Claims claims_;
  const Storage& storage_;
};

bool uses(const PodInfo& pod, const api::Object& claim) {
  return claim.ns() == pod.ns && std::any_of(pod.volumes.begin(), pod.volumes.end(), [&](const PodVolume& v) {
           return v.is_claim() && v.source == claim.name();
         });
}

/// Why a claim cannot be used at all, or "".
std::string unusable(const PodInfo& pod, const PodVolume& v, const Claim* claim) {
  const bool ephemeral = v.kind == PodVolume::Kind::kEphemeral;
  if (claim == nullptr) {
    return ephemeral
               ? base::cat("waiting for ephemeral volume controller to create the persistentvolumeclaim \"",
                           v.source, "\"")
               : base::cat("persistentvolumeclaim \"", v.source, "\" not found");
  }
  if (claim->phase == "Lost") {
    return base::cat("persistentvolumeclaim \"", v.source, "\" bound to non-existent persistentvolume \"",
                     claim->volume, "\"");
  }
  if (claim->deleting) return base::cat("persistentvolumeclaim \"", v.source, "\" is being deleted");
  if (ephemeral && claim->owner_uid != pod.uid) {
    return base::cat("PVC ", claim->ns, "/", claim->name, " was not created for pod ", pod.ns, "/", pod.name,
                     " (pod is not owner)");
  }
  return {};
}

class VolumeBinding final : public Plugin {
 public:
  std::string_view name() const override { return "VolumeBinding"; }
  bool local() const override { return false; }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    auto filter = filter_of(pod, cluster, out);
    if (filter != nullptr) out.filter = std::move(filter);
    return out;
  }

  VolumePlan volumes(const PodInfo& pod, const NodeInfo& node, const Cluster& cluster) const override {
    Prepared ignored;
    Reasons reasons;
    VolumePlan out;
    if (auto filter = filter_of(pod, cluster, ignored)) filter->plan(node, reasons, out);
    return out;
  }

  uint32_t helped_by() const override {
    return kNodeAdded | kNodeLabels | kClaimChanged | kVolumeChanged | kClassChanged | kCsiNodeChanged |
           kCsiDriverChanged | kCsiCapacityChanged;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    const Storage& storage = cluster.storage;
    if ((event.kinds & kClaimChanged) != 0) return uses(waiting, *event.after);
    if (event.before == nullptr || event.after == nullptr) return true;
    if ((event.kinds & kClassChanged) != 0)
      return storage.read_class(event.before)->topologies != storage.read_class(event.after)->topologies;
    if ((event.kinds & kCsiNodeChanged) != 0)
      return storage.read_csi_node(event.before)->migrated != storage.read_csi_node(event.after)->migrated;
    if ((event.kinds & kCsiCapacityChanged) != 0) {
      const auto before = storage.read_capacity(event.before)->limit,
                 now = storage.read_capacity(event.after)->limit;
      return now && (!before || *now > *before);
    }
    return true;
  }

 private:
  /// Null: nothing to do, or refused as `out` says then.
  static std::unique_ptr<Filter> filter_of(const PodInfo& pod, const Cluster& cluster, Prepared& out) {
    Claims claims;
    bool any = false, immediate = false;
    auto stop = [&](Verdict verdict, std::string reason) {
      out.verdict = verdict;
      out.reason = std::move(reason);
      return nullptr;
    };
    for (const PodVolume& v : pod.volumes) {
      if (!v.is_claim()) continue;
      any = true;
      const ClaimPtr claim = cluster.storage.claim(pod.ns, v.source);
      if (std::string why = unusable(pod, v, claim.get()); !why.empty())
        return stop(Verdict::kUnsuitable, std::move(why));
    }
    if (!any) return nullptr;
    for (const PodVolume& v : pod.volumes) {
      if (!v.is_claim()) continue;
      const ClaimPtr claim = cluster.storage.claim(pod.ns, v.source);
      if (claim->bound()) {
        claims.bound.push_back(claim);
        continue;
      }
      const auto cls =
          claim->storage_class.empty() ? nullptr : cluster.storage.storage_class(claim->storage_class);
      if (cls != nullptr && !cls->binding_mode) {
        return stop(Verdict::kFailed,
                    base::cat("VolumeBindingMode not set for StorageClass \"", cls->name, "\""));
      }
      if (cls != nullptr && cls->waits_for_pod() && claim->volume.empty()) {
        claims.waiting.push_back(claim);
      } else {
        immediate = true;
      }
    }
    if (immediate) return stop(Verdict::kUnsuitable, "pod has unbound immediate PersistentVolumeClaims");
    if (!claims.waiting.empty()) claims.volumes = cluster.storage.volumes();
    return std::make_unique<Filter>(std::move(claims), cluster);
  }
};

}  // namespace

PluginPtr make_volume_binding() { return std::make_unique<VolumeBinding>(); }

}  // namespace orch::server::scheduler
