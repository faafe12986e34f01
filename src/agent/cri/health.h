// gRPC health checks (grpc.health.v1), for probes.
#pragma once

#include <chrono>
#include <string>

#include "base/status.h"

namespace orch::agent {

/// OK when the server at "host:port" reports the service ("" for the whole server) as SERVING; otherwise an
/// error whose message is what a probe shows.
base::Status grpc_health(const std::string& address, const std::string& service,
                         std::chrono::seconds timeout);

}  // namespace orch::agent
