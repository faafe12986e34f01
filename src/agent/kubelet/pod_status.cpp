#include "agent/kubelet/pod_status.h"

#include <algorithm>
#include <array>

#include "agent/kubelet/container_status.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::bool_at;
using base::find_path;
using base::int_at;
using base::object_at;
using base::string_at;

constexpr std::array<std::string_view, 7> kOwnedConditions{"PodScheduled",
                                                           "Ready",
                                                           "Initialized",
                                                           "ContainersReady",
                                                           "PodReadyToStartContainers",
                                                           "PodResizePending",
                                                           "PodResizeInProgress"};

constexpr std::string_view kDisruption = "DisruptionTarget";

const Json* find_status(const Json& statuses, std::string_view name) {
  for (const Json& s : statuses) {
    if (string_at(s, {"name"}) == name) return &s;
  }
  return nullptr;
}

/// Go's %s of a list of strings: "[a b]".
std::string bracketed(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const std::string& n : names) {
    if (out.size() > 1) out += ' ';
    out += n;
  }
  return out + "]";
}

// --- Phase ------------------------------------------------------------------------------------------

struct PhaseCounts {
  int pending_init = 0, pending_sidecars = 0, failed_init = 0;
  int unknown = 0, running = 0, waiting = 0, stopped = 0, stopped_for_good = 0, succeeded = 0;
};

void count_init(const Pod& pod, const ContainerRef& c, const Json* status, PhaseCounts& n) {
  const Json* ended = status == nullptr ? nullptr : find_path(*status, {"state", "terminated"});
  if (status != nullptr && ended == nullptr && find_path(*status, {"state", "waiting"}) != nullptr) {
    ended = find_path(*status, {"lastState", "terminated"});
  }
  if (ended == nullptr) {
    ++n.pending_init;
    return;
  }
  const auto code = static_cast<int32_t>(int_at(*ended, {"exitCode"}));
  if (code != 0 && !should_restart(pod, *c.spec, code)) ++n.failed_init;
  // A failed one that runs again has to succeed before the pod goes on.
  if (code != 0 && find_path(*status, {"state", "waiting"}) != nullptr) ++n.pending_init;
}

void count_sidecar(const Json* status, PhaseCounts& n) {
  if (status == nullptr) {
    ++n.unknown;
  } else if (find_path(*status, {"state", "running"}) != nullptr) {
    if (!bool_at(*status, {"started"})) ++n.pending_sidecars;
    ++n.running;
  } else if (find_path(*status, {"state", "waiting"}) != nullptr &&
             find_path(*status, {"lastState", "terminated"}) == nullptr) {
    ++n.pending_sidecars;
    ++n.waiting;
  }
}

void count_regular(const Pod& pod, const ContainerRef& c, const Json* status, PhaseCounts& n) {
  if (status == nullptr) {
    ++n.unknown;
    return;
  }
  if (find_path(*status, {"state", "running"}) != nullptr) {
    ++n.running;
    return;
  }
  if (const Json* ended = find_path(*status, {"state", "terminated"})) {
    const auto code = static_cast<int32_t>(int_at(*ended, {"exitCode"}));
    ++n.stopped;
    if (!should_restart(pod, *c.spec, code)) ++n.stopped_for_good;
    if (code == 0) ++n.succeeded;
    return;
  }
  if (const Json* ended = find_path(*status, {"lastState", "terminated"})) {
    ++n.stopped;
    const auto code = static_cast<int32_t>(int_at(*ended, {"exitCode"}));
    if (!should_restart(pod, *c.spec, code)) ++n.stopped_for_good;
    return;
  }
  ++n.waiting;
}

bool any_regular_started(const Pod& pod, const Json& statuses) {
  const auto regular = pod.containers();
  return std::any_of(regular.begin(), regular.end(), [&](const ContainerRef& c) {
    const Json* s = find_status(statuses, c.name());
    if (s == nullptr) return false;
    return find_path(*s, {"state", "running"}) != nullptr ||
           find_path(*s, {"state", "terminated"}) != nullptr ||
           find_path(*s, {"lastState", "terminated"}) != nullptr;
  });
}

