#include "agent/proxy/services.h"

#include <algorithm>
#include <map>

#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::string_at;

void add_ip(std::vector<IpRange>& out, std::string_view text) {
  const auto ip = parse_ip(text);
  if (ip && std::find(out.begin(), out.end(), *ip) == out.end()) out.push_back(*ip);
}

std::string_view text_of(const Json& value) {
  return value.is_string() ? std::string_view(value.get_ref<const std::string&>()) : std::string_view();
}

/// "" for what is no transport protocol of services.
std::string lower_protocol(std::string_view name) {
  if (name.empty() || name == "TCP") return "tcp";
  if (name == "UDP") return "udp";
  return name == "SCTP" ? "sctp" : "";
}

uint16_t port_at(const Json& object, std::string_view member) {
  const int64_t value = base::int_at(object, {member});
  return value > 0 && value < 65536 ? static_cast<uint16_t>(value) : 0;
}

void read_ports(const Json& spec, ProxyService& out) {
  for (const Json& port : array_at(spec, {"ports"})) {
    ProxyServicePort p;
    p.name = string_at(port, {"name"});
    p.protocol = lower_protocol(string_at(port, {"protocol"}));
    p.port = port_at(port, "port");
    p.node_port = port_at(port, "nodePort");
    if (!p.protocol.empty() && p.port != 0) out.ports.push_back(std::move(p));
  }
}

bool has(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

std::vector<std::string> names_in(const Json& hints, std::string_view member) {
  std::vector<std::string> out;
  for (const Json& entry : array_at(hints, {member})) out.emplace_back(string_at(entry, {"name"}));
  return out;
}

enum class Topology : uint8_t { kAnywhere, kNode, kZone };

Topology topology_of(const std::vector<ProxyEndpoint>& all, const NodePlace& here) {
  bool node_hinted = true;
  bool zone_hinted = true;
  bool for_node = false;
  bool for_zone = false;
  for (const auto& e : all) {
    if (!e.ready) continue;
    if (e.hinted_nodes.empty()) node_hinted = false;
    if (e.hinted_zones.empty()) zone_hinted = false;
    for_node = for_node || has(e.hinted_nodes, here.name);
    for_zone = for_zone || has(e.hinted_zones, here.zone);
  }
  if (node_hinted && for_node) return Topology::kNode;
  return zone_hinted && for_zone && !here.zone.empty() ? Topology::kZone : Topology::kAnywhere;
}

std::vector<ProxyEndpoint> usable(const std::vector<ProxyEndpoint>& all, const NodePlace* only_on,
                                  Topology topology, const NodePlace& here) {
  std::vector<ProxyEndpoint> ready;
  std::vector<ProxyEndpoint> leaving;
  for (const auto& e : all) {
    if (only_on != nullptr && e.node != only_on->name) continue;
    const bool near = topology == Topology::kAnywhere ||
                      (topology == Topology::kNode && has(e.hinted_nodes, here.name)) ||
                      (topology == Topology::kZone && has(e.hinted_zones, here.zone));
    if (e.ready && near) ready.push_back(e);
    if (!e.ready && e.serving && e.terminating) leaving.push_back(e);
  }
  return ready.empty() ? leaving : ready;
}

}  // namespace

