#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "api/meta.h"
#include "base/json.h"
#include "base/log.h"
#include "base/threads.h"
#include "client/event_recorder.h"
#include "server/scheduler/queue.h"

namespace orch::server::scheduler {

using api::ObjectPtr;
using base::Code;
using base::Status;

namespace {

const client::ResourceRef kPods{"", "v1", "pods"};
const client::ResourceRef kNodes{"", "v1", "nodes"};
constexpr size_t kWriters = 16;

struct Change {
  bool node = false;
  ObjectPtr before, after;
  // A binding that failed: the pod is taken off the node again.
  PodPtr unbound;
};

uint32_t node_events(const NodeInfo& before, const NodeInfo& after) {
  uint32_t events = 0;
  const Resources &a = before.allocatable, &b = after.allocatable;
  if (b.milli_cpu > a.milli_cpu || b.memory > a.memory || b.ephemeral_storage > a.ephemeral_storage ||
      b.scalars != a.scalars || after.allowed_pods > before.allowed_pods) {
    events |= kNodeAllocatable;
  }
  if (after.labels != before.labels) events |= kNodeLabels;
  auto same = [](const Taint& x, const Taint& y) {
    return x.key == y.key && x.value == y.value && x.effect == y.effect;
  };
  if (after.unschedulable != before.unschedulable ||
      !std::equal(after.taints.begin(), after.taints.end(), before.taints.begin(), before.taints.end(),
                  same)) {
    events |= kNodeTaints;
  }
  return events;
}

}  // namespace

struct Scheduler::Rep {
  Rep(client::Client& client, const base::Clock& clock, base::Metrics& metrics, Plugins plugins,
      std::string name)
      : client(client),
        clock(clock),
        plugins(std::move(plugins)),
        name(std::move(name)),
        recorder(client, clock),
        scheduled(
            metrics.counter("scheduler_schedule_attempts_total", "Decisions.", {{"result", "scheduled"}})),
        unschedulable(metrics.counter("scheduler_schedule_attempts_total", "Decisions.",
                                      {{"result", "unschedulable"}})),
        decision_time(
            metrics.histogram("scheduler_scheduling_algorithm_duration_seconds", "Time of one decision.")),
        writers("sched-write", kWriters) {}

  void push(Change change) {
    std::lock_guard lock(mutex);
    if (stopping) return;
    inbox.push_back(std::move(change));
    if (inbox.size() == 1) wake.notify_one();
  }

  void run();
  void take(const Change& change);
  void take_node(const ObjectPtr& before, const ObjectPtr& after);
  void take_pod(const ObjectPtr& before, const ObjectPtr& after);
  void happened(uint32_t events) {
    events_since |= events;
    queue.on_event(events, clock.mono());
  }
  void rebuild_snapshot();
  void place(const PodPtr& pod);
  void bind(const PodPtr& pod, const std::string& node);
  void report(const PodPtr& pod, const std::string& message);

  client::Client& client;
  const base::Clock& clock;
  const Plugins plugins;
  const std::string name;
  client::EventRecorder recorder;
  base::Counter& scheduled;
  base::Counter& unschedulable;
  base::Histogram& decision_time;

