// What the scheduler is told by the command line: its configuration file, or the built-in profile.
#pragma once

#include "base/status.h"
#include "server/scheduler/scheduler.h"
#include "server/server.h"

namespace orch::server {

/// kBadRequest naming what is wrong with the file.
base::Result<scheduler::SchedulerOptions> scheduler_options(const ServerConfig& server);

}  // namespace orch::server
