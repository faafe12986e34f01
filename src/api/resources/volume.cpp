// core/v1 PersistentVolume and PersistentVolumeClaim: defaults, validation, what an update may change.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "api/quantity.h"
#include "api/resources/claim_validation.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_parts.h"
#include "api/resources/resource_validation.h"
#include "api/resources/scheduling_validation.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/resources/unified_diff.h"
#include "api/resources/volume_sources.h"
#include "base/clock.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kBetaClass = "volume.beta.kubernetes.io/storage-class";
constexpr const char* kMountOptions = "volume.beta.kubernetes.io/mount-options";

void default_volume(Json& volume) {
  Json& spec = child(volume, "spec");
  default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
  default_pointer(spec, "volumeMode", "Filesystem");
  default_text(child(volume, "status"), "phase", "Pending");
  if (Json* source = object_in(spec, "hostPath")) default_pointer(*source, "type", "");
  if (Json* source = object_in(spec, "iscsi")) default_text(*source, "iscsiInterface", "default");
  if (Json* source = object_in(spec, "rbd")) {
    default_text(*source, "pool", "rbd");
    default_text(*source, "user", "admin");
    default_text(*source, "keyring", "/etc/ceph/keyring");
  }
  if (Json* source = object_in(spec, "azureDisk")) {
    default_pointer(*source, "cachingMode", "ReadWrite");
    default_pointer(*source, "kind", "Shared");
    default_pointer(*source, "fsType", "ext4");
    default_pointer(*source, "readOnly", false);
  }
  if (Json* source = object_in(spec, "scaleIO")) {
    default_text(*source, "storageMode", "ThinProvisioned");
    default_text(*source, "fsType", "xfs");
  }
}

void default_claim(Json& claim) {
  default_pointer(child(claim, "spec"), "volumeMode", "Filesystem");
  default_text(child(claim, "status"), "phase", "Pending");
}

// --- PersistentVolume --------------------------------------------------------------------------------

/// Where a volume can come from. Kubernetes names two of them otherwise in some errors.
struct Source {
  const char* member;
  const char* forbidden;  // when it is not the only one
  const char* shown;
};
constexpr Source kSources[] = {
    {"hostPath", "hostPath", "hostPath"},
    {"gcePersistentDisk", "gcePersistentDisk", "persistentDisk"},
    {"awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore"},
    {"glusterfs", "glusterfs", "glusterfs"},
    {"flocker", "flocker", "flocker"},
    {"nfs", "nfs", "nfs"},
    {"rbd", "rbd", "rbd"},
    {"quobyte", "quobyte", "quobyte"},
    {"cephfs", "cephFS", "cephfs"},
    {"iscsi", "iscsi", "iscsi"},
    {"cinder", "cinder", "cinder"},
    {"fc", "fc", "fc"},
    {"flexVolume", nullptr, "flexVolume"},
    {"azureFile", "azureFile", "azureFile"},
    {"vsphereVolume", "vsphereVolume", "vsphereVolume"},
    {"photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk"},
    {"portworxVolume", "portworxVolume", "portworxVolume"},
    {"azureDisk", "azureDisk", "azureDisk"},
    {"scaleIO", "scaleIO", "scaleIO"},
    {"local", "local", "local"},
    {"storageos", "storageos", "storageos"},
    {"csi", "csi", "csi"},
};

void validate_secret_reference(const Json& ref, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(ref, "name");
  if (name.empty()) {
    errors.required(path.child("name"));
  } else {
    validate_dns1123_subdomain(name, path.child("name"), errors);
  }
  const std::string_view ns = text_of(ref, "namespace");
  if (ns.empty()) return errors.required(path.child("namespace"));
  validate_dns1123_label(ns, path.child("namespace"), errors);
}

void validate_csi(const Json& source, const FieldPath& path, FieldErrors& errors) {
  validate_csi_driver_name(text_of(source, "driver"), path.child("driver"), errors);
  if (text_of(source, "volumeHandle").empty()) errors.required(path.child("volumeHandle"));
  for (const char* key : {"controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
                          "nodeExpandSecretRef"}) {
    if (has(source, key)) validate_secret_reference(map_of(source, key), path.child(key), errors);
  }
}

