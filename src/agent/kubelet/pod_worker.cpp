#include "agent/kubelet/pod_worker.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/kubelet/hooks.h"
#include "agent/kubelet/termination_message.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::Code;
using base::find_path;
using base::int_at;
using base::Status;
using base::string_at;
using base::WallTime;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kMinimumGrace = 2;
constexpr int kMaxSteps = 64;  // of one turn; more means that the plan does not converge
constexpr milliseconds kFirstRetry{500}, kLastRetry{30000};

}  // namespace

PodWorker::PodWorker(NodeContext& node, api::ObjectPtr object, bool in_api)
    : node_(node), uid_(object->uid()), object_(std::move(object)), in_api_(in_api) {
  const Json tree = object_->tree();
  status_ = std::make_shared<const Json>(base::object_at(tree, {"status"}));
}

void PodWorker::update(api::ObjectPtr object) {
  std::lock_guard lock(mutex_);
  inbox_.object = std::move(object);
  removed_ = false;
}

void PodWorker::removed() {
  std::lock_guard lock(mutex_);
  inbox_.removed = true;
  removed_ = true;
}

void PodWorker::volumes_changed() {
  std::lock_guard lock(mutex_);
  inbox_.volumes = true;
}

void PodWorker::evict(std::string reason, std::string message, std::string disruption) {
  std::lock_guard lock(mutex_);
  evicted_ = true;
  inbox_.end_reason = std::move(reason);
  inbox_.end_message = std::move(message);
  inbox_.disruption = std::move(disruption);
}

bool PodWorker::evicted() const {
  std::lock_guard lock(mutex_);
  return evicted_;
}

void PodWorker::stopped(const std::string& container_id, bool ok) {
  std::lock_guard lock(mutex_);
  inbox_.stopped.emplace_back(container_id, ok);
}

api::ObjectPtr PodWorker::object() const {
  std::lock_guard lock(mutex_);
  return object_;
}

std::shared_ptr<const Json> PodWorker::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

bool PodWorker::active() const {
  std::lock_guard lock(mutex_);
  return active_;
}

bool PodWorker::holds_room() const {
  std::lock_guard lock(mutex_);
  return active_ && !removed_;
}

void PodWorker::wake_at(WallTime t) {
  if (!wake_ || t < *wake_) wake_ = t;
}

void PodWorker::take_inbox() {
  std::lock_guard lock(mutex_);
  if (inbox_.object != nullptr) {
    object_ = std::move(inbox_.object);
    in_api_ = true;
    start_.volumes_current = false;  // labels and annotations may be shown in files
    desire_changed_ = true;
  }
  if (inbox_.removed) in_api_ = false;
  if (inbox_.volumes) start_.volumes_current = false;
  if (!inbox_.end_reason.empty() && end_reason_.empty()) {
    end_reason_ = std::move(inbox_.end_reason);
    end_message_ = std::move(inbox_.end_message);
    disruption_ = std::move(inbox_.disruption);
  }
  for (const auto& [id, ok] : inbox_.stopped) {
    facts_.stopping.erase(id);
    if (!ok) wake_at(node_.clock.now() + seconds(1));
  }
  inbox_ = Inbox();
}

void PodWorker::check_deadline(const Pod& pod) {
  const int64_t limit = int_at(pod.tree(), {"spec", "activeDeadlineSeconds"});
  if (limit <= 0 || !end_reason_.empty() || pod.phase_is_terminal()) return;
  const auto started = base::parse_time(string_at(*status_, {"startTime"}));
  if (!started.ok()) return;
  const WallTime deadline = *started + seconds(limit);
  if (facts_.now < deadline) {
    wake_at(deadline);
    return;
  }
  end_reason_ = "DeadlineExceeded";
  end_message_ = "Pod was active on the node longer than the specified deadline";
  node_.events.normal(event_object(pod), end_reason_, end_message_);
}

