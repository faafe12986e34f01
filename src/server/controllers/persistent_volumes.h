// The persistent volume controller: brings claims and volumes together and keeps their phases. Volumes are
// made and removed by provisioners (CSI drivers); for those that no provisioner made, what becomes of them
// after their claim is up to their reclaim policy.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

/// Claims: finds a volume for each, or asks its class's provisioner for one; binds both to each other.
Controller make_volume_binder_controller();
/// Volumes: Available, Bound, Released, or taken back from a claim that has another.
Controller make_volume_phase_controller();
/// Claims that ask for more than they have: says that growing them is up to their driver.
Controller make_volume_expander_controller();

}  // namespace orch::server
