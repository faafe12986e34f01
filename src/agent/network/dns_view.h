// The DNS zone's view of the cluster: services and endpoint slices in the informers, found by indexes.
#pragma once

#include "agent/network/dns_zone.h"
#include "client/informer.h"

namespace orch::agent {

/// Thread-safe. Construct before the informers start; the factory must outlive this.
class InformerDnsView final : public DnsView {
 public:
  explicit InformerDnsView(client::InformerFactory& informers);
  bool synced() const { return services_.synced() && slices_.synced(); }
  std::optional<DnsService> service(std::string_view ns, std::string_view name) const override;
  std::vector<DnsEndpoint> endpoints(std::string_view ns, std::string_view name) const override;
  /// A namespace without services has no names below it either, so it need not be told from none.
  bool has_namespace(std::string_view ns) const override;
  std::vector<std::string> names_of(const IpRange& ip) const override;

 private:
  client::Informer& services_;
  client::Informer& slices_;
};

}  // namespace orch::agent
