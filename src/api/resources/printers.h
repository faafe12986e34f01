// Printer cells of built-in kinds, as kube-apiserver computes them for Tables
// (pkg/printers/internalversion): one function per kind, cells in the order of the row's columns, the wide
// ones (priority 1) included. `now` is what ages are counted to.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::api {

using Cells = std::vector<Json>;

// --- What printers share -----------------------------------------------------------------------------

Json name_cell(const Json& object);
Json age_cell(const Json& object, base::WallTime now);
/// "k=v,k2=v2", "<none>" if there are none.
std::string format_labels(const Json& labels);
std::string format_selector(const Json& selector);
/// Names and images of a pod spec's containers, each joined with commas.
std::pair<std::string, std::string> container_cells(const Json& pod_spec);
/// The value, or `none` when empty.
std::string or_none(std::string_view value, std::string_view none = "<none>");
/// Name and creation time: kinds without columns of their own.
Cells default_cells(const Json& object, base::WallTime now);

// --- core --------------------------------------------------------------------------------------------

Cells pod_cells(const Json& object, base::WallTime now);
Cells pod_template_cells(const Json& object, base::WallTime now);
Cells service_cells(const Json& object, base::WallTime now);
Cells endpoints_cells(const Json& object, base::WallTime now);
Cells namespace_cells(const Json& object, base::WallTime now);
Cells node_cells(const Json& object, base::WallTime now);
Cells config_map_cells(const Json& object, base::WallTime now);
Cells secret_cells(const Json& object, base::WallTime now);
Cells service_account_cells(const Json& object, base::WallTime now);
Cells event_cells(const Json& object, base::WallTime now);

// --- other groups ------------------------------------------------------------------------------------

Cells endpoint_slice_cells(const Json& object, base::WallTime now);
Cells lease_cells(const Json& object, base::WallTime now);
Cells deployment_cells(const Json& object, base::WallTime now);
Cells replica_set_cells(const Json& object, base::WallTime now);
Cells daemon_set_cells(const Json& object, base::WallTime now);
Cells binding_cells(const Json& object, base::WallTime now);

// print_workloads.cpp
Cells stateful_set_cells(const Json& object, base::WallTime now);
Cells controller_revision_cells(const Json& object, base::WallTime now);
Cells replication_controller_cells(const Json& object, base::WallTime now);
Cells job_cells(const Json& object, base::WallTime now);
Cells cron_job_cells(const Json& object, base::WallTime now);
Cells autoscaler_cells(const Json& object, base::WallTime now);
Cells disruption_budget_cells(const Json& object, base::WallTime now);

// print_storage.cpp
Cells persistent_volume_cells(const Json& object, base::WallTime now);
Cells claim_cells(const Json& object, base::WallTime now);
Cells storage_class_cells(const Json& object, base::WallTime now);
Cells csi_driver_cells(const Json& object, base::WallTime now);
Cells csi_node_cells(const Json& object, base::WallTime now);
Cells volume_attachment_cells(const Json& object, base::WallTime now);
Cells volume_attributes_class_cells(const Json& object, base::WallTime now);

// print_cluster.cpp
Cells ingress_cells(const Json& object, base::WallTime now);
Cells ingress_class_cells(const Json& object, base::WallTime now);
Cells network_policy_cells(const Json& object, base::WallTime now);
Cells ip_address_cells(const Json& object, base::WallTime now);
Cells service_cidr_cells(const Json& object, base::WallTime now);
Cells priority_class_cells(const Json& object, base::WallTime now);
Cells runtime_class_cells(const Json& object, base::WallTime now);
Cells signing_request_cells(const Json& object, base::WallTime now);
Cells resource_quota_cells(const Json& object, base::WallTime now);
Cells webhooks_cells(const Json& object, base::WallTime now);
Cells admission_policy_cells(const Json& object, base::WallTime now);
Cells admission_policy_binding_cells(const Json& object, base::WallTime now);
Cells flow_schema_cells(const Json& object, base::WallTime now);
Cells priority_level_cells(const Json& object, base::WallTime now);
Cells resource_claim_cells(const Json& object, base::WallTime now);
Cells resource_slice_cells(const Json& object, base::WallTime now);
/// Name and age.
Cells named_cells(const Json& object, base::WallTime now);

}  // namespace orch::api
