#include "server/controllers/cluster_roles.h"
#include "server/controllers/controller.h"
#include "server/controllers/cronjob.h"
#include "server/controllers/daemonset.h"
#include "server/controllers/deployment.h"
#include "server/controllers/disruption.h"
#include "server/controllers/endpoint_mirroring.h"
#include "server/controllers/endpoints.h"
#include "server/controllers/job.h"
#include "server/controllers/namespace.h"
#include "server/controllers/node.h"
#include "server/controllers/persistent_volumes.h"
#include "server/controllers/replicaset.h"
#include "server/controllers/resource_quota.h"
#include "server/controllers/token_secrets.h"
#include "server/controllers/ttl_after_finished.h"
#include "server/controllers/volume_protection.h"

namespace orch::server {

std::vector<Controller> all_controllers(const ControllerOptions& options, const base::Clock& clock) {
  std::vector<Controller> out;
  out.push_back(make_namespace_controller(options.namespaced));
  out.push_back(make_service_account_controller());
  out.push_back(make_root_ca_controller(options.root_ca_pem));
  out.push_back(make_node_ipam_controller(options.cluster_cidr));
  out.push_back(make_node_lifecycle_controller(clock, options.node_monitor_grace_period));
  out.push_back(make_taint_eviction_controller(clock));
  out.push_back(make_pod_gc_controller(clock));
  out.push_back(make_replicaset_controller());
  out.push_back(make_replication_controller_controller());
  out.push_back(make_deployment_controller());
  out.push_back(make_daemonset_controller());
  out.push_back(make_job_controller());
  out.push_back(make_job_orphan_controller());
  out.push_back(make_cronjob_controller());
  out.push_back(make_ttl_after_finished_controller());
  out.push_back(make_disruption_controller());
  out.push_back(make_stale_disruption_controller());
  out.push_back(make_endpoints_controller());
  out.push_back(make_endpointslice_controller());
  out.push_back(make_endpointslice_mirroring_controller());
  out.push_back(make_cluster_role_aggregation_controller());
  out.push_back(make_resource_quota_controller(options.namespaced));
  if (options.sign_secret_token) {
    out.push_back(make_token_secret_controller(options.sign_secret_token, options.root_ca_pem));
  }
  out.push_back(make_token_cleaner_controller());
  out.push_back(make_volume_binder_controller());
  out.push_back(make_volume_phase_controller());
  out.push_back(make_claim_protection_controller());
  out.push_back(make_volume_protection_controller());
  out.push_back(make_attributes_class_protection_controller());
  return out;
}

}  // namespace orch::server
