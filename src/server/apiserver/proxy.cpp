// The proxy subresources of pods, services and nodes.
#include <algorithm>
#include <charconv>
#include <optional>
#include <random>

#include "api/go_text.h"
#include "api/resources/ip.h"
#include "base/json.h"
#include "http/tunnel.h"
#include "server/apiserver/call.h"
#include "server/apiserver/forward.h"
#include "server/apiserver/kubelet_location.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::chrono::seconds kConnectTimeout{30};

/// "[scheme:]name[:port]" as the proxy subresources take it.
struct ProxyName {
  std::string scheme, name, port;
};

std::optional<ProxyName> split_proxy_name(const std::string& text) {
  ProxyName p;
  const size_t first = text.find(':');
  const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  if (first == std::string::npos) {
    p.name = text;
  } else if (second == std::string::npos) {
    p.name = text.substr(0, first);
    p.port = text.substr(first + 1);
  } else {
    p = {text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
  }
  if (p.port.find(':') != std::string::npos || p.name.empty()) return std::nullopt;
  if (!p.scheme.empty() && p.scheme != "http" && p.scheme != "https") return std::nullopt;
  return p;
}

/// Only what is on a network: through the server's own addresses a client could reach what trusts them.
bool allowed_address(std::string_view text) {
  const auto ip = api::Ip::parse(text);
  return ip && !ip->unspecified() && !ip->loopback() && !ip->link_local_unicast() &&
         !ip->link_local_multicast() && !ip->multicast() && ip->text() != "255.255.255.255";
}

Status not_allowed() { return {Code::kBadRequest, "address not allowed"}; }

uint16_t port_number(std::string_view text) {
  uint16_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc() && end == text.data() + text.size() ? n : 0;
}

struct Endpoint {
  std::string address;
  uint16_t port = 0;
};

/// The ready endpoints of a slice behind the port of that name which are pods, and have the address they say.
void add_pod_endpoints(const Json& slice, const std::string& ns, const std::string& port_name,
                       const WatchCache& pods, std::vector<Endpoint>& out) {
  for (const auto& port : base::array_at(slice, {"ports"})) {
    if (base::string_at(port, {"name"}) != port_name) continue;
    for (const auto& endpoint : base::array_at(slice, {"endpoints"})) {
      if (!base::bool_at(endpoint, {"conditions", "ready"}, true)) continue;
      const Json& addresses = base::array_at(endpoint, {"addresses"});
      if (addresses.empty() || !addresses[0].is_string()) continue;
      // Anybody may write slices that say any address; only a kubelet says which are its pods'.
      const std::string_view owner = base::string_at(endpoint, {"targetRef", "namespace"});
      if (owner != ns) continue;
      const ObjectPtr pod = pods.get(ns, base::string_at(endpoint, {"targetRef", "name"}));
      if (pod == nullptr) continue;
      const Json tree = pod->tree();
      const Json& ips = base::array_at(tree, {"status", "podIPs"});
      const std::string address = addresses[0].get<std::string>();
      const bool its_own = std::any_of(
          ips.begin(), ips.end(), [&](const Json& ip) { return base::string_at(ip, {"ip"}) == address; });
      if (its_own) out.push_back({address, static_cast<uint16_t>(base::int_at(port, {"port"}))});
    }
  }
}

}  // namespace

Result<ForwardTarget> ApiServer::service_target(const std::string& ns, const std::string& id) {
  const auto wanted = split_proxy_name(id);
  if (!wanted) return Status(Code::kBadRequest, base::cat("invalid service request ", api::go_quote(id)));
  auto service = registry_.get(*registry_.table().find("", "v1", "services"), ns, wanted->name);
  if (!service.ok()) return service.error();
  std::string port_name = wanted->port;
  if (!wanted->port.empty() && wanted->port.find_first_not_of("0123456789") == std::string::npos) {
    const Json tree = (*service)->tree();
    const Json& ports = base::array_at(tree, {"spec", "ports"});
    const auto found = std::find_if(ports.begin(), ports.end(), [&](const Json& p) {
      return std::to_string(base::int_at(p, {"port"})) == wanted->port;
    });
    if (found == ports.end()) {
      return Status(Code::kServiceUnavailable, base::cat("no service port ", wanted->port,
                                                         " found for service ", api::go_quote(wanted->name)));
    }
    port_name = base::string_at(*found, {"name"});
  }
  Filter filter;
  filter.ns = ns;
  std::vector<Endpoint> endpoints;
  const WatchCachePtr pods_cache = registry_.cache("", "pods");
  const WatchCache& pods = *pods_cache;
  bool any = false;
  for (const auto& slice : registry_.cache("discovery.k8s.io", "endpointslices")->list(filter).items) {
    if (slice->label("kubernetes.io/service-name") != wanted->name) continue;
    const Json tree = slice->tree();
    any = any || !base::array_at(tree, {"endpoints"}).empty();
    add_pod_endpoints(tree, ns, port_name, pods, endpoints);
  }
  if (endpoints.empty()) {
    return Status(Code::kServiceUnavailable,
                  base::cat("no endpoints available for service ", api::go_quote(any ? id : wanted->name)));
  }
  static thread_local std::minstd_rand random{std::random_device{}()};
  const Endpoint& chosen = endpoints[random() % endpoints.size()];
  ForwardTarget target;
  target.dial.host = chosen.address;
  target.dial.port = chosen.port;
  target.dial.tls = wanted->scheme == "https";
  return target;
}

