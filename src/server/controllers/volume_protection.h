// Lets claims, volumes and volume attribute classes under deletion go once nothing uses them: takes away the
// finalizers that admission plugin StorageObjectInUseProtection put on.
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

/// A claim is in use while a scheduled pod names it.
Controller make_claim_protection_controller();
/// A volume is in use while it is bound.
Controller make_volume_protection_controller();
/// A class is in use while a claim or volume names it.
Controller make_attributes_class_protection_controller();

}  // namespace orch::server
