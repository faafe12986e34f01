// DaemonSet controller (apps/v1): one pod on every node that suits.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_daemonset_controller();
/// The pure part, for tests.
Plan plan_daemonset(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
