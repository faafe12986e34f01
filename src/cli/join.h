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

/// Fetches the server's CA, checks it against the token before anything is sent, and asks for certificates.
/// What it got is kept under <data_dir>/agent: when the server is away, a node that joined before starts from
/// there. Certificates with less than a third of their life left are renewed.
base::Result<Joined> join_cluster(const std::string& data_dir, const std::string& server_url,
                                  const std::string& token, const std::string& node_name,
                                  const std::vector<std::string>& addresses, base::WallTime now);

}  // namespace orch::cli
