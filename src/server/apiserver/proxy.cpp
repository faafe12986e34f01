// What the API server passes on to kubelets and to services: logs, exec, attach, port-forward, proxy.
//
// The client's connection is taken over and bytes are copied both ways: streams, upgrades and plain answers
// take the same path, and what the kubelet says reaches the client as it is.
#include <array>
#include <charconv>

#include "base/log.h"
#include "http/dial.h"
#include "http/tunnel.h"
#include "server/apiserver/call.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::chrono::seconds kConnectTimeout{10};
constexpr int kKubeletPort = 10250;
constexpr size_t kMaxHead = 64 * 1024, kMaxText = 50'000;

struct Target {
  http::DialOptions dial;
  std::string path;  // raw path and query
};

std::string address_of(const Json& node) {
  for (const char* type : {"InternalIP", "ExternalIP", "Hostname"}) {
    for (const auto& a : base::array_at(node, {"status", "addresses"})) {
      if (base::string_at(a, {"type"}) == type) return std::string(base::string_at(a, {"address"}));
    }
  }
  return {};
}

bool hop_by_hop(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "connection", "keep-alive",    "proxy-authenticate", "proxy-authorization",
      "te",         "trailer",       "transfer-encoding",  "upgrade",
      "host",       "authorization", "content-length",     "expect"};
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (std::string_view n : kNames) {
    if (lower == n) return true;
  }
  // Nobody impersonates through us, and our credentials stay ours.
  return lower.rfind("impersonate-", 0) == 0 || lower.rfind("x-remote-", 0) == 0;
}

/// The request's head as it goes to the backend.
std::string head_of(const http::Request& request, const Target& target, bool upgrade) {
  std::string head = base::cat(request.method, " ", target.path, " HTTP/1.1\r\nHost: ", target.dial.host, ":",
                               target.dial.port, "\r\n");
  for (const auto& [name, value] : request.headers) {
    if (!hop_by_hop(name)) head += base::cat(name, ": ", value, "\r\n");
  }
  if (upgrade) {
    head += base::cat("Connection: Upgrade\r\nUpgrade: ", request.header("Upgrade"), "\r\n");
  } else {
    head += "Connection: close\r\n";
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
      request.method == "PATCH") {
    head += base::cat("Content-Length: ", request.body.size(), "\r\n");
  }
  return head + "\r\n";
}

std::string error_answer(const Status& status) {
  const std::string body = status.to_json();
  return base::cat("HTTP/1.1 ", status.http_code(),
                   " Error\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ",
                   body.size(), "\r\n\r\n", body);
}

/// What a client is told when the backend refuses, by its answer's code and text.
using Refusal = std::function<Status(int code, const std::string& text)>;

/// The rest of an answer, its framing removed; as much as a message may have.
std::string text_of(http::Stream& backend, const http::Head& head, std::string_view raw) {
  http::BodyDecoder decoder(head, kMaxText);
  std::array<char, 4096> buffer;
  std::string out;
  while (decoder.feed(raw, out) == http::BodyDecoder::State::kMore) {
    const long n = backend.read(buffer.data(), buffer.size());
    if (n <= 0) break;
    raw = std::string_view(buffer.data(), static_cast<size_t>(n));
  }
  return out;
}

/// Passes the beginning of a good answer on as it is; any other ends here, as a metav1.Status. True when
/// there is more to copy.
bool begin_answer(http::Stream& client, http::Stream& backend, const Refusal& refusal) {
  std::array<char, 4096> buffer;
  std::string raw;
  size_t end = 0;
  while (end == 0) {
    const long n = raw.size() < kMaxHead ? backend.read(buffer.data(), buffer.size()) : 0;
    if (n <= 0) {
      client.write(error_answer(Status(Code::kInternal, "error reading from backend: connection lost")));
      return false;
    }
    raw.append(buffer.data(), static_cast<size_t>(n));
    end = http::find_head_end(raw);
  }
  http::Head head;
  if (const Status parsed = http::parse_response_head(raw.substr(0, end), head); !parsed.ok()) {
    client.write(error_answer(parsed));
    return false;
  }
  if (head.status >= 200 && head.status <= 206) return client.write(raw);
  const std::string text = text_of(backend, head, std::string_view(raw).substr(end));
  client.write(error_answer(refusal(head.status, text)));
  return false;
}

