// Makers of the plugins, one file each, with their arguments (kubescheduler.config.k8s.io/v1).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

using PluginPtr = std::unique_ptr<const Plugin>;
using WeightedNodeTerm = std::pair<int64_t, NodeTerm>;

/// NodeResourcesFitArgs.
struct FitArgs {
  std::vector<std::string> ignored_resources, ignored_groups;
  enum class Strategy : uint8_t { kLeastAllocated, kMostAllocated, kRequestedToCapacityRatio };
  Strategy strategy = Strategy::kLeastAllocated;
  std::vector<std::pair<std::string, int64_t>> resources = {{"cpu", 1}, {"memory", 1}};  // with weights
  std::vector<std::pair<int64_t, int64_t>> shape;  // utilization in percent, score 0..10
};
/// NodeResourcesBalancedAllocationArgs.
struct BalancedArgs {
  std::vector<std::string> resources = {"cpu", "memory"};
};
/// NodeAffinityArgs.addedAffinity: holds for every pod of the profile.
struct NodeAffinityArgs {
  bool has_required = false;
  std::vector<NodeTerm> required;  // or-ed
  std::vector<WeightedNodeTerm> preferred;
};
/// InterPodAffinityArgs.
struct InterPodAffinityArgs {
  int64_t hard_weight = 1;
  bool ignore_preferred_of_others = false;
};
/// PodTopologySpreadArgs.
struct SpreadArgs {
  bool system = true;                      // the constraints are Kubernetes' own defaults
  std::vector<SpreadConstraint> defaults;  // without selectors
  static SpreadArgs system_defaults();
};

/// DynamicResourcesArgs.
struct DynamicResourcesArgs {
  base::Duration filter_timeout = std::chrono::seconds(10);  // of one node; 0: for ever
};

PluginPtr make_node_unschedulable();
PluginPtr make_node_name();
PluginPtr make_taint_toleration();
PluginPtr make_node_affinity(NodeAffinityArgs args = {});
PluginPtr make_node_ports();
PluginPtr make_resources_fit(FitArgs args = {});
PluginPtr make_balanced_allocation(const BalancedArgs& args = {});
PluginPtr make_image_locality();
PluginPtr make_inter_pod_affinity(InterPodAffinityArgs args = {});
PluginPtr make_topology_spread(SpreadArgs args = SpreadArgs::system_defaults());
PluginPtr make_volume_restrictions();
PluginPtr make_volume_limits();
PluginPtr make_volume_binding();
PluginPtr make_volume_zone();
PluginPtr make_dynamic_resources(const DynamicResourcesArgs& args = {});

}  // namespace orch::server::scheduler
