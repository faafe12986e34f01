// Agent: one node, composed: container runtime, kubelet, its HTTPS server, network, proxy and DNS. Starts its
// components in order and stops them in reverse; containers go on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/timer.h"
#include "client/client.h"
#include "pki/pki.h"

namespace orch::agent {

struct AgentConfig {
  std::string data_dir = "/var/lib/orch";
  std::string node_name;
  std::vector<std::string> node_ips;
  std::map<std::string, std::string> node_labels;
  std::vector<std::string> node_taints;
  std::string container_runtime_endpoint;  // "": containerd started by Orch
  std::string cluster_cidr, service_cidr;
  std::string cluster_dns;
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";
  uint16_t kubelet_port = 10250;
  // What the node's own HTTPS server shows and trusts.
  pki::KeyPair serving;
  std::string client_ca_pem;
};

class Agent {
 public:
  /// `client` is this node's way to the API; it and the others must outlive the agent. Errors name the
  /// component and what to do.
  static base::Result<std::unique_ptr<Agent>> start(AgentConfig config, client::Client& client,
                                                    const base::Clock& clock, base::Timers& timers,
                                                    base::Metrics& metrics);
  virtual ~Agent() = default;
  /// The node's server shows this certificate from now on.
  virtual base::Status set_serving(const pki::KeyPair& serving) = 0;
};

/// Addresses of this machine's interfaces by which others reach it: the default route's first, without
/// loopback, link-local and Orch's own.
std::vector<std::string> machine_addresses();

}  // namespace orch::agent
