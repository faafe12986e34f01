// ResourceQuota: what a namespace may use, never exceeded by writes that happen at the same time.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "server/admission/admission.h"
#include "server/auth/lookup.h"

namespace orch::server {

/// Writes status of a ResourceQuota tree on the condition of its resourceVersion: kConflict when it changed
/// meanwhile. Returns what was stored.
using QuotaStatusWriter = std::function<base::Result<api::ObjectPtr>(const Json& quota)>;

/// Charges each create (and updates that use more) to the quotas of its namespace before it is stored: usage
/// is checked and written to status.used under a lock of the namespace, and on condition of the version read,
/// so that neither threads nor several servers can together exceed a quota. Usage is counted first for quotas
/// that nobody has counted yet. A charge whose write fails later stays until somebody recounts
/// (quota::recount), as in Kubernetes. `lookup` and `clock` must outlive the plugin.
std::unique_ptr<AdmissionPlugin> make_resource_quota(const Lookup& lookup, QuotaStatusWriter writer,
                                                     const base::Clock& clock);

}  // namespace orch::server
