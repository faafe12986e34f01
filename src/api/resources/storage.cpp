// Volumes (core/v1 PersistentVolume, PersistentVolumeClaim) and storage.k8s.io/v1 StorageClass, CSIDriver:
// defaults, and what an update may change of a class.
#include <algorithm>
#include <cctype>

#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void default_volume(Json& volume) {
  Json& spec = child(volume, "spec");
  default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
  default_pointer(spec, "volumeMode", "Filesystem");
  default_text(child(volume, "status"), "phase", "Pending");
}

void default_claim(Json& claim) {
  default_pointer(child(claim, "spec"), "volumeMode", "Filesystem");
  default_text(child(claim, "status"), "phase", "Pending");
}

void default_class(Json& object) {
  default_pointer(object, "reclaimPolicy", "Delete");
  default_pointer(object, "volumeBindingMode", "Immediate");
}

void default_driver(Json& driver) {
  Json& spec = child(driver, "spec");
  default_pointer(spec, "attachRequired", true);
  default_pointer(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
  for (const char* off : {"podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"})
    default_pointer(spec, off, false);
  if (!has_items(spec, "volumeLifecycleModes"))
    put(spec, "volumeLifecycleModes", Json::array({"Persistent"}));
}

void validate_class(const Json& object, FieldErrors& errors) {
  const FieldPath provisioner("provisioner");
  std::string name(text_of(object, "provisioner"));
  if (name.empty()) {
    errors.required(provisioner);
  } else {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    validate_qualified_name(name, provisioner, errors);
  }
  for (const auto& [key, value] : map_of(object, "parameters").items()) {
    if (key.empty()) errors.invalid(FieldPath("parameters"), key, "field can not be empty.");
  }
  const std::string_view reclaim = text_of(object, "reclaimPolicy");
  if (!reclaim.empty() && reclaim != "Delete" && reclaim != "Retain")
    errors.not_supported(FieldPath("reclaimPolicy"), reclaim, {"Delete", "Retain"});
  const std::string_view mode = text_of(object, "volumeBindingMode");
  if (mode != "Immediate" && mode != "WaitForFirstConsumer")
    errors.not_supported(FieldPath("volumeBindingMode"), mode, {"Immediate", "WaitForFirstConsumer"});
}

void validate_class_update(const Json& object, const Json& old, FieldErrors& errors) {
  for (const char* key : {"parameters", "provisioner", "reclaimPolicy"}) {
    if (!same_member(object, old, key))
      errors.forbidden(FieldPath(key), base::cat("updates to ", key, " are forbidden."));
  }
  validate_immutable_member(object, old, "volumeBindingMode", FieldPath(), errors);
}

}  // namespace

Strategy volume_strategy() {
  Strategy s = traits_of("", "PersistentVolume");
  s.set_defaults = default_volume;
  s.prepare_create = [](Json& volume, const StrategyContext&) {
    put(volume, "status", {{"phase", "Pending"}});
  };
  return s;
}

Strategy claim_strategy() {
  Strategy s = traits_of("", "PersistentVolumeClaim");
  s.set_defaults = default_claim;
  s.prepare_create = [](Json& claim, const StrategyContext&) {
    put(claim, "status", {{"phase", "Pending"}});
  };
  return s;
}

Strategy storage_class_strategy() {
  Strategy s = traits_of("storage.k8s.io", "StorageClass");
  s.set_defaults = default_class;
  s.validate = validate_class;
  s.validate_update = validate_class_update;
  return s;
}

Strategy csi_driver_strategy() {
  Strategy s = traits_of("storage.k8s.io", "CSIDriver");
  s.set_defaults = default_driver;
  return s;
}

}  // namespace orch::api
