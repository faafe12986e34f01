#include <limits>

#include "server/controllers/autoscaler.h"
#include "server/controllers/cluster_roles.h"
#include "server/controllers/controller.h"
#include "server/controllers/cronjob.h"
#include "server/controllers/daemonset.h"
#include "server/controllers/deployment.h"
#include "server/controllers/disruption.h"
#include "server/controllers/endpoint_mirroring.h"
#include "server/controllers/endpoints.h"
#include "server/controllers/ephemeral_volumes.h"
#include "server/controllers/job.h"
#include "server/controllers/legacy_tokens.h"
#include "server/controllers/namespace.h"
#include "server/controllers/node.h"
#include "server/controllers/persistent_volumes.h"
#include "server/controllers/replicaset.h"
#include "server/controllers/resource_claims.h"
#include "server/controllers/resource_quota.h"
#include "server/controllers/service_cidr.h"
#include "server/controllers/statefulset.h"
#include "server/controllers/token_secrets.h"
#include "server/controllers/ttl_after_finished.h"
#include "server/controllers/volume_protection.h"

namespace orch::server {

namespace {

/// The controllers as they start, without those that are switched off.
class Chosen {
 public:
  explicit Chosen(const ManagerOptions& options) : options_(options) {}
  /// `name`: as kube-controller-manager knows it.
  void add(std::string_view name, Controller controller) {
    if (!options_.enabled(name)) return;
    if (const auto limit = options_.concurrent.find(name); limit != options_.concurrent.end())
      controller.at_once = limit->second;
    list_.push_back(std::move(controller));
  }
  std::vector<Controller> take() { return std::move(list_); }

 private:
  const ManagerOptions& options_;
  std::vector<Controller> list_;
};

}  // namespace

std::vector<Controller> all_controllers(const ControllerOptions& options, const base::Clock& clock) {
  const ManagerOptions& m = options.manager;
  const size_t terminated =
      m.terminated_pods > 0 ? static_cast<size_t>(m.terminated_pods) : std::numeric_limits<size_t>::max();
  Chosen out(m);
  out.add("namespace-controller", make_namespace_controller(options.namespaced));
  out.add("serviceaccount-controller", make_service_account_controller());
  out.add("root-ca-certificate-publisher-controller", make_root_ca_controller(options.root_ca_pem));
  out.add("node-ipam-controller", make_node_ipam_controller(options.cluster_cidr));
  out.add(
      "node-lifecycle-controller",
      make_node_lifecycle_controller(clock, options.node_monitor_grace_period, m.eviction, options.metrics));
  out.add("ttl-controller", make_node_ttl_controller());
  out.add("taint-eviction-controller", make_taint_eviction_controller(clock));
  out.add("pod-garbage-collector-controller", make_pod_gc_controller(clock, terminated));
  out.add("replicaset-controller", make_replicaset_controller());
  out.add("replicationcontroller-controller", make_replication_controller_controller());
  out.add("deployment-controller", make_deployment_controller());
  out.add("daemonset-controller", make_daemonset_controller());
  out.add("statefulset-controller", make_statefulset_controller());
  if (options.call && options.kinds) {
    out.add("horizontal-pod-autoscaler-controller",
            make_autoscaler_controller(m.autoscaler, options.call, options.kinds));
  }
  out.add("job-controller", make_job_controller());
  out.add("job-controller", make_job_orphan_controller());
  out.add("cronjob-controller", make_cronjob_controller());
  out.add("ttl-after-finished-controller", make_ttl_after_finished_controller());
  out.add("disruption-controller", make_disruption_controller());
  out.add("disruption-controller", make_stale_disruption_controller());
  out.add("endpoints-controller", make_endpoints_controller());
  out.add("endpointslice-controller", make_endpointslice_controller());
  out.add("endpointslice-mirroring-controller", make_endpointslice_mirroring_controller());
  out.add("service-cidr-controller", make_service_cidr_controller(options.service_cidr));
  out.add("service-cidr-controller", make_ip_address_controller());
  out.add("clusterrole-aggregation-controller", make_cluster_role_aggregation_controller());
  out.add("resourceclaim-controller", make_pod_claims_controller());
  out.add("resourceclaim-controller", make_claim_users_controller());
  out.add("resourcequota-controller", make_resource_quota_controller(options.namespaced));
  if (options.sign_secret_token) {
    out.add("serviceaccount-token-controller",
            make_token_secret_controller(options.sign_secret_token, options.root_ca_pem));
  }
  out.add("legacy-serviceaccount-token-cleaner-controller",
          make_legacy_token_cleaner_controller(m.legacy_token_clean_up_period));
  out.add("token-cleaner-controller", make_token_cleaner_controller());
  out.add("persistentvolume-binder-controller", make_volume_binder_controller());
  out.add("persistentvolume-binder-controller", make_volume_phase_controller());
  out.add("persistentvolume-expander-controller", make_volume_expander_controller());
  out.add("ephemeral-volume-controller", make_ephemeral_volume_controller());
  out.add("persistentvolumeclaim-protection-controller", make_claim_protection_controller());
  out.add("persistentvolume-protection-controller", make_volume_protection_controller());
  out.add("volumeattributesclass-protection-controller", make_attributes_class_protection_controller());
  return out.take();
}

}  // namespace orch::server
