// How a machine becomes a node: it shows a join token and two certificate requests, and gets certificates.
//
// POST /v1-orch/node with {"name", "addresses", "clientRequest", "servingRequest"} (PEM requests), HTTP Basic
// with the join token. Answer: {"clientCertificate", "servingCertificate", "clientCA", "serverCA",
// "clusterCIDR", "serviceCIDR", "clusterDNS", "clusterDomain"}.
#pragma once

#include <string>

#include "base/clock.h"
#include "http/message.h"
#include "server/auth/auth.h"
#include "server/auth/pki_setup.h"
#include "server/server.h"

namespace orch::server {

/// What every node is told about the cluster.
struct ClusterFacts {
  std::string cluster_cidr, service_cidr, cluster_dns, cluster_domain;
  std::chrono::seconds certificate_lifetime{};  // of what the node is given
};

http::Response handle_join(const http::Request& request, const UserInfo& user, const ClusterPki& pki,
                           const ClusterFacts& facts, base::WallTime now);

/// What a node inside the server's own process needs; all but server_url.
base::Result<NodeCredentials> issue_node_credentials(const ClusterPki& pki, const std::string& node_name,
                                                     const std::vector<std::string>& addresses,
                                                     base::WallTime now);

}  // namespace orch::server