void PodWorker::sync_probes(const Pod& pod, const PodRuntime& runtime) {
  std::string ip;
  if (pod.host_network()) {
    const auto ips = node_.host_ips();
    if (!ips.empty()) ip = ips.front();
  } else if (!runtime.sandboxes.empty() && !runtime.sandboxes.front().ips.empty()) {
    ip = runtime.sandboxes.front().ips.front();
  }
  node_.prober.sync(pod, runtime, ip, facts_.terminate, ready_before_);
}

bool PodWorker::begin(const Pod& pod) {
  // Containers that ran before this process: what was ready stays so until a probe says otherwise.
  for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
    for (const Json& s : base::array_at(*status_, {list})) {
      const auto id = string_at(s, {"containerID"});
      const size_t at = id.find("://");
      if (at != std::string_view::npos)
        ready_before_[std::string(id.substr(at + 3))] = base::bool_at(s, {"ready"});
    }
  }
  const PodRuntime runtime = node_.cache.pod(uid_);
  // Admitted once, a pod stays so: labels may have changed since, and after a reboot without the server
  // nobody knows the node's.
  const bool known = !runtime.sandboxes.empty() || !runtime.containers.empty() ||
                     !string_at(*status_, {"startTime"}).empty();
  recall_allocation(pod, runtime);
  Json given = pod.tree();
  {
    std::lock_guard lock(mutex_);
    (void)apply_allocation(given, allocated_);
  }
  const api::PodPtr wants = wants_of(Pod(given));
  std::lock_guard admission(node_.admission);
  if (!known && !pod.deleting() && !pod.phase_is_terminal() && in_api_) {
    const Admission answer = node_.admit(pod, *wants);
    if (answer.later) {
      wake_at(facts_.now + seconds(1));
      return false;
    }
    if (answer.refused) {
      node_.events.warning(event_object(pod), answer.refused->reason, answer.refused->message);
      end_reason_ = answer.refused->reason;
      end_message_ = "Pod was rejected: " + answer.refused->message;
      return true;
    }
  }
  std::lock_guard lock(mutex_);
  active_ = true;
  wants_ = wants;
  return true;
}

api::PodPtr PodWorker::wants() const {
  std::lock_guard lock(mutex_);
  return wants_;
}

bool PodWorker::turn() {
  wake_.reset();
  take_inbox();
  Json tree = object()->tree();
  const Pod pod(tree);
  facts_.now = node_.clock.now();
  if (first_turn_ && !begin(pod)) return false;
  first_turn_ = false;
  follow_resize(tree);
  check_deadline(pod);
  facts_.terminate = pod.deleting() || !in_api_ || !end_reason_.empty() || pod.phase_is_terminal();
  act(pod);
  return facts_.terminate && torn_down_ && !in_api_;
}

void PodWorker::act(const Pod& pod) {
  bool finished = false;
  bool reported = false;
  for (int step = 0; step < kMaxSteps; ++step) {
    facts_.now = node_.clock.now();
    const PodRuntime runtime = node_.cache.pod(uid_);
    sync_probes(pod, runtime);
    const Prober::Verdicts verdicts = node_.prober.verdicts(uid_);
    facts_.liveness = verdicts.liveness;
    facts_.startup = verdicts.startup;
    note_actuated(runtime);
    const PodPlan next = plan(pod, runtime, facts_);
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      const bool back_off = it->second.reason == "CrashLoopBackOff";
      it = back_off && next.backing_off.count(it->first) == 0 ? waiting_.erase(it) : std::next(it);
    }
    for (const auto& [name, why] : next.backing_off) {
      if (waiting_.count(name) == 0 || waiting_[name].reason != why.reason) {
        const ContainerRef c = pod.find_container(name);
        node_.events.warning(
            event_object(pod, c.spec != nullptr ? c.field_path() : std::string()), "BackOff",
            base::cat("Back-off restarting failed container ", name, " in pod ", pod.format()));
      }
      waiting_[name] = why;
    }
    if (next.wake) wake_at(*next.wake);
    finished = next.finished;
    if (finished) break;
    if (!reported && (next.create_sandbox || !next.start.empty() || !next.resize.empty())) {
      report(pod, false);  // Pending shows while the sandbox is made, a resize while it is carried out
      reported = true;
    }
    if (!act_once(pod, next)) break;
  }
  if (finished && !torn_down_) {
    (void)termination_messages(pod, node_.cache.pod(uid_));  // their files go with the pod's folder
    torn_down_ = tear_down(pod);
  }
  if (finished && !torn_down_) wake_at(node_.clock.now() + seconds(1));
  if (!finished) collect_dead(pod);
  report(pod, finished && torn_down_);
  if (finished && torn_down_ && !in_api_) remove_from_runtime(pod);
}

