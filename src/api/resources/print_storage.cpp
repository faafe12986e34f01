// Printer cells of volumes, claims and storage.k8s.io.
#include "api/go_text.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kClassAnnotation = "volume.beta.kubernetes.io/storage-class";

std::string access_modes(const Json& modes) {
  std::vector<std::string> shown;
  for (const auto& [mode, brief] :
       {std::pair{"ReadWriteOnce", "RWO"}, std::pair{"ReadOnlyMany", "ROX"},
        std::pair{"ReadWriteMany", "RWX"}, std::pair{"ReadWriteOncePod", "RWOP"}}) {
    if (contains(modes, mode)) shown.emplace_back(brief);
  }
  return join(shown, ",");
}

std::string storage_class_of(const Json& object) {
  const Json& annotations = annotations_of(object);
  if (annotations.contains(kClassAnnotation)) return std::string(text_of(annotations, kClassAnnotation));
  return std::string(text_of(map_of(object, "spec"), "storageClassName"));
}

std::string phase_of(const Json& object) {
  if (has(map_of(object, "metadata"), "deletionTimestamp")) return "Terminating";
  return std::string(text_of(map_of(object, "status"), "phase"));
}

std::string text_or_unset(const Json& object, const char* key) {
  return has(object, key) ? std::string(text_of(object, key)) : std::string("<unset>");
}

std::string storage_in(const Json& resources) { return or_none(text_of(resources, "storage"), "0"); }

}  // namespace

Cells persistent_volume_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& claim = map_of(spec, "claimRef");
  std::string bound;
  if (has(spec, "claimRef")) {
    bound = std::string(text_of(claim, "namespace")) + "/" + std::string(text_of(claim, "name"));
  }
  return {name_cell(object),
          storage_in(map_of(spec, "capacity")),
          access_modes(list_of(spec, "accessModes")),
          std::string(text_of(spec, "persistentVolumeReclaimPolicy")),
          phase_of(object),
          bound,
          storage_class_of(object),
          text_or_unset(spec, "volumeAttributesClassName"),
          std::string(text_of(map_of(object, "status"), "reason")),
          age_cell(object, now),
          text_or_unset(spec, "volumeMode")};
}

Cells claim_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& status = map_of(object, "status");
  const std::string volume(text_of(spec, "volumeName"));
  return {name_cell(object),
          phase_of(object),
          volume,
          volume.empty() ? std::string() : storage_in(map_of(status, "capacity")),
          volume.empty() ? std::string() : access_modes(list_of(status, "accessModes")),
          storage_class_of(object),
          text_or_unset(spec, "volumeAttributesClassName"),
          age_cell(object, now),
          text_or_unset(spec, "volumeMode")};
}

Cells storage_class_cells(const Json& object, base::WallTime now) {
  const Json& annotations = annotations_of(object);
  const bool is_default = text_of(annotations, "storageclass.kubernetes.io/is-default-class") == "true" ||
                          text_of(annotations, "storageclass.beta.kubernetes.io/is-default-class") == "true";
  return {std::string(name_of(object)) + (is_default ? " (default)" : ""),
          std::string(text_of(object, "provisioner")),
          or_none(text_of(object, "reclaimPolicy"), "Delete"),
          or_none(text_of(object, "volumeBindingMode"), "Immediate"),
          flag_of(object, "allowVolumeExpansion"),
          age_cell(object, now)};
}

Cells csi_driver_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  std::vector<std::string> modes;
  for (const Json& mode : list_of(spec, "volumeLifecycleModes")) modes.emplace_back(text(mode));
  std::vector<std::string> audiences;
  for (const Json& request : list_of(spec, "tokenRequests"))
    audiences.emplace_back(text_of(request, "audience"));
  return {name_cell(object),
          flag_of(spec, "attachRequired", true),
          flag_of(spec, "podInfoOnMount"),
          flag_of(spec, "storageCapacity"),
          has(spec, "tokenRequests") ? join(audiences, ",") : std::string("<unset>"),
          flag_of(spec, "requiresRepublish"),
          or_none(join(modes, ",")),
          age_cell(object, now)};
}

Cells csi_node_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), list_of(map_of(object, "spec"), "drivers").size(), age_cell(object, now)};
}

Cells volume_attachment_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  return {name_cell(object),
          std::string(text_of(spec, "attacher")),
          std::string(text_of(map_of(spec, "source"), "persistentVolumeName")),
          std::string(text_of(spec, "nodeName")),
          flag_of(map_of(object, "status"), "attached"),
          age_cell(object, now)};
}

Cells volume_attributes_class_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), std::string(text_of(object, "driverName")), age_cell(object, now)};
}

}  // namespace orch::api
