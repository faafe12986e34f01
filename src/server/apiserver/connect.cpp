// What the API server has a kubelet do: logs, exec, attach, port-forward.
#include "api/field_error.h"
#include "base/json.h"
#include "http/tunnel.h"
#include "server/apiserver/call.h"
#include "server/apiserver/forward.h"
#include "server/apiserver/kubelet_location.h"
#include "server/apiserver/query_options.h"
#include "server/auth/forbidden.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// Container of a pod that the request means; its only one when it names none.
Result<std::string> container_of(const Json& pod, std::string_view wanted) {
  std::vector<std::string> names;
  // In the order Kubernetes visits them.
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
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
  if (containers.size() == 1) return std::string(base::string_at(containers[0], {"name"}));
  std::string list;
  for (const auto& n : names) list += base::cat(list.empty() ? "" : " ", n);
  return Status(Code::kBadRequest, base::cat("a container name must be specified for pod ", name,
                                             ", choose one of: [", list, "]"));
}

/// PodLogOptions, checked; "?…" as the kubelet takes them.
Result<std::string> log_query(const http::Query& query, const std::string& pod) {
  std::string out;
  const auto add = [&out](std::string_view name, std::string_view value) {
    out += base::cat(out.empty() ? "?" : "&", name, "=", http::percent_encode(value));
  };
  for (const char* flag : {"follow", "previous", "timestamps"}) {
    if (query_bool(query, flag).value_or(false)) add(flag, "true");
  }
  api::FieldErrors errors;
  const std::string_view since = query.get("sinceTime");
  const auto number = [&](const char* name, int64_t least, const char* problem) -> Status {
    auto value = query_int(query, name);
    if (!value.ok()) return value.error();
    if (!*value) return {};
    if (**value < least) errors.invalid(api::FieldPath(name), **value, problem);
    add(name, std::to_string(**value));
    return {};
  };
  ORCH_RETURN_IF_ERROR(number("tailLines", 0, "must be greater than or equal to 0"));
  ORCH_RETURN_IF_ERROR(number("limitBytes", 1, "must be greater than 0"));
  if (!since.empty() && query.has("sinceSeconds")) {
    errors.forbidden(api::FieldPath("[]"), "at most one of `sinceTime` or `sinceSeconds` may be specified");
  } else {
    ORCH_RETURN_IF_ERROR(number("sinceSeconds", 1, "must be greater than 0"));
  }
  if (!since.empty()) {
    if (!base::parse_time(since).ok()) {
      return Status(Code::kBadRequest, base::cat("parsing time \"", since,
                                                 "\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"",
                                                 since, "\" as \"2006\""));
    }
    add("sinceTime", since);
  }
  if (query.has("stream")) errors.forbidden(api::FieldPath("stream"), "may not be specified");
  ORCH_RETURN_IF_ERROR(errors.to_status("", "PodLogOptions", pod));
  return out;
}

}  // namespace

Result<ForwardTarget> kubelet_target(Registry& registry, const KubeletAccess& access,
                                     std::string_view node_name) {
  constexpr int kKubeletPort = 10250;
  auto node = registry.get(*registry.table().find("", "v1", "nodes"), "", node_name);
  if (!node.ok()) return node.error();
  const Json tree = (*node)->tree();
  ForwardTarget t;
  std::string known;
  for (const char* type : {"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"}) {
    for (const auto& a : base::array_at(tree, {"status", "addresses"})) {
      if (base::string_at(a, {"type"}) != type) continue;
      known += base::cat(known.empty() ? "" : " ", type, "=", base::string_at(a, {"address"}));
      // Nodes are reached by address: their names need not be known to any resolver.
      if (t.dial.host.empty() &&
          (std::string_view(type) == "InternalIP" || std::string_view(type) == "ExternalIP"))
        t.dial.host = base::string_at(a, {"address"});
    }
  }
  if (t.dial.host.empty()) {
    return Status(Code::kUnknown, base::cat("no preferred addresses found; known addresses: [", known, "]"));
  }
  t.dial.port = static_cast<uint16_t>(
      base::int_at(tree, {"status", "daemonEndpoints", "kubeletEndpoint", "Port"}, kKubeletPort));
  t.dial.tls = true;
  t.dial.tls_config.ca_pem = access.ca_pem;
  t.dial.tls_config.certificate_pem = access.certificate_pem;
  t.dial.tls_config.key_pem = access.key_pem;
  t.dial.tls_config.server_name = std::string(node_name);
  return t;
}

http::Response ApiServer::do_log(Call& call) {
  const RequestInfo& info = call.info;
  if (info.verb != "get") return method_not_allowed();
  auto query = log_query(info.query, info.name);
  if (!query.ok()) return http::Response::from_status(query.error());
  auto pod = registry_.get(*call.storage, info.ns, info.name);
  if (!pod.ok()) return http::Response::from_status(pod.error());
  const Json tree = (*pod)->tree();
  auto container = container_of(tree, info.query.get("container"));
  if (!container.ok()) return http::Response::from_status(container.error());
  const std::string_view node = base::string_at(tree, {"spec", "nodeName"});
  if (node.empty()) {  // not scheduled: nothing was said yet
    http::Response none;
    none.status = 204;
    none.content_type.clear();
    return none;
  }
  auto target = kubelet_target(registry_, o_.kubelet(), node);
  if (!target.ok()) return http::Response::from_status(target.error());
  if (query_bool(info.query, "insecureSkipTLSVerifyBackend").value_or(false)) {
    target->dial.tls_config.insecure = true;
    // A kubelet nobody vouches for does not get to see who we are.
    target->dial.tls_config.certificate_pem.clear();
    target->dial.tls_config.key_pem.clear();
  }
  target->path =
      base::cat("/containerLogs/", info.ns, "/", info.name, "/", http::percent_encode(*container), *query);
  target->pod = info.name;
  return forward(call.request, std::move(*target));
}