/// True when something was done that calls for another plan.
bool PodWorker::act_once(const Pod& pod, const PodPlan& next) {
  const PodRuntime runtime = node_.cache.pod(uid_);
  std::string ip;
  if (!runtime.sandboxes.empty() && !runtime.sandboxes.front().ips.empty())
    ip = runtime.sandboxes.front().ips.front();
  for (const KillContainer& kill : next.kill) begin_kill(pod, kill, ip);
  bool again = stop_sandboxes(pod, next);
  if (facts_.terminate) return again;
  if (!next.create_sandbox && !resize(pod, next)) return again;
  if (!next.create_sandbox && next.start.empty()) {
    // Files shown to running containers follow their sources.
    if (!start_.volumes_current && runtime.any_running()) {
      if (!starter_prepare_failed(pod)) retry_delay_ = milliseconds(0);
    }
    if (start_.volumes.refresh_at) wake_at(*start_.volumes.refresh_at);
    return again;
  }
  return start_all(pod, next) || again;
}

bool PodWorker::starter_prepare_failed(const Pod& pod) {
  const auto it = retry_at_.find("");
  if (it != retry_at_.end() && facts_.now < it->second && it->second - facts_.now <= kLastRetry) {
    wake_at(it->second);
    return true;
  }
  PodStarter starter(node_, start_);
  if (starter.prepare(pod).ok()) {
    retry_at_.erase("");
    return false;
  }
  pod_retry();
  return true;
}

/// Whatever the pod as a whole waits for is tried again later, ever less often.
void PodWorker::pod_retry() {
  retry_delay_ = retry_delay_.count() == 0 ? kFirstRetry : std::min(retry_delay_ * 2, kLastRetry);
  retry_at_[""] = node_.clock.now() + retry_delay_;
  wake_at(retry_at_[""]);
}

bool PodWorker::stop_sandboxes(const Pod& pod, const PodPlan& next) {
  bool any = false;
  if (!next.stop_sandboxes.empty() && next.create_sandbox) {
    node_.events.normal(event_object(pod), "SandboxChanged",
                        "Pod sandbox changed, it will be killed and re-created.");
  }
  for (const std::string& id : next.stop_sandboxes) {
    const Status status = node_.runtime.stop_sandbox(id);
    if (!status.ok() && status.code() != Code::kNotFound) {
      node_.events.warning(event_object(pod), "FailedKillPod", "error killing pod: " + status.message());
      wake_at(node_.clock.now() + seconds(2));
      return false;
    }
    facts_.stopped_sandboxes.insert(id);
    bool changed = false;
    node_.cache.refresh(id, &changed);
    any = true;
  }
  return any;
}

