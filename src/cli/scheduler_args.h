// Flags of kube-scheduler that Orch takes.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "server/server.h"

namespace orch::cli {

/// Applies --kube-scheduler-arg; reads and checks the file that `config` names. kBadRequest with one line.
base::Status apply_scheduler_args(const std::vector<std::string>& args, server::ServerConfig& config);

}  // namespace orch::cli