void validate_source(std::string_view kind, const Json& source, std::string_view owner, const FieldPath& path,
                     FieldErrors& errors) {
  if (kind == "hostPath") return validate_host_path(source, path, errors);
  if (kind == "gcePersistentDisk") return validate_disk_partition(source, "pdName", path, errors);
  if (kind == "awsElasticBlockStore") return validate_disk_partition(source, "volumeID", path, errors);
  if (kind == "flocker") return validate_flocker(source, path, errors);
  if (kind == "nfs") return validate_nfs(source, path, errors);
  if (kind == "quobyte") return validate_quobyte(source, path, errors);
  if (kind == "iscsi") return validate_iscsi(source, owner, true, path, errors);
  if (kind == "fc") return validate_fc(source, path, errors);
  if (kind == "flexVolume") return validate_flex_volume(source, path, errors);
  if (kind == "azureDisk") return validate_azure_disk(source, path, errors);
  if (kind == "storageos") return validate_storage_os(source, true, path, errors);
  if (kind == "csi") return validate_csi(source, path, errors);
  if (kind == "local") {
    const std::string_view where = text_of(source, "path");
    if (where.empty()) return errors.required(path.child("path"));
    return validate_no_backsteps(where, path.child("path"), errors);
  }
  validate_simple_source(kind, source, true, path, errors);
}

/// Exactly one source; false if there is none.
void validate_sources(const Json& spec, std::string_view owner, bool has_affinity, const FieldPath& path,
                      FieldErrors& errors) {
  int count = 0;
  for (const Source& kind : kSources) {
    if (!has(spec, kind.member)) continue;
    if (count > 0 && kind.forbidden != nullptr) {
      errors.forbidden(path.child(kind.forbidden), "may not specify more than 1 volume type");
      continue;
    }
    ++count;
    validate_source(kind.member, map_of(spec, kind.member), owner, path.child(kind.shown), errors);
    if (std::string_view(kind.member) == "local" && !has_affinity)
      errors.required(path.child("nodeAffinity"), "Local volume requires node affinity");
  }
  if (count == 0) errors.required(path, "must specify a volume type");
}

void validate_capacity(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& capacity = map_of(spec, "capacity");
  if (capacity.empty()) errors.required(path);
  if (!has(capacity, "storage") || capacity.size() > 1) {
    add_cause(errors, "FieldValueNotSupported", path,
              base::cat("Unsupported value: ", capacity.empty() ? "null" : capacity.dump(),
                        ": supported values: \"storage\""));
  }
  for (const auto& [name, value] : capacity.items()) {
    const auto amount = Quantity::from_json(value);
    if (!amount.ok()) continue;
    if (amount->sign() < 0)
      add_invalid(errors, path.key(name), amount->text(), "must be a valid resource quantity");
    if (amount->sign() <= 0) add_invalid(errors, path.key(name), amount->text(), "must be greater than zero");
  }
}

/// A name of a class in a member that may be absent but not empty.
void validate_attributes_class_name(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "volumeAttributesClassName")) return;
  const std::string_view name = text_of(spec, "volumeAttributesClassName");
  if (name.empty()) {
    errors.required(path.child("volumeAttributesClassName"), "an empty string is disallowed");
  } else {
    validate_dns1123_subdomain(name, path.child("volumeAttributesClassName"), errors);
  }
  if (!has(spec, "csi"))
    errors.required(path.child("csi"), "has to be specified when using volumeAttributesClassName");
}

/// The path after cleaning is the root.
bool is_root(std::string_view path) {
  if (!path.starts_with('/')) return false;
  int depth = 0;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view step = path.substr(0, end);
    if (step == "..") {
      depth = std::max(0, depth - 1);
    } else if (!step.empty() && step != ".") {
      ++depth;
    }
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return depth == 0;
}

