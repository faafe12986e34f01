// The host's side of the network: kernel settings, and the interfaces with their addresses.
#pragma once

#include <string>
#include <vector>

#include "agent/network/address.h"
#include "base/status.h"

namespace orch::agent {

struct HostAddress {
  std::string interface;
  IpRange address;  // with the prefix length of its subnet
};
/// Addresses of all interfaces of this network namespace that are up.
std::vector<HostAddress> host_addresses();
/// The MTU of an interface, 1500 when it cannot be read.
int interface_mtu(const std::string& interface);
/// The entry with this very address, null when no interface has it.
const HostAddress* find_address(const std::vector<HostAddress>& all, const IpRange& ip);

/// Writes /proc/sys/<dotted name as path>; slashes within a name stay ("net/ipv4/ip_forward").
base::Status write_sysctl(const std::string& path, const std::string& value);

struct HostFeatures {
  /// Traffic between pods on one bridge passes nftables (br_netfilter). Otherwise the proxy must masquerade
  /// it.
  bool bridge_netfilter = false;
};
/// Brings the loopback up, switches forwarding on, and bridge filtering where the kernel has it (the module
/// is loaded when missing). The error says which setting could not be made.
base::Result<HostFeatures> prepare_host(bool v6);

/// Makes `ip` an address of this host alone (loopback interface, scope host), so that a service of the node
/// can listen on it; pods reach it by way of their default gateway. Doing it twice does no harm.
base::Status add_local_address(const IpRange& ip);

}  // namespace orch::agent
