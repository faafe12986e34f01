// Flags of kube-controller-manager that Orch takes.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "server/server.h"

namespace orch::cli {

/// Applies --kube-controller-manager-arg. kBadRequest with one line.
base::Status apply_controller_manager_args(const std::vector<std::string>& args,
                                           server::ServerConfig& config);

}  // namespace orch::cli
