// Makers of the plugins, one file each.
#pragma once

#include <memory>

#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

std::unique_ptr<Plugin> make_node_unschedulable();
std::unique_ptr<Plugin> make_node_name();
std::unique_ptr<Plugin> make_taint_toleration();
std::unique_ptr<Plugin> make_node_affinity();
std::unique_ptr<Plugin> make_node_ports();
std::unique_ptr<Plugin> make_resources_fit(FitStrategy strategy);
std::unique_ptr<Plugin> make_balanced_allocation();
std::unique_ptr<Plugin> make_image_locality();

}  // namespace orch::server::scheduler
