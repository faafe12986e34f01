// Joining a cluster: from a token to certificates, kept for the next start.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "pki/pki.h"

namespace orch::cli {

struct Joined {
  std::string server_ca_pem, client_ca_pem;
  pki::KeyPair client, serving;
  std::string cluster_cidr, service_cidr, cluster_dns, cluster_domain;
};

struct JoinOptions {
  std::string data_dir, server_url, token, node_name;
  std::vector<std::string> addresses;
};

/// Fetches the server's CA, checks it against the token before anything is sent, and asks for certificates.
/// What it got is kept under <data_dir>/agent: when the server is away, a node that joined before starts from
/// there. Certificates that are due are renewed.
base::Result<Joined> join_cluster(const JoinOptions& options, base::WallTime now);

/// Certificates that take the place of `current`, kept too: asked for with the node's own certificate while
/// that is valid, else with the token.
base::Result<Joined> renew(const JoinOptions& options, const Joined& current, base::WallTime now);
/// When the first of the two certificates is due.
base::Result<base::WallTime> renewal_due(const Joined& joined);

}  // namespace orch::cli
