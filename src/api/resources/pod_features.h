// Members of pods that belong to features which are off in v1.35: they are dropped on write.
#pragma once

#include "base/json_fwd.h"

namespace orch::api {

/// Drops from a PodSpec what is not on by default, unless the old spec (may be null) has it already.
void drop_disabled_pod_fields(Json& spec, const Json* old_spec);
/// The same for a PodStatus.
void drop_disabled_pod_status_fields(Json& status, const Json* old_status);

}  // namespace orch::api
