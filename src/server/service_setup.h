// Addresses and ports of services: from the command line, and from the ServiceCIDRs that follow.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/informer.h"
#include "server/registry/service_allocator.h"
#include "server/server.h"

namespace orch::server {

/// kBadRequest naming the range that cannot be used.
base::Result<std::unique_ptr<ServiceAllocator>> make_service_allocator(const ServerConfig& config);

/// Tells an allocator which ranges the ServiceCIDRs name that are ready and stay.
class ServiceRangeFeed {
 public:
  /// Before the informers start. `allocator` and this outlive them.
  void follow(client::InformerFactory& informers, ServiceAllocator& allocator);

 private:
  std::map<std::string, std::vector<std::string>> ranges_;  // by ServiceCIDR; its informer's alone
};

}  // namespace orch::server
