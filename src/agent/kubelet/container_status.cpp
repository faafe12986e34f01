#include "agent/kubelet/container_status.h"

#include <algorithm>

#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::find_path;
using base::int_at;
using base::object_at;
using base::string_at;

constexpr int32_t kLostExitCode = 137;

std::string time_text(int64_t ns) {
  return base::format_time(base::WallTime(std::chrono::microseconds(ns / 1000)));
}

const char* list_name(ContainerKind kind) {
  switch (kind) {
    case ContainerKind::kInit:
      return "initContainerStatuses";
    case ContainerKind::kEphemeral:
      return "ephemeralContainerStatuses";
    default:
      return "containerStatuses";
  }
}

const Json* find_status(const Json& statuses, std::string_view name) {
  for (const Json& s : statuses) {
    if (string_at(s, {"name"}) == name) return &s;
  }
  return nullptr;
}

/// Builds the status of one container.
class Builder {
 public:
  Builder(const Pod& pod, const ContainerRef& container, const PodRuntime& runtime, const Json* previous,
          const StatusInput& input, size_t message_limit)
      : pod_(pod),
        container_(container),
        runtime_(runtime),
        previous_(previous),
        input_(input),
        message_limit_(message_limit) {}

  Json build() {
    const ContainerStatus* current = nullptr;
    const ContainerStatus* last = nullptr;
    for (const ContainerStatus& c : runtime_.containers) {
      if (c.name != container_.name()) continue;
      if (current == nullptr) {
        current = &c;
      } else {
        last = &c;
        break;
      }
    }
    Json out = current == nullptr ? absent() : present(*current);
    if (last != nullptr) {
      out["lastState"] =
          last->state == ContainerState::kExited ? Json{{"terminated", terminated(*last)}} : Json::object();
    }
    apply_waiting(current, out);
    apply_readiness(current, out);
    apply_resources(current, out);
    apply_mounts(out);
    return out;
  }

 private:
  Json terminated(const ContainerStatus& c) const {
    Json t{{"exitCode", c.exit_code},
           {"containerID", container_id(c)},
           {"startedAt", c.started_at_ns > 0 ? Json(time_text(c.started_at_ns)) : Json()},
           {"finishedAt", c.finished_at_ns > 0 ? Json(time_text(c.finished_at_ns)) : Json()}};
    std::string reason = c.reason;
    if (reason.empty()) reason = c.exit_code == 0 ? "Completed" : "Error";
    t["reason"] = reason;
    std::string message = c.message;
    if (const auto it = input_.termination_messages.find(c.id); it != input_.termination_messages.end()) {
      message = message.empty() ? it->second : message + ": " + it->second;
    }
    if (message.empty()) message = message_before(container_id(c));
    if (message.size() > message_limit_) message.resize(message_limit_);
    if (!message.empty()) t["message"] = message;
    return t;
  }

  /// What was reported of an ended container: its file may be gone by now.
  std::string message_before(const std::string& id) const {
    if (previous_ == nullptr) return {};
    for (const char* state : {"state", "lastState"}) {
      const Json* ended = find_path(*previous_, {state, "terminated"});
      if (ended != nullptr && string_at(*ended, {"containerID"}) == id)
        return std::string(string_at(*ended, {"message"}));
    }
    return {};
  }

  static std::string container_id(const ContainerStatus& c) { return "containerd://" + c.id; }

  Json base_status() const {
    Json out{{"name", container_.name()},
             {"image", string_at(*container_.spec, {"image"})},
             {"imageID", ""},
             {"restartCount", 0},
             {"ready", false},
             {"lastState", Json::object()}};
    return out;
  }