std::string phase_of(const Pod& pod, const Json& init_statuses, const Json& statuses, bool finished) {
  PhaseCounts n;
  for (const ContainerRef& c : pod.init_containers()) {
    const Json* status = find_status(init_statuses, c.name());
    if (c.sidecar()) {
      count_sidecar(status, n);
    } else {
      count_init(pod, c, status, n);
    }
  }
  for (const ContainerRef& c : pod.containers()) count_regular(pod, c, find_status(statuses, c.name()), n);
  if (n.failed_init > 0) return "Failed";
  if (n.pending_init > 0 || (n.pending_sidecars > 0 && !any_regular_started(pod, statuses)) ||
      n.waiting > 0) {
    return "Pending";
  }
  if (n.running > 0 && n.unknown == 0) return "Running";
  if (n.running == 0 && n.stopped > 0 && n.unknown == 0) {
    if (!finished && n.stopped != n.stopped_for_good) return "Running";
    return n.stopped == n.succeeded ? "Succeeded" : "Failed";
  }
  return "Pending";
}

// --- Conditions -------------------------------------------------------------------------------------

struct ConditionValue {
  bool status = true;
  std::string reason, message;
};

ConditionValue containers_ready(const Pod& pod, const Json& init_statuses, const Json& statuses,
                                std::string_view phase) {
  std::vector<std::string> unknown, unready;
  const auto look = [&](const ContainerRef& c, const Json& list) {
    const Json* s = find_status(list, c.name());
    if (s == nullptr) {
      unknown.emplace_back(c.name());
    } else if (!bool_at(*s, {"ready"})) {
      unready.emplace_back(c.name());
    }
  };
  for (const ContainerRef& c : pod.init_containers()) {
    if (c.sidecar()) look(c, init_statuses);
  }
  for (const ContainerRef& c : pod.containers()) look(c, statuses);
  if (phase == "Succeeded" && unknown.empty()) return {false, "PodCompleted", {}};
  if (phase == "Failed") return {false, "PodFailed", {}};
  std::string message;
  if (!unknown.empty()) message = "containers with unknown status: " + bracketed(unknown);
  if (!unready.empty()) {
    if (!message.empty()) message += ", ";
    message += "containers with unready status: " + bracketed(unready);
  }
  if (!message.empty()) return {false, "ContainersNotReady", message};
  return {};
}

ConditionValue pod_ready(const Pod& pod, const ConditionValue& containers, const Json& conditions) {
  if (!containers.status) return containers;
  std::string message;
  for (const Json& gate : array_at(pod.tree(), {"spec", "readinessGates"})) {
    const auto type = string_at(gate, {"conditionType"});
    const Json* found = nullptr;
    for (const Json& c : conditions) {
      if (string_at(c, {"type"}) == type) found = &c;
    }
    std::string part;
    if (found == nullptr) {
      part = base::cat("corresponding condition of pod readiness gate \"", type, "\" does not exist.");
    } else if (string_at(*found, {"status"}) != "True") {
      part = base::cat("the status of pod readiness gate \"", type, "\" is not \"True\", but ",
                       string_at(*found, {"status"}));
    } else {
      continue;
    }
    if (!message.empty()) message += ", ";
    message += part;
  }
  if (!message.empty()) return {false, "ReadinessGatesNotReady", message};
  return {};
}

ConditionValue initialized(const Pod& pod, const Json& init_statuses, const Json& statuses,
                           std::string_view phase) {
  std::vector<std::string> unknown, incomplete;
  for (const ContainerRef& c : pod.init_containers()) {
    const Json* s = find_status(init_statuses, c.name());
    if (s == nullptr) {
      unknown.emplace_back(c.name());
    } else if (!bool_at(*s, {c.sidecar() ? "started" : "ready"})) {
      incomplete.emplace_back(c.name());
    }
  }
  if (phase == "Succeeded" && unknown.empty()) return {true, "PodCompleted", {}};
  if (any_regular_started(pod, statuses)) return {};
  std::string message;
  if (!unknown.empty()) message = "containers with unknown status: " + bracketed(unknown);
  if (!incomplete.empty()) {
    if (!message.empty()) message += ", ";
    message += "containers with incomplete status: " + bracketed(incomplete);
  }
  if (!message.empty()) return {false, "ContainersNotInitialized", message};
  return {};
}

