#include "server/scheduler/plugins/all.h"

#include <functional>

namespace orch::server::scheduler {

namespace {

/// In kube-scheduler's order, which is the order of their filters and of their reasons.
struct Known {
  std::string_view name;
  int64_t weight;  // of the default profile; 0: does not score there
  PluginPtr (*make)(const PluginArgs&);
};

constexpr Known kKnown[] = {
    {"NodeUnschedulable", 0, [](const PluginArgs&) { return make_node_unschedulable(); }},
    {"NodeName", 0, [](const PluginArgs&) { return make_node_name(); }},
    {"TaintToleration", 3, [](const PluginArgs&) { return make_taint_toleration(); }},
    {"NodeAffinity", 2, [](const PluginArgs& a) { return make_node_affinity(a.node_affinity); }},
    {"NodePorts", 0, [](const PluginArgs&) { return make_node_ports(); }},
    {"NodeResourcesFit", 1, [](const PluginArgs& a) { return make_resources_fit(a.fit); }},
    {"VolumeRestrictions", 0, [](const PluginArgs&) { return make_volume_restrictions(); }},
    {"NodeVolumeLimits", 0, [](const PluginArgs&) { return make_volume_limits(); }},
    {"VolumeBinding", 0, [](const PluginArgs&) { return make_volume_binding(); }},
    {"VolumeZone", 0, [](const PluginArgs&) { return make_volume_zone(); }},
    {"PodTopologySpread", 2, [](const PluginArgs& a) { return make_topology_spread(a.spread); }},
    {"InterPodAffinity", 2,
     [](const PluginArgs& a) { return make_inter_pod_affinity(a.inter_pod_affinity); }},
    {"DynamicResources", 2, [](const PluginArgs& a) { return make_dynamic_resources(a.devices); }},
    {"NodeResourcesBalancedAllocation", 1,
     [](const PluginArgs& a) { return make_balanced_allocation(a.balanced); }},
    {"ImageLocality", 1, [](const PluginArgs&) { return make_image_locality(); }},
};

}  // namespace

PluginPtr make_plugin(std::string_view name, const PluginArgs& args) {
  for (const Known& k : kKnown) {
    if (k.name == name) return k.make(args);
  }
  return nullptr;
}

Profile default_profile(const PluginArgs& args) {
  Profile out;
  for (const Known& k : kKnown) {
    const Plugin& plugin = *out.plugins.emplace_back(k.make(args));
    if (plugin.filters()) out.filters.push_back({&plugin});
    if (k.name == "DynamicResources") out.gates.push_back(&plugin);
    if (k.weight != 0) out.scorers.emplace_back(&plugin, k.weight);
  }
  return out;
}

}  // namespace orch::server::scheduler
