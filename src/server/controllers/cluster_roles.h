// Cluster-role aggregation controller: ClusterRoles with an aggregationRule hold the rules it selects.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_cluster_role_aggregation_controller();

}  // namespace orch::server
