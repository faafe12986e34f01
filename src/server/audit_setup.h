// The audit log as kube-apiserver's audit-* arguments ask for it.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "server/api_server_args.h"
#include "server/audit/audit.h"

namespace orch::server {

/// Null when nothing is to be audited: there is no policy, or nowhere to write to. kBadRequest naming what
/// cannot be used. `clock` and `metrics` must outlive the result.
base::Result<std::unique_ptr<AuditLog>> make_audit_log(const ApiServerArgs& args, const base::Clock& clock,
                                                       base::Metrics& metrics);

}  // namespace orch::server
