// Kubeconfig files, as far as they say how to reach one server: what webhooks are configured with.
#pragma once

#include <string>

#include "base/status.h"
#include "client/remote_client.h"

namespace orch::client {

/// The server (with its path, if any), trust and identity of the file's current context, or of its only
/// cluster and user where it has no contexts. Relative file names are relative to the file. kBadRequest
/// naming `path` and what is missing or not supported (exec plugins, auth providers, proxies).
base::Result<RemoteOptions> read_kubeconfig(const std::string& path);

}  // namespace orch::client
