// The cluster's own certificates: made at the first start, kept right at every start.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "pki/pki.h"

namespace orch::server {

struct PkiOptions {
  std::string data_dir;
  std::string hostname;
  std::string cluster_domain = "cluster.local";
  std::string service_ip;                // first address of the service range: the service `kubernetes`
  std::vector<std::string> node_ips;     // this machine's addresses
  std::vector<std::string> extra_names;  // --tls-san: host names and addresses
};

/// Everything under `<data_dir>/server/tls`, in memory. File names are those of k3s.
struct ClusterPki {
  pki::KeyPair server_ca;           // signs what servers show: API server, kubelets
  pki::KeyPair client_ca;           // signs what clients show
  pki::KeyPair request_header_ca;   // signs the aggregator's client certificate
  std::string service_account_key;  // private; its public half verifies service-account tokens
  pki::KeyPair serving;             // the API server's own
  pki::KeyPair admin;               // system:masters
  pki::KeyPair controller_manager, scheduler;
  pki::KeyPair kubelet_client;  // API server to node :10250
  pki::KeyPair proxy_client;    // API server to aggregated API servers
};

/// Loads what is there, makes what is missing and writes it (files 0600, folder 0700, each whole and durable
/// before the next): a half-made set is completed, a key without its certificate is used again. Leaf
/// certificates are issued anew when their names changed or less than 90 days remain; CAs and the signing key
/// never are. A clock that is behind this software's release (no battery) is not believed: such certificates
/// would be expired once it is set. Call again at any time to renew what is due.
base::Result<ClusterPki> ensure_pki(const PkiOptions& options, base::WallTime now);

/// A kubeconfig with everything embedded, current context "default".
std::string make_kubeconfig(const std::string& server_url, const std::string& ca_pem,
                            const pki::KeyPair& client);
/// Writes it with `mode`, unless the same content is there; makes the folder.
base::Status write_kubeconfig(const std::string& path, const std::string& content, unsigned mode);

/// For the join of a node: signs its requests, whatever they say, as system:node:<name> of group
/// system:nodes, and as a server of that name and these addresses. kBadRequest for a request whose signature
/// is wrong.
base::Result<std::string> sign_node_client(const ClusterPki& pki, const std::string& csr_pem,
                                           const std::string& node_name, std::chrono::seconds lifetime,
                                           base::WallTime now);
base::Result<std::string> sign_node_serving(const ClusterPki& pki, const std::string& csr_pem,
                                            const std::string& node_name,
                                            const std::vector<std::string>& addresses,
                                            std::chrono::seconds lifetime, base::WallTime now);

/// When ensure_pki has something to renew next.
base::Result<base::WallTime> pki_renewal_time(const ClusterPki& pki);

}  // namespace orch::server
