// The client that the product's own parts use, to the server of a bench.
#pragma once

#include <memory>

#include "client/load.h"
#include "client/remote_client.h"

namespace orch::bench {

inline std::unique_ptr<client::RemoteClient> remote_client(const Target& target,
                                                           const std::string& user_agent) {
  client::RemoteOptions remote;
  remote.server = base::cat("https://", target.host, ":", target.port);
  remote.certificate_pem = target.certificate_pem;
  remote.key_pem = target.key_pem;
  remote.token = target.token;
  remote.insecure = true;
  remote.user_agent = user_agent;
  return client::make_remote_client(remote);
}

}  // namespace orch::bench
