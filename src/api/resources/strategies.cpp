#include "api/resources/strategies.h"

#include <map>
#include <string>
#include <utility>

#include "api/resources/flow_objects.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"

namespace orch::api {
namespace {

struct Entry {
  const char* group;
  const char* kind;
  Strategy (*make)();
};

constexpr const char* kRbac = "rbac.authorization.k8s.io";
constexpr const char* kFlow = "flowcontrol.apiserver.k8s.io";
constexpr const char* kAdmission = "admissionregistration.k8s.io";

constexpr Entry kEntries[] = {
    {"", "Pod", pod_strategy},
    {"", "PodTemplate", pod_template_strategy},
    {"", "Service", service_strategy},
    {"", "Endpoints", endpoints_strategy},
    {"", "Namespace", namespace_strategy},
    {"", "Node", node_strategy},
    {"", "ConfigMap", config_map_strategy},
    {"", "Secret", secret_strategy},
    {"", "ServiceAccount", service_account_strategy},
    {"", "ReplicationController", replication_controller_strategy},
    {"", "Event", event_strategy},
    {"events.k8s.io", "Event", events_v1_strategy},
    {"discovery.k8s.io", "EndpointSlice", endpoint_slice_strategy},
    {"coordination.k8s.io", "Lease", lease_strategy},
    {"apps", "Deployment", deployment_strategy},
    {"apps", "ReplicaSet", replica_set_strategy},
    {"apps", "DaemonSet", daemon_set_strategy},
    {"apps", "StatefulSet", stateful_set_strategy},
    {"apps", "ControllerRevision", controller_revision_strategy},
    {"autoscaling", "HorizontalPodAutoscaler", autoscaler_strategy},
    {"batch", "Job", job_strategy},
    {"batch", "CronJob", cron_job_strategy},
    {"", "LimitRange", limit_range_strategy},
    {"", "ResourceQuota", resource_quota_strategy},
    {"", "PersistentVolume", volume_strategy},
    {"", "PersistentVolumeClaim", claim_strategy},
    {"storage.k8s.io", "StorageClass", storage_class_strategy},
    {"storage.k8s.io", "CSIDriver", csi_driver_strategy},
    {"storage.k8s.io", "CSINode", csi_node_strategy},
    {"storage.k8s.io", "CSIStorageCapacity", csi_storage_capacity_strategy},
    {"storage.k8s.io", "VolumeAttachment", volume_attachment_strategy},
    {"storage.k8s.io", "VolumeAttributesClass", volume_attributes_class_strategy},
    {"resource.k8s.io", "DeviceClass", device_class_strategy},
    {"resource.k8s.io", "ResourceClaim", resource_claim_strategy},
    {"resource.k8s.io", "ResourceClaimTemplate", resource_claim_template_strategy},
    {"resource.k8s.io", "ResourceSlice", resource_slice_strategy},
    {"policy", "PodDisruptionBudget", disruption_budget_strategy},
    {"scheduling.k8s.io", "PriorityClass", priority_class_strategy},
    {"node.k8s.io", "RuntimeClass", runtime_class_strategy},
    {"networking.k8s.io", "NetworkPolicy", network_policy_strategy},
    {"networking.k8s.io", "IngressClass", ingress_class_strategy},
    {"networking.k8s.io", "IPAddress", ip_address_strategy},
    {"networking.k8s.io", "ServiceCIDR", service_cidr_strategy},
    {"networking.k8s.io", "Ingress", ingress_strategy},
    {"certificates.k8s.io", "CertificateSigningRequest", certificate_request_strategy},
    {kFlow, "FlowSchema", flow_schema_strategy},
    {kFlow, "PriorityLevelConfiguration", priority_level_strategy},
    {kRbac, "Role", role_strategy},
    {kRbac, "ClusterRole", cluster_role_strategy},
    {kRbac, "RoleBinding", role_binding_strategy},
    {kRbac, "ClusterRoleBinding", cluster_role_binding_strategy},
    {kAdmission, "MutatingWebhookConfiguration", mutating_webhook_strategy},
    {kAdmission, "ValidatingWebhookConfiguration", validating_webhook_strategy},
    {kAdmission, "ValidatingAdmissionPolicy", admission_policy_strategy},
    {kAdmission, "ValidatingAdmissionPolicyBinding", admission_policy_binding_strategy},
    {"apiregistration.k8s.io", "APIService", api_service_strategy},
};

using Key = std::pair<std::string, std::string>;

std::map<Key, std::shared_ptr<const Strategy>> make_all() {
  std::map<Key, std::shared_ptr<const Strategy>> all;
  for (const Entry& entry : kEntries) {
    all[{entry.group, entry.kind}] = std::make_shared<const Strategy>(entry.make());
  }
  return all;
}

}  // namespace

std::shared_ptr<const Strategy> strategy_for(std::string_view group, std::string_view kind,
                                             const Schema& schema) {
  if (kind == "CustomResourceDefinition" && group == "apiextensions.k8s.io")
    return std::make_shared<const Strategy>(custom_resource_definition_strategy(schema));
  static const auto all = make_all();
  const auto it = all.find({std::string(group), std::string(kind)});
  return it == all.end() ? std::make_shared<const Strategy>(traits_of(group, kind)) : it->second;
}

}  // namespace orch::api
