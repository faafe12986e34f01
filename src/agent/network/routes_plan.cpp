#include "agent/network/routes_plan.h"

#include <array>
#include <cstdio>

#include "base/status.h"

namespace orch::agent {
namespace {

using base::cat;

const IpRange* of_family(const std::vector<IpRange>& all, bool v6) {
  for (const auto& ip : all) {
    if (ip.v6 == v6) return &ip;
  }
  return nullptr;
}

/// The interface over which `peer` is a neighbour.
const HostAddress* link_to(const std::vector<HostAddress>& host, const IpRange& peer) {
  for (const auto& a : host) {
    if (a.address.length < a.address.bits() && a.address.contains(peer)) return &a;
  }
  return nullptr;
}

/// Entries that lead to one other node through the tunnel.
void add_tunnel(RoutePlan& plan, const NodeNet& node, const IpRange& peer, const VxlanConfig& vxlan) {
  const std::string mac = vtep_mac(peer);
  plan.fdb.insert(cat(mac, " dev ", vxlan.interface, " dst ", peer.address(), " self permanent"));
  for (const auto& range : node.pod_ranges) {
    const std::string gateway = range.masked().address();
    plan.neighbors.insert(cat(gateway, " lladdr ", mac, " dev ", vxlan.interface, " nud permanent"));
    plan.routes.insert(cat(range.masked().text(), " via ", gateway, " dev ", vxlan.interface, " onlink"));
  }
}

}  // namespace

std::string vtep_mac(const IpRange& node_address) {
  // Locally administered; the rest from the address (folded, for IPv6).
  std::array<uint8_t, 4> tail{};
  for (size_t i = 0; i < (node_address.v6 ? 16U : 4U); ++i) {
    tail[i % 4] = static_cast<uint8_t>(tail[i % 4] * 31 + node_address.bytes[i]);
  }
  std::array<char, 18> out{};
  std::snprintf(out.data(), out.size(), "0e:4f:%02x:%02x:%02x:%02x", tail[0], tail[1], tail[2], tail[3]);
  return out.data();
}

RoutePlan plan_routes(const std::vector<NodeNet>& nodes, const std::string& self,
                      const std::vector<HostAddress>& host, OverlayMode mode, const VxlanConfig& vxlan) {
  RoutePlan plan;
  const NodeNet* own = nullptr;
  for (const auto& node : nodes) {
    if (node.name == self) own = &node;
  }
  if (own == nullptr || own->addresses.empty()) return plan;
  const IpRange& underlay = own->addresses.front();
  const HostAddress* uplink = find_address(host, underlay);
  for (const auto& node : nodes) {
    if (&node == own || node.addresses.empty() || node.pod_ranges.empty()) continue;
    const IpRange* peer = of_family(node.addresses, underlay.v6);
    if (peer == nullptr || find_address(host, *peer) != nullptr) continue;
    if (mode != OverlayMode::kVxlan && link_to(host, *peer) != nullptr) {
      for (const auto& range : node.pod_ranges) {
        const IpRange* gateway = of_family(node.addresses, range.v6);
        const HostAddress* link = gateway != nullptr ? link_to(host, *gateway) : nullptr;
        if (link == nullptr) continue;
        plan.routes.insert(cat(range.masked().text(), " via ", gateway->address(), " dev ", link->interface));
      }
    } else if (mode != OverlayMode::kDirect && uplink != nullptr) {
      plan.vxlan = true;
      add_tunnel(plan, node, *peer, vxlan);
    }
  }
  if (plan.vxlan) {
    plan.vxlan_local = underlay.address();
    plan.vxlan_device = uplink->interface;
    plan.vxlan_mac = vtep_mac(underlay);
    for (const auto& range : own->pod_ranges) {
      plan.vxlan_addresses.push_back(cat(range.masked().address(), "/", range.bits()));
    }
  }
  return plan;
}

int pod_mtu(int uplink_mtu, OverlayMode mode, bool v6) {
  if (mode == OverlayMode::kDirect) return uplink_mtu;
  return uplink_mtu - (v6 ? 70 : 50);
}

}  // namespace orch::agent
