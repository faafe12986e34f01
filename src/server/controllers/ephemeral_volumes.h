// Ephemeral volume controller: makes the PersistentVolumeClaims that pods describe in their own volumes
// (`ephemeral.volumeClaimTemplate`). They belong to the pod and go with it.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_ephemeral_volume_controller();

}  // namespace orch::server