  // The scheduler thread's own.
  std::unordered_map<std::string, NodeInfo> nodes;
  std::unordered_map<std::string, std::string> node_of;  // pod uid -> node it counts on
  Snapshot snapshot;
  bool snapshot_stale = true;
  size_t start_at = 0;
  Queue queue;
  uint32_t events_since = 0;

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Change> inbox;  // under mutex
  bool stopping = false;     // under mutex
  std::thread thread;
  base::ThreadPool writers;  // last: ends first
};

void Scheduler::Rep::take_node(const ObjectPtr& before, const ObjectPtr& after) {
  snapshot_stale = true;
  if (!after) {
    auto it = nodes.find(std::string(before->name()));
    if (it == nodes.end()) return;
    it->second.object = nullptr;
    if (it->second.pods.empty()) nodes.erase(it);
    return;
  }
  auto [it, fresh] = nodes.try_emplace(std::string(after->name()));
  NodeInfo& node = it->second;
  if (node.object == nullptr) {
    node.set_node(after);
    happened(kNodeAdded);
    return;
  }
  NodeInfo old;
  old.labels = node.labels;
  old.allocatable = node.allocatable;
  old.allowed_pods = node.allowed_pods;
  old.taints = node.taints;
  old.unschedulable = node.unschedulable;
  node.set_node(after);
  if (uint32_t events = node_events(old, node); events != 0) happened(events);
}

void Scheduler::Rep::take_pod(const ObjectPtr& before, const ObjectPtr& after) {
  const std::string uid((after ? after : before)->uid());
  PodPtr pod = after ? read_pod(after) : nullptr;
  const bool counts = pod != nullptr && !pod->node_name.empty() && !pod->finished;
  auto held = node_of.find(uid);
  if (counts) {
    queue.forget(uid);
    if (held != node_of.end() && held->second != pod->node_name) nodes[held->second].remove_pod(uid);
    NodeInfo& node = nodes[pod->node_name];
    if (node.name.empty()) node.name = pod->node_name;
    node.add_pod(pod);
    node_of[uid] = pod->node_name;
    return;
  }
  if (pod == nullptr || pod->finished) {
    queue.forget(uid);
    if (held == node_of.end()) return;
    auto it = nodes.find(held->second);
    if (it != nodes.end()) it->second.remove_pod(uid);
    node_of.erase(held);
    happened(kPodGone);
    return;
  }
  // Without a node. While its binding is under way it counts where it was put.
  if (held != node_of.end() || pod->scheduler_name != name) return;
  if (pod->gated || after->deleting()) {
    queue.remove(uid);
    return;
  }
  // The report of the last failure comes back as a change of status only: no reason to try again.
  if (before && before->generation() == after->generation() && before->uid() == after->uid() &&
      before->field(0).empty() && before->label_count() == after->label_count()) {
    return;
  }
  queue.add(pod, clock.mono());
}

void Scheduler::Rep::take(const Change& change) {
  if (change.unbound) {
    const std::string& uid = change.unbound->uid;
    auto held = node_of.find(uid);
    if (held == node_of.end()) return;
    nodes[held->second].remove_pod(uid);
    node_of.erase(held);
    queue.unplaced(change.unbound, clock.mono());
    happened(kPodGone);
    return;
  }
  change.node ? take_node(change.before, change.after) : take_pod(change.before, change.after);
}

void Scheduler::Rep::rebuild_snapshot() {
  if (!snapshot_stale) return;
  snapshot_stale = false;
  snapshot.clear();
  for (const auto& [node_name, node] : nodes) {
    if (node.object != nullptr) snapshot.push_back(&node);
  }
  std::sort(snapshot.begin(), snapshot.end(),
            [](const NodeInfo* a, const NodeInfo* b) { return a->name < b->name; });
  if (!snapshot.empty()) start_at %= snapshot.size();
}

void Scheduler::Rep::place(const PodPtr& pod) {
  rebuild_snapshot();
  events_since = 0;
  const base::MonoTime began = clock.mono();
  Outcome outcome = decide(plugins, *pod, snapshot, start_at);
  decision_time.observe(std::chrono::duration<double>(clock.mono() - began).count());
  if (!snapshot.empty()) start_at = (start_at + std::max<size_t>(1, outcome.looked_at)) % snapshot.size();
  if (outcome.node == nullptr) {
    unschedulable.add();
    queue.failed(pod, outcome.helped_by, events_since, clock.mono());
    writers.post([this, pod, message = outcome.message] { report(pod, message); });
    return;
  }
  scheduled.add();
  // Assumed there from now on, so that the next decision sees it; the informer confirms it later.
  const std::string node = outcome.node->name;
  nodes[node].add_pod(pod);
  node_of[pod->uid] = node;
  queue.placed(pod->uid);
  writers.post([this, pod, node] { bind(pod, node); });
}

void Scheduler::Rep::bind(const PodPtr& pod, const std::string& node) {
  Json binding = {{"kind", "Binding"},
                  {"apiVersion", "v1"},
                  {"metadata", {{"name", pod->name}, {"namespace", pod->ns}, {"uid", pod->uid}}},
                  {"target", {{"kind", "Node"}, {"name", node}}}};
  auto bound = client.post(kPods, pod->ns, pod->name, "binding", binding);
  if (bound.ok()) {
    recorder.record(name, *pod->object, "Normal", "Scheduled",
                    base::cat("Successfully assigned ", pod->ns, "/", pod->name, " to ", node));
    return;
  }
  if (bound.error().code() != Code::kNotFound && bound.error().code() != Code::kConflict) {
    base::log_warning("scheduler", "binding failed",
                      {{"pod", pod->ns + "/" + pod->name}, {"error", bound.error().message()}});
  }
  Change undo;
  undo.unbound = pod;
  push(std::move(undo));
}

void Scheduler::Rep::report(const PodPtr& pod, const std::string& message) {
  recorder.record(name, *pod->object, "Warning", "FailedScheduling", message);
  Json current = pod->object->tree();
  if (!api::set_condition(current, {"PodScheduled", "False", "Unschedulable", message}, clock.now(),
                          api::ConditionTimes::kProbe)) {
    return;
  }
  Json patch = {{"metadata", {{"uid", pod->uid}}},
                {"status", {{"conditions", Json::array({*api::find_condition(current, "PodScheduled")})}}}};
  Status s = client.patch(kPods, pod->ns, pod->name, client::PatchType::kStrategic, patch, "status").status();
  if (!s.ok() && s.code() != Code::kNotFound && s.code() != Code::kConflict) {
    base::log_warning("scheduler", "reporting failed",
                      {{"pod", pod->ns + "/" + pod->name}, {"error", s.message()}});
  }
}

void Scheduler::Rep::run() {
  while (true) {
    std::deque<Change> changes;
    {
      std::unique_lock lock(mutex);
      auto next = queue.advance(clock.mono());
      auto ready = [&] { return stopping || !inbox.empty(); };
      if (!queue.has_active()) {
        if (next) {
          wake.wait_until(lock, std::chrono::time_point_cast<std::chrono::steady_clock::duration>(*next),
                          ready);
        } else {
          wake.wait(lock, ready);
        }
      }
      if (stopping) return;
      changes.swap(inbox);
    }
    for (const auto& change : changes) take(change);
    queue.advance(clock.mono());
    if (PodPtr pod = queue.pop()) place(pod);
  }
}

Scheduler::Scheduler(client::Client& client, client::InformerFactory& informers, const base::Clock& clock,
                     base::Metrics& metrics, Plugins plugins, std::string name)
    : rep_(std::make_unique<Rep>(client, clock, metrics, std::move(plugins), std::move(name))) {
  informers.get(kPods).on_change([this](const ObjectPtr& before, const ObjectPtr& after) {
    rep_->push({false, before, after, nullptr});
  });
  informers.get(kNodes).on_change([this](const ObjectPtr& before, const ObjectPtr& after) {
    rep_->push({true, before, after, nullptr});
  });
}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
    rep_->inbox.clear();
  }
  rep_->wake.notify_one();
  if (rep_->thread.joinable()) rep_->thread.join();
  rep_->writers.drain();
}

void Scheduler::start() {
  rep_->thread = base::start_thread("scheduler", [rep = rep_.get()] { rep->run(); });
}

}  // namespace orch::server::scheduler
