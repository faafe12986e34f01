// Probes: what a container's probe asks (core/v1 Probe) and how single outcomes become a verdict. Pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/kubelet/plan.h"
#include "agent/kubelet/pod.h"

namespace orch::agent {

enum class ProbeKind : uint8_t { kStartup, kLiveness, kReadiness };
/// "Liveness" and so on, as messages name them.
std::string_view probe_name(ProbeKind kind);

/// One HTTP request of a probe or a lifecycle hook.
struct HttpAction {
  std::string scheme = "http", host, path;
  int port = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string url() const;
};

struct ProbeSpec {
  enum class Action : uint8_t { kExec, kHttp, kTcp, kGrpc };
  Action action = Action::kExec;
  std::vector<std::string> command;
  HttpAction http;      // host and port serve kTcp and kGrpc too
  std::string service;  // kGrpc
  std::chrono::seconds initial_delay{0}, period{10}, timeout{1};
  int success_threshold = 1, failure_threshold = 3;
};

/// Nothing when the container has no such probe, or it names a port that does not exist. `ip` is the pod's.
std::optional<ProbeSpec> probe_spec(const ContainerRef& container, ProbeKind kind, const std::string& ip);
/// The HTTP request of an httpGet action; nothing when its port does not exist.
std::optional<HttpAction> http_action(const ContainerRef& container, const Json& action,
                                      const std::string& ip);
/// A port by number or by the name of one of the container's; 0 when there is none.
int resolve_port(const ContainerRef& container, const Json& port);

/// Counts outcomes of one probe of one container.
struct ProbeTrack {
  Health verdict = Health::kUnknown;  // readiness starts as failure, liveness as success
  Health last = Health::kUnknown;
  int run = 0;
  bool held = false;  // a liveness or startup probe that failed waits for another container
};
/// Takes one outcome in; true when the verdict changed.
bool count_outcome(ProbeTrack& track, const ProbeSpec& spec, ProbeKind kind, bool success);

}  // namespace orch::agent
