#include "server/service_setup.h"

#include <cstdio>

#include "api/meta.h"
#include "base/json.h"

namespace orch::server {

base::Result<std::unique_ptr<ServiceAllocator>> make_service_allocator(const ServerConfig& config) {
  ServiceRanges ranges;
  ranges.cidr = config.service_cidr;
  const std::string& ports = config.api.service_node_port_range.empty() ? config.service_node_port_range
                                                                        : config.api.service_node_port_range;
  if (std::sscanf(ports.c_str(), "%d-%d", &ranges.node_port_first, &ranges.node_port_last) != 2 ||
      ranges.node_port_first < 1 || ranges.node_port_last > 65535 ||
      ranges.node_port_first > ranges.node_port_last) {
    return base::Status(base::Code::kBadRequest,
                        base::cat("service node port range \"", ports, "\" is not LOW-HIGH"));
  }
  return ServiceAllocator::make(ranges);
}

void ServiceRangeFeed::follow(client::InformerFactory& informers, ServiceAllocator& allocator) {
  client::Informer& cidrs = informers.get({"networking.k8s.io", "v1", "servicecidrs"});
  cidrs.on_change([this, &allocator](const api::ObjectPtr& before, const api::ObjectPtr& after) {
    const std::string name(after != nullptr ? after->name() : before->name());
    std::vector<std::string>& own = ranges_[name];
    own.clear();
    if (after != nullptr && !after->deleting()) {
      const Json tree = after->tree();
      const Json none = Json::array();
      for (const Json& cidr :
           api::condition_is_true(tree, "Ready") ? base::array_at(tree, {"spec", "cidrs"}) : none)
        own.push_back(cidr.get<std::string>());
    }
    std::vector<std::string> all;
    for (const auto& [range, texts] : ranges_) all.insert(all.end(), texts.begin(), texts.end());
    allocator.use_ranges(all);
  });
}

}  // namespace orch::server
