// Disruption controller (policy/v1): how many pods of a PodDisruptionBudget may be evicted now.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

/// Keeps status of PodDisruptionBudgets; the eviction subresource spends what it allows.
Controller make_disruption_controller();
/// Takes back condition DisruptionTarget from pods that nobody deleted within two minutes of it.
Controller make_stale_disruption_controller();
/// The pure parts, for tests.
Plan plan_disruption(const View& view, const Key& key, base::WallTime now);
Plan plan_stale_disruption(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
