// Feature gates: the names Kubernetes v1.35 knows, and what Orch, which has no switches, does about them.
#pragma once

#include <string_view>

#include "base/status.h"

namespace orch::server {

/// Reads "A=true,B=false". OK when every gate is one of Kubernetes' and asks for what is the case anyway: its
/// default. kBadRequest in one line for unknown gates, locked ones, and others that Orch does not switch.
base::Status check_feature_gates(std::string_view text);

}  // namespace orch::server
