// Resource-quota controller: counts what a namespace uses, so that deleted and ended objects give it back.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

/// A new or changed quota is counted at once. What was given back is counted when the quota has been left
/// alone for a second, because a write that admission has charged and the store has not taken yet is not seen
/// by counting. `namespaced` are the kinds that `count/…` may name.
Controller make_resource_quota_controller(KindList namespaced);

}  // namespace orch::server
