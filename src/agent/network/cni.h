// The node's CNI configuration: a bridge with addresses from the node's pod ranges (plugins bridge,
// host-local, portmap and loopback of containernetworking-plugins).
#pragma once

#include <string>
#include <vector>

#include "agent/network/address.h"
#include "base/status.h"

namespace orch::agent {

struct CniConfig {
  std::string name = "orch";
  std::string bridge = "orch0";
  std::vector<IpRange> pod_ranges;  // spec.podCIDRs of the node, at most one per family
  int mtu = 0;                      // 0: the plugin's default
  /// Where host-local notes the addresses in use; nodes that share a machine need one each.
  std::string address_dir = "/var/lib/cni/networks";
};

/// The network configuration list (CNI 1.0.0). Masquerading is not asked of the plugin: the proxy's table
/// does it.
std::string cni_conflist(const CniConfig& config);

/// Writes it as <conf_dir>/10-orch.conflist, durably and atomically, if it is not there already: containerd
/// reports the network ready as soon as it sees the file. kBadRequest without a pod range.
base::Status write_cni_config(const CniConfig& config, const std::string& conf_dir);

}  // namespace orch::agent
