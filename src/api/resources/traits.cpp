#include "api/resources/traits.h"

#include <algorithm>

#include "api/resources/object_meta.h"
#include "api/resources/printers.h"
#include "base/json.h"

namespace orch::api {
namespace {

enum Trait : unsigned {
  kReturnsDeleted = 1U << 0,
  kGeneration = 1U << 1,
  kNeedsVersion = 1U << 2,  // an update has to say which version it is of
  kCreatedByUpdate = 1U << 3,
  kStatusAlone = 1U << 4,  // a write of status leaves metadata as it is
};

struct Traits {
  const char* group;
  const char* kind;
  Cells (*cells)(const Json& object, base::WallTime now);
  unsigned traits;
};

constexpr const char* kAdmission = "admissionregistration.k8s.io";
constexpr const char* kNetworking = "networking.k8s.io";
constexpr const char* kStorage = "storage.k8s.io";
constexpr const char* kDevices = "resource.k8s.io";

// As the stores and strategies in kube-apiserver's pkg/registry have it.
constexpr Traits kTraits[] = {
    {"", "LimitRange", nullptr, kCreatedByUpdate},
    {"", "PersistentVolume", persistent_volume_cells, kReturnsDeleted},
    {"", "PersistentVolumeClaim", claim_cells, kReturnsDeleted},
    {"", "ResourceQuota", resource_quota_cells, kReturnsDeleted},
    {kAdmission, "MutatingWebhookConfiguration", webhooks_cells, kGeneration | kNeedsVersion},
    {kAdmission, "ValidatingWebhookConfiguration", webhooks_cells, kGeneration | kNeedsVersion},
    {kAdmission, "ValidatingAdmissionPolicy", admission_policy_cells,
     kGeneration | kNeedsVersion | kStatusAlone},
    {kAdmission, "ValidatingAdmissionPolicyBinding", admission_policy_binding_cells,
     kGeneration | kNeedsVersion},
    {"autoscaling", "HorizontalPodAutoscaler", autoscaler_cells, 0},
    {kNetworking, "Ingress", ingress_cells, kGeneration},
    {kNetworking, "IngressClass", ingress_class_cells, kGeneration},
    {kNetworking, "NetworkPolicy", network_policy_cells, kGeneration},
    {kNetworking, "IPAddress", ip_address_cells, 0},
    {kNetworking, "ServiceCIDR", service_cidr_cells, kStatusAlone},
    {"node.k8s.io", "RuntimeClass", runtime_class_cells, kNeedsVersion | kCreatedByUpdate},
    {"policy", "PodDisruptionBudget", disruption_budget_cells, kGeneration | kNeedsVersion},
    {kDevices, "DeviceClass", named_cells, kReturnsDeleted | kGeneration},
    {kDevices, "ResourceClaim", resource_claim_cells, kReturnsDeleted},
    {kDevices, "ResourceClaimTemplate", named_cells, kReturnsDeleted},
    {kDevices, "ResourceSlice", resource_slice_cells, kReturnsDeleted | kGeneration},
    {"scheduling.k8s.io", "PriorityClass", priority_class_cells, kGeneration},
    {kStorage, "CSIDriver", csi_driver_cells, kReturnsDeleted | kNeedsVersion},
    {kStorage, "CSINode", csi_node_cells, kReturnsDeleted | kNeedsVersion},
    {kStorage, "CSIStorageCapacity", nullptr, kNeedsVersion},
    {kStorage, "StorageClass", storage_class_cells, kReturnsDeleted},
    {kStorage, "VolumeAttachment", volume_attachment_cells, kReturnsDeleted | kNeedsVersion | kStatusAlone},
    {kStorage, "VolumeAttributesClass", volume_attributes_class_cells, kReturnsDeleted},
};

}  // namespace

Strategy traits_of(std::string_view group, std::string_view kind) {
  Strategy s;
  const auto* it = std::find_if(std::begin(kTraits), std::end(kTraits),
                                [&](const Traits& t) { return t.group == group && t.kind == kind; });
  if (it == std::end(kTraits)) return s;
  if (it->cells != nullptr) s.cells = it->cells;
  s.returns_deleted = (it->traits & kReturnsDeleted) != 0;
  s.has_generation = (it->traits & kGeneration) != 0;
  s.allow_unconditional_update = (it->traits & kNeedsVersion) == 0;
  s.allow_create_on_update = (it->traits & kCreatedByUpdate) != 0;
  if ((it->traits & kStatusAlone) != 0) {
    s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
      keep_own_metadata(object, old);
    };
  }
  return s;
}

OrphaningByDefault orphaning_of(std::string_view group, std::string_view kind) {
  // Two kinds that are older than garbage collection.
  if (group.empty() && kind == "ReplicationController") return {true, {}};
  if (group == "batch" && kind == "Job") {
    return {true,
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to "
            "remove them or set propagationPolicy=Orphan to suppress this warning"};
  }
  return {};
}

std::string_view deprecation_of(std::string_view group, std::string_view kind) {
  if (!group.empty()) return {};
  if (kind == "Endpoints")
    return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
  if (kind == "ComponentStatus") return "v1 ComponentStatus is deprecated in v1.19+";
  return {};
}

}  // namespace orch::api
