// gRPC outcomes as base::Status. Internal to agent/cri: includes gRPC.
#pragma once

#include <grpcpp/support/status.h>

#include "base/status.h"

namespace orch::agent::cri {

/// The message has the form "rpc error: code = NotFound desc = …" that events and container statuses show.
base::Status to_status(const grpc::Status& status);

}  // namespace orch::agent::cri
