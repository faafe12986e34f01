#include "agent/network/dns_view.h"

#include <algorithm>
#include <set>

#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::cat;
using base::string_at;

constexpr const char* kServiceNameLabel = "kubernetes.io/service-name";
constexpr const char* kByAddress = "dns-address";

std::string_view text_of(const Json& value) {
  return value.is_string() ? std::string_view(value.get_ref<const std::string&>()) : std::string_view();
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out.empty() ? "tcp" : out;
}

std::vector<DnsPort> read_ports(const Json& ports) {
  std::vector<DnsPort> out;
  for (const Json& p : ports) {
    const int64_t number = base::int_at(p, {"port"});
    if (number <= 0 || number > 65535) continue;
    out.push_back({std::string(string_at(p, {"name"})), lower(string_at(p, {"protocol"})),
                   static_cast<uint16_t>(number)});
  }
  return out;
}

std::vector<IpRange> cluster_ips(const Json& spec) {
  std::vector<IpRange> out;
  for (const Json& ip : array_at(spec, {"clusterIPs"})) {
    if (const auto parsed = parse_ip(text_of(ip))) out.push_back(*parsed);
  }
  const auto first = parse_ip(string_at(spec, {"clusterIP"}));
  if (out.empty() && first) out.push_back(*first);
  return out;
}

/// Calls with each ready address of a slice and the name it has below its service.
template <typename F>
void each_ready(const Json& slice, F&& call) {
  for (const Json& endpoint : array_at(slice, {"endpoints"})) {
    if (!base::bool_at(endpoint, {"conditions", "ready"}, true)) continue;
    const std::string_view hostname = string_at(endpoint, {"hostname"});
    for (const Json& address : array_at(endpoint, {"addresses"})) {
      const auto ip = parse_ip(text_of(address));
      if (ip) call(*ip, hostname.empty() ? dashed(*ip) : std::string(hostname));
    }
  }
}

}  // namespace

InformerDnsView::InformerDnsView(client::InformerFactory& informers)
    : services_(informers.get({"", "v1", "services"})),
      slices_(informers.get({"discovery.k8s.io", "v1", "endpointslices"})) {
  services_.add_index(kByAddress, [](const api::Object& service) {
    std::vector<std::string> out;
    const Json tree = service.tree();
    for (const auto& ip : cluster_ips(base::object_at(tree, {"spec"}))) out.push_back(ip.address());
    return out;
  });
  // The proxy has the same index.
  slices_.add_index(kServiceNameLabel, [](const api::Object& slice) {
    const std::string_view name = slice.label(kServiceNameLabel);
    return std::vector<std::string>{name.empty() ? std::string() : cat(slice.ns(), "/", name)};
  });
  slices_.add_index(kByAddress, [](const api::Object& slice) {
    std::set<std::string> out;
    each_ready(slice.tree(), [&out](const IpRange& ip, const std::string&) { out.insert(ip.address()); });
    return std::vector<std::string>(out.begin(), out.end());
  });
}

std::optional<DnsService> InformerDnsView::service(std::string_view ns, std::string_view name) const {
  const auto object = services_.get(ns, name);
  if (!object) return std::nullopt;
  const Json tree = object->tree();
  const Json& spec = base::object_at(tree, {"spec"});
  DnsService out;
  if (string_at(spec, {"type"}) == "ExternalName") {
    out.external_name = string_at(spec, {"externalName"});
    if (out.external_name.empty()) return std::nullopt;
    return out;
  }
  out.headless = string_at(spec, {"clusterIP"}) == "None";
  out.cluster_ips = cluster_ips(spec);
  out.ports = read_ports(array_at(spec, {"ports"}));
  if (!out.headless && out.cluster_ips.empty()) return std::nullopt;
  return out;
}

std::vector<DnsEndpoint> InformerDnsView::endpoints(std::string_view ns, std::string_view name) const {
  std::vector<DnsEndpoint> out;
  for (const auto& object : slices_.by_index(kServiceNameLabel, cat(ns, "/", name))) {
    const Json slice = object->tree();
    const auto ports = read_ports(array_at(slice, {"ports"}));
    each_ready(slice, [&](const IpRange& ip, const std::string& host) { out.push_back({ip, host, ports}); });
  }
  return out;
}

bool InformerDnsView::has_namespace(std::string_view ns) const {
  return !services_.list_namespace(ns).empty();
}

std::vector<std::string> InformerDnsView::names_of(const IpRange& ip) const {
  std::vector<std::string> out;
  for (const auto& service : services_.by_index(kByAddress, ip.address())) {
    out.push_back(cat(service->name(), ".", service->ns()));
  }
  if (!out.empty()) return out;
  for (const auto& object : slices_.by_index(kByAddress, ip.address())) {
    const std::string name(object->label(kServiceNameLabel));
    const auto owner = service(object->ns(), name);
    if (!owner || !owner->headless) continue;
    each_ready(object->tree(), [&](const IpRange& other, const std::string& host) {
      if (other == ip) out.push_back(cat(host, ".", name, ".", object->ns()));
    });
  }
  return out;
}

}  // namespace orch::agent
