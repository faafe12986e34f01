#include "server/scheduler/scheduler.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "base/threads.h"
#include "server/scheduler/scheduler_rep.h"

namespace orch::server::scheduler {

namespace {

const client::ResourceRef kPods{"", "v1", "pods"};
const client::ResourceRef kNodes{"", "v1", "nodes"};
constexpr size_t kWriters = 16;
constexpr size_t kEventWriters = 2;

std::vector<Budget> read_budgets(const std::vector<api::ObjectPtr>& objects) {
  std::vector<Budget> out;
  for (const api::ObjectPtr& object : objects) {
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

}  // namespace

Scheduler::Rep::Rep(client::Client& client, client::InformerFactory& informers, const base::Clock& clock,
                    base::Metrics& metrics, SchedulerOptions options, base::TaskMaker& tasks)
    : client(client),
      clock(clock),
      options(std::move(options)),
      recorder(client, clock),
      scheduled(
          metrics.counter("scheduler_schedule_attempts_total", "Decisions.", {{"result", "scheduled"}})),
      unschedulable(
          metrics.counter("scheduler_schedule_attempts_total", "Decisions.", {{"result", "unschedulable"}})),
      errors(metrics.counter("scheduler_schedule_attempts_total", "Decisions.", {{"result", "error"}})),
      preemptions(metrics.counter("scheduler_preemption_attempts_total", "Searches for room by preemption.")),
      decision_time(
          metrics.histogram("scheduler_scheduling_algorithm_duration_seconds", "Time of one decision.")),
      objects(informers),
      queue(this->options.first_backoff, this->options.last_backoff),
      events(tasks.make("sched-event", kEventWriters)),
      writers(tasks.make("sched-write", kWriters)) {}

void Scheduler::Rep::push(Change change) {
  std::lock_guard lock(mutex);
  if (stopping) return;
  inbox.push_back(std::move(change));
  if (inbox.size() == 1) wake.notify_one();
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

const Profile* Scheduler::Rep::profile_of(const PodInfo& pod) const {
  for (const Profile& p : options.profiles) {
    if (p.scheduler_name == pod.scheduler_name) return &p;
  }
  return nullptr;
}

Waiting Scheduler::Rep::waiting_of(const Profile& profile, uint64_t rejectors) const {
  Waiting out{rejectors, 0};
  for (size_t i = 0; i < profile.filters.size(); ++i) {
    if ((rejectors >> i & 1U) != 0) out.helped_by |= profile.filters[i].plugin->helped_by();
  }
  if ((rejectors & kExtenderBit) != 0) out.helped_by = kEverything;
  return out;
}

void Scheduler::Rep::place(const PodPtr& pod) {
  const Profile* profile = profile_of(*pod);
  if (profile == nullptr) {
    queue.forget(pod->uid);
    return;
  }
  rebuild_snapshot();
  const base::MonoTime began = clock.mono();
  Outcome outcome = decide(*profile, options.extenders, *pod, cluster(), nominated, start_at);
  decision_time.observe(std::chrono::duration<double>(clock.mono() - began).count());
  if (!snapshot.empty()) start_at = (start_at + std::max<size_t>(1, outcome.looked_at)) % snapshot.size();
  if (outcome.failed) {
    not_decided(pod, outcome.message);
    return;
  }
  if (outcome.node == nullptr) {
    unschedulable.add();
    refused(pod, *profile, std::move(outcome));
    return;
  }
  scheduled.add();
  const NodeInfo& node = *outcome.node;
  VolumePlan plan;
  if (!pod->volumes.empty()) {
    for (const auto& plugin : profile->plugins) {
      VolumePlan own = plugin->volumes(*pod, node, cluster());
      if (!own.empty()) plan = std::move(own);
    }
  }
  base::Result<ClaimPlan> claims = plan_claims(*profile, pod, node);
  if (!claims.ok()) {
    not_decided(pod, claims.status().message());
    return;
  }
  devices.assume(*claims);
  // Assumed there from now on, so that the next decision sees it; the informer confirms it later.
  const std::string name = node.name;
  put_on(pod, name);
  if (nominated_on.count(pod->uid) != 0) nominate(pod, "");
  queue.placed(pod->uid);
  if (plan.empty()) {
    writers->post([this, pod, name, claims = std::move(*claims)] { bind(pod, name, claims); });
  } else {
    reserve(pod, name, std::move(plan), std::move(*claims));
  }
}

void Scheduler::Rep::not_decided(const PodPtr& pod, const std::string& message) {
  errors.add();
  nominate(pod, "");
  queue.unplaced(pod, clock.mono());
  writers->post([this, pod, message] { report(pod, "SchedulerError", message, ""); });
}

/// The pod fits nowhere: looks for less important pods to remove for it, and reports.
void Scheduler::Rep::refused(const PodPtr& pod, const Profile& profile, Outcome outcome) {
  const Waiting waiting = waiting_of(profile, outcome.rejectors);
  auto give_up = [&](const std::string& after_filters, const std::optional<std::string>& nomination) {
    if (nomination) nominate(pod, "");
    queue.failed(pod, waiting, clock.mono());
    writers->post([this, pod, message = outcome.message + after_filters, nomination] {
      report(pod, "Unschedulable", message, nomination);
    });
  };
  if (snapshot.empty() || (!profile.preempts && !profile.deallocates)) {
    give_up("", "");
    return;
  }
  const size_t last = outcome.filters.last_rejector();
  if (profile.deallocates && outcome.filters.refused() != Verdict::kFits &&
      (profile.filters.empty() || !profile.filters[last].plugin->frees_claims())) {
    // kube-scheduler's plugin for claims of devices, asked before preemption, looks for what it prepared;
    // here nobody got that far, and "not found" is what it says.
    give_up(" not found", std::nullopt);
    return;
  }
  const std::string claims = profile.deallocates ? " " + free_for(pod, outcome.filters) : "";
  if (!profile.preempts) {
    give_up(claims, std::nullopt);
    return;
  }
  preemptions.add();
  const auto budgets =
      outcome.occupied.empty() ? std::vector<Budget>() : read_budgets(objects.list(Kind::kBudget, ""));
  Preemption found =
      preempt({profile, *pod, cluster(), nominated, outcome.filters, outcome.occupied, budgets, start_at},
              options.extenders);
  if (found.node.empty()) {
    give_up(base::cat(claims, claims.empty() ? "" : ",", " preemption: ", found.message),
            found.keep_nomination ? std::nullopt : std::optional<std::string>(""));
    return;
  }
  promise(pod, profile, std::move(outcome), std::move(found));
}

void Scheduler::Rep::promise(const PodPtr& pod, const Profile& profile, Outcome outcome, Preemption found) {
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
  // With victims gone it may fit, whoever refused it before.
  Waiting waiting = waiting_of(profile, outcome.rejectors);
  waiting.helped_by |= kPodGone;
  writers->post([this, promised = PodPtr(promised), displaced, waiting, message = std::move(outcome.message),
                 found = std::move(found)] { evict_for(promised, found, displaced, message, waiting); });
}

std::optional<base::MonoTime> Scheduler::Rep::next_due() {
  auto next = queue.advance(clock.mono());
  for (const auto& [uid, wait] : volume_waits) {
    if (wait.written && (!next || wait.deadline < *next)) next = wait.deadline;
  }
  return next;
}

void Scheduler::Rep::step() {
  std::deque<Change> changes;
  {
    std::lock_guard lock(mutex);
    changes.swap(inbox);
  }
  for (const auto& change : changes) take(change);
  if (!volume_waits.empty()) check_all_volumes();
  queue.advance(clock.mono());
  if (PodPtr pod = queue.pop()) place(pod);
}

void Scheduler::Rep::run() {
  while (true) {
    {
      std::unique_lock lock(mutex);
      const auto next = next_due();
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
    }
    step();
  }
}

Scheduler::Scheduler(client::Client& client, client::InformerFactory& informers, const base::Clock& clock,
                     base::Metrics& metrics, SchedulerOptions options, base::TaskMaker& tasks)
    : rep_(std::make_shared<Rep>(client, informers, clock, metrics, std::move(options), tasks)) {
  auto follow = [&](client::Informer& informer, Change::What what, Kind kind = Kind::kNamespace) {
    informer.on_change([weak = std::weak_ptr<Rep>(rep_), what, kind](const api::ObjectPtr& before,
                                                                     const api::ObjectPtr& after) {
      auto rep = weak.lock();
      if (!rep) return;
      Change change;
      change.what = what;
      change.kind = kind;
      change.before = before;
      change.after = after;
      rep->push(std::move(change));
    });
  };
  follow(informers.get(kPods), Change::What::kPod);
  follow(informers.get(kNodes), Change::What::kNode);
  for (Kind kind : {Kind::kClaim, Kind::kVolume, Kind::kStorageClass, Kind::kCsiNode, Kind::kCsiDriver,
                    Kind::kCsiCapacity, Kind::kAttachment, Kind::kResourceClaim, Kind::kResourceSlice,
                    Kind::kDeviceClass}) {
    follow(rep_->objects.informer(kind), Change::What::kObject, kind);
  }
}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
    rep_->inbox.clear();
  }
  rep_->wake.notify_one();
  if (rep_->thread.joinable()) rep_->thread.join();
  rep_->writers->drain();
  rep_->events->drain();
}

bool Scheduler::step() {
  rep_->step();
  std::lock_guard lock(rep_->mutex);
  return !rep_->inbox.empty() || rep_->queue.has_active();
}

void Scheduler::start() {
  rep_->thread = base::start_thread("scheduler", [rep = rep_.get()] { rep->run(); });
}

}  // namespace orch::server::scheduler
