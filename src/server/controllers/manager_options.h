// What can be tuned about the controllers, under the names of kube-controller-manager v1.35.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::server {

/// The flags --horizontal-pod-autoscaler-….
struct AutoscalerOptions {
  base::Duration sync_period = std::chrono::seconds(15);
  base::Duration downscale_stabilization = std::chrono::minutes(5);
  base::Duration cpu_initialization_period = std::chrono::minutes(5);
  base::Duration initial_readiness_delay = std::chrono::seconds(30);
  double tolerance = 0.1;
};

/// How fast the pods of nodes that are down are driven out (see node_zones.h): the flags
/// --node-eviction-rate, --secondary-node-eviction-rate, --unhealthy-zone-threshold and
/// --large-cluster-size-threshold.
struct EvictionOptions {
  double rate = 0.1;             // nodes a second, in each zone
  double secondary_rate = 0.01;  // while much of a large zone is down; in others it is none
  double unhealthy_zone_threshold = 0.55;
  int64_t large_cluster_size = 50;  // a zone with more nodes is large
};

struct ManagerOptions {
  /// --controllers: "*" is all that are on by default, "name" one of them, "-name" all but this one; the
  /// first that names a controller counts.
  std::vector<std::string> controllers = {"*"};
  /// --concurrent-…-syncs: how many keys of a controller run at once, by the controller's name there; the
  /// loop's threads are the limit for the others.
  std::map<std::string, int64_t, std::less<>> concurrent;
  /// --terminated-pod-gc-threshold; 0: pods that ended are never collected for their number.
  int64_t terminated_pods = 12500;
  AutoscalerOptions autoscaler;
  EvictionOptions eviction;
  /// --legacy-service-account-token-clean-up-period: see legacy_tokens.h.
  base::Duration legacy_token_clean_up_period = std::chrono::hours(24 * 365);

  /// Whether the controller of this name runs.
  bool enabled(std::string_view name) const;
};

/// The name a controller has today for one that was its name once ("job"), or the name itself.
std::string_view controller_name(std::string_view name_or_alias);
/// kBadRequest for a name in --controllers that kube-controller-manager does not know.
base::Status check_controllers(const std::vector<std::string>& controllers);

}  // namespace orch::server
