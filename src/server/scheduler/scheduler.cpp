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
#include "server/scheduler/preemption.h"
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
  PodPtr unbound;  // a binding that failed: the pod is taken off the node again
  // Preemption for this pod is under way, it sleeps until its victims are gone; or it failed.
  PodPtr preemptor;
  uint32_t helped_by = 0;
  bool retry = false;
};

const client::ResourceRef kBudgets{"policy", "v1", "poddisruptionbudgets"};

std::vector<Budget> read_budgets(const std::vector<ObjectPtr>& objects) {
  std::vector<Budget> out;
  for (const ObjectPtr& object : objects) {
    const Json tree = object->tree();
    auto selector = api::LabelSelector::from_tree(base::object_at(tree, {"spec", "selector"}));
    if (!selector.ok() || selector->empty()) continue;
    Budget b{std::string(object->ns()), *selector, base::int_at(tree, {"status", "disruptionsAllowed"}), {}};
    for (const auto& [pod, at] : base::object_at(tree, {"status", "disruptedPods"}).items())
      b.disrupted.insert(pod);
    out.push_back(std::move(b));
  }
  return out;
}

/// The lower-ranked pods that take part in what preemption costs.
bool has_less_important(const NodeInfo& node, const PodInfo& pod) {
  return std::any_of(node.pods.begin(), node.pods.end(),
                     [&](const auto& entry) { return entry.second->priority < pod.priority; });
}

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
  Rep(client::Client& client, client::Informer& budgets, const base::Clock& clock, base::Metrics& metrics,
      Plugins plugins, std::string name)
      : client(client),
        budgets(budgets),
        clock(clock),
        plugins(std::move(plugins)),
        name(std::move(name)),
        recorder(client, clock),
        scheduled(
            metrics.counter("scheduler_schedule_attempts_total", "Decisions.", {{"result", "scheduled"}})),
        unschedulable(metrics.counter("scheduler_schedule_attempts_total", "Decisions.",
                                      {{"result", "unschedulable"}})),
        preemptions(
            metrics.counter("scheduler_preemption_attempts_total", "Searches for room by preemption.")),
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
  void happened(uint32_t events, const NodeInfo& node);
  void rebuild_snapshot();
  void place(const PodPtr& pod);
  void bind(const PodPtr& pod, const std::string& node);
  void make_room(const PodPtr& pod, Outcome outcome);
  bool evict(const PodPtr& pod, const std::vector<PodPtr>& victims, const std::string& node);
  void report(const PodPtr& pod, const std::string& reason, const std::string& message,
              const std::optional<std::string>& nomination);
  void nominate(const PodPtr& pod, const std::string& node);

  client::Client& client;
  client::Informer& budgets;
  const base::Clock& clock;
  const Plugins plugins;
  const std::string name;
  client::EventRecorder recorder;
  base::Counter& scheduled;
  base::Counter& unschedulable;
  base::Counter& preemptions;
  base::Histogram& decision_time;

  // The scheduler thread's own.
  std::unordered_map<std::string, NodeInfo> nodes;
  std::unordered_map<std::string, std::string> node_of;  // pod uid -> node it counts on
  Snapshot snapshot;
  bool snapshot_stale = true;
  size_t start_at = 0;
  Queue queue;
  Nominated nominated;
  std::unordered_map<std::string, std::string> nominated_on;  // pod uid -> node

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Change> inbox;  // under mutex
  bool stopping = false;     // under mutex
  std::thread thread;
  base::ThreadPool writers;  // last: ends first
};

/// Wakes the pods that this change of the node lets fit there, or lets make room there.
void Scheduler::Rep::happened(uint32_t events, const NodeInfo& node) {
  if (node.object == nullptr) return;
  queue.on_event(events, clock.mono(), [&](const PodInfo& pod) {
    std::vector<std::string> ignored;
    uint32_t helped_by = 0;
    const Verdict verdict = check(plugins, pod, node, nominated, ignored, &helped_by);
    const bool worth =
        verdict == Verdict::kFits || (verdict == Verdict::kOccupied && has_less_important(node, pod));
    return worth ? 0U : helped_by;
  });
}

/// "" takes the promise back.
void Scheduler::Rep::nominate(const PodPtr& pod, const std::string& node) {
  if (auto it = nominated_on.find(pod->uid); it != nominated_on.end()) {
    auto& there = nominated[it->second];
    std::erase_if(there, [&](const PodPtr& p) { return p->uid == pod->uid; });
    if (there.empty()) nominated.erase(it->second);
    nominated_on.erase(it);
  }
  if (node.empty()) return;
  nominated_on[pod->uid] = node;
  nominated[node].push_back(pod);
}

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
    happened(kNodeAdded, node);
    return;
  }
  NodeInfo old;
  old.labels = node.labels;
  old.allocatable = node.allocatable;
  old.allowed_pods = node.allowed_pods;
  old.taints = node.taints;
  old.unschedulable = node.unschedulable;
  node.set_node(after);
  if (uint32_t events = node_events(old, node); events != 0) happened(events, node);
}

