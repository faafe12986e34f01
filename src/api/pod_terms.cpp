#include "api/pod_terms.h"

#include <algorithm>

#include "base/json.h"
#include "base/status.h"

namespace orch::api {

namespace {

constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

/// A broken selector (the API refuses them) selects nothing.
LabelSelector selector_at(const Json& tree, std::string_view key) {
  const Json* selector = base::find_path(tree, {key});
  auto read = LabelSelector::from_tree(selector != nullptr ? *selector : Json());
  return read.ok() ? std::move(*read) : LabelSelector::nothing();
}

std::string text_at(const Json& tree, std::initializer_list<std::string_view> path) {
  return std::string(base::string_at(tree, path));
}

PodTerm read_term(const Json& tree, std::string_view ns) {
  PodTerm t;
  for (const auto& name : base::array_at(tree, {"namespaces"})) {
    if (name.is_string()) t.namespaces.push_back(name.get<std::string>());
  }
  const Json* of_namespaces = base::find_path(tree, {"namespaceSelector"});
  if (t.namespaces.empty() && (of_namespaces == nullptr || of_namespaces->is_null()))
    t.namespaces.emplace_back(ns);
  t.namespace_selector = selector_at(tree, "namespaceSelector");
  t.selector = selector_at(tree, "labelSelector");
  t.topology_key = text_at(tree, {"topologyKey"});
  return t;
}

void read_terms(const Json& tree, std::string_view ns, std::vector<PodTerm>& required,
                std::vector<WeightedPodTerm>& preferred) {
  for (const auto& t : base::array_at(tree, {kRequired})) required.push_back(read_term(t, ns));
  for (const auto& t : base::array_at(tree, {kPreferred})) {
    preferred.emplace_back(base::int_at(t, {"weight"}),
                           read_term(base::object_at(t, {"podAffinityTerm"}), ns));
  }
}

/// Disks of Kubernetes' own plugins that a CSI driver serves by now, by the member of the volume.
struct InTreeDisk {
  const char* member;
  const char* id;  // the member of the source that names the disk
  PodVolume::Kind kind;
  const char* plugin;
  const char* driver;
  const char* handle_prefix;
};
constexpr InTreeDisk kInTree[] = {
    {"gcePersistentDisk", "pdName", PodVolume::Kind::kGcePd, "kubernetes.io/gce-pd", "pd.csi.storage.gke.io",
     "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/"},
    {"awsElasticBlockStore", "volumeID", PodVolume::Kind::kAwsEbs, "kubernetes.io/aws-ebs", "ebs.csi.aws.com",
     ""},
    {"azureDisk", "diskURI", PodVolume::Kind::kInTree, "kubernetes.io/azure-disk", "disk.csi.azure.com", ""},
    {"cinder", "volumeID", PodVolume::Kind::kInTree, "kubernetes.io/cinder", "cinder.csi.openstack.org", ""},
    {"azureFile", "shareName", PodVolume::Kind::kInTree, "kubernetes.io/azure-file", "file.csi.azure.com",
     ""},
    {"vsphereVolume", "volumePath", PodVolume::Kind::kInTree, "kubernetes.io/vsphere-volume",
     "csi.vsphere.vmware.com", ""},
    {"portworxVolume", "volumeID", PodVolume::Kind::kInTree, "kubernetes.io/portworx-volume",
     "pxd.portworx.com", ""},
};

bool read_disk(const Json& volume, PodVolume& out) {
  if (const Json* rbd = base::find_path(volume, {"rbd"}); rbd != nullptr) {
    out.kind = PodVolume::Kind::kRbd;
    const std::string_view pool = base::string_at(*rbd, {"pool"});
    out.source = base::cat(pool, "/", base::string_at(*rbd, {"image"}));
    for (const auto& m : base::array_at(*rbd, {"monitors"})) {
      if (m.is_string()) out.monitors.push_back(m.get<std::string>());
    }
    out.read_only = base::bool_at(*rbd, {"readOnly"});
    return true;
  }
  if (const Json* iscsi = base::find_path(volume, {"iscsi"}); iscsi != nullptr) {
    out.kind = PodVolume::Kind::kIscsi;
    out.source = text_at(*iscsi, {"iqn"});
    out.read_only = base::bool_at(*iscsi, {"readOnly"});
    return true;
  }
  for (const InTreeDisk& disk : kInTree) {
    const Json* source = base::find_path(volume, {disk.member});
    if (source == nullptr || source->is_null()) continue;
    out.kind = disk.kind;
    out.source = text_at(*source, {disk.id});
    out.read_only = base::bool_at(*source, {"readOnly"});
    out.plugin = disk.plugin;
    out.driver = disk.driver;
    out.handle = base::cat(disk.handle_prefix, out.source);
    return true;
  }
  return false;
}

}  // namespace

bool PodTerm::in_namespace(std::string_view ns, const Object* labels) const {
  if (std::find(namespaces.begin(), namespaces.end(), ns) != namespaces.end()) return true;
  return labels != nullptr ? namespace_selector.matches(*labels) : namespace_selector.matches(Json());
}

std::shared_ptr<const PodTerms> read_pod_terms(const Json& spec, std::string_view ns) {
  const Json& affinity = base::object_at(spec, {"affinity"});
  const Json& near = base::object_at(affinity, {"podAffinity"});
  const Json& apart = base::object_at(affinity, {"podAntiAffinity"});
  if (near.empty() && apart.empty()) return nullptr;
  auto out = std::make_shared<PodTerms>();
  read_terms(near, ns, out->near, out->prefers);
  read_terms(apart, ns, out->apart, out->dislikes);
  out->key = base::cat(ns, "\n", base::dump_json(near), "\n", base::dump_json(apart));
  return out;
}

SpreadConstraint read_spread_constraint(const Json& c, const Json& labels) {
  SpreadConstraint out;
  out.max_skew = base::int_at(c, {"maxSkew"}, 1);
  out.min_domains = base::int_at(c, {"minDomains"}, 1);
  out.topology_key = text_at(c, {"topologyKey"});
  out.hard = base::string_at(c, {"whenUnsatisfiable"}) != "ScheduleAnyway";
  out.honor_affinity = base::string_at(c, {"nodeAffinityPolicy"}, "Honor") != "Ignore";
  out.honor_taints = base::string_at(c, {"nodeTaintsPolicy"}, "Ignore") == "Honor";
  const Json* given = base::find_path(c, {"labelSelector"});
  const Json& keys = base::array_at(c, {"matchLabelKeys"});
  if (given == nullptr || !given->is_object() || keys.empty()) {
    out.selector = selector_at(c, "labelSelector");
    return out;
  }
  Json merged = *given;
  for (const auto& key : keys) {
    if (!key.is_string() || !labels.is_object() || !labels.contains(key.get<std::string>())) continue;
    merged["matchExpressions"].push_back(
        {{"key", key}, {"operator", "In"}, {"values", Json::array({labels[key.get<std::string>()]})}});
  }
  auto read = LabelSelector::from_tree(merged);
  out.selector = read.ok() ? std::move(*read) : LabelSelector::nothing();
  return out;
}

std::vector<SpreadConstraint> read_spread(const Json& spec, const Json& labels) {
  std::vector<SpreadConstraint> out;
  for (const auto& c : base::array_at(spec, {"topologySpreadConstraints"}))
    out.push_back(read_spread_constraint(c, labels));
  return out;
}

std::vector<PodVolume> read_volumes(const Json& spec, std::string_view pod_name) {
  std::vector<PodVolume> out;
  for (const auto& v : base::array_at(spec, {"volumes"})) {
    PodVolume volume;
    volume.name = text_at(v, {"name"});
    if (const Json* claim = base::find_path(v, {"persistentVolumeClaim"}); claim != nullptr) {
      volume.source = text_at(*claim, {"claimName"});
    } else if (base::find_path(v, {"ephemeral"}) != nullptr) {
      volume.kind = PodVolume::Kind::kEphemeral;
      volume.source = base::cat(pod_name, "-", volume.name);
    } else if (!read_disk(v, volume)) {
      continue;
    }
    out.push_back(std::move(volume));
  }
  return out;
}

}  // namespace orch::api
