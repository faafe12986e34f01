// One function per built-in kind that makes its strategy; strategies.cpp lists them. Each file implements the
// kinds of one API group, or one big kind.
#pragma once

#include "api/resources/resource.h"

namespace orch::api {

// core/v1
Strategy pod_strategy();
Strategy pod_template_strategy();
Strategy service_strategy();
Strategy endpoints_strategy();
Strategy namespace_strategy();
Strategy node_strategy();
Strategy config_map_strategy();
Strategy secret_strategy();
Strategy service_account_strategy();
Strategy replication_controller_strategy();
Strategy event_strategy();
Strategy limit_range_strategy();
Strategy resource_quota_strategy();
Strategy events_v1_strategy();  // of events.k8s.io

// apiextensions.k8s.io; `schema` outlives the strategy
Strategy custom_resource_definition_strategy(const Schema& schema);

// discovery.k8s.io, coordination.k8s.io
Strategy endpoint_slice_strategy();
Strategy lease_strategy();

// apps
Strategy deployment_strategy();
Strategy replica_set_strategy();
Strategy daemon_set_strategy();
Strategy stateful_set_strategy();
Strategy controller_revision_strategy();

// autoscaling
Strategy autoscaler_strategy();

// batch
Strategy job_strategy();
Strategy cron_job_strategy();

// volume.cpp
Strategy volume_strategy();
Strategy claim_strategy();

// storage.k8s.io
Strategy storage_class_strategy();
Strategy csi_driver_strategy();
Strategy csi_node_strategy();
Strategy csi_storage_capacity_strategy();
Strategy volume_attachment_strategy();
Strategy volume_attributes_class_strategy();

// resource.k8s.io
Strategy device_class_strategy();
Strategy resource_claim_strategy();
Strategy resource_claim_template_strategy();
Strategy resource_slice_strategy();

// policy.cpp: policy, scheduling.k8s.io, node.k8s.io
Strategy disruption_budget_strategy();
Strategy priority_class_strategy();
Strategy runtime_class_strategy();

// networking.k8s.io
Strategy network_policy_strategy();
Strategy ingress_class_strategy();
Strategy ip_address_strategy();
Strategy service_cidr_strategy();
Strategy ingress_strategy();

// certificates.k8s.io
Strategy certificate_request_strategy();

// rbac.authorization.k8s.io
Strategy role_strategy();
Strategy cluster_role_strategy();
Strategy role_binding_strategy();
Strategy cluster_role_binding_strategy();

// admissionregistration.k8s.io
Strategy mutating_webhook_strategy();
Strategy validating_webhook_strategy();
Strategy admission_policy_strategy();
Strategy admission_policy_binding_strategy();

// apiregistration.k8s.io
Strategy api_service_strategy();

}  // namespace orch::api
