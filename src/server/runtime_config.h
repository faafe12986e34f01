// --runtime-config: which group versions are served.
#pragma once

#include <map>
#include <string>

#include "api/resources/resource.h"
#include "base/status.h"

namespace orch::server {

/// Applies "GROUP/VERSION", "GROUP/VERSION/RESOURCE", "v1" and "api/all|ga|beta|alpha" to the rows served.
/// Orch serves what Kubernetes serves by default: asking for more is kBadRequest, as is switching off a
/// version that objects are stored in, which Orch itself works with.
base::Status apply_runtime_config(const std::map<std::string, bool>& config, api::ResourceTable& table);

}  // namespace orch::server
