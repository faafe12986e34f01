// Volumes of a pod spec.
#include <set>

#include "api/go_text.h"
#include "api/names.h"
#include "api/quantity.h"
#include "api/resources/claim_validation.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "api/resources/volume_sources.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kModeDetail = "must be a number between 0 and 0777 (octal), both inclusive";

const std::set<std::string_view> kVolumeFields = {"metadata.annotations", "metadata.labels", "metadata.name",
                                                  "metadata.namespace", "metadata.uid"};

void validate_mode(const Json& object, const char* key, const FieldPath& path, FieldErrors& errors) {
  if (!has(object, key)) return;
  const int64_t mode = number_of(object, key);
  if (mode < 0 || mode > 0777) errors.invalid(path.child(key), mode, kModeDetail);
}

void validate_key_to_path(const Json& item, const FieldPath& path, FieldErrors& errors) {
  if (text_of(item, "key").empty()) errors.required(path.child("key"));
  const std::string_view target = text_of(item, "path");
  if (target.empty()) errors.required(path.child("path"));
  validate_local_path(target, path.child("path"), errors);
  validate_mode(item, "mode", path, errors);
}

/// secret and configMap volumes differ in the member that names the object.
void validate_keys_volume(const Json& source, const char* name_member, const FieldPath& path,
                          FieldErrors& errors) {
  if (text_of(source, name_member).empty()) errors.required(path.child(name_member));
  validate_mode(source, "defaultMode", path, errors);
  size_t i = 0;
  for (const Json& item : list_of(source, "items")) {
    validate_key_to_path(item, path.child("items").index(i++), errors);
  }
}

void validate_downward_file(const Json& file, const FieldPath& path, FieldErrors& errors) {
  const std::string_view target = text_of(file, "path");
  if (target.empty()) errors.required(path.child("path"));
  validate_local_path(target, path.child("path"), errors);
  if (has(file, "fieldRef")) {
    validate_field_selector(map_of(file, "fieldRef"), kVolumeFields, path.child("fieldRef"), errors);
    if (has(file, "resourceFieldRef")) {
      add_invalid(errors, path, "resource",
                  "fieldRef and resourceFieldRef can not be specified simultaneously");
    }
  } else if (has(file, "resourceFieldRef")) {
    validate_resource_field_selector(map_of(file, "resourceFieldRef"), true, path.child("resourceFieldRef"),
                                     errors);
  } else {
    errors.required(path, "one of fieldRef and resourceFieldRef is required");
  }
  validate_mode(file, "mode", path, errors);
}

void validate_downward_volume(const Json& source, const FieldPath& path, FieldErrors& errors) {
  validate_mode(source, "defaultMode", path, errors);
  for (const Json& file : list_of(source, "items")) validate_downward_file(file, path, errors);
}

// --- Projected volumes -------------------------------------------------------------------------------

using Paths = std::set<std::string, std::less<>>;

/// A path may come from one source only. `shown` is what the error names.
void claim_path(Paths& paths, std::string_view target, std::string_view shown, const FieldPath& path,
                FieldErrors& errors) {
  if (!paths.emplace(target).second) add_invalid(errors, path, shown, "conflicting duplicate paths");
}

void validate_projected_keys(const Json& source, Paths& paths, const FieldPath& path, const FieldPath& volume,
                             FieldErrors& errors) {
  const std::string_view name = text_of(source, "name");
  if (name.empty()) errors.required(path.child("name"));
  size_t i = 0;
  for (const Json& item : list_of(source, "items")) {
    validate_key_to_path(item, path.child("items").index(i++), errors);
    if (!text_of(item, "path").empty()) claim_path(paths, text_of(item, "path"), name, volume, errors);
  }
}

void validate_projected_token(const Json& source, const PodOptions& options, const FieldPath& path,
                              const FieldPath& volume, FieldErrors& errors) {
  const int64_t seconds = number_of(source, "expirationSeconds");
  if (seconds < 10 * 60) {
    errors.invalid(path.child("expirationSeconds"), seconds,
                   "may not specify a duration less than 10 minutes");
  }
  if (seconds > int64_t{1} << 32) {
    errors.invalid(path.child("expirationSeconds"), seconds,
                   "may not specify a duration larger than 2^32 seconds");
  }
  const std::string_view target = text_of(source, "path");
  if (target.empty()) {
    errors.required(volume.child("path"));
  } else if (!options.allow_any_token_path) {
    validate_local_path(target, volume.child("path"), errors);
  }
}

