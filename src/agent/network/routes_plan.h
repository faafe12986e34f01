// Which routes and tunnel entries this node needs so that its pods reach those of the other nodes. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/network/address.h"
#include "agent/network/host.h"

namespace orch::agent {

enum class OverlayMode : uint8_t {
  kAuto,    // direct routes to nodes in the same subnet, VXLAN to the others
  kDirect,  // direct routes only; nodes elsewhere are reached by routes that somebody else makes
  kVxlan,   // VXLAN to all, for networks that drop what nodes forward for their pods
};

/// What a Node object says: status.addresses of type InternalIP and spec.podCIDRs.
struct NodeNet {
  std::string name;
  std::vector<IpRange> addresses, pod_ranges;
};

struct VxlanConfig {
  std::string interface = "orch.vxlan";
  uint32_t id = 1;
  uint16_t port = 8472;
};

/// Lines for `ip -batch` and `bridge -batch`, without the verb ("route", "neigh", "fdb" entries).
struct RoutePlan {
  std::set<std::string> routes;     // "10.42.2.0/24 via 10.0.0.2 dev eth0", IPv4 and IPv6
  std::set<std::string> neighbors;  // "10.42.2.0 lladdr 0e:4f:… dev orch.vxlan nud permanent"
  std::set<std::string> fdb;        // "0e:4f:… dev orch.vxlan dst 192.168.7.2 self permanent"
  bool vxlan = false;               // the tunnel interface is needed
  std::string vxlan_local;          // this node's address
  std::string vxlan_device;         // the interface that has it
  std::string vxlan_mac;
  /// First address of each own pod range: what this node sends from when it talks through the tunnel.
  std::vector<std::string> vxlan_addresses;
  friend bool operator==(const RoutePlan&, const RoutePlan&) = default;
};

/// The tunnel end's MAC address follows from the node's address, so nodes need not tell each other.
std::string vtep_mac(const IpRange& node_address);

/// `self` names this node. Nodes without address or pod range are left out until they have them.
RoutePlan plan_routes(const std::vector<NodeNet>& nodes, const std::string& self,
                      const std::vector<HostAddress>& host, OverlayMode mode, const VxlanConfig& vxlan);

/// The MTU for pods: the uplink's, less the tunnel's header unless every route is direct.
int pod_mtu(int uplink_mtu, OverlayMode mode, bool v6);

}  // namespace orch::agent
