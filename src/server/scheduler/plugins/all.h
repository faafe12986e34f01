// All plugins by name, and the profile of those that are on by default.
#pragma once

#include <string_view>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

/// Of all plugins that take any.
struct PluginArgs {
  FitArgs fit;
  BalancedArgs balanced;
  NodeAffinityArgs node_affinity;
  InterPodAffinityArgs inter_pod_affinity;
  SpreadArgs spread = SpreadArgs::system_defaults();
  DynamicResourcesArgs devices;
};

/// Null when Orch knows no plugin of this name.
PluginPtr make_plugin(std::string_view name, const PluginArgs& args);
/// kube-scheduler's default profile.
Profile default_profile(const PluginArgs& args = {});

}  // namespace orch::server::scheduler