  /// The runtime has no container of this name.
  Json absent() const {
    if (previous_ != nullptr && find_path(*previous_, {"state", "terminated"}) != nullptr) return *previous_;
    Json out = base_status();
    const bool init_first = !array_at(pod_.tree(), {"spec", "initContainers"}).empty();
    out["state"] = Json{{"waiting", {{"reason", init_first ? "PodInitializing" : "ContainerCreating"}}}};
    if (previous_ == nullptr) return out;
    out["restartCount"] = int_at(*previous_, {"restartCount"});
    out["lastState"] = object_at(*previous_, {"lastState"});
    if (find_path(*previous_, {"state", "running"}) == nullptr || !out["lastState"].empty()) return out;
    // It ran when last seen, and nobody saw its end.
    out["lastState"] =
        Json{{"terminated",
              {{"reason", "ContainerStatusUnknown"},
               {"message",
                "The container could not be located when the pod was deleted.  The container used "
                "to be Running"},
               {"exitCode", kLostExitCode},
               {"startedAt", nullptr},
               {"finishedAt", nullptr}}}};
    if (!pod_.deleting()) out["restartCount"] = int_at(*previous_, {"restartCount"}) + 1;
    return out;
  }

  Json present(const ContainerStatus& c) const {
    Json out = base_status();
    out["restartCount"] = restart_count(c);
    if (!c.image.empty() && c.image.rfind("sha256:", 0) != 0) out["image"] = c.image;
    out["imageID"] = c.image_ref;
    out["containerID"] = container_id(c);
    switch (c.state) {
      case ContainerState::kRunning:
        out["state"] = Json{{"running", {{"startedAt", time_text(c.started_at_ns)}}}};
        break;
      case ContainerState::kExited:
        out["state"] = Json{{"terminated", terminated(c)}};
        break;
      default:
        out["state"] = Json{{"waiting", Json::object()}};
    }
    if (c.has_user) {
      out["user"] =
          Json{{"linux", {{"uid", c.uid}, {"gid", c.gid}, {"supplementalGroups", c.supplemental_groups}}}};
    }
    return out;
  }

  /// A container that should be started and was not: says why.
  void apply_waiting(const ContainerStatus* current, Json& out) const {
    const auto it = input_.waiting.find(std::string(container_.name()));
    if (it == input_.waiting.end()) return;
    if (current != nullptr && current->state == ContainerState::kRunning) return;
    if (find_path(out, {"state", "terminated"}) != nullptr) {
      out["lastState"] = out["state"];
    }
    Json waiting{{"reason", it->second.reason}};
    if (!it->second.message.empty()) waiting["message"] = it->second.message;
    out["state"] = Json{{"waiting", std::move(waiting)}};
  }

  void apply_readiness(const ContainerStatus* current, Json& out) const {
    const bool running = find_path(out, {"state", "running"}) != nullptr && current != nullptr;
    if (container_.kind == ContainerKind::kEphemeral) return;
    if (container_.kind == ContainerKind::kInit && !container_.sidecar()) {
      const Json* ended = find_path(out, {"state", "terminated"});
      out["ready"] = ended != nullptr && int_at(*ended, {"exitCode"}) == 0;
      out["started"] = running;
      return;
    }
    bool started = false, ready = false;
    if (running) {
      const Health startup = verdict(input_.startup, current->id);
      const bool has_startup = find_path(*container_.spec, {"startupProbe"}) != nullptr;
      started = input_.starting.count(current->id) == 0 && (!has_startup || startup == Health::kSuccess);
      const bool has_readiness = find_path(*container_.spec, {"readinessProbe"}) != nullptr;
      ready = started && (!has_readiness || verdict(input_.readiness, current->id) == Health::kSuccess);
    }
    out["started"] = started;
    out["ready"] = ready;
  }

  static Health verdict(const std::map<std::string, Health>& of, const std::string& id) {
    const auto it = of.find(id);
    return it == of.end() ? Health::kUnknown : it->second;
  }

  void apply_resources(const ContainerStatus* current, Json& out) const {
    if (!out.contains("containerID")) return;
    Json resources = object_at(*container_.spec, {"resources"});
    resources.erase("claims");
    const Json& requests = object_at(resources, {"requests"});
    if (!requests.empty()) out["allocatedResources"] = requests;
    if (current != nullptr && current->state == ContainerState::kRunning) {
      const auto it = input_.actuated.find(current->id);
      resources = actual_resources(resources, *current, it == input_.actuated.end() ? nullptr : &it->second);
    }
    out["resources"] = std::move(resources);
  }

