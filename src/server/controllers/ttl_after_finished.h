// TTL-after-finished controller: removes a Job (batch/v1) spec.ttlSecondsAfterFinished after it ended.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_ttl_after_finished_controller();
/// The pure part, for tests.
Plan plan_ttl_after_finished(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
