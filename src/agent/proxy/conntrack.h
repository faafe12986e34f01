// Stale UDP connections: a UDP client that keeps sending keeps its conntrack entry alive, and with it the
// endpoint chosen long ago. When endpoints change, entries that lead nowhere are removed.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/proxy/rules.h"

namespace orch::agent {

/// One address a service's UDP port is reached at, and where its packets may go: "10.42.0.5 53".
struct ServiceTarget {
  bool any_local = false;  // a node port: every address of this host
  IpRange ip;              // unless any_local
  uint16_t port = 0;
  std::set<std::string> endpoints;
};
void add_targets(std::vector<ServiceTarget>& out, const ProxyService& service, const ProxyServicePort& port,
                 const EndpointChoice& choice, const RulesConfig& config);

/// A UDP entry: what the client sent to, and who answers it.
struct UdpFlow {
  IpRange to, from_endpoint;
  uint16_t to_port = 0, from_port = 0;
};
/// The flow's destination is a service's and its answerer is none of the service's endpoints. `local` holds
/// this host's addresses, for node ports. Not stale: a service without endpoints whose flow is not
/// translated.
bool is_stale(const UdpFlow& flow, const std::vector<ServiceTarget>& targets,
              const std::set<std::string>& local);

/// Looks through the kernel's UDP entries of one family and removes the stale ones.
base::Status remove_stale_udp(bool v6, const std::vector<ServiceTarget>& targets);

}  // namespace orch::agent