/// Sends the request to the backend and then only copies. Dialling happens on the takeover's own thread, so a
/// backend that is away holds no worker. With a `refusal` the answer is looked at first.
http::Response pass_on(const http::Request& request, Target target, Refusal refusal = nullptr) {
  const bool upgrade = request.has_header("Upgrade");
  std::string first = head_of(request, target, upgrade) + request.body;
  http::Response response;
  response.takeover = [first = std::move(first), target = std::move(target),
                       refusal = std::move(refusal)](std::shared_ptr<http::Stream> client) {
    auto backend = http::dial(target.dial);
    if (!backend.ok()) {
      client->write(error_answer(
          Status(Code::kInternal, base::cat("error dialing backend: ", backend.error().message()))));
      client->close_write();
      return;
    }
    if (!(*backend)->write(first)) {
      client->write(
          error_answer(Status(Code::kServiceUnavailable, "error sending to backend: connection lost")));
      return;
    }
    if (refusal && !begin_answer(*client, **backend, refusal)) {
      client->close_write();
      return;
    }
    http::tunnel(*client, **backend);
  };
  return response;
}

/// Container of a pod that the request means; its only one when it names none.
Result<std::string> container_of(const Json& pod, std::string_view wanted) {
  std::vector<std::string> names;
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    for (const auto& c : base::array_at(pod, {"spec", list}))
      names.emplace_back(base::string_at(c, {"name"}));
  }
  const std::string name(base::string_at(pod, {"metadata", "name"}));
  if (!wanted.empty()) {
    for (const auto& n : names) {
      if (n == wanted) return n;
    }
    return Status(Code::kBadRequest, base::cat("container ", wanted, " is not valid for pod ", name));
  }
  const Json& containers = base::array_at(pod, {"spec", "containers"});
  std::string_view usual =
      base::string_at(pod, {"metadata", "annotations", "kubectl.kubernetes.io/default-container"});
  if (!usual.empty()) return std::string(usual);
  if (containers.size() == 1) return std::string(base::string_at(containers[0], {"name"}));
  std::string list;
  for (const auto& c : containers) list += base::cat(list.empty() ? "" : " ", base::string_at(c, {"name"}));
  return Status(Code::kBadRequest, base::cat("a container name must be specified for pod ", name,
                                             ", choose one of: [", list, "]"));
}

}  // namespace

namespace {

Result<Target> kubelet_target(const Registry& registry, const api::Resource& nodes,
                              const KubeletAccess& access, std::string_view node_name) {
  auto node = registry.get(nodes, "", node_name);
  if (!node.ok()) return node.error();
  const Json tree = (*node)->tree();
  Target t;
  t.dial.host = address_of(tree);
  if (t.dial.host.empty())
    return Status(Code::kInternal,
                  base::cat("no preferred addresses found; known addresses: [] of node ", node_name));
  int64_t port = base::int_at(tree, {"status", "daemonEndpoints", "kubeletEndpoint", "Port"}, kKubeletPort);
  t.dial.port = static_cast<uint16_t>(port);
  t.dial.tls = true;
  t.dial.tls_config.ca_pem = access.ca_pem;
  t.dial.tls_config.certificate_pem = access.certificate_pem;
  t.dial.tls_config.key_pem = access.key_pem;
  t.dial.tls_config.server_name = std::string(node_name);
  t.dial.connect_timeout = kConnectTimeout;
  return t;
}

}  // namespace

