#include "server/admission/service_resolver.h"

#include <atomic>
#include <vector>

#include "api/go_text.h"
#include "base/json.h"
#include "server/admission/request.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// The ready addresses of a slice behind the port of this name.
void add_ready(const Json& slice, std::string_view port_name, std::vector<ServiceAddress>& out) {
  for (const auto& port : base::array_at(slice, {"ports"})) {
    if (base::string_at(port, {"name"}) != port_name || !port.contains("port")) continue;
    for (const auto& endpoint : base::array_at(slice, {"endpoints"})) {
      const Json& addresses = base::array_at(endpoint, {"addresses"});
      if (!base::bool_at(endpoint, {"conditions", "ready"}, true) || addresses.empty()) continue;
      out.push_back({addresses[0].get<std::string>(), static_cast<uint16_t>(base::int_at(port, {"port"}))});
    }
  }
}

Status no_endpoints(std::string_view name) {
  return {Code::kServiceUnavailable, base::cat("no endpoints available for service ", api::go_quote(name))};
}

}  // namespace

std::string ServiceAddress::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return base::cat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

Result<ServiceAddress> resolve_service(const Lookup& lookup, std::string_view ns, std::string_view name,
                                       int64_t port) {
  const auto service = lookup.get("services", ns, name);
  if (service == nullptr) return missing("", "services", name);
  const Json tree = service->tree();
  const std::string_view type = base::string_at(tree, {"spec", "type"}, "ClusterIP");
  if (type != "ClusterIP" && type != "LoadBalancer" && type != "NodePort")
    return Status(Code::kUnknown, base::cat("unsupported service type ", api::go_quote(type)));
  const Json* wanted = nullptr;
  for (const auto& one : base::array_at(tree, {"spec", "ports"})) {
    if (wanted == nullptr && base::int_at(one, {"port"}) == port) wanted = &one;
  }
  if (wanted == nullptr) {
    return Status(Code::kServiceUnavailable,
                  base::cat("no service port ", port, " found for service ", api::go_quote(name)));
  }
  // Those of the service's first address family come first.
  const Json& families = base::array_at(tree, {"spec", "ipFamilies"});
  const std::string family = families.empty() ? std::string("IPv4") : families[0].get<std::string>();
  std::vector<ServiceAddress> preferred, others;
  for (const auto& object : lookup.list("endpointslices.discovery.k8s.io", ns)) {
    if (object->label("kubernetes.io/service-name") != name) continue;
    const Json slice = object->tree();
    const bool first = base::string_at(slice, {"addressType"}, "IPv4") == family;
    add_ready(slice, base::string_at(*wanted, {"name"}), first ? preferred : others);
  }
  const auto& ready = preferred.empty() ? others : preferred;
  if (ready.empty()) return no_endpoints(name);
  static std::atomic<size_t> turn{0};
  return ready[turn.fetch_add(1, std::memory_order_relaxed) % ready.size()];
}

}  // namespace orch::server
