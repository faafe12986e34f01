// Where a node's kubelet is.
#pragma once

#include <string_view>

#include "base/status.h"
#include "server/apiserver/api_server.h"
#include "server/apiserver/forward.h"

namespace orch::server {

/// The kubelet of a node, with the API server's own identity; `path` is for the caller to set. kNotFound when
/// there is no such node.
base::Result<ForwardTarget> kubelet_target(Registry& registry, const KubeletAccess& access,
                                           std::string_view node_name);

/// What a node's kubelet answers to GET `path`, waiting for it.
base::Result<std::string> read_kubelet(Registry& registry, const KubeletAccess& access,
                                       std::string_view node_name, const std::string& path);

}  // namespace orch::server