/// clusterTrustBundle and podCertificate belong to features that are off: they were dropped before.
void validate_projected(const Json& projected, const PodOptions& options, const FieldPath& path,
                        FieldErrors& errors) {
  validate_mode(projected, "defaultMode", path, errors);
  Paths paths;
  size_t i = 0;
  for (const Json& source : list_of(projected, "sources")) {
    const FieldPath at = path.child("sources").index(i++);
    int kinds = 0;
    for (const char* kind : {"secret", "configMap"}) {
      if (!has(source, kind)) continue;
      ++kinds;
      validate_projected_keys(map_of(source, kind), paths, at.child(kind), path, errors);
    }
    if (has(source, "downwardAPI")) {
      ++kinds;
      for (const Json& file : list_of(map_of(source, "downwardAPI"), "items")) {
        validate_downward_file(file, at.child("downwardAPI"), errors);
        const std::string_view target = text_of(file, "path");
        if (!target.empty()) claim_path(paths, target, target, path, errors);
      }
    }
    if (has(source, "serviceAccountToken")) {
      ++kinds;
      validate_projected_token(map_of(source, "serviceAccountToken"), options,
                               at.child("serviceAccountToken"), path, errors);
    }
    if (kinds > 1) errors.forbidden(at, "may not specify more than 1 volume type per source");
  }
}

// --- One volume --------------------------------------------------------------------------------------

void validate_csi(const Json& source, const FieldPath& path, FieldErrors& errors) {
  validate_csi_driver_name(text_of(source, "driver"), path.child("driver"), errors);
  if (!has(source, "nodePublishSecretRef")) return;
  const std::string_view name = text_of(map_of(source, "nodePublishSecretRef"), "name");
  if (name.empty()) {
    errors.required(path.child("nodePublishSecretRef").child("name"));
  } else {
    validate_dns1123_subdomain(name, path.child("name"), errors);
  }
}

void validate_ephemeral(const Json& source, std::string_view volume, const Json* metadata,
                        const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.child("ephemeral");
  if (!has(source, "volumeClaimTemplate")) {
    errors.required(at.child("volumeClaimTemplate"));
  } else {
    validate_claim_template(map_of(source, "volumeClaimTemplate"), at.child("volumeClaimTemplate"), errors);
  }
  const std::string_view pod = metadata ? text_of(*metadata, "name") : std::string_view();
  if (pod.empty() || volume.empty()) return;
  const std::string claim = std::string(pod) + "-" + std::string(volume);
  for (const std::string& problem : check_dns1123_subdomain(claim)) {
    add_invalid(errors, path.child("name"), volume, "PVC name " + go_quote(claim) + ": " + problem);
  }
}

/// Order in which kinds are looked at; of several the first counts and the others are refused. `refused_as`
/// is the name Kubernetes gives the path of that refusal.
struct SourceKind {
  const char* member;
  const char* refused_as;
};
constexpr SourceKind kKinds[] = {
    {"hostPath", "hostPath"},
    {"gitRepo", "gitRepo"},
    {"gcePersistentDisk", "gcePersistentDisk"},
    {"awsElasticBlockStore", "awsElasticBlockStore"},
    {"secret", "secret"},
    {"nfs", "nfs"},
    {"iscsi", "iscsi"},
    {"glusterfs", "glusterfs"},
    {"flocker", "flocker"},
    {"persistentVolumeClaim", "persistentVolumeClaim"},
    {"rbd", "rbd"},
    {"cinder", "cinder"},
    {"cephfs", "cephFS"},
    {"quobyte", "quobyte"},
    {"downwardAPI", "downwarAPI"},
    {"fc", "fc"},
    {"flexVolume", "flexVolume"},
    {"configMap", "configMap"},
    {"azureFile", "azureFile"},
    {"vsphereVolume", "vsphereVolume"},
    {"photonPersistentDisk", "photonPersistentDisk"},
    {"portworxVolume", "portworxVolume"},
    {"azureDisk", "azureDisk"},
    {"storageos", "storageos"},
    {"projected", "projected"},
    {"scaleIO", "scaleIO"},
    {"csi", "csi"},
    {"ephemeral", "ephemeral"},
    {"image", "image"},
};

