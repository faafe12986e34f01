// ReplicaSet controller: as many pods of a template as asked for (apps/v1).
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_replicaset_controller();
/// The pure part, for tests.
Plan plan_replicaset(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