http::Response ApiServer::do_log(Call& call) {
  const RequestInfo& info = call.info;
  auto pod = registry_.get(*call.storage, info.ns, info.name);
  if (!pod.ok()) return http::Response::from_status(pod.error());
  const Json tree = (*pod)->tree();
  auto container = container_of(tree, info.query.get("container"));
  if (!container.ok()) return http::Response::from_status(container.error());
  std::string_view node = base::string_at(tree, {"spec", "nodeName"});
  if (node.empty()) return http::Response::text("");  // not scheduled: nothing was said yet
  auto target = kubelet_target(registry_, *registry_.table().find("", "v1", "nodes"), o_.kubelet(), node);
  if (!target.ok()) return http::Response::from_status(target.error());
  target->path = base::cat("/containerLogs/", info.ns, "/", info.name, "/", http::percent_encode(*container));
  char separator = '?';
  for (const auto& [name, value] : info.query.items()) {
    if (name == "container" || name == "insecureSkipTLSVerifyBackend") continue;
    target->path += base::cat(separator, http::percent_encode(name), "=", http::percent_encode(value));
    separator = '&';
  }
  return pass_on(call.request, std::move(*target), [name = info.name](int code, const std::string& text) {
    if (code == 400) return Status(Code::kBadRequest, text);
    if (code == 404) {
      return Status(Code::kNotFound,
                    base::cat("the server could not find the requested resource ( pods ", name, ")"));
    }
    return Status(Code::kInternal, base::cat("Internal error occurred: ", text));
  });
}

