// PodWorker's part in resizing pods in place; resize.h decides.
#include <unistd.h>

#include <algorithm>

#include "agent/kubelet/container_config.h"
#include "agent/kubelet/pod_worker.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::Status;
using std::chrono::minutes;
using std::chrono::seconds;

/// A resize that waits for room is looked at now and then even if nothing said that there is more.
constexpr minutes kWaitForRoom{3};
/// Until a resize that the kernel or the runtime refused is tried again.
constexpr seconds kRetryRefused{10};
constexpr const char* kRefused = "resize";  // in retry_at_

std::string numbers(const std::map<std::string, Amounts>& of) {
  Json out = Json::object();
  for (const auto& [name, amounts] : of) out[name] = amounts_text(amounts);
  return base::dump_json(out);
}

std::map<std::string, Amounts> read_numbers(const Json& of) {
  std::map<std::string, Amounts> out;
  for (const auto& [name, value] : of.items()) {
    if (!value.is_string()) continue;
    if (const auto amounts = parse_amounts(value.get<std::string>())) out[name] = *amounts;
  }
  return out;
}

}  // namespace

api::PodPtr wants_of(const Pod& pod) {
  // What it asks for, without what its status says that it has.
  Json tree = pod.tree();
  tree.erase("status");
  const auto object = api::Object::from_tree(tree);
  return object.ok() ? api::read_pod(*object) : std::make_shared<api::PodInfo>();
}

// --- The record of what was given -------------------------------------------------------------------

std::string PodWorker::allocation_file() const {
  return base::cat(node_.config.root_dir, "/state/allocations/", uid_, ".json");
}

/// A pod that was never resized needs no record: its containers carry what they were made with.
void PodWorker::keep_allocation(bool removed) {
  if (removed) {
    if (base::file_exists(allocation_file())) node_.files.remove(allocation_file());
    return;
  }
  std::string text;
  {
    std::lock_guard lock(mutex_);
    text =
        base::cat(R"({"allocated":)", numbers(allocated_), R"(,"actuated":)", numbers(facts_.actuated), "}");
  }
  node_.files.write(allocation_file(), std::move(text));
}

void PodWorker::recall_allocation(const Pod& desired, const PodRuntime& runtime) {
  Allocation allocated = allocation_of(desired);
  for (auto& [name, amounts] : allocated) {
    const ContainerStatus* c = runtime.latest(name);
    const auto made_with =
        c == nullptr ? std::nullopt : parse_amounts(label_of(c->annotations, label::kAmounts));
    if (made_with) amounts = *made_with;
  }
  const auto text = runtime.containers.empty() ? base::Result<std::string>(std::string())
                                               : base::read_file(allocation_file());
  const auto kept = base::parse_json(text.ok() ? *text : std::string());
  if (kept.ok()) {
    for (const auto& [name, amounts] : read_numbers(base::object_at(*kept, {"allocated"}))) {
      if (allocated.count(name) != 0) allocated[name] = amounts;
    }
    facts_.actuated = read_numbers(base::object_at(*kept, {"actuated"}));
  }
  std::lock_guard lock(mutex_);
  allocated_ = std::move(allocated);
  resize_ = resize_state_of(*status_);
}

// --- Asking the node for room -----------------------------------------------------------------------

void PodWorker::follow_resize(Json& tree) {
  const Pod pod(tree);
  bool pending = false, deferred = false;
  {
    std::lock_guard lock(mutex_);
    pending = active_ && allocated_ != allocation_of(pod);
    deferred = resize_.pending && resize_.pending->reason == "Deferred";
    if (!pending) resize_.pending.reset();
  }
  if (pending && !pod.deleting() && !pod.phase_is_terminal()) {
    const auto retry = retry_at_.find("room");
    const bool due = deferred && (retry == retry_at_.end() || retry->second <= facts_.now ||
                                  retry->second - facts_.now > kWaitForRoom);
    if (desire_changed_ || due) {
      std::lock_guard admission(node_.admission);
      (void)try_resize();
      retry_at_["room"] = facts_.now + kWaitForRoom;
    }
    if (waiting_resize()) wake_at(retry_at_["room"]);
  }
  desire_changed_ = false;
  std::lock_guard lock(mutex_);
  (void)apply_allocation(tree, allocated_);
}