bool PodWorker::start_all(const Pod& pod, const PodPlan& next) {
  if (starter_prepare_failed(pod)) return false;
  PodStarter starter(node_, start_);
  SandboxStatus sandbox;
  if (next.create_sandbox) {
    auto made = starter.create_sandbox(pod, next.sandbox_attempt);
    if (!made.ok()) {
      pod_retry();
      return false;
    }
    retry_delay_ = milliseconds(0);
    sandbox = std::move(*made);
  } else {
    const PodRuntime runtime = node_.cache.pod(uid_);
    sandbox = runtime.sandboxes.front();
  }
  bool again = false;
  for (const StartContainer& start : next.start) {
    const std::string name(start.container.name());
    const auto retry = retry_at_.find("c/" + name);
    if (retry != retry_at_.end() && facts_.now < retry->second && retry->second - facts_.now <= kBackoffMax) {
      wake_at(retry->second);
      if (start.container.kind == ContainerKind::kInit) break;
      continue;
    }
    const ContainerStatus* exited = nullptr;
    const PodRuntime runtime = node_.cache.pod(uid_);
    for (const ContainerStatus& c : runtime.containers) {
      if (c.name == name && c.state == ContainerState::kExited) {
        exited = &c;
        break;
      }
    }
    const PodStarter::Started started = starter.start_container(pod, start, sandbox);
    if (!started.id.empty()) {
      again = true;
      facts_.must_restart.erase(name);
      if (exited != nullptr) {
        const WallTime ended(std::chrono::microseconds(exited->finished_at_ns / 1000));
        facts_.backoff[name] = next_backoff(facts_.backoff[name], ended);
      }
    }
    if (started.state == PodStarter::Started::State::kStarted) {
      waiting_.erase(name);
      retry_at_.erase("c/" + name);
      continue;
    }
    if (!started.waiting.reason.empty()) waiting_[name] = started.waiting;
    if (started.state == PodStarter::Started::State::kLater) {
      // Shown as it is first; the next turn says that it waits.
      if (started.waiting.reason == "ErrImagePull") wake_at(node_.clock.now() + milliseconds(200));
      if (started.retry_at != WallTime()) wake_at(started.retry_at);
    } else if (started.hook_failed) {
      KillContainer kill;
      kill.id = started.id;
      kill.name = name;
      kill.message = "FailedPostStartHook";
      begin_kill(pod, kill, sandbox.ips.empty() ? std::string() : sandbox.ips.front());
    } else if (started.id.empty()) {
      container_retry(name);
    }
    if (start.container.kind == ContainerKind::kInit) break;
  }
  return again;
}

void PodWorker::container_retry(const std::string& name) {
  milliseconds& delay = container_delay_[name];
  delay = delay.count() == 0 ? milliseconds(1000) : std::min(delay * 2, milliseconds(60000));
  retry_at_["c/" + name] = node_.clock.now() + delay;
  wake_at(retry_at_["c/" + name]);
}

void PodWorker::begin_kill(const Pod& pod, const KillContainer& kill, const std::string& pod_ip) {
  const ContainerRef container = pod.find_container(kill.name);
  int64_t grace = pod.grace_seconds();
  if (kill.failed_probe && container.spec != nullptr) {
    const char* probe = kill.startup_probe ? "startupProbe" : "livenessProbe";
    grace = int_at(*container.spec, {probe, "terminationGracePeriodSeconds"}, grace);
  }
  if (facts_.terminate) {
    // Sidecars get what the containers before them left of the pod's grace period.
    if (!killing_since_) killing_since_ = facts_.now;
    const auto passed = std::chrono::duration_cast<seconds>(facts_.now - *killing_since_).count();
    grace = std::max<int64_t>(grace - std::max<int64_t>(passed, 0), 0);
  }
  const bool again = facts_.stopping.count(kill.id) != 0;
  facts_.stopping[kill.id] = facts_.terminate ? pod.grace_seconds() : grace;
  if (kill.restart) facts_.must_restart.insert(kill.name);
  const std::string field = container.spec != nullptr ? container.field_path() : std::string();
  if (!again) {
    node_.events.normal(event_object(pod, field), "Killing",
                        kill.message.empty() ? base::cat("Stopping container ", kill.name) : kill.message);
  }
  const Json* hook =
      container.spec == nullptr ? nullptr : find_path(*container.spec, {"lifecycle", "preStop"});
  Json handler = hook != nullptr && !again && grace > 0 ? *hook : Json();
  Json spec = container.spec != nullptr ? *container.spec : Json::object();
  NodeContext* node = &node_;
  node_.stops.post([node, uid = uid_, id = kill.id, grace, handler = std::move(handler),
                    spec = std::move(spec), kind = container.kind, pod_ip, about = event_object(pod, field)] {
    int64_t left = grace;
    if (!handler.is_null()) {
      const base::MonoTime began = node->clock.mono();
      const ContainerRef ref{&spec, kind, 0};
      const Status done = run_hook(node->runtime, id, ref, handler, pod_ip, seconds(grace));
      if (!done.ok()) node->events.warning(about, "FailedPreStopHook", "PreStopHook failed");
      left -= std::chrono::duration_cast<seconds>(node->clock.mono() - began).count();
    }
    const Status status = node->runtime.stop_container(id, std::max(left, kMinimumGrace));
    const bool ok = status.ok() || status.code() == Code::kNotFound;
    if (!ok) base::log_warning("kubelet", "container not stopped", {{"id", id}, {"error", status.message()}});
    bool changed = false;
    node->cache.refresh(id, &changed);
    node->stopped(uid, id, ok);
  });
}