void validate_volume(const Json& volume, bool lenient, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(volume, "spec");
  if (!has_items(spec, "accessModes")) errors.required(path.child("accessModes"));
  validate_access_modes(list_of(spec, "accessModes"), path.child("accessModes"), errors);
  validate_capacity(spec, path.child("capacity"), errors);
  const std::string_view policy = text_of(spec, "persistentVolumeReclaimPolicy");
  if (!policy.empty() && policy != "Delete" && policy != "Recycle" && policy != "Retain") {
    errors.not_supported(path.child("persistentVolumeReclaimPolicy"), policy,
                         {"Delete", "Recycle", "Retain"});
  }
  const bool has_affinity = has(spec, "nodeAffinity");
  if (has_affinity) {
    const Json& affinity = map_of(spec, "nodeAffinity");
    const FieldPath at = path.child("nodeAffinity").child("required");
    if (has(affinity, "required")) {
      validate_node_selector(map_of(affinity, "required"), lenient, at, errors);
    } else {
      errors.required(at, "must specify required node constraints");
    }
  }
  validate_sources(spec, name_of(volume), has_affinity, path, errors);
  if (policy == "Recycle" && has(spec, "hostPath") && is_root(text_of(map_of(spec, "hostPath"), "path"))) {
    errors.forbidden(path.child("persistentVolumeReclaimPolicy"),
                     "may not be 'recycle' for a hostPath mount of '/'");
  }
  const std::string_view storage_class = text_of(spec, "storageClassName");
  if (!storage_class.empty())
    validate_dns1123_subdomain(storage_class, path.child("storageClassName"), errors);
  validate_volume_mode(spec, path, errors);
  validate_attributes_class_name(spec, path, errors);
}

void validate_mount_options(const Json& volume, FieldErrors& errors) {
  for (const char* able :
       {"gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder",
        "cephfs", "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk"}) {
    if (has(map_of(volume, "spec"), able)) return;
  }
  if (annotations_of(volume).contains(kMountOptions)) {
    errors.forbidden(FieldPath("metadata.annotations").child(kMountOptions),
                     "may not specify mount options for this volume type");
  }
}

/// The members of the spec that say where the volume is.
Json sources_of(const Json& spec) {
  Json out = Json::object();
  for (const Source& kind : kSources) {
    if (has(spec, kind.member)) out[kind.member] = member_of(spec, kind.member);
  }
  return out;
}

bool lenient_affinity(const Json& old) {
  // What an older server accepted stays.
  FieldErrors errors;
  const Json& required = map_of(map_of(map_of(old, "spec"), "nodeAffinity"), "required");
  validate_node_selector(required, false, FieldPath(), errors);
  return !errors.empty();
}

void validate_volume_update(const Json& volume, const Json& old, FieldErrors& errors) {
  // kube-apiserver validates the whole again as part of the update's rules.
  const bool lenient = has(map_of(old, "spec"), "nodeAffinity") && lenient_affinity(old);
  validate_volume(volume, lenient, errors);
  validate_mount_options(volume, errors);
  validate_volume(volume, lenient, errors);
  const Json& spec = map_of(volume, "spec");
  const Json& before = map_of(old, "spec");
  Json source = sources_of(spec);
  const Json old_source = sources_of(before);
  if (has(source, "csi") && has(old_source, "csi") && !has(old_source["csi"], "controllerExpandSecretRef"))
    drop(source["csi"], "controllerExpandSecretRef");
  if (!same(source, old_source)) {
    errors.forbidden(
        FieldPath("spec.persistentvolumesource"),
        "spec.persistentvolumesource is immutable after creation\n" + json_diff(old_source, source));
  }
  validate_immutable_member(spec, before, "volumeMode", FieldPath(), errors);
  if (has(before, "nodeAffinity") && !same_member(spec, before, "nodeAffinity")) {
    errors.invalid(FieldPath("nodeAffinity"), member_of(spec, "nodeAffinity"),
                   "field is immutable, except for updating from beta label to GA");
  }
  if (has(before, "volumeAttributesClassName") && !has(spec, "volumeAttributesClassName")) {
    errors.forbidden(FieldPath("spec.volumeAttributesClassName"),
                     "update from non-nil value to nil is forbidden");
  }
}