std::optional<WaitingResize> PodWorker::waiting_resize() const {
  std::lock_guard lock(mutex_);
  if (!active_ || wants_ == nullptr || !resize_.pending || resize_.pending->reason != "Deferred") return {};
  const Json tree = object_->tree();
  const Pod pod(tree);
  const api::PodPtr asked = wants_of(pod);
  WaitingResize out;
  out.grows = asked->requests.memory > wants_->requests.memory ||
              asked->requests.milli_cpu > wants_->requests.milli_cpu;
  out.priority = asked->priority;
  out.qos = qos_class(pod);
  out.since = resize_.pending->since;
  return out;
}

bool PodWorker::try_resize() {
  const Json tree = object()->tree();
  const Pod desired(tree);
  const Allocation asked = allocation_of(desired);
  const api::PodPtr wants = wants_of(desired);
  const ResizeVerdict verdict = node_.judge_resize(desired, *wants);
  const base::WallTime now = node_.clock.now();
  const EventObject about = event_object(desired);
  const int64_t generation = desired.generation();
  if (!verdict.reason.empty()) {
    bool changed = false;
    {
      std::lock_guard lock(mutex_);
      changed = resize_.set_pending(verdict, generation, now);
    }
    if (changed) {
      node_.events.warning(about, verdict.reason == "Infeasible" ? "ResizeInfeasible" : "ResizeDeferred",
                           resize_message(verdict.reason, desired, generation, verdict.message));
    }
    return changed;
  }
  {
    std::lock_guard lock(mutex_);
    allocated_ = asked;
    if (wants_ != nullptr) {
      shrinking_ = shrinking_ || wants->requests.memory < wants_->requests.memory ||
                   wants->requests.milli_cpu < wants_->requests.milli_cpu;
    }
    wants_ = wants;
    resize_.pending.reset();
    resize_.in_progress.reset();
    resize_.set_in_progress({}, {}, generation, now);
  }
  node_.events.normal(about, "ResizeStarted", resize_message("started", desired, generation));
  return true;
}

// --- Carrying it out --------------------------------------------------------------------------------

void PodWorker::note_actuated(const PodRuntime& runtime) {
  std::map<std::string, Amounts> now;
  for (const ContainerStatus& c : runtime.containers) {
    if (c.state != ContainerState::kRunning) continue;
    const auto it = facts_.actuated.find(c.id);
    if (it != facts_.actuated.end()) {
      now.insert(*it);
    } else if (const auto made_with = parse_amounts(label_of(c.annotations, label::kAmounts))) {
      now[c.id] = *made_with;
    }
  }
  facts_.actuated = std::move(now);
}

void PodWorker::note_progress(const Pod& pod, const PodRuntime& runtime) {
  bool under_way = false;
  for (const auto& [name, wanted] : allocation_of(pod)) {
    const ContainerStatus* c = runtime.latest(name);
    if (c == nullptr || c->state != ContainerState::kRunning) continue;
    const auto it = facts_.actuated.find(c->id);
    under_way = under_way || (it != facts_.actuated.end() && it->second != wanted);
  }
  std::optional<ResizeCondition> done;
  bool freed = false;
  {
    std::lock_guard lock(mutex_);
    if (under_way) {
      resize_.set_in_progress({}, {}, pod.generation(), node_.clock.now());
      return;
    }
    done = std::exchange(resize_.in_progress, std::nullopt);
    freed = std::exchange(shrinking_, false);
  }
  if (!done) return;
  keep_allocation();
  node_.events.normal(event_object(pod), "ResizeCompleted",
                      resize_message("completed", pod, done->generation));
  if (freed) node_.room_freed();
}

