// What a Kubelet tells of its pods: the part that the node's API server uses.
#include <algorithm>

#include "agent/kubelet/container_config.h"
#include "agent/kubelet/kubelet_rep.h"
#include "base/json.h"

namespace orch::agent {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;
using base::string_at;

std::vector<Json> Kubelet::pods() const {
  std::vector<std::shared_ptr<PodWorker>> workers;
  {
    std::lock_guard lock(rep_->mutex);
    for (const auto& [uid, slot] : rep_->slots) workers.push_back(slot.worker);
  }
  std::vector<Json> out;
  for (const auto& worker : workers) {
    Json tree = worker->object()->tree();
    tree["status"] = *worker->status();
    out.push_back(std::move(tree));
  }
  return out;
}

namespace {

/// The worker's object of this name, preferring one that is active.
template <typename Slots>
std::shared_ptr<PodWorker> find_worker(const Slots& slots, std::string_view ns, std::string_view name) {
  std::shared_ptr<PodWorker> found;
  for (const auto& [uid, slot] : slots) {
    const ObjectPtr object = slot.worker->object();
    if (object->ns() != ns || object->name() != name) continue;
    if (found == nullptr || slot.worker->active()) found = slot.worker;
  }
  return found;
}

/// The id of the instance whose log is meant, by the status as clients see it: after a crash the ended one
/// is both the last and the previous.
Result<std::string> instance_of(const Json& status, std::string_view pod, std::string_view container,
                                bool previous) {
  const Json* found = nullptr;
  for (const char* list : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    for (const Json& s : base::array_at(status, {list})) {
      if (found == nullptr && string_at(s, {"name"}) == container) found = &s;
    }
  }
  const std::string what = base::cat("container \"", container, "\" in pod \"", pod, "\" ");
  if (found == nullptr) return Status(Code::kBadRequest, what + "is not available");
  std::string_view id = string_at(*found, {"lastState", "terminated", "containerID"});
  if (previous) {
    if (id.empty()) {
      return Status(Code::kBadRequest, "previous terminated " + what + "not found");
    }
  } else if (base::find_path(*found, {"state", "running"}) != nullptr) {
    id = string_at(*found, {"containerID"});
  } else if (const auto ended = string_at(*found, {"state", "terminated", "containerID"}); !ended.empty()) {
    id = ended;
  } else if (id.empty()) {
    const auto reason = string_at(*found, {"state", "waiting", "reason"});
    if (base::find_path(*found, {"state", "terminated"}) != nullptr) {
      return Status(Code::kBadRequest, what + "is terminated");
    }
    return Status(Code::kBadRequest,
                  base::cat(what, "is waiting to start: ",
                            reason == "ErrImagePull"       ? "image can't be pulled"
                            : reason == "ImagePullBackOff" ? "trying and failing to pull image"
                                                           : reason));
  }
  const size_t scheme = id.find("://");
  return std::string(scheme == std::string_view::npos ? id : id.substr(scheme + 3));
}

Status no_pod(std::string_view ns, std::string_view name) {
  return {Code::kNotFound, base::cat("pod \"", name, "\" in namespace \"", ns, "\" not found")};
}

}  // namespace

Result<ContainerLocation> Kubelet::find_container(std::string_view ns, std::string_view pod_name,
                                                  std::string_view container, bool previous) const {
  std::shared_ptr<PodWorker> worker;
  {
    std::lock_guard lock(rep_->mutex);
    worker = find_worker(rep_->slots, ns, pod_name);
  }
  if (worker == nullptr) return no_pod(ns, pod_name);
  const ObjectPtr object = worker->object();
  const Json tree = object->tree();
  const Pod pod(tree);
  const ContainerRef spec = pod.find_container(container);
  if (spec.spec == nullptr) {
    return Status(Code::kBadRequest, base::cat("container ", container, " is not valid for pod ", pod_name));
  }
  const auto id = instance_of(*worker->status(), pod_name, container, previous);
  if (!id.ok()) return id.error();
  const PodRuntime runtime = rep_->cache.pod(object->uid());
  const auto found = std::find_if(runtime.containers.begin(), runtime.containers.end(),
                                  [&](const ContainerStatus& c) { return c.id == *id; });
  if (found == runtime.containers.end()) {
    return Status(Code::kNotFound,
                  base::cat("container \"", container, "\" in pod \"", pod_name, "\" is not available"));
  }
  ContainerLocation out;
  out.id = found->id;
  out.sandbox_id = found->sandbox_id;
  out.log_path =
      base::cat(pod_log_dir(pod, rep_->config), "/", container_log_path(found->name, found->attempt));
  out.running = found->state == ContainerState::kRunning;
  out.tty = base::bool_at(*spec.spec, {"tty"});
  out.use_stdin = base::bool_at(*spec.spec, {"stdin"});
  return out;
}

Result<std::string> Kubelet::find_sandbox(std::string_view ns, std::string_view pod_name) const {
  std::shared_ptr<PodWorker> worker;
  {
    std::lock_guard lock(rep_->mutex);
    worker = find_worker(rep_->slots, ns, pod_name);
  }
  if (worker == nullptr) return no_pod(ns, pod_name);
  const PodRuntime runtime = rep_->cache.pod(worker->object()->uid());
  if (runtime.sandboxes.empty() || !runtime.sandboxes.front().ready) {
    return Status(Code::kNotFound, base::cat("pod sandbox of \"", pod_name, "\" not found"));
  }
  return runtime.sandboxes.front().id;
}

std::vector<Kubelet::PodUsage> Kubelet::pod_usage() const {
  std::vector<PodUsage> out;
  for (const Json& tree : pods()) {
    const Pod pod(tree);
    PodUsage usage;
    usage.ns = pod.ns();
    usage.name = pod.name();
    usage.uid = pod.uid();
    const Cgroups::Usage u = rep_->cgroups.usage(rep_->cgroups.parent_of(pod, qos_class(pod)));
    usage.cpu_ns = u.cpu_ns;
    usage.memory_usage = u.memory_usage;
    usage.memory_working_set = u.memory_working_set;
    usage.memory_rss = u.memory_rss;
    if (const auto started = base::parse_time(string_at(tree, {"status", "startTime"})); started.ok()) {
      usage.started = *started;
    }
    out.push_back(std::move(usage));
  }
  return out;
}

Kubelet::PodUsage Kubelet::node_usage() const {
  PodUsage out;
  out.name = rep_->config.node_name;
  const Cgroups::Usage u = rep_->cgroups.usage("/");
  out.cpu_ns = u.cpu_ns;
  out.memory_usage = u.memory_usage;
  out.memory_working_set = u.memory_working_set;
  out.memory_rss = u.memory_rss;
  return out;
}

}  // namespace orch::agent
