// What the proxy reads of a Service (core/v1) and its EndpointSlices (discovery.k8s.io/v1), and which
// endpoints traffic may go to. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/network/address.h"
#include "api/object.h"
#include "base/json_fwd.h"

namespace orch::agent {

struct ProxyServicePort {
  std::string name;
  std::string protocol;  // "tcp", "udp", "sctp"
  uint16_t port = 0;
  uint16_t node_port = 0;  // 0: none
};

struct ProxyService {
  std::string key;  // namespace/name
  std::vector<IpRange> cluster_ips, external_ips, load_balancer_ips;
  std::vector<IpRange> source_ranges;
  bool affinity = false;  // ClientIP
  int64_t affinity_seconds = 10800;
  bool internal_local = false, external_local = false;
  std::vector<ProxyServicePort> ports;
};

/// One address and port of a slice. Unset conditions mean ready, serving and not terminating.
struct ProxyEndpoint {
  IpRange ip;
  uint16_t port = 0;
  bool ready = true, serving = true, terminating = false;
  std::string node;
  std::vector<std::string> hinted_zones, hinted_nodes;
};

/// A service without a cluster IP (headless, ExternalName) or meant for another proxy
/// (service.kubernetes.io/service-proxy-name) has no ports here, so nothing to be done for.
ProxyService read_service(const Json& service);

/// The endpoints behind one port, in a stable order and each once. `slices` are all slices of the service.
std::vector<ProxyEndpoint> read_endpoints(const std::vector<Json>& slices, const ProxyServicePort& port,
                                          bool v6);

/// What traffic may reach from this node. Ready endpoints count; where there is none, those that still serve
/// while they terminate (KEP-1669), decided for each policy apart. Topology hints narrow the cluster's
/// endpoints if all ready ones carry them and one is hinted for here (KEP-4444, KEP-3015).
struct EndpointChoice {
  std::vector<ProxyEndpoint> cluster, local;
  bool any = false;  // the service has a usable endpoint somewhere
};
struct NodePlace {
  std::string name, zone;
};
EndpointChoice choose_endpoints(const std::vector<ProxyEndpoint>& all, const ProxyService& service,
                                const NodePlace& here);

}  // namespace orch::agent