Status ApiServer::may_connect(const Call& call) const {
  // A WebSocket begins with a GET, which readers may do; what it leads to is a create.
  if (call.info.verb == "create") return {};
  Attributes attributes = call.info.attributes(call.user);
  attributes.verb = "create";
  const Verdict verdict = o_.authorizer->authorize(attributes);
  if (verdict.decision == Decision::kAllow) return {};
  return forbidden(call.info.group, call.info.resource, call.info.name, verdict.reason);
}

Status ApiServer::admit_connect(Call& call) const {
  const RequestInfo& info = call.info;
  const api::Subresource& sub = *call.resource->subresource(info.subresource);
  // PodExecOptions and its like, as the query says them.
  Json options = {{"kind", sub.kind}, {"apiVersion", api::make_api_version(sub.group, sub.version)}};
  if (sub.name == "proxy") {
    if (!info.rest.empty()) options["path"] = info.rest;
  } else if (sub.name == "portforward") {
    for (std::string_view port : info.query.all("ports"))
      options["ports"].push_back(std::atoi(std::string(port).c_str()));
  } else {
    for (const char* flag : {"stdin", "stdout", "stderr", "tty"}) {
      if (query_bool(info.query, flag).value_or(false)) options[flag] = true;
    }
    if (const std::string_view container = info.query.get("container"); !container.empty())
      options["container"] = container;
    if (sub.name == "exec") {
      for (std::string_view word : info.query.all("command")) options["command"].push_back(word);
    }
  }
  return registry_.admit(
      {*call.resource, info.subresource, AdmissionRequest::Operation::kConnect, info.ns, info.name}, options,
      call.write_context());
}

http::Response ApiServer::do_connect(Call& call) {
  const RequestInfo& info = call.info;
  if (info.verb != "create" && info.verb != "get") return method_not_allowed();
  if (info.query.has("dryRun"))
    return http::Response::from_status(Status(Code::kBadRequest, "dryRun is not supported"));
  if (Status may = may_connect(call); !may.ok()) return http::Response::from_status(may);
  if (Status admitted = admit_connect(call); !admitted.ok()) return http::Response::from_status(admitted);
  auto pod = registry_.get(*call.storage, info.ns, info.name);
  if (!pod.ok()) return http::Response::from_status(pod.error());
  const Json tree = (*pod)->tree();
  const bool forwarding = info.subresource == "portforward";
  Result<std::string> container = std::string();
  if (!forwarding) container = container_of(tree, info.query.get("container"));
  if (!container.ok()) return http::Response::from_status(container.error());
  const std::string_view node = base::string_at(tree, {"spec", "nodeName"});
  if (node.empty()) {
    return http::Response::from_status(
        Status(Code::kBadRequest, base::cat("pod ", info.name, " does not have a host assigned")));
  }
  auto target = kubelet_target(registry_, o_.kubelet(), node);
  if (!target.ok()) return http::Response::from_status(target.error());
  if (!http::is_upgrade_request(call.request))
    return http::Response::from_status(Status(Code::kBadRequest, "Upgrade request required"));
  std::string query;
  const auto add = [&query](std::string_view name, std::string_view value) {
    query += base::cat(query.empty() ? "?" : "&", name, "=", http::percent_encode(value));
  };
  if (forwarding) {
    target->port_forward = true;
    std::string ports;
    for (std::string_view port : info.query.all("ports")) ports += base::cat(ports.empty() ? "" : ",", port);
    if (!ports.empty()) add("port", ports);
    target->path = base::cat("/portForward/", info.ns, "/", info.name, query);
    return forward(call.request, std::move(*target));
  }
  // Kubelets know the streams by short names.
  const auto wants = [&](const char* name, const char* short_name) {
    const bool wanted = query_bool(info.query, name).value_or(false);
    if (wanted) add(short_name, "1");
    return wanted;
  };
  http::CommandStreams streams;
  streams.in = wants("stdin", "input");
  streams.out = wants("stdout", "output");
  streams.err = wants("stderr", "error");
  streams.tty = wants("tty", "tty");
  // A terminal has one output, whatever a client asks for: nobody would open the other.
  if (streams.tty) streams.err = false;
  if (info.subresource == "exec") {
    for (std::string_view word : info.query.all("command")) add("command", word);
  }
  target->streams = streams;
  target->path = base::cat("/", info.subresource, "/", info.ns, "/", info.name, "/",
                           http::percent_encode(*container), query);
  return forward(call.request, std::move(*target));
}

}  // namespace orch::server
