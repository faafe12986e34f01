// VolumeZone: volumes with zone or region labels can be used by nodes with the same ones only.
#include <algorithm>

#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

/// A label, its name of old times first, and what stands for it now.
struct ZoneLabel {
  const char* key;
  const char* today;
};
constexpr ZoneLabel kLabels[] = {
    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
    {"topology.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"topology.kubernetes.io/region", "topology.kubernetes.io/region"},
};

struct Zones {
  const ZoneLabel* label;
  std::vector<std::string> values;
};

/// "a__b": a volume that is in several zones. Nothing when one of them is empty.
std::vector<std::string> split_zones(std::string_view text) {
  std::vector<std::string> out;
  while (true) {
    const size_t end = text.find("__");
    std::string_view zone = text.substr(0, end);
    while (!zone.empty() && zone.front() == ' ') zone.remove_prefix(1);
    while (!zone.empty() && zone.back() == ' ') zone.remove_suffix(1);
    if (zone.empty()) return {};
    out.emplace_back(zone);
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 2);
  }
}

std::vector<Zones> zones_of(const Volume& v) {
  std::vector<Zones> out;
  for (const ZoneLabel& label : kLabels) {
    for (const auto& [key, value] : v.labels) {
      if (key != label.key) continue;
      if (auto values = split_zones(value); !values.empty()) out.push_back({&label, std::move(values)});
    }
  }
  return out;
}

class Filter final : public NodeFilter {
 public:
  explicit Filter(std::vector<Zones> zones) : zones_(std::move(zones)) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    auto label = [&](const char* key) { return node.labels.find(key); };
    const bool in_a_zone = std::any_of(std::begin(kLabels), std::end(kLabels),
                                       [&](const ZoneLabel& l) { return label(l.key) != node.labels.end(); });
    if (!in_a_zone) return Verdict::kFits;
    for (const Zones& z : zones_) {
      auto it = label(z.label->key);
      if (it == node.labels.end()) it = label(z.label->today);
      if (it != node.labels.end() &&
          std::find(z.values.begin(), z.values.end(), it->second) != z.values.end())
        continue;
      reasons.emplace_back("node(s) had no available volume zone");
      return Verdict::kUnsuitable;
    }
    return Verdict::kFits;
  }

 private:
  const std::vector<Zones> zones_;
};

class VolumeZone final : public Plugin {
 public:
  std::string_view name() const override { return "VolumeZone"; }
  bool local() const override { return false; }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    std::vector<Zones> zones;
    auto refuse = [&](std::string reason) {
      out.verdict = Verdict::kUnsuitable;
      out.reason = std::move(reason);
      return std::move(out);
    };
    for (const PodVolume& v : pod.volumes) {
      if (v.kind != PodVolume::Kind::kClaim) continue;
      const auto claim = cluster.storage.claim(pod.ns, v.source);
      if (claim == nullptr) return refuse(base::cat("persistentvolumeclaim \"", v.source, "\" not found"));
      if (claim->volume.empty()) {
        if (claim->storage_class.empty())
          return refuse("PersistentVolumeClaim had no pv name and storageClass name");
        const auto cls = cluster.storage.storage_class(claim->storage_class);
        if (cls == nullptr) {
          return refuse(base::cat("storageclass.storage.k8s.io \"", claim->storage_class, "\" not found"));
        }
        if (!cls->binding_mode)
          return refuse(base::cat("VolumeBindingMode not set for StorageClass \"", cls->name, "\""));
        if (cls->waits_for_pod()) continue;
        return refuse("PersistentVolume had no name");
      }
      const auto volume = cluster.storage.volume(claim->volume);
      if (volume == nullptr) return refuse(base::cat("persistentvolume \"", claim->volume, "\" not found"));
      for (auto& z : zones_of(*volume)) zones.push_back(std::move(z));
    }
    if (!zones.empty()) out.filter = std::make_unique<Filter>(std::move(zones));
    return out;
  }

  uint32_t helped_by() const override {
    return kNodeAdded | kNodeLabels | kClassChanged | kClaimChanged | kVolumeChanged;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    if ((event.kinds & kClaimChanged) != 0) {
      return event.after->ns() == waiting.ns &&
             std::any_of(waiting.volumes.begin(), waiting.volumes.end(), [&](const PodVolume& v) {
               return v.kind == PodVolume::Kind::kClaim && v.source == event.after->name();
             });
    }
    if ((event.kinds & kClassChanged) != 0) {
      const auto cls = cluster.storage.storage_class(event.after->name());
      return event.before == nullptr && cls != nullptr && cls->waits_for_pod();
    }
    return true;
  }
};

}  // namespace

PluginPtr make_volume_zone() { return std::make_unique<VolumeZone>(); }

}  // namespace orch::server::scheduler