void validate_source(std::string_view kind, const Json& volume, const Json* metadata,
                     const PodOptions& options, const FieldPath& path, FieldErrors& errors) {
  const Json& source = map_of(volume, kind);
  const FieldPath at = path.child(kind);
  if (validate_simple_source(kind, source, false, at, errors)) return;
  if (kind == "hostPath") return validate_host_path(source, at, errors);
  if (kind == "gitRepo") {
    if (text_of(source, "repository").empty()) errors.required(at.child("repository"));
    return validate_descending_path(text_of(source, "directory"), at.child("directory"), errors);
  }
  if (kind == "gcePersistentDisk") {
    return validate_disk_partition(source, "pdName", path.child("persistentDisk"), errors);
  }
  if (kind == "awsElasticBlockStore") return validate_disk_partition(source, "volumeID", at, errors);
  if (kind == "secret") return validate_keys_volume(source, "secretName", at, errors);
  if (kind == "configMap") return validate_keys_volume(source, "name", at, errors);
  if (kind == "nfs") return validate_nfs(source, at, errors);
  if (kind == "iscsi") return validate_iscsi(source, text_of(volume, "name"), false, at, errors);
  if (kind == "flocker") return validate_flocker(source, at, errors);
  if (kind == "quobyte") return validate_quobyte(source, at, errors);
  if (kind == "downwardAPI") return validate_downward_volume(source, at, errors);
  if (kind == "fc") return validate_fc(source, at, errors);
  if (kind == "flexVolume") return validate_flex_volume(source, at, errors);
  if (kind == "azureDisk") return validate_azure_disk(source, at, errors);
  if (kind == "storageos") return validate_storage_os(source, false, at, errors);
  if (kind == "projected") return validate_projected(source, options, at, errors);
  if (kind == "csi") return validate_csi(source, at, errors);
  if (kind == "ephemeral") return validate_ephemeral(source, text_of(volume, "name"), metadata, path, errors);
  if (kind == "image") {
    if (options.is_pod && text_of(source, "reference").empty()) errors.required(at.child("reference"));
    validate_pull_policy(text_of(source, "pullPolicy"), at.child("pullPolicy"), errors);
  }
}

void validate_volume_source(const Json& volume, const Json* metadata, const PodOptions& options,
                            const FieldPath& path, FieldErrors& errors) {
  int found = 0;
  if (has(volume, "emptyDir")) {
    ++found;
    const auto limit = Quantity::from_json(member_of(map_of(volume, "emptyDir"), "sizeLimit"));
    if (!limit.ok() || limit->sign() < 0) {
      errors.forbidden(path.child("emptyDir").child("sizeLimit"),
                       "SizeLimit field must be a valid resource quantity");
    }
  }
  for (const SourceKind& kind : kKinds) {
    if (!has(volume, kind.member)) continue;
    if (found > 0) {
      errors.forbidden(path.child(kind.refused_as), "may not specify more than 1 volume type");
    } else {
      validate_source(kind.member, volume, metadata, options, path, errors);
      ++found;
    }
    const Json& iscsi = map_of(volume, "iscsi");
    const std::string_view name = text_of(volume, "name");
    if (std::string_view(kind.member) == "iscsi" && has(iscsi, "initiatorName") &&
        name.size() + 1 + text_of(iscsi, "targetPortal").size() > 64) {
      add_invalid(errors, path.child("name"), name,
                  "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                  "iscsi.initiatorName is specified.");
    }
  }
  if (found == 0) errors.required(path, "must specify a volume type");
}

}  // namespace

void validate_no_backsteps(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  std::string_view rest = value;
  while (true) {
    const size_t slash = rest.find('/');
    if (rest.substr(0, slash) == "..") return add_invalid(errors, path, value, "must not contain '..'");
    if (slash == std::string_view::npos) return;
    rest = rest.substr(slash + 1);
  }
}

void validate_descending_path(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  if (value.starts_with('/')) add_invalid(errors, path, value, "must be a relative path");
  validate_no_backsteps(value, path, errors);
}

void validate_local_path(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  validate_descending_path(value, path, errors);
  if (value.starts_with("..") && !value.starts_with("../")) {
    add_invalid(errors, path, value, "must not start with '..'");
  }
}

VolumeMap validate_volumes(const Json& volumes, const Json* metadata, const FieldPath& path,
                           const PodOptions& options, FieldErrors& errors) {
  VolumeMap valid;
  std::set<std::string> created;  // claims that come with the pod
  const std::string_view pod = metadata ? text_of(*metadata, "name") : std::string_view();
  for (const Json& volume : volumes) {
    if (!pod.empty() && has(volume, "ephemeral")) {
      created.insert(std::string(pod) + "-" + std::string(text_of(volume, "name")));
    }
  }
  for (size_t i = 0; i < volumes.size(); ++i) {
    const Json& volume = volumes[i];
    const FieldPath at = path.index(i);
    const std::string_view name = text_of(volume, "name");
    FieldErrors found;
    validate_volume_source(volume, metadata, options, at, found);
    if (name.empty()) {
      found.required(at.child("name"));
    } else {
      validate_dns1123_label(name, at.child("name"), found);
    }
    if (valid.contains(name)) found.duplicate(at.child("name"), std::string(name));
    if (found.empty()) valid[name] = &volume;
    errors.append(std::move(found));
    const std::string claim(text_of(map_of(volume, "persistentVolumeClaim"), "claimName"));
    if (has(volume, "persistentVolumeClaim") && created.contains(claim)) {
      add_invalid(errors, at.child("persistentVolumeClaim").child("claimName"), claim,
                  "must not reference a PVC that gets created for an ephemeral volume");
    }
  }
  return valid;
}

}  // namespace orch::api