ProxyService read_service(const Json& service) {
  ProxyService out;
  out.key =
      base::cat(string_at(service, {"metadata", "namespace"}), "/", string_at(service, {"metadata", "name"}));
  const Json* other =
      base::find_path(service, {"metadata", "labels", "service.kubernetes.io/service-proxy-name"});
  const Json& spec = base::object_at(service, {"spec"});
  const std::string_view type = string_at(spec, {"type"});
  if (other != nullptr || type == "ExternalName") return out;
  for (const Json& ip : array_at(spec, {"clusterIPs"})) add_ip(out.cluster_ips, text_of(ip));
  add_ip(out.cluster_ips, string_at(spec, {"clusterIP"}));
  if (out.cluster_ips.empty()) return out;
  for (const Json& ip : array_at(spec, {"externalIPs"})) add_ip(out.external_ips, text_of(ip));
  if (type == "LoadBalancer") {
    for (const Json& ingress : array_at(service, {"status", "loadBalancer", "ingress"})) {
      // With ipMode Proxy the load balancer wants to be passed through itself.
      if (string_at(ingress, {"ipMode"}) != "Proxy")
        add_ip(out.load_balancer_ips, string_at(ingress, {"ip"}));
    }
    for (const Json& range : array_at(spec, {"loadBalancerSourceRanges"})) {
      const auto cidr = parse_cidr(text_of(range));
      if (cidr) out.source_ranges.push_back(cidr->masked());
    }
  }
  out.affinity = string_at(spec, {"sessionAffinity"}) == "ClientIP";
  out.affinity_seconds = base::int_at(spec, {"sessionAffinityConfig", "clientIP", "timeoutSeconds"}, 10800);
  out.internal_local = string_at(spec, {"internalTrafficPolicy"}) == "Local";
  const bool external = type == "NodePort" || type == "LoadBalancer" || !out.external_ips.empty();
  out.external_local = external && string_at(spec, {"externalTrafficPolicy"}) == "Local";
  read_ports(spec, out);
  return out;
}

std::vector<ProxyEndpoint> read_endpoints(const std::vector<Json>& slices, const ProxyServicePort& port,
                                          bool v6) {
  std::map<std::string, ProxyEndpoint> found;
  for (const Json& slice : slices) {
    if (string_at(slice, {"addressType"}) != (v6 ? "IPv6" : "IPv4")) continue;
    uint16_t target = 0;
    for (const Json& p : array_at(slice, {"ports"})) {
      if (string_at(p, {"name"}) == port.name &&
          lower_protocol(string_at(p, {"protocol"})) == port.protocol) {
        target = port_at(p, "port");
      }
    }
    if (target == 0) continue;
    for (const Json& endpoint : array_at(slice, {"endpoints"})) {
      const Json& addresses = array_at(endpoint, {"addresses"});
      const auto ip = addresses.empty() ? std::nullopt : parse_ip(text_of(addresses[0]));
      if (!ip || ip->v6 != v6) continue;
      ProxyEndpoint e;
      e.ip = *ip;
      e.port = target;
      e.ready = base::bool_at(endpoint, {"conditions", "ready"}, true);
      e.serving = base::bool_at(endpoint, {"conditions", "serving"}, true);
      e.terminating = base::bool_at(endpoint, {"conditions", "terminating"}, false);
      e.node = string_at(endpoint, {"nodeName"});
      e.hinted_zones = names_in(base::object_at(endpoint, {"hints"}), "forZones");
      e.hinted_nodes = names_in(base::object_at(endpoint, {"hints"}), "forNodes");
      // The same address may for a while stand in two slices: the ready one counts.
      const std::string key = base::cat(e.ip.address(), " ", e.port);
      const auto it = found.find(key);
      if (it == found.end() || (e.ready && !it->second.ready)) found[key] = std::move(e);
    }
  }
  std::vector<ProxyEndpoint> out;
  out.reserve(found.size());
  for (auto& [key, endpoint] : found) out.push_back(std::move(endpoint));
  return out;
}

EndpointChoice choose_endpoints(const std::vector<ProxyEndpoint>& all, const ProxyService& service,
                                const NodePlace& here) {
  EndpointChoice out;
  for (const auto& e : all) out.any = out.any || e.ready || (e.serving && e.terminating);
  const bool external = !service.external_ips.empty() || !service.load_balancer_ips.empty() ||
                        std::any_of(service.ports.begin(), service.ports.end(),
                                    [](const ProxyServicePort& p) { return p.node_port != 0; });
  // External traffic that starts on this node goes anywhere, whatever the policy.
  if (!service.internal_local || external) out.cluster = usable(all, nullptr, topology_of(all, here), here);
  if (service.internal_local || service.external_local)
    out.local = usable(all, &here, Topology::kAnywhere, here);
  return out;
}

}  // namespace orch::agent
