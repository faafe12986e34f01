#include "cli/controller_manager_args.h"

#include <array>

#include "cli/component_args.h"

namespace orch::cli {

namespace {

/// Nodes send their heartbeat every 10 seconds.
constexpr std::chrono::seconds kShortestGrace{12};
constexpr int64_t kMostSyncs = 1000;
constexpr int64_t kMostPods = 2147483647;
constexpr int64_t kMostNodes = 2147483647;

struct ConcurrentFlag {
  const char *flag, *controller;
};
constexpr auto kConcurrent = std::to_array<ConcurrentFlag>({
    {"concurrent-cron-job-syncs", "cronjob-controller"},
    {"concurrent-daemonset-syncs", "daemonset-controller"},
    {"concurrent-deployment-syncs", "deployment-controller"},
    {"concurrent-endpoint-syncs", "endpoints-controller"},
    {"concurrent-horizontal-pod-autoscaler-syncs", "horizontal-pod-autoscaler-controller"},
    {"concurrent-job-syncs", "job-controller"},
    {"concurrent-namespace-syncs", "namespace-controller"},
    {"concurrent-replicaset-syncs", "replicaset-controller"},
    {"concurrent-resource-quota-syncs", "resourcequota-controller"},
    {"concurrent-service-endpoint-syncs", "endpointslice-controller"},
    {"concurrent-serviceaccount-token-syncs", "serviceaccount-token-controller"},
    {"concurrent-statefulset-syncs", "statefulset-controller"},
    {"concurrent-ttl-after-finished-syncs", "ttl-after-finished-controller"},
    {"concurrent_rc_syncs", "replicationcontroller-controller"},
    {"mirroring-concurrent-service-endpoint-syncs", "endpointslice-mirroring-controller"},
});

}  // namespace

base::Status apply_controller_manager_args(const std::vector<std::string>& args,
                                           server::ServerConfig& config) {
  constexpr const char* kOption = "--kube-controller-manager-arg";
  server::ManagerOptions& m = config.manager;
  server::AutoscalerOptions& a = m.autoscaler;
  server::EvictionOptions& e = m.eviction;
  std::vector<ComponentFlag> flags = {
      list_flag("controllers", m.controllers),
      duration_flag("node-monitor-grace-period", config.node_monitor_grace_period, kShortestGrace),
      integer_flag("terminated-pod-gc-threshold", m.terminated_pods, 0, kMostPods),
      number_flag("node-eviction-rate", e.rate, 0),
      number_flag("secondary-node-eviction-rate", e.secondary_rate, 0),
      number_flag("unhealthy-zone-threshold", e.unhealthy_zone_threshold, 0),
      integer_flag("large-cluster-size-threshold", e.large_cluster_size, 0, kMostNodes),
      duration_flag("legacy-service-account-token-clean-up-period", m.legacy_token_clean_up_period,
                    std::chrono::seconds(1)),
      duration_flag("horizontal-pod-autoscaler-sync-period", a.sync_period, std::chrono::seconds(1)),
      duration_flag("horizontal-pod-autoscaler-downscale-stabilization", a.downscale_stabilization),
      duration_flag("horizontal-pod-autoscaler-cpu-initialization-period", a.cpu_initialization_period),
      duration_flag("horizontal-pod-autoscaler-initial-readiness-delay", a.initial_readiness_delay),
      number_flag("horizontal-pod-autoscaler-tolerance", a.tolerance, 0),
  };
  for (const ConcurrentFlag& c : kConcurrent)
    flags.push_back(
        integer_flag(c.flag, m.concurrent.try_emplace(c.controller, 0).first->second, 1, kMostSyncs));
  ORCH_RETURN_IF_ERROR(apply_component_args(kOption, args, flags));
  if (base::Status known = server::check_controllers(m.controllers); !known.ok())
    return {base::Code::kBadRequest, base::cat(kOption, ": controllers: ", known.message())};
  std::erase_if(m.concurrent, [](const auto& c) { return c.second == 0; });
  return {};
}

}  // namespace orch::cli
