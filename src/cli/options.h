// Options of `orch server` and `orch agent`: flags, environment (ORCH_<FLAG>) and a YAML configuration file,
// in this order of precedence, as k3s users know them.
#pragma once

#include <string>
#include <vector>

#include "agent/agent.h"
#include "base/status.h"
#include "server/server.h"

namespace orch::cli {

struct NodeOptions {
  std::string node_name;
  std::vector<std::string> node_ips, node_labels, node_taints;
  std::string container_runtime_endpoint;
  std::string resolv_conf = "/etc/resolv.conf";
  int kubelet_port = 10250;
};

struct Options {
  std::string config_file = "/etc/orch/config.yaml";
  std::string data_dir = "/var/lib/orch";
  bool debug = false;
  // server
  server::ServerConfig server;
  std::string kubeconfig_mode = "600", node_monitor_grace_period = "50s", cluster_signing_duration = "8760h";
  std::vector<std::string> scheduler_args;           // of --kube-scheduler-arg
  std::vector<std::string> controller_manager_args;  // NAME=VALUE
  bool disable_agent = false;
  std::vector<std::string> kube_apiserver_args;  // NAME=VALUE
  // agent
  std::string server_url, token, token_file;
  NodeOptions node;
};

enum class Command { kServer, kAgent };

/// kBadRequest with one line for unknown, malformed or contradictory options.
base::Status check(Command command, Options& options);

/// Addresses this machine's certificates are for: --node-ip, else all it has. The node itself, when it is
/// given none, reports the address of the default route alone: a pod has one host address per family.
std::vector<std::string> certificate_addresses(const Options& options);

}  // namespace orch::cli