std::vector<std::string> volume_warnings_of(const Json& volume, const Json*) {
  struct Deprecated {
    const char* member;
    const char* shown;
    const char* message;
  };
  static constexpr Deprecated kDeprecated[] = {
      {"cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
      {"photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
      {"scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
      {"storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
      {"glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
      {"rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"},
  };
  std::vector<std::string> out;
  const Json& spec = map_of(volume, "spec");
  if (text_of(spec, "persistentVolumeReclaimPolicy") == "Recycle") {
    out.emplace_back(
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
        "recommended "
        "approach is to use dynamic provisioning.");
  }
  for (const Deprecated& kind : kDeprecated) {
    if (has(spec, kind.member)) out.push_back(base::cat("spec.", kind.shown, ": ", kind.message));
  }
  return out;
}

void prepare_volume_status(Json& volume, const Json& old, const StrategyContext& context) {
  Json& status = child(volume, "status");
  const Json& before = map_of(old, "status");
  const bool same_phase = text_of(status, "phase") == text_of(before, "phase");
  constexpr const char* kTime = "lastPhaseTransitionTime";
  if (same_phase && !has(status, kTime)) {
    restore(status, before, kTime);
  } else if (!same_phase && (!has(status, kTime) || same_member(status, before, kTime))) {
    put(status, kTime, base::format_time(context.now));
  }
}

// --- PersistentVolumeClaim ---------------------------------------------------------------------------

bool is_claim_or_snapshot(const Json& source) {
  const std::string_view kind = text_of(source, "kind");
  const std::string_view group = text_of(source, "apiGroup");
  return (kind == "PersistentVolumeClaim" && group.empty()) ||
         (kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io");
}

/// dataSource and dataSourceRef say the same (KEP-1495).
void normalize_sources(Json& spec) {
  const auto copy = [](const Json& from) {
    Json to = Json::object();
    for (const char* key : {"apiGroup", "kind", "name"}) {
      if (from.contains(key)) to[key] = from[key];
    }
    return to;
  };
  const bool source = has(spec, "dataSource"), ref = has(spec, "dataSourceRef");
  if (source && !ref) {
    put(spec, "dataSourceRef", copy(map_of(spec, "dataSource")));
  } else if (ref && !source && text_of(map_of(spec, "dataSourceRef"), "namespace").empty()) {
    put(spec, "dataSource", copy(map_of(spec, "dataSourceRef")));
  }
}

/// Other sources than claims and snapshots were ignored before there was dataSourceRef.
void prepare_sources(Json& claim, const Json* old) {
  Json& spec = child(claim, "spec");
  const Json& before = old == nullptr ? member_of(spec, "") : map_of(*old, "spec");
  const bool was = has(before, "dataSource");
  // CrossNamespaceVolumeDataSource is off.
  if (!text_of(map_of(spec, "dataSourceRef"), "namespace").empty() && !has(before, "dataSourceRef"))
    drop(spec, "dataSourceRef");
  if (!was && !has(spec, "dataSourceRef") && has(spec, "dataSource") &&
      !is_claim_or_snapshot(map_of(spec, "dataSource")))
    drop(spec, "dataSource");
  normalize_sources(spec);
}

void validate_claim_changes(const Json& claim, const Json& old, FieldErrors& errors) {
  Json spec = map_of(claim, "spec");
  Json before = map_of(old, "spec");
  if (text_of(before, "volumeName").empty()) restore(before, spec, "volumeName");
  const std::string_view annotated = text_of(annotations_of(old), kBetaClass);
  const std::string_view now = text_of(annotations_of(claim), kBetaClass);
  const bool class_given = !has(before, "storageClassName") && has(spec, "storageClassName");
  const bool was_annotated = annotations_of(old).contains(kBetaClass);
  if (!(class_given && was_annotated && text_of(spec, "storageClassName") == annotated &&
        (now == annotated || !annotations_of(claim).contains(kBetaClass))) &&
      now != annotated) {
    add_invalid(errors, FieldPath("metadata").child(kBetaClass), now, "field is immutable");
  }
  if (class_given && (!was_annotated || text_of(spec, "storageClassName") == annotated))
    drop(spec, "storageClassName");
  const bool bound = text_of(map_of(claim, "status"), "phase") == "Bound";
  if (bound) {
    if (Json* resources = object_in(spec, "resources")) {
      if (Json* requests = object_in(*resources, "requests"))
        restore(*requests, map_of(map_of(before, "resources"), "requests"), "storage");
    }
    restore(spec, before, "volumeAttributesClassName");
  }
  // To name a class "" is something else than to name none.
  bool changed = !same(spec, before);
  for (const char* key : {"storageClassName", "volumeAttributesClassName"})
    changed = changed || has(spec, key) != has(before, key);
  if (changed) {
    errors.forbidden(FieldPath("spec"),
                     "spec is immutable after creation except resources.requests and "
                     "volumeAttributesClassName for bound claims\n" +
                         json_diff(before, spec));
  }
}

Quantity storage_of(const Json& resources) {
  const auto amount = Quantity::from_json(member_of(resources, "storage"));
  return amount.ok() ? *amount : Quantity();
}

void validate_claim_update(const Json& claim, const Json& old, FieldErrors& errors) {
  const Json& spec = map_of(claim, "spec");
  const Json& before = map_of(old, "spec");
  ClaimOptions options;
  options.allow_invalid_selector_values = has_invalid_selector_value(member_of(before, "selector"));
  validate_claim_spec(spec, FieldPath("spec"), errors, options);
  validate_claim_changes(claim, old, errors);
  const Quantity size = storage_of(map_of(map_of(spec, "resources"), "requests"));
  const Quantity old_size = storage_of(map_of(map_of(before, "resources"), "requests"));
  if (size < old_size && !(storage_of(map_of(map_of(old, "status"), "capacity")) < size)) {
    errors.forbidden(FieldPath("spec.resources.requests.storage"),
                     "field can not be less than status.capacity");
  }
  validate_immutable_member(spec, before, "volumeMode", FieldPath(), errors);
  constexpr const char* kAttributes = "volumeAttributesClassName";
  if (same_member(spec, before, kAttributes) ||
      !has(map_of(old, "status"), "currentVolumeAttributesClassName"))
    return;
  for (const bool empty : {false, true}) {
    if (has(spec, kAttributes) != empty || !text_of(spec, kAttributes).empty()) continue;
    errors.forbidden(FieldPath("spec.volumeAttributesClassName"),
                     base::cat("update to ", empty ? "empty string" : "nil",
                               " is forbidden when status.currentVolumeAttributesClassName is not nil"));
  }
}

void validate_claim_resource(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  FieldErrors problems;
  validate_qualified_name(name, path, problems);
  if (problems.empty() && is_native_resource(name) && name != "storage")
    problems.not_supported(path, name, {"storage"});
  errors.append(std::move(problems));
}

void validate_claim_status(const Json& claim, const Json&, FieldErrors& errors) {
  if (!has_items(map_of(claim, "spec"), "accessModes")) errors.required(FieldPath("Spec.accessModes"));
  const FieldPath path("status");
  const Json& status = map_of(claim, "status");
  const auto basic = [&](const Json& value, const FieldPath& at) {
    const auto amount = Quantity::from_json(value);
    if (!amount.ok() || amount->sign() >= 0) return true;
    add_invalid(errors, at, amount->text(), "must be a valid resource quantity");
    return false;
  };
  for (const auto& [name, value] : map_of(status, "capacity").items())
    basic(value, path.child("capacity").key(name));
  static const std::vector<std::string> known = {"ControllerResizeInProgress", "ControllerResizeInfeasible",
                                                 "NodeResizeInProgress", "NodeResizeInfeasible",
                                                 "NodeResizePending"};
  const FieldPath statuses = path.child("allocatedResourceStatuses");
  for (const auto& [name, value] : map_of(status, "allocatedResourceStatuses").items()) {
    validate_claim_resource(name, statuses, errors);
    if (std::find(known.begin(), known.end(), text(value)) == known.end())
      errors.not_supported(statuses, name, known);
  }
  const FieldPath allocated = path.child("allocatedResources");
  for (const auto& [name, value] : map_of(status, "allocatedResources").items()) {
    FieldErrors problems;
    validate_claim_resource(name, allocated, problems);
    const bool named = problems.empty();
    errors.append(std::move(problems));
    if (named && basic(value, allocated.key(name)))
      validate_resource_amount("storage", value, allocated.key(name), errors);
  }
}

std::vector<std::string> claim_warnings(const Json& claim, const Json*) {
  std::vector<std::string> out;
  if (annotations_of(claim).contains(kBetaClass)) {
    out.push_back(base::cat("metadata.annotations[", kBetaClass,
                            "]: deprecated since v1.8; use \"storageClassName\" attribute instead"));
  }
  return out;
}

}  // namespace

void validate_inline_volume_spec(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kInline = "may not be specified in the context of inline volumes";
  if (has(spec, "claimRef")) errors.forbidden(path.child("claimRef"), kInline);
  if (has_items(spec, "capacity")) errors.forbidden(path.child("capacity"), kInline);
  if (!has(spec, "csi"))
    errors.required(path.child("csi"), "has to be specified in the context of inline volumes");
  if (!has_items(spec, "accessModes")) errors.required(path.child("accessModes"));
  validate_access_modes(list_of(spec, "accessModes"), path.child("accessModes"), errors);
  const std::string_view policy = text_of(spec, "persistentVolumeReclaimPolicy");
  if (!policy.empty() && policy != "Retain") {
    errors.forbidden(path.child("persistentVolumeReclaimPolicy"),
                     "may only be Retain in the context of inline volumes");
  }
  if (has(spec, "nodeAffinity")) errors.forbidden(path.child("nodeAffinity"), kInline);
  validate_sources(spec, "", false, path, errors);
  if (!text_of(spec, "storageClassName").empty()) errors.forbidden(path.child("storageClassName"), kInline);
  if (has(spec, "volumeMode") && text_of(spec, "volumeMode") != "Filesystem") {
    errors.forbidden(path.child("volumeMode"),
                     "may not specify volumeMode other than Filesystem in the context of inline volumes");
  }
}

Strategy volume_strategy() {
  Strategy s = traits_of("", "PersistentVolume");
  s.set_defaults = default_volume;
  s.prepare_create = [](Json& volume, const StrategyContext& context) {
    put(volume, "status",
        {{"phase", "Pending"}, {"lastPhaseTransitionTime", base::format_time(context.now)}});
  };
  s.prepare_status_update = prepare_volume_status;
  s.validate = [](const Json& volume, FieldErrors& errors) {
    validate_volume(volume, false, errors);
    validate_mount_options(volume, errors);
  };
  s.validate_update = validate_volume_update;
  s.warnings = volume_warnings_of;
  return s;
}

Strategy claim_strategy() {
  Strategy s = traits_of("", "PersistentVolumeClaim");
  s.set_defaults = default_claim;
  s.prepare_create = [](Json& claim, const StrategyContext&) {
    put(claim, "status", {{"phase", "Pending"}});
    prepare_sources(claim, nullptr);
  };
  s.prepare_update = [](Json& claim, const Json& old, const StrategyContext&) {
    prepare_sources(claim, &old);
  };
  s.validate = [](const Json& claim, FieldErrors& errors) {
    validate_claim_spec(map_of(claim, "spec"), FieldPath("spec"), errors);
  };
  s.validate_update = validate_claim_update;
  s.validate_status_update = validate_claim_status;
  s.warnings = claim_warnings;
  return s;
}

}  // namespace orch::api
