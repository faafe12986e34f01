// ReplicaSet and ReplicationController: as many pods of a template as asked for (apps/v1, core/v1). One plan
// serves both; the older kind selects by plain labels and does not count terminating pods.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_replicaset_controller();
Controller make_replication_controller_controller();
/// The pure parts, for tests.
Plan plan_replicaset(const View& view, const Key& key, base::WallTime now);
Plan plan_replication_controller(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