Result<ForwardTarget> ApiServer::pod_target(const std::string& ns, const std::string& id) {
  const auto wanted = split_proxy_name(id);
  if (!wanted) return Status(Code::kBadRequest, base::cat("invalid pod request ", api::go_quote(id)));
  auto pod = registry_.get(*registry_.table().find("", "v1", "pods"), ns, wanted->name);
  if (!pod.ok()) return pod.error();
  const Json tree = (*pod)->tree();
  ForwardTarget target;
  target.dial.tls = wanted->scheme == "https";
  target.dial.host = base::string_at(tree, {"status", "podIP"});
  target.dial.port = port_number(wanted->port);
  if (target.dial.port == 0 && !wanted->port.empty())
    return Status(Code::kBadRequest, base::cat("invalid pod request ", api::go_quote(id)));
  for (const auto& c : base::array_at(tree, {"spec", "containers"})) {
    const Json& ports = base::array_at(c, {"ports"});
    if (target.dial.port == 0 && !ports.empty())
      target.dial.port = static_cast<uint16_t>(base::int_at(ports[0], {"containerPort"}));
  }
  if (target.dial.port == 0) target.dial.port = target.dial.tls ? 443 : 80;
  return target;
}

Result<ForwardTarget> ApiServer::node_target(const std::string& id) {
  const auto wanted = split_proxy_name(id);
  if (!wanted) return Status(Code::kBadRequest, base::cat("invalid node request ", api::go_quote(id)));
  auto target = kubelet_target(registry_, o_.kubelet(), wanted->name);
  if (!target.ok()) return target;
  if (wanted->port.empty() || port_number(wanted->port) == target->dial.port) return target;
  // Another server of the node's: our identity is the kubelet's to see alone.
  target->dial.tls_config = {};
  target->dial.tls = wanted->scheme == "https";
  target->dial.port = port_number(wanted->port);
  if (target->dial.port == 0)
    return Status(Code::kBadRequest, base::cat("invalid node request ", api::go_quote(id)));
  return target;
}

http::Response ApiServer::do_proxy(Call& call) {
  const RequestInfo& info = call.info;
  const auto& verbs = call.resource->subresource("proxy")->verbs;
  if (call.request.method != "OPTIONS" && std::find(verbs.begin(), verbs.end(), info.verb) == verbs.end())
    return method_not_allowed();
  if (Status admitted = admit_connect(call); !admitted.ok()) return http::Response::from_status(admitted);
  auto target = call.resource->plural == "nodes"      ? node_target(info.name)
                : call.resource->plural == "services" ? service_target(info.ns, info.name)
                                                      : pod_target(info.ns, info.name);
  if (!target.ok()) return http::Response::from_status(target.error());
  if (!allowed_address(target->dial.host)) return http::Response::from_status(not_allowed());
  // Certificates of pods are their own affair.
  if (target->dial.tls && target->dial.tls_config.ca_pem.empty()) target->dial.tls_config.insecure = true;
  target->dial.connect_timeout = kConnectTimeout;
  const std::string_view query = call.request.query;
  if (info.rest.empty() && !http::is_upgrade_request(call.request) &&
      (call.request.method == "GET" || call.request.method == "HEAD")) {
    // Pages behind a path without a slash at its end would look for their parts beside it.
    http::Response moved;
    moved.status = 301;
    moved.content_type.clear();
    moved.headers.emplace_back("Location",
                               base::cat(call.request.path, "/", query.empty() ? "" : "?", query));
    return moved;
  }
  const std::string_view path = call.request.path;
  target->prefix = path.substr(0, path.size() - info.rest.size());
  target->path = base::cat(info.rest.empty() ? "/" : info.rest, query.empty() ? "" : "?", query);
  return forward(call.request, std::move(*target));
}

}  // namespace orch::server