  void apply_mounts(Json& out) const {
    Json mounts = Json::array();
    for (const Json& m : array_at(*container_.spec, {"volumeMounts"})) {
      Json entry{{"name", string_at(m, {"name"})}, {"mountPath", string_at(m, {"mountPath"})}};
      if (base::bool_at(m, {"readOnly"})) {
        entry["readOnly"] = true;
        entry["recursiveReadOnly"] = "Disabled";
      }
      mounts.push_back(std::move(entry));
    }
    if (!mounts.empty()) out["volumeMounts"] = std::move(mounts);
  }

  const Pod& pod_;
  const ContainerRef& container_;
  const PodRuntime& runtime_;
  const Json* previous_;
  const StatusInput& input_;
  const size_t message_limit_;
};

Json lost() {
  return Json{{"terminated",
               {{"reason", "ContainerStatusUnknown"},
                {"message", "The container could not be located when the pod was terminated"},
                {"exitCode", kLostExitCode},
                {"startedAt", nullptr},
                {"finishedAt", nullptr}}}};
}

bool was_initialized(const Pod& pod, const Json& init_statuses, const Json& statuses) {
  if (init_statuses.empty()) return true;
  for (const Json& s : statuses) {
    if (find_path(s, {"lastState", "terminated"}) != nullptr ||
        find_path(s, {"state", "waiting"}) == nullptr) {
      return true;
    }
  }
  const Json& last = init_statuses.back();
  const auto init = pod.init_containers();
  if (!init.empty() && init.back().sidecar()) {
    return find_path(last, {"state", "running"}) != nullptr && base::bool_at(last, {"started"});
  }
  for (const char* member : {"lastState", "state"}) {
    const Json* ended = find_path(last, {member, "terminated"});
    if (ended != nullptr && int_at(*ended, {"exitCode"}) == 0) return true;
  }
  return false;
}

}  // namespace

Json container_statuses(const Pod& pod, const std::vector<ContainerRef>& containers,
                        const PodRuntime& runtime, const Json& previous, const StatusInput& input) {
  Json out = Json::array();
  if (containers.empty()) return out;
  const size_t count = pod.all_containers().size();
  const size_t limit = kMaxTerminationMessages / std::max<size_t>(count, 1);
  const Json& old = array_at(previous, {list_name(containers.front().kind)});
  for (const ContainerRef& c : containers) {
    out.push_back(Builder(pod, c, runtime, find_status(old, c.name()), input, limit).build());
  }
  if (containers.front().kind != ContainerKind::kInit) {
    std::sort(out.begin(), out.end(),
              [](const Json& a, const Json& b) { return string_at(a, {"name"}) < string_at(b, {"name"}); });
  }
  return out;
}

void end_missing(const Pod& pod, Json& init_statuses, Json& statuses) {
  if (was_initialized(pod, init_statuses, statuses)) {
    for (Json& s : statuses) {
      if (find_path(s, {"state", "terminated"}) == nullptr) s["state"] = lost(), s["ready"] = false;
    }
  }
  // All up to the last that shows any sign of having started; the first always counts.
  size_t end = init_statuses.empty() ? 0 : 1;
  for (size_t i = 0; i < init_statuses.size(); ++i) {
    const Json& s = init_statuses[i];
    if (find_path(s, {"state", "waiting"}) == nullptr ||
        find_path(s, {"lastState", "terminated"}) != nullptr) {
      end = i + 1;
    }
  }
  for (size_t i = 0; i < end; ++i) {
    Json& s = init_statuses[i];
    if (find_path(s, {"state", "terminated"}) == nullptr) s["state"] = lost(), s["ready"] = false;
  }
}

}  // namespace orch::agent
