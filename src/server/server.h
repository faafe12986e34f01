// Server: the control plane, composed. Starts its components in order and stops them in reverse.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/timer.h"
#include "client/client.h"
#include "pki/pki.h"
#include "server/api_server_args.h"
#include "server/controllers/manager_options.h"

namespace orch::server {

struct ServerConfig {
  std::string data_dir = "/var/lib/orch";
  std::string bind_address = "0.0.0.0";
  uint16_t https_listen_port = 6443;  // 0: chosen by the system
  std::string advertise_address;      // "": the first node address
  std::vector<std::string> tls_san;
  std::string write_kubeconfig = "/etc/orch/orch.yaml";
  unsigned write_kubeconfig_mode = 0600;
  std::string token;
  std::string cluster_cidr = "10.42.0.0/16", service_cidr = "10.43.0.0/16";
  std::string cluster_dns;  // "": the tenth address of the service range
  std::string cluster_domain = "cluster.local";
  std::string service_node_port_range = "30000-32767";
  std::string scheduler_strategy = "LeastAllocated";  // or MostAllocated: bin packing
  /// A KubeSchedulerConfiguration, which takes the place of the strategy; "": none.
  std::string scheduler_config;
  /// A node silent for so long becomes Unknown and is tainted unreachable.
  base::Duration node_monitor_grace_period = std::chrono::seconds(50);
  /// How long pods that say nothing about it stay on a node that is not ready or silent.
  int64_t default_not_ready_toleration_seconds = 300, default_unreachable_toleration_seconds = 300;
  /// Of the certificates that nodes are given.
  std::chrono::seconds cluster_signing_duration = std::chrono::hours(24 * 365);
  bool disable_scheduler = false, disable_controller_manager = false;
  ManagerOptions manager;
  std::string hostname;
  std::vector<std::string> node_ips;
  ApiServerArgs api;                // --kube-apiserver-arg
  bool secrets_encryption = false;  // Secrets are encrypted on disk with a key kept beside them
};

/// What a node inside the same process needs of the server.
struct NodeCredentials {
  std::string server_url;
  std::string server_ca_pem, client_ca_pem;
  pki::KeyPair client;   // system:node:<name>
  pki::KeyPair serving;  // of the node's own server
};

class Server {
 public:
  /// Everything up to a listening, ready API. Errors say which component failed and why; nothing is left
  /// running then.
  static base::Result<std::unique_ptr<Server>> start(const ServerConfig& config, const base::Clock& clock,
                                                     base::Timers& timers, base::Metrics& metrics);
  /// Stops in reverse order; the store is closed cleanly.
  virtual ~Server() = default;
  virtual uint16_t port() const = 0;
  /// In-process client as the node's own user, for the agent in this process.
  virtual std::unique_ptr<client::Client> node_client(const std::string& node_name) = 0;
  virtual base::Result<NodeCredentials> node_credentials(const std::string& node_name,
                                                         const std::vector<std::string>& addresses) = 0;
  /// Issues anew what is due of the control plane's certificates, and shows the new ones from now on. Gives
  /// when to call again.
  virtual base::Result<base::WallTime> renew_certificates() = 0;
  /// The resolved --cluster-dns.
  virtual std::string cluster_dns() const = 0;
  /// Text of the node join token, K10….
  virtual std::string node_token() const = 0;
};

}  // namespace orch::server
