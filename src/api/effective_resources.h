// What a container counts with while its pod is being resized in place (KEP-1287). Pure.
#pragma once

#include "base/json_fwd.h"

namespace orch::api {

/// Requests or limits (`kind`) of a regular container or sidecar, for scheduling and quotas: what its spec
/// asks for, what its node set aside and what it runs with, the greatest of each; a resize that its node can
/// never carry out does not count.
Json effective_resources(const Json& pod, const Json& container, const char* kind);

}  // namespace orch::api