/// Keeps one ended container of each name besides the newest, and no sandbox that nothing refers to.
void PodWorker::collect_dead(const Pod& pod) {
  const PodRuntime runtime = node_.cache.pod(uid_);
  std::map<std::string, int> seen;
  std::set<std::string> used_sandboxes;
  for (const ContainerStatus& c : runtime.containers) {
    const int older = seen[c.name]++;
    if (older < 2 || c.state == ContainerState::kRunning) {
      used_sandboxes.insert(c.sandbox_id);
      continue;
    }
    if (node_.runtime.remove_container(c.id).ok()) {
      node_.cache.remove(c.id);
      messages_.erase(c.id);
      ::unlink(base::cat(pod_log_dir(pod, node_.config), "/", container_log_path(c.name, c.attempt)).c_str());
      ::unlink(termination_file(node_.volumes.pod_dir(uid_), c.name, c.attempt).c_str());
    }
  }
  for (size_t i = 1; i < runtime.sandboxes.size(); ++i) {
    const SandboxStatus& s = runtime.sandboxes[i];
    if (s.ready || used_sandboxes.count(s.id) != 0) continue;
    if (node_.runtime.remove_sandbox(s.id).ok()) node_.cache.remove(s.id);
  }
}

std::map<std::string, std::string> PodWorker::termination_messages(const Pod& pod,
                                                                   const PodRuntime& runtime) {
  std::map<std::string, int> seen;
  for (const ContainerStatus& c : runtime.containers) {
    if (seen[c.name]++ >= 2 || c.state != ContainerState::kExited || messages_.count(c.id) != 0) continue;
    messages_[c.id] = termination_message(
        c, termination_file(node_.volumes.pod_dir(uid_), c.name, c.attempt),
        base::cat(pod_log_dir(pod, node_.config), "/", container_log_path(c.name, c.attempt)));
  }
  return messages_;
}

void PodWorker::report(const Pod& pod, bool finished) {
  const PodRuntime runtime = node_.cache.pod(uid_);
  StatusInput input;
  input.now = node_.clock.now();
  input.waiting = waiting_;
  const Prober::Verdicts verdicts = node_.prober.verdicts(uid_);
  input.readiness = verdicts.readiness;
  input.startup = verdicts.startup;
  input.termination_messages = termination_messages(pod, runtime);
  input.host_ips = node_.host_ips();
  input.finished = finished;
  input.end_reason = end_reason_;
  input.end_message = end_message_;
  input.disruption = disruption_;
  note_progress(pod, runtime);
  input.actuated = facts_.actuated;
  {
    std::lock_guard lock(mutex_);
    input.resize = resize_;
  }
  const std::shared_ptr<const Json> before_status = this->status();
  const Json& previous = *before_status;
  Json status = pod_status(pod, runtime, previous, input);
  // A terminal phase says that nothing runs any more: not before that is so.
  if (!finished && (status["phase"] == "Failed" || status["phase"] == "Succeeded") &&
      !pod.phase_is_terminal()) {
    const auto before = string_at(previous, {"phase"});
    if (runtime.any_running() || !end_reason_.empty())
      status["phase"] = before.empty() ? "Pending" : std::string(before);
  }
  bool freed = false;
  {
    std::lock_guard lock(mutex_);
    status_ = std::make_shared<const Json>(status);
    if (finished) freed = std::exchange(active_, false);
  }
  if (freed) node_.room_freed();
  if (in_api_) node_.statuses.set(object(), status, finished && pod.deleting());
}

