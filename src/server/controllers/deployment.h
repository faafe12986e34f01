// Deployment controller (apps/v1): rolls a template out through ReplicaSets.
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "server/controllers/controller.h"

namespace orch::server {

Controller make_deployment_controller();
/// The pure part, for tests.
Plan plan_deployment(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