void add_condition(Json& conditions, std::string_view type, const ConditionValue& value, const Json& previous,
                   const Pod& pod, base::WallTime now) {
  Json c{{"type", type}, {"status", value.status ? "True" : "False"}, {"lastProbeTime", nullptr}};
  if (!value.reason.empty()) c["reason"] = value.reason;
  if (!value.message.empty()) c["message"] = value.message;
  if (pod.generation() != 0) c["observedGeneration"] = pod.generation();
  c["lastTransitionTime"] = base::format_time(now);
  for (const Json& old : array_at(previous, {"conditions"})) {
    if (string_at(old, {"type"}) == type && string_at(old, {"status"}) == string_at(c, {"status"}) &&
        old.contains("lastTransitionTime")) {
      c["lastTransitionTime"] = old["lastTransitionTime"];
    }
  }
  conditions.push_back(std::move(c));
}

Json ip_list(const std::vector<std::string>& ips) {
  Json out = Json::array();
  for (const std::string& ip : ips) out.push_back(Json{{"ip", ip}});
  return out;
}

void set_addresses(const Pod& pod, const PodRuntime& runtime, const Json& previous, const StatusInput& input,
                   Json& out) {
  if (!input.host_ips.empty()) {
    out["hostIP"] = input.host_ips.front();
    out["hostIPs"] = ip_list(input.host_ips);
  }
  std::vector<std::string> ips;
  if (pod.host_network()) {
    // Those it was given at first stay; a node that becomes dual-stack adds one.
    for (const Json& ip : array_at(previous, {"podIPs"})) ips.emplace_back(string_at(ip, {"ip"}));
    if (ips.empty() && !runtime.sandboxes.empty()) ips = input.host_ips;
  } else if (!runtime.sandboxes.empty() && runtime.sandboxes.front().ready) {
    ips = runtime.sandboxes.front().ips;
  }
  if (ips.empty() && !runtime.sandboxes.empty() && !runtime.sandboxes.front().ready) {
    // A pod that ended keeps the address it had until its sandbox is removed.
    for (const Json& ip : array_at(previous, {"podIPs"})) ips.emplace_back(string_at(ip, {"ip"}));
  }
  if (ips.empty()) return;
  out["podIP"] = ips.front();
  out["podIPs"] = ip_list(ips);
}

/// Phase with reason and message; a terminal phase never changes again.
void set_phase(const Pod& pod, const Json& previous, const StatusInput& input, std::string phase, Json& out) {
  const auto terminal = [](std::string_view p) { return p == "Succeeded" || p == "Failed"; };
  const auto before = string_at(previous, {"phase"});
  const auto in_api = string_at(pod.tree(), {"status", "phase"});
  if (!input.end_reason.empty()) {
    phase = "Failed";
  } else if (input.finished && !terminal(phase)) {
    phase = "Failed";  // ended before it could run to an end of its own
  }
  if (terminal(before)) phase = before;
  if (terminal(in_api)) phase = in_api;
  out["phase"] = phase;
  std::string reason = input.end_reason, message = input.end_message;
  if (reason.empty() && phase == before) {
    reason = string_at(previous, {"reason"});
    message = string_at(previous, {"message"});
  }
  if (!reason.empty()) out["reason"] = reason;
  if (!message.empty()) out["message"] = message;
}

}  // namespace

bool owns_condition(std::string_view type) {
  return std::find(kOwnedConditions.begin(), kOwnedConditions.end(), type) != kOwnedConditions.end();
}