bool PodWorker::tear_down(const Pod& pod) {
  node_.prober.remove(uid_);
  if (const Status status = node_.volumes.tear_down(uid_); !status.ok()) {
    base::log_warning("kubelet", "volumes not removed", {{"pod", pod.format()}, {"error", status.message()}});
    return false;
  }
  if (const Status status = node_.cgroups.remove_pod(uid_); !status.ok()) {
    base::log_warning("kubelet", "cgroup not removed", {{"pod", pod.format()}, {"error", status.message()}});
    return false;
  }
  node_.objects.release(uid_);
  node_.tokens.forget(uid_);
  node_.services.forget(uid_);
  node_.images.forget(uid_);
  keep_allocation(true);
  start_ = StartState();
  return true;
}

void PodWorker::remove_from_runtime(const Pod& pod) {
  const PodRuntime runtime = node_.cache.pod(uid_);
  for (const ContainerStatus& c : runtime.containers) {
    const Status status = node_.runtime.remove_container(c.id);
    if (status.ok() || status.code() == Code::kNotFound) node_.cache.remove(c.id);
    if (!node_.config.container_log_dir.empty()) {
      ::unlink(base::cat(node_.config.container_log_dir, "/", pod.name(), "_", pod.ns(), "_", c.name, "-",
                         c.id, ".log")
                   .c_str());
    }
  }
  for (const SandboxStatus& s : runtime.sandboxes) {
    const Status status = node_.runtime.remove_sandbox(s.id);
    if (status.ok() || status.code() == Code::kNotFound) node_.cache.remove(s.id);
  }
  (void)base::remove_all(pod_log_dir(pod, node_.config));
}

Json restore_pod(const PodRuntime& runtime) {
  const StringMap* labels = nullptr;
  if (!runtime.sandboxes.empty()) labels = &runtime.sandboxes.front().labels;
  if (labels == nullptr && !runtime.containers.empty()) labels = &runtime.containers.front().labels;
  if (labels == nullptr) return {};
  Json containers = Json::array();
  int64_t grace = 30;
  std::set<std::string> seen;
  for (const ContainerStatus& c : runtime.containers) {
    if (!seen.insert(c.name).second) continue;
    Json container{{"name", c.name}, {"image", c.image}};
    if (const auto hook = label_of(c.annotations, label::kPreStop); !hook.empty()) {
      if (auto parsed = base::parse_json(hook); parsed.ok())
        container["lifecycle"]["preStop"] = std::move(*parsed);
    }
    if (const auto ports = label_of(c.annotations, label::kPorts); !ports.empty()) {
      if (auto parsed = base::parse_json(ports); parsed.ok()) container["ports"] = std::move(*parsed);
    }
    containers.push_back(std::move(container));
    for (const char* key : {label::kPodGrace, label::kPodDeletionGrace}) {
      if (const auto text = label_of(c.annotations, key); !text.empty())
        grace = std::atoll(std::string(text).c_str());
    }
  }
  return Json{{"kind", "Pod"},
              {"apiVersion", "v1"},
              {"metadata",
               {{"name", label_of(*labels, label::kPodName)},
                {"namespace", label_of(*labels, label::kPodNamespace)},
                {"uid", label_of(*labels, label::kPodUid)}}},
              {"spec", {{"containers", std::move(containers)}, {"terminationGracePeriodSeconds", grace}}},
              {"status", Json::object()}};
}

}  // namespace orch::agent