void Scheduler::Rep::take_pod(const ObjectPtr& before, const ObjectPtr& after) {
  const std::string uid((after ? after : before)->uid());
  PodPtr pod = after ? read_pod(after) : nullptr;
  const bool counts = pod != nullptr && !pod->node_name.empty() && !pod->finished;
  auto held = node_of.find(uid);
  if (counts) {
    queue.forget(uid);
    if (nominated_on.count(uid) != 0) nominate(pod, "");
    if (held != node_of.end() && held->second != pod->node_name) nodes[held->second].remove_pod(uid);
    NodeInfo& node = nodes[pod->node_name];
    if (node.name.empty()) node.name = pod->node_name;
    node.add_pod(pod);
    node_of[uid] = pod->node_name;
    return;
  }
  if (pod == nullptr || pod->finished) {
    queue.forget(uid);
    if (auto promised = nominated_on.find(uid); promised != nominated_on.end()) {
      const std::string node = promised->second;
      nominate(pod != nullptr ? pod : read_pod(before), "");
      if (auto it = nodes.find(node); it != nodes.end()) happened(kPodGone, it->second);
    }
    if (held == node_of.end()) return;
    auto it = nodes.find(held->second);
    node_of.erase(held);
    if (it == nodes.end()) return;
    it->second.remove_pod(uid);
    if (it->second.object == nullptr && it->second.pods.empty()) {
      nodes.erase(it);
    } else {
      happened(kPodGone, it->second);
    }
    return;
  }
  // Without a node. While its binding is under way it counts where it was put.
  if (held != node_of.end() || pod->scheduler_name != name) return;
  if (pod->gated || after->deleting()) {
    queue.remove(uid);
    return;
  }
  if (!before || read_pod(before)->nominated_node != pod->nominated_node) nominate(pod, pod->nominated_node);
  // The report of the last failure comes back as a change of status only: no reason to try again.
  if (before && before->generation() == after->generation() && before->uid() == after->uid() &&
      before->field(0).empty() && before->label_count() == after->label_count()) {
    queue.refresh(pod);
    return;
  }
  queue.add(pod, clock.mono());
}