Json pod_status(const Pod& pod, const PodRuntime& runtime, const Json& previous, const StatusInput& input) {
  Json out = Json::object();
  Json init_statuses = container_statuses(pod, pod.init_containers(), runtime, previous, input);
  Json statuses = container_statuses(pod, pod.containers(), runtime, previous, input);
  Json ephemeral = container_statuses(pod, pod.ephemeral_containers(), runtime, previous, input);
  if (input.finished) {
    end_missing(pod, init_statuses, statuses);
  }
  set_phase(pod, previous, input, phase_of(pod, init_statuses, statuses, input.finished), out);
  const std::string phase = out["phase"];

  Json conditions = Json::array();
  for (const Json& c : array_at(pod.tree(), {"status", "conditions"})) {
    const auto type = string_at(c, {"type"});
    if (owns_condition(type) || (type == kDisruption && !input.disruption.empty())) continue;
    conditions.push_back(c);
  }
  if (phase != "Succeeded" && phase != "Failed") {
    for (Json& c : resize_conditions(input.resize)) conditions.push_back(std::move(c));
  }
  const ConditionValue ready_containers = containers_ready(pod, init_statuses, statuses, phase);
  const bool sandbox_ready = !sandbox_changed(pod, runtime).changed;
  Json owned = Json::array();
  add_condition(owned, "PodReadyToStartContainers", {sandbox_ready, {}, {}}, previous, pod, input.now);
  add_condition(owned, "Initialized", initialized(pod, init_statuses, statuses, phase), previous, pod,
                input.now);
  add_condition(owned, "Ready", pod_ready(pod, ready_containers, conditions), previous, pod, input.now);
  add_condition(owned, "ContainersReady", ready_containers, previous, pod, input.now);
  add_condition(owned, "PodScheduled", {}, previous, pod, input.now);
  if (!input.disruption.empty()) {
    add_condition(owned, kDisruption, {true, "TerminationByKubelet", input.disruption}, previous, pod,
                  input.now);
  }
  for (Json& c : owned) conditions.push_back(std::move(c));
  out["conditions"] = std::move(conditions);

  set_addresses(pod, runtime, previous, input, out);
  const Json* start = find_path(previous, {"startTime"});
  out["startTime"] = start != nullptr ? *start : Json(base::format_time(input.now));
  if (!init_statuses.empty()) out["initContainerStatuses"] = std::move(init_statuses);
  out["containerStatuses"] = std::move(statuses);
  if (!ephemeral.empty()) out["ephemeralContainerStatuses"] = std::move(ephemeral);
  out["qosClass"] = qos_name(qos_class(pod));
  if (pod.generation() != 0) {
    out["observedGeneration"] = std::max(pod.generation(), int_at(previous, {"observedGeneration"}));
  }
  return out;
}

Json status_patch(const Json& from, const Json& to, std::string_view uid) {
  static constexpr std::array<std::string_view, 13> kFields{"phase",
                                                            "reason",
                                                            "message",
                                                            "startTime",
                                                            "hostIP",
                                                            "hostIPs",
                                                            "podIP",
                                                            "podIPs",
                                                            "initContainerStatuses",
                                                            "containerStatuses",
                                                            "ephemeralContainerStatuses",
                                                            "qosClass",
                                                            "observedGeneration"};
  Json status = Json::object();
  for (const auto field : kFields) {
    const std::string key(field);
    const Json* before = find_path(from, {field});
    const Json* after = find_path(to, {field});
    if (after == nullptr) {
      if (before != nullptr && !before->is_null()) status[key] = nullptr;
      continue;
    }
    if (before != nullptr && *before == *after) continue;
    status[key] = *after;
    if (field == "podIPs" || field == "hostIPs") {
      // Merged by ip otherwise: an address that is gone would stay.
      status[key].insert(status[key].begin(), Json{{"$patch", "replace"}});
    }
  }
  Json conditions = Json::array();
  for (const Json& c : array_at(to, {"conditions"})) {
    const auto type = string_at(c, {"type"});
    if (!owns_condition(type) && type != kDisruption) continue;
    const Json* before = nullptr;
    for (const Json& old : array_at(from, {"conditions"})) {
      if (string_at(old, {"type"}) == type) before = &old;
    }
    Json change = c;
    if (before != nullptr) {
      Json same = *before;
      if (!same.contains("lastProbeTime")) same["lastProbeTime"] = nullptr;
      if (same == c) continue;
      for (const char* optional : {"reason", "message"}) {
        if (before->contains(optional) && !c.contains(optional)) change[optional] = nullptr;
      }
    }
    conditions.push_back(std::move(change));
  }
  const Json& kept = array_at(to, {"conditions"});
  for (const Json& old : array_at(from, {"conditions"})) {
    const auto type = string_at(old, {"type"});
    const bool gone =
        std::none_of(kept.begin(), kept.end(), [&](const Json& c) { return string_at(c, {"type"}) == type; });
    if (gone && owns_condition(type)) conditions.push_back(Json{{"$patch", "delete"}, {"type", type}});
  }
  if (!conditions.empty()) status["conditions"] = std::move(conditions);
  if (status.empty()) return nullptr;
  return Json{{"metadata", {{"uid", uid}}}, {"status", std::move(status)}};
}

}  // namespace orch::agent
