// Cluster IPs and node ports: what a Service is given that no other may have.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"
#include "server/registry/registry.h"

namespace orch::server {

struct ServiceRanges {
  std::string cidr = "10.43.0.0/16";  // IPv4 or IPv6
  int node_port_first = 30000, node_port_last = 32767;
};

/// Allocates inside Registry hooks. State is in memory, rebuilt from the stored services at start: services
/// are the only record, so nothing can disagree with them (IPAddress objects follow them). Thread-safe.
class ServiceAllocator {
 public:
  /// kBadRequest for a range that is not a CIDR of room for services; of larger ranges the first 2^20
  /// addresses are used.
  static base::Result<std::unique_ptr<ServiceAllocator>> make(const ServiceRanges& ranges);

  /// Takes what a stored service holds (start-up).
  void adopt(const Json& service);
  /// Assigns clusterIP(s), ipFamilies, node ports and health check port to a service about to be validated,
  /// and takes them; refuses what is taken or outside the range with Kubernetes' messages. The service is
  /// prepared (Strategy::prepare_create, prepare_update) and may yet turn out to be wrong. A dry run's node
  /// ports are made up, and those it asks for may be outside the range, as in kube-apiserver.
  base::Status allocate(Json& service, const Json* old, bool dry_run);
  /// Gives back what is not in use any more (see Registry::Hook).
  void settle(const Json* kept, const Json* dropped);
  Registry::Hook hook();
  /// The ranges addresses are given from now on (those of ServiceCIDR objects that are ready); texts that are
  /// none are passed over. With none at all the server's own stays. What was given stays given.
  void use_ranges(const std::vector<std::string>& cidrs);

  /// The n-th address of the range ("10.43.0.1" for 1), for the kubernetes service and the DNS service.
  std::string address(uint32_t n) const;

 private:
  struct Range {
    int family = 4;
    std::string base;   // network address, 4 or 16 bytes
    uint32_t size = 0;  // addresses in use: [1, size - 2]
    uint32_t next = 0;
    std::string cidr;

    static base::Result<Range> make(const std::string& cidr);
    std::string address(uint32_t n) const;
    bool contains(const std::string& ip) const;
  };

  ServiceAllocator() = default;
  struct Claim;

  // All under mutex_.
  base::Result<std::string> next_ip(const std::string& owner);
  base::Result<int> next_port(Claim& claim);
  /// Why the port cannot be had; "" when it is taken now.
  std::string take_port(int port, Claim& claim);
  base::Status allocate_ip(Json& service, const Json* old, Claim& claim);
  /// Node ports of a service that is created, and of one that is changed.
  base::Status first_ports(Json& service, Claim& claim);
  base::Status later_ports(Json& service, const Json& old, Claim& claim);
  base::Status allocate_health_port(Json& service, const Json* old, Claim& claim);
  bool in_range(const std::string& ip) const;
  std::string why_outside(const std::string& ip, bool dry_run) const;

  ServiceRanges ranges_;
  Range own_;  // the server's; `next` is unused
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::string> ips_;  // under mutex_: address -> owner uid
  std::unordered_map<int, std::string> ports_;        // under mutex_: port -> owner uid
  std::vector<Range> in_use_;                         // under mutex_
  int next_port_ = 0;                                 // under mutex_
};

}  // namespace orch::server
