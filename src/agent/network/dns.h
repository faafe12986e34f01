// DnsServer: the cluster's DNS on this node (Kubernetes DNS schema 1.1), in place of CoreDNS.
//
// Each node answers its own pods: the DNS service's cluster IP is made an address of the node's loopback, so
// no packet to it ever leaves the node. Names of the cluster are answered from the informers' view, all
// others by the host's resolvers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/network/address.h"
#include "agent/network/dns_view.h"
#include "base/clock.h"
#include "base/status.h"
#include "client/informer.h"

namespace orch::agent {

struct DnsConfig {
  std::vector<IpRange> addresses;  // the DNS service's cluster IPs, as in --cluster-dns
  uint16_t port = 53;
  std::string domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";  // of the host: where other names are asked
  bool add_addresses = true;                     // false when the host has them already
  uint16_t upstream_port = 53;
};

/// Thread-safe. Construct before the informers start; factory and clock must outlive this. One thread with an
/// epoll loop: no thread per client.
class DnsServer {
 public:
  DnsServer(client::InformerFactory& informers, const base::Clock& clock, DnsConfig config);
  /// Stops answering; the address stays, so that clients are refused at once rather than left waiting.
  ~DnsServer();
  /// Takes the addresses and ports and begins to answer. kConflict when a port is in use. Until the informers
  /// are synced, names of the cluster are answered with SERVFAIL, which clients ask again.
  base::Status start();

 private:
  struct Loop;
  const base::Clock& clock_;
  const DnsConfig config_;
  InformerDnsView view_;
  std::unique_ptr<Loop> loop_;
};

}  // namespace orch::agent
