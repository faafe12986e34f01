// The proxy's nftables rules as values: what of the table is fixed, and what one service or node adds to it.
//
// A packet for a service is found by one look-up in a map (address . protocol . port, or protocol . port for
// node ports) that leads to the chain of the service port, which picks a slot at random and translates the
// destination by a look-up in the port's own map of slots. An endpoint that comes or goes changes one slot
// and, when the number of slots changed, one rule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/proxy/nft_table.h"
#include "agent/proxy/services.h"

namespace orch::agent {

struct RulesConfig {
  bool v6 = false;
  uint32_t masquerade_mark = 0x4000;  // one bit
  /// Cluster IPs that this node answers itself (DNS): no rules for them.
  std::vector<IpRange> own_ips;
  /// Pods of this node reach each other without passing the host's rules on the way back (no br_netfilter):
  /// their service traffic is masqueraded so that the answers come through.
  bool masquerade_local = false;
};

/// The table's fixed part.
std::string proxy_skeleton(const RulesConfig& config);

/// `endpoints` has one entry per port of the service, of the config's family. `before` is the service's piece
/// so far (null for none): endpoints keep their slots.
NftPiece service_rules(const ProxyService& service, const std::vector<std::vector<ProxyEndpoint>>& endpoints,
                       const NodePlace& here, const RulesConfig& config, const NftPiece* before);

/// A node's pod ranges: traffic to them is never masqueraded; `own` for this node's.
NftPiece node_rules(const std::vector<IpRange>& pod_ranges, bool own, const RulesConfig& config);

}  // namespace orch::agent