void Scheduler::Rep::take(const Change& change) {
  if (change.unbound) {
    const std::string& uid = change.unbound->uid;
    auto held = node_of.find(uid);
    if (held == node_of.end()) return;
    NodeInfo& node = nodes[held->second];
    node.remove_pod(uid);
    node_of.erase(held);
    queue.unplaced(change.unbound, clock.mono());
    happened(kPodGone, node);
    return;
  }
  if (change.preemptor) {
    queue.failed(change.preemptor, change.helped_by, clock.mono());
    if (change.retry && queue.knows(change.preemptor->uid)) queue.add(change.preemptor, clock.mono());
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
  const base::MonoTime began = clock.mono();
  Outcome outcome = decide(plugins, *pod, snapshot, nominated, start_at);
  decision_time.observe(std::chrono::duration<double>(clock.mono() - began).count());
  if (!snapshot.empty()) start_at = (start_at + std::max<size_t>(1, outcome.looked_at)) % snapshot.size();
  if (outcome.node == nullptr) {
    unschedulable.add();
    make_room(pod, std::move(outcome));
    return;
  }
  scheduled.add();
  // Assumed there from now on, so that the next decision sees it; the informer confirms it later.
  const std::string node = outcome.node->name;
  nodes[node].add_pod(pod);
  node_of[pod->uid] = node;
  if (nominated_on.count(pod->uid) != 0) nominate(pod, "");
  queue.placed(pod->uid);
  writers.post([this, pod, node] { bind(pod, node); });
}

/// The pod fits nowhere: looks for less important pods to remove for it, and reports.
void Scheduler::Rep::make_room(const PodPtr& pod, Outcome outcome) {
  if (snapshot.empty()) {
    queue.failed(pod, outcome.helped_by, clock.mono());
    writers.post([this, pod, message = outcome.message] { report(pod, "Unschedulable", message, ""); });
    return;
  }
  preemptions.add();
  Preemption found =
      preempt(plugins, *pod, snapshot, nominated, outcome.occupied, read_budgets(budgets.list()), start_at);
  if (found.node.empty()) {
    // The scheduler of Kubernetes has asked its resource claims before.
    outcome.message += " no new claims to deallocate, preemption: " + found.message;
    std::optional<std::string> nomination;
    if (!found.keep_nomination) {
      nomination = "";
      nominate(pod, "");
    }
    queue.failed(pod, outcome.helped_by, clock.mono());
    writers.post([this, pod, message = outcome.message, nomination] {
      report(pod, "Unschedulable", message, nomination);
    });
    return;
  }
  // Whoever was promised room there and counts for less has to look elsewhere.
  std::vector<PodPtr> displaced;
  if (auto it = nominated.find(found.node); it != nominated.end()) {
    for (const PodPtr& other : it->second) {
      if (other->priority < pod->priority) displaced.push_back(other);
    }
  }
  for (const PodPtr& other : displaced) {
    nominate(other, "");
    auto free = std::make_shared<PodInfo>(*other);
    free->nominated_node.clear();
    if (queue.knows(free->uid)) queue.add(free, clock.mono());
  }
  auto promised = std::make_shared<PodInfo>(*pod);
  promised->nominated_node = found.node;
  queue.refresh(promised);
  nominate(promised, found.node);
  writers.post([this, pod, promised, displaced, outcome = std::move(outcome), found = std::move(found)] {
    for (const PodPtr& other : displaced) {
      // Should this fail, its next report does it.
      (void)client.patch(kPods, other->ns, other->name, client::PatchType::kStrategic,
                         {{"metadata", {{"uid", other->uid}}}, {"status", {{"nominatedNodeName", nullptr}}}},
                         "status");
    }
    report(pod, "Unschedulable", outcome.message, found.node);
    Change done;
    done.retry = !evict(promised, found.victims, found.node);
    done.preemptor = promised;
    done.helped_by = outcome.helped_by;
    push(std::move(done));
  });
}

/// False when a victim is still there and was not asked to go.
bool Scheduler::Rep::evict(const PodPtr& pod, const std::vector<PodPtr>& victims, const std::string& node) {
  bool all = true;
  for (const PodPtr& victim : victims) {
    if (victim->deleting) continue;
    Json next = victim->object->tree();
    api::set_condition(next,
                       {"DisruptionTarget", "True", "PreemptionByScheduler",
                        base::cat(name, ": preempting to accommodate a higher priority pod")},
                       clock.now(), api::ConditionTimes::kProbe);
    Status s =
        client
            .patch(
                kPods, victim->ns, victim->name, client::PatchType::kStrategic,
                {{"metadata", {{"uid", victim->uid}}},
                 {"status", {{"conditions", Json::array({*api::find_condition(next, "DisruptionTarget")})}}}},
                "status")
            .status();
    if (s.ok()) {
      client::DeleteOptions options;
      options.uid = victim->uid;
      s = client.remove(kPods, victim->ns, victim->name, options);
    }
    if (s.code() == Code::kNotFound || s.code() == Code::kConflict) continue;  // gone, or replaced
    if (!s.ok()) {
      base::log_warning("scheduler", "preemption failed",
                        {{"pod", victim->ns + "/" + victim->name}, {"error", s.message()}});
      all = false;
      continue;
    }
    recorder.record(name, *victim->object, "Normal", "Preempted",
                    base::cat("Preempted by pod ", pod->uid, " on node ", node));
  }
  return all;
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
    report(pod, "SchedulerError", base::cat("binding rejected: ", bound.error().message()), std::nullopt);
  }
  Change undo;
  undo.unbound = pod;
  push(std::move(undo));
}

/// `nomination`: the node the pod is promised, "" = none any more, nothing = as it was.
void Scheduler::Rep::report(const PodPtr& pod, const std::string& reason, const std::string& message,
                            const std::optional<std::string>& nomination) {
  recorder.record(name, *pod->object, "Warning", "FailedScheduling", message);
  Json current = pod->object->tree();
  Json status = Json::object();
  if (api::set_condition(current, {"PodScheduled", "False", reason, message}, clock.now(),
                         api::ConditionTimes::kProbe)) {
    status["conditions"] = Json::array({*api::find_condition(current, "PodScheduled")});
  }
  if (nomination && *nomination != base::string_at(current, {"status", "nominatedNodeName"}))
    status["nominatedNodeName"] = nomination->empty() ? Json() : Json(*nomination);
  if (status.empty()) return;
  Json patch = {{"metadata", {{"uid", pod->uid}}}, {"status", std::move(status)}};
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
    : rep_(std::make_shared<Rep>(client, informers.get(kBudgets), clock, metrics, std::move(plugins),
                                 std::move(name))) {
  auto follow = [&](const client::ResourceRef& resource, bool node) {
    informers.get(resource).on_change(
        [weak = std::weak_ptr<Rep>(rep_), node](const ObjectPtr& before, const ObjectPtr& after) {
          auto rep = weak.lock();
          if (!rep) return;
          Change change;
          change.node = node;
          change.before = before;
          change.after = after;
          rep->push(std::move(change));
        });
  };
  follow(kPods, false);
  follow(kNodes, true);
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
