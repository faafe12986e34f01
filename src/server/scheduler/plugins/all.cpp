#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

Plugins default_plugins(FitStrategy strategy) {
  Plugins out;
  out.push_back(make_node_unschedulable());
  out.push_back(make_node_name());
  out.push_back(make_taint_toleration());
  out.push_back(make_node_affinity());
  out.push_back(make_node_ports());
  out.push_back(make_resources_fit(strategy));
  out.push_back(make_balanced_allocation());
  out.push_back(make_image_locality());
  return out;
}

}  // namespace orch::server::scheduler
