// NodeNetwork: the node's network as one: CNI configuration, routes to other nodes, service proxy, DNS.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/threads.h"
#include "client/informer.h"

namespace orch::agent {

struct NodeNetworkConfig {
  std::string node_name;
  std::string cni_conf_dir;
  std::string cni_state_dir;  // addresses in use
  std::string cluster_cidr;
  std::string cluster_dns, cluster_domain;
  std::string resolv_conf;
  /// Called on some thread: containers can be connected now.
  std::function<void()> on_ready;
  /// Called on some thread when services cease to work on this node, and when they work again.
  std::function<void(const base::Status&)> on_services;
};

/// Construct before the informers start. Once the node's pod range is known, containers can be connected.
class NodeNetwork {
 public:
  NodeNetwork(client::InformerFactory& informers, NodeNetworkConfig config);
  ~NodeNetwork();
  /// What cannot be started is logged; the node goes on without it.
  base::Status start();
  /// Ends the threads that read the informers, which may end after this. Rules, routes and addresses stay.
  void stop();

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::agent
