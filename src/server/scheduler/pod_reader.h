// Reading pods again after changes that placement does not look at: most are of their status.
#pragma once

#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// As read_pod(after), but when only its status or node changed since `before` (may be null) what was read
/// then is taken over instead of the whole object being parsed.
PodPtr reread_pod(const PodPtr& before, const api::ObjectPtr& after);

}  // namespace orch::server::scheduler
