#include "agent/kubelet/probe.h"

#include <cstdlib>

#include "base/json.h"

namespace orch::agent {

using base::array_at;
using base::find_path;
using base::int_at;
using base::string_at;

std::string_view probe_name(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kStartup:
      return "Startup";
    case ProbeKind::kLiveness:
      return "Liveness";
    default:
      return "Readiness";
  }
}

std::string HttpAction::url() const {
  const std::string authority = host.find(':') == std::string::npos ? host : "[" + host + "]";
  std::string target = path;
  if (target.empty() || target.front() != '/') target.insert(0, "/");
  return base::cat(scheme, "://", authority, ":", port, target);
}

int resolve_port(const ContainerRef& container, const Json& port) {
  if (port.is_number_integer()) return port.get<int>();
  if (!port.is_string()) return 0;
  const auto& name = port.get_ref<const std::string&>();
  for (const Json& p : array_at(*container.spec, {"ports"})) {
    if (string_at(p, {"name"}) == name) return static_cast<int>(int_at(p, {"containerPort"}));
  }
  return std::atoi(name.c_str());
}

std::optional<HttpAction> http_action(const ContainerRef& container, const Json& action,
                                      const std::string& ip) {
  HttpAction out;
  const Json* port = find_path(action, {"port"});
  out.port = port == nullptr ? 0 : resolve_port(container, *port);
  if (out.port <= 0 || out.port > 65535) return std::nullopt;
  out.scheme = string_at(action, {"scheme"}) == "HTTPS" ? "https" : "http";
  out.host = string_at(action, {"host"});
  if (out.host.empty()) out.host = ip;
  out.path = string_at(action, {"path"});
  for (const Json& header : array_at(action, {"httpHeaders"})) {
    out.headers.emplace_back(string_at(header, {"name"}), string_at(header, {"value"}));
  }
  return out;
}

std::optional<ProbeSpec> probe_spec(const ContainerRef& container, ProbeKind kind, const std::string& ip) {
  const char* member = kind == ProbeKind::kStartup    ? "startupProbe"
                       : kind == ProbeKind::kLiveness ? "livenessProbe"
                                                      : "readinessProbe";
  const Json* probe = find_path(*container.spec, {member});
  if (probe == nullptr || !probe->is_object()) return std::nullopt;
  ProbeSpec out;
  out.initial_delay = std::chrono::seconds(int_at(*probe, {"initialDelaySeconds"}));
  out.period = std::chrono::seconds(std::max<int64_t>(int_at(*probe, {"periodSeconds"}, 10), 1));
  out.timeout = std::chrono::seconds(std::max<int64_t>(int_at(*probe, {"timeoutSeconds"}, 1), 1));
  out.success_threshold = static_cast<int>(std::max<int64_t>(int_at(*probe, {"successThreshold"}, 1), 1));
  out.failure_threshold = static_cast<int>(std::max<int64_t>(int_at(*probe, {"failureThreshold"}, 3), 1));
  if (const Json* exec = find_path(*probe, {"exec"})) {
    for (const Json& word : array_at(*exec, {"command"})) out.command.push_back(word.get<std::string>());
    return out;
  }
  if (const Json* get = find_path(*probe, {"httpGet"})) {
    auto action = http_action(container, *get, ip);
    if (!action) return std::nullopt;
    out.action = ProbeSpec::Action::kHttp;
    out.http = std::move(*action);
    return out;
  }
  const bool grpc = find_path(*probe, {"grpc"}) != nullptr;
  const Json* socket = find_path(*probe, {grpc ? "grpc" : "tcpSocket"});
  if (socket == nullptr) return std::nullopt;
  out.action = grpc ? ProbeSpec::Action::kGrpc : ProbeSpec::Action::kTcp;
  const Json* port = find_path(*socket, {"port"});
  out.http.port = port == nullptr ? 0 : resolve_port(container, *port);
  out.http.host = string_at(*socket, {"host"});
  if (out.http.host.empty()) out.http.host = ip;
  out.service = string_at(*socket, {"service"});
  if (out.http.port <= 0) return std::nullopt;
  return out;
}

bool count_outcome(ProbeTrack& track, const ProbeSpec& spec, ProbeKind kind, bool success) {
  const Health outcome = success ? Health::kSuccess : Health::kFailure;
  if (track.last == outcome) {
    ++track.run;
  } else {
    track.last = outcome;
    track.run = 1;
  }
  if (track.run < (success ? spec.success_threshold : spec.failure_threshold)) return false;
  const bool changed = track.verdict != outcome;
  track.verdict = outcome;
  if (kind != ProbeKind::kReadiness && !success) {
    track.held = true;
    track.run = 0;
  }
  return changed;
}

}  // namespace orch::agent