bool PodWorker::resize(const Pod& pod, const PodPlan& plan) {
  // A container that is made again with other resources changes what the pod as a whole may use, too.
  if (plan.resize.empty() && plan.start.empty()) return true;
  const QosClass qos = qos_class(pod);
  const auto now = node_.cgroups.limits(pod, qos);
  const PodLimits wanted = now ? pod_limits(pod_resources(pod), node_.cgroups.unified()) : PodLimits();
  const std::vector<ResizeStep> steps = resize_steps(plan.resize, now ? *now : PodLimits(), wanted);
  if (steps.empty()) return true;
  const auto retry = retry_at_.find(kRefused);
  if (retry != retry_at_.end() && facts_.now < retry->second && retry->second - facts_.now <= kRetryRefused &&
      refused_ == allocation_of(pod)) {
    wake_at(retry->second);
    return plan.resize.empty();
  }
  if (memory_falls(plan.resize, now ? *now : PodLimits(), wanted)) {
    MemoryUse use;
    use.pod = node_.cgroups.usage(node_.cgroups.parent_of(pod, qos)).memory_usage;
    const auto stats = node_.runtime.list_stats();
    if (stats.ok()) {
      for (const ContainerStats& s : *stats) {
        use.containers[s.container_id] = s.memory_usage != 0 ? s.memory_usage : s.memory_working_set;
      }
    }
    const std::string problem = memory_problem(plan.resize, now ? *now : PodLimits(), wanted, use);
    if (!problem.empty()) {
      resize_failed(pod, problem);
      return false;
    }
  }
  for (const ResizeStep& step : steps) {
    const Status status = take_step(pod, step);
    if (status.ok()) continue;
    resize_failed(pod, status.message());
    return plan.resize.empty();
  }
  retry_at_.erase(kRefused);
  if (!plan.resize.empty()) keep_allocation();
  return true;
}

Status PodWorker::take_step(const Pod& pod, const ResizeStep& step) {
  const QosClass qos = qos_class(pod);
  switch (step.what) {
    case ResizeStep::What::kPodShares:
      return node_.cgroups.set_shares(pod, qos, step.value);
    case ResizeStep::What::kPodQuota:
      return node_.cgroups.set_quota(pod, qos, step.value);
    case ResizeStep::What::kPodMemory:
      return node_.cgroups.set_memory(pod, qos, step.value);
    case ResizeStep::What::kContainer:
      break;
  }
  const ContainerResources resources = container_resources(step.amounts);
  ContainerConfig config;
  config.cpu_period = kCpuPeriod;
  config.cpu_quota = resources.quota;
  config.cpu_shares = resources.shares;
  config.memory_limit = config.memory_swap_limit = resources.memory_limit;
  const ContainerRef container = pod.find_container(step.name);
  if (container.spec != nullptr) config.oom_score_adj = oom_score(pod, container, node_.memory_capacity);
  ORCH_RETURN_IF_ERROR(node_.runtime.update_resources(step.id, config));
  facts_.actuated[step.id] = step.amounts;
  bool changed = false;
  node_.cache.refresh(step.id, &changed);
  return {};
}

void PodWorker::resize_failed(const Pod& pod, const std::string& why) {
  retry_at_[kRefused] = node_.clock.now() + kRetryRefused;
  refused_ = allocation_of(pod);
  wake_at(retry_at_[kRefused]);
  bool changed = false;
  int64_t generation = 0;
  {
    std::lock_guard lock(mutex_);
    changed = resize_.set_in_progress("Error", why, pod.generation(), node_.clock.now());
    generation = resize_.in_progress->generation;
  }
  if (changed)
    node_.events.warning(event_object(pod), "ResizeError", resize_message("error", pod, generation, why));
}

}  // namespace orch::agent