http::Response ApiServer::do_connect(Call& call) {
  const RequestInfo& info = call.info;
  auto pod = registry_.get(*call.storage, info.ns, info.name);
  if (!pod.ok()) return http::Response::from_status(pod.error());
  if (!call.request.has_header("Upgrade")) {
    return http::Response::from_status(Status(Code::kBadRequest, "Upgrade request required"));
  }
  const Json tree = (*pod)->tree();
  std::string_view node = base::string_at(tree, {"spec", "nodeName"});
  if (node.empty()) {
    return http::Response::from_status(
        Status(Code::kBadRequest, base::cat("pod ", info.name, " does not have a host assigned")));
  }
  auto target = kubelet_target(registry_, *registry_.table().find("", "v1", "nodes"), o_.kubelet(), node);
  if (!target.ok()) return http::Response::from_status(target.error());
  if (info.subresource == "portforward") {
    target->path = base::cat("/portForward/", info.ns, "/", info.name);
    if (!call.request.query.empty()) target->path += "?" + call.request.query;
    return pass_on(call.request, std::move(*target));
  }
  auto container = container_of(tree, info.query.get("container"));
  if (!container.ok()) return http::Response::from_status(container.error());
  std::string_view phase = base::string_at(tree, {"status", "phase"});
  if (phase == "Succeeded" || phase == "Failed") {
    return http::Response::from_status(
        Status(Code::kInternal, base::cat("cannot ", info.subresource,
                                          " into a container in a completed pod; current phase is ", phase)));
  }
  target->path =
      base::cat("/", info.subresource, "/", info.ns, "/", info.name, "/", http::percent_encode(*container));
  char separator = '?';
  // Kubelets know the streams by short names.
  const std::pair<std::string_view, std::string_view> renamed[] = {
      {"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}};
  for (const auto& [name, value] : info.query.items()) {
    if (name == "container") continue;
    std::string_view as = name;
    std::string text = value;
    for (const auto& [long_name, short_name] : renamed) {
      if (name == long_name) as = short_name;
    }
    if (name != "command") {
      if (value != "true" && value != "1" && !value.empty()) continue;
      text = "1";
    }
    target->path += base::cat(separator, as, "=", http::percent_encode(text));
    separator = '&';
  }
  return pass_on(call.request, std::move(*target));
}

namespace {

/// "[scheme:]name[:port]" as the proxy subresources take it.
struct ProxyName {
  std::string scheme, name, port;
};

ProxyName split_proxy_name(const std::string& text) {
  ProxyName p;
  size_t first = text.find(':');
  if (first == std::string::npos) return {"", text, ""};
  size_t second = text.find(':', first + 1);
  if (second != std::string::npos)
    return {text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
  p.name = text.substr(0, first);
  p.port = text.substr(first + 1);
  return p;
}

/// Addresses that would let a client reach the server's own machine through it.
bool forbidden_address(std::string_view ip) {
  return ip.rfind("127.", 0) == 0 || ip == "::1" || ip.rfind("169.254.", 0) == 0 ||
         ip.rfind("fe80:", 0) == 0 || ip == "0.0.0.0" || ip == "::";
}

uint16_t port_number(std::string_view text) {
  uint16_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc() && end == text.data() + text.size() ? n : 0;
}

}  // namespace

Result<std::pair<std::string, uint16_t>> ApiServer::service_endpoint(const std::string& ns,
                                                                     const std::string& name,
                                                                     const std::string& port) {
  auto services = registry_.table().find("", "v1", "services");
  auto service = registry_.get(*services, ns, name);
  if (!service.ok()) return service.error();
  const Json tree = (*service)->tree();
  std::string port_name;
  bool known = false;
  for (const auto& p : base::array_at(tree, {"spec", "ports"})) {
    const std::string own(base::string_at(p, {"name"}));
    const std::string number = std::to_string(base::int_at(p, {"port"}));
    if (port == own || port == number ||
        (port.empty() && base::array_at(tree, {"spec", "ports"}).size() == 1)) {
      port_name = own;
      known = true;
      break;
    }
  }
  const Status none(Code::kServiceUnavailable,
                    base::cat("no endpoints available for service \"", name, "\""));
  if (!known)
    return Status(Code::kServiceUnavailable,
                  base::cat("no service port \"", port, "\" found for service \"", name, "\""));
  Filter filter;
  filter.ns = ns;
  for (const auto& slice : registry_.cache("discovery.k8s.io", "endpointslices")->list(filter).items) {
    if (slice->label("kubernetes.io/service-name") != name) continue;
    const Json s = slice->tree();
    for (const auto& p : base::array_at(s, {"ports"})) {
      if (base::string_at(p, {"name"}) != port_name) continue;
      for (const auto& e : base::array_at(s, {"endpoints"})) {
        if (!base::bool_at(e, {"conditions", "ready"}, true)) continue;
        return std::make_pair(base::array_at(e, {"addresses"})[0].get<std::string>(),
                              static_cast<uint16_t>(base::int_at(p, {"port"})));
      }
    }
  }
  return none;
}

http::Response ApiServer::do_proxy(Call& call) {
  const RequestInfo& info = call.info;
  const ProxyName wanted = split_proxy_name(info.name);
  Target target;
  if (call.resource->plural == "nodes") {
    auto kubelet = kubelet_target(registry_, *call.storage, o_.kubelet(), wanted.name);
    if (!kubelet.ok()) return http::Response::from_status(kubelet.error());
    target = std::move(*kubelet);
    if (uint16_t port = port_number(wanted.port); port != 0) target.dial.port = port;
  } else if (call.resource->plural == "services") {
    auto endpoint = service_endpoint(info.ns, wanted.name, wanted.port);
    if (!endpoint.ok()) return http::Response::from_status(endpoint.error());
    std::tie(target.dial.host, target.dial.port) = *endpoint;
  } else {
    auto pod = registry_.get(*call.storage, info.ns, wanted.name);
    if (!pod.ok()) return http::Response::from_status(pod.error());
    const Json tree = (*pod)->tree();
    target.dial.host = base::string_at(tree, {"status", "podIP"});
    target.dial.port = port_number(wanted.port);
    if (target.dial.port == 0) {
      for (const auto& c : base::array_at(tree, {"spec", "containers"})) {
        const Json& ports = base::array_at(c, {"ports"});
        if (target.dial.port == 0 && !ports.empty())
          target.dial.port = static_cast<uint16_t>(base::int_at(ports[0], {"containerPort"}));
      }
    }
    if (target.dial.port == 0) target.dial.port = 80;
    if (target.dial.host.empty()) {
      return http::Response::from_status(Status(
          Code::kServiceUnavailable, base::cat("address not allowed: pod ", wanted.name, " has no address")));
    }
  }
  if (call.resource->plural != "nodes") {
    if (forbidden_address(target.dial.host)) {
      return http::Response::from_status(Status(Code::kBadRequest, "address not allowed"));
    }
    target.dial.connect_timeout = kConnectTimeout;
    target.dial.tls = wanted.scheme == "https";
    target.dial.tls_config.insecure = target.dial.tls;  // pods' certificates are their own affair
  }
  target.path = info.rest.empty() ? "/" : info.rest;
  if (!call.request.query.empty()) target.path += "?" + call.request.query;
  return pass_on(call.request, std::move(target));
}

}  // namespace orch::server
