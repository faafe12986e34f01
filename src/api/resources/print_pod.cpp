// Printer cells of pods: what "kubectl get pods" says of each.
#include <map>

#include "api/duration.h"
#include "api/resources/printers.h"
#include "api/resources/resource_list.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// What is gathered over the containers.
struct Summary {
  std::string reason;
  int64_t restarts = 0;
  std::string last_restart;  // RFC 3339 in UTC, so later is greater
  int64_t ready = 0;
  int64_t total = 0;
};

bool condition_true(const Json& pod, std::string_view type) {
  for (const Json& condition : list_of(map_of(pod, "status"), "conditions")) {
    if (text_of(condition, "type") == type) return text_of(condition, "status") == "True";
  }
  return false;
}

void note_restart(const Json& status, int64_t& restarts, std::string& last) {
  restarts += number_of(status, "restartCount");
  const std::string_view finished = text_of(map_of(map_of(status, "lastState"), "terminated"), "finishedAt");
  if (finished > last) last = finished;
}

/// "Error", "ExitCode:1", "Signal:9"
std::string terminated_reason(const Json& terminated) {
  const std::string_view reason = text_of(terminated, "reason");
  if (!reason.empty()) return std::string(reason);
  const int64_t signal = number_of(terminated, "signal");
  if (signal != 0) return "Signal:" + std::to_string(signal);
  return "ExitCode:" + std::to_string(number_of(terminated, "exitCode"));
}

/// Walks the init containers up to the first that is not done. True: the pod is still initializing.
bool summarize_init(const Json& pod, Summary& s, int64_t& sidecar_restarts, std::string& sidecar_last) {
  const Json& spec = map_of(pod, "spec");
  std::map<std::string_view, bool> sidecars;
  for (const Json& container : list_of(spec, "initContainers")) {
    sidecars[text_of(container, "name")] = is_sidecar(container);
    if (is_sidecar(container)) ++s.total;
  }
  size_t i = 0;
  for (const Json& status : list_of(map_of(pod, "status"), "initContainerStatuses")) {
    const size_t index = i++;
    note_restart(status, s.restarts, s.last_restart);
    const bool sidecar = sidecars[text_of(status, "name")];
    if (sidecar) note_restart(status, sidecar_restarts, sidecar_last);
    const Json& state = map_of(status, "state");
    const Json& terminated = map_of(state, "terminated");
    const bool ended = has(state, "terminated");
    if (ended && number_of(terminated, "exitCode") == 0) continue;
    if (sidecar && flag_of(status, "started")) {
      if (flag_of(status, "ready")) ++s.ready;
      continue;
    }
    const std::string_view waiting = text_of(map_of(state, "waiting"), "reason");
    if (ended) {
      s.reason = "Init:" + terminated_reason(terminated);
    } else if (!waiting.empty() && waiting != "PodInitializing") {
      s.reason = "Init:" + std::string(waiting);
    } else {
      s.reason =
          "Init:" + std::to_string(index) + "/" + std::to_string(list_of(spec, "initContainers").size());
    }
    return true;
  }
  return false;
}

void summarize_containers(const Json& pod, Summary& s) {
  bool running = false;
  std::string error;
  const Json& statuses = list_of(map_of(pod, "status"), "containerStatuses");
  for (size_t i = statuses.size(); i-- > 0;) {
    const Json& status = statuses[i];
    note_restart(status, s.restarts, s.last_restart);
    const Json& state = map_of(status, "state");
    const std::string_view waiting = text_of(map_of(state, "waiting"), "reason");
    if (!waiting.empty()) {
      s.reason = waiting;
    } else if (has(state, "terminated")) {
      const Json& terminated = map_of(state, "terminated");
      s.reason = terminated_reason(terminated);
      if (number_of(terminated, "exitCode") != 0) error = s.reason;
    } else if (flag_of(status, "ready") && has(state, "running")) {
      running = true;
      ++s.ready;
    }
  }
  if (s.reason != "Completed") return;
  if (running && condition_true(pod, "Ready")) {
    s.reason = "Running";
  } else if (!error.empty()) {
    s.reason = error;
  } else if (running) {
    s.reason = "NotReady";
  }
}

Summary summarize(const Json& pod) {
  const Json& status = map_of(pod, "status");
  const std::string_view phase = text_of(status, "phase");
  Summary s;
  s.reason = or_none(text_of(status, "reason"), phase);
  for (const Json& condition : list_of(status, "conditions")) {
    if (text_of(condition, "type") == "PodScheduled" && text_of(condition, "reason") == "SchedulingGated") {
      s.reason = "SchedulingGated";
    }
  }
  s.total = static_cast<int64_t>(list_of(map_of(pod, "spec"), "containers").size());
  int64_t sidecar_restarts = 0;
  std::string sidecar_last;
  const bool initializing = summarize_init(pod, s, sidecar_restarts, sidecar_last);
  if (!initializing || condition_true(pod, "Initialized")) {
    s.restarts = sidecar_restarts;
    s.last_restart = sidecar_last;
    summarize_containers(pod, s);
  }
  if (has(map_of(pod, "metadata"), "deletionTimestamp")) {
    if (text_of(status, "reason") == "NodeLost") {
      s.reason = "Unknown";
    } else if (phase != "Failed" && phase != "Succeeded") {
      s.reason = "Terminating";
    }
  }
  return s;
}

std::string readiness_gates(const Json& pod) {
  const Json& gates = list_of(map_of(pod, "spec"), "readinessGates");
  if (gates.empty()) return "<none>";
  size_t passed = 0;
  for (const Json& gate : gates) passed += condition_true(pod, text_of(gate, "conditionType"));
  return std::to_string(passed) + "/" + std::to_string(gates.size());
}

}  // namespace

Cells pod_cells(const Json& object, base::WallTime now) {
  const Summary s = summarize(object);
  const Json& status = map_of(object, "status");
  std::string restarts = std::to_string(s.restarts);
  if (s.restarts != 0 && !s.last_restart.empty()) restarts += " (" + age_text(s.last_restart, now) + " ago)";
  const Json& ips = list_of(status, "podIPs");
  return {name_cell(object),
          std::to_string(s.ready) + "/" + std::to_string(s.total),
          s.reason,
          restarts,
          age_cell(object, now),
          or_none(ips.empty() ? std::string_view() : text_of(ips[0], "ip")),
          or_none(text_of(map_of(object, "spec"), "nodeName")),
          or_none(text_of(status, "nominatedNodeName")),
          readiness_gates(object)};
}

}  // namespace orch::api
