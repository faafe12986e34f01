#include "agent/kubelet/kubelet.h"

#include <algorithm>
#include <thread>

#include "agent/kubelet/admit.h"
#include "agent/kubelet/container_config.h"
#include "agent/kubelet/kubelet_rep.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using api::ObjectPtr;
using base::Status;
using base::string_at;
using base::WallTime;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kTurnThreads = 16, kStopThreads = 128;
constexpr seconds kRuntimeWait{60};
/// How often a runtime without events is listed: soon after something changed, then ever rarer.
constexpr milliseconds kRelistMin{500}, kRelistMax{10000};

client::ListOptions pods_of(const std::string& node) {
  client::ListOptions options;
  options.field_selector = "spec.nodeName=" + node;
  return options;
}

}  // namespace

Kubelet::Rep::Rep(KubeletConfig c, const KubeletDeps& d)
    : config(std::move(c)),
      deps(d),
      events(d.client, "kubelet", config.node_name, d.clock),
      cache(d.runtime),
      volumes(config.root_dir, d.clock),
      images(d.runtime, events, d.clock),
      cgroups(config.cgroup_root, config.systemd_cgroup),
      tokens(d.client, d.clock, files, config.root_dir + "/state/tokens"),
      statuses(d.client, d.timers),
      state(files, config.root_dir + "/state/pods"),
      logs(d.runtime, config.log_max_bytes, config.log_max_files),
      services(d.informers.get({"", "v1", "services"})),
      service_env(services, files, config.root_dir + "/state/services"),
      pods(d.informers.get({"", "v1", "pods"}, pods_of(config.node_name))),
      nodes(d.informers.get({"", "v1", "nodes"})) {
  objects = std::make_unique<ObjectCache>(d.client, d.timers, files, config.root_dir + "/state/objects",
                                          [this](const std::string& uid) {
                                            with_worker(uid, [](PodWorker& w) { w.volumes_changed(); });
                                            notify(uid);
                                          });
  prober = std::make_unique<Prober>(d.runtime, events, d.clock, d.timers,
                                    [this](const std::string& uid) { notify(uid); });
  node = std::make_unique<NodeAgent>(config, d.client, d.runtime, events, d.clock, d.timers,
                                     [this] { housekeeping(); });
  turns = std::make_unique<base::ThreadPool>("pod", kTurnThreads);
  stops = std::make_unique<base::ThreadPool>("pod-stop", kStopThreads);
  context = std::make_unique<NodeContext>(
      NodeContext{config,  d.client, d.runtime, d.clock,  d.timers, events,      cache, volumes, images,
                  cgroups, *objects, tokens,    statuses, *prober,  service_env, files, *stops,  admission,
                  0,       {},       {},        {},       {},       {},          {},    {}});
  const MachineInfo& machine = node->machine();
  context->memory_capacity = machine.memory_bytes;
  const Json allocatable = allocatable_of(capacity_of(machine, config.max_pods), config);
  context->allocatable = {std::string(string_at(allocatable, {"cpu"})),
                          std::string(string_at(allocatable, {"memory"})),
                          std::string(string_at(allocatable, {"ephemeral-storage"}))};
  const Json tree = new_node(config, machine, Json{{"allocatable", allocatable}});
  if (auto made = api::Object::from_tree(tree); made.ok()) initial_node = std::move(*made);
  context->admit = [this](const Pod& pod, const api::PodInfo& wants) { return admit(pod, wants); };
  context->judge_resize = [this](const Pod& pod, const api::PodInfo& wants) {
    ResizeVerdict verdict = agent::judge_resize(pod, wants, node_beside(node_object(), pod.uid()));
    if (verdict.reason == "Deferred" && is_critical(pod)) (void)make_room(pod, wants, node_object());
    return verdict;
  };
  context->room_freed = [this] { after(base::Duration::zero(), [this] { retry_resizes(); }); };
  context->host_ips = [this] { return node->addresses(); };
  context->notify = [this](const std::string& uid) { notify(uid); };
  context->stopped = [this](const std::string& uid, const std::string& id, bool ok) {
    with_worker(uid, [&](PodWorker& w) { w.stopped(id, ok); });
    notify(uid);
  };
  link->rep = this;
  pods.on_change([link = link](const ObjectPtr& before, const ObjectPtr& now) {
    link->with([&](Rep& rep) { now != nullptr ? rep.upsert(now) : rep.removed(before); });
  });
}

// --- Workers ----------------------------------------------------------------------------------------

void Kubelet::Rep::with_worker(const std::string& uid, const std::function<void(PodWorker&)>& use) {
  std::shared_ptr<PodWorker> worker;
  {
    std::lock_guard lock(mutex);
    const auto it = slots.find(uid);
    if (it == slots.end()) return;
    worker = it->second.worker;
  }
  use(*worker);
}

void Kubelet::Rep::upsert(const ObjectPtr& object) {
  const std::string uid(object->uid());
  {
    std::lock_guard lock(mutex);
    Slot& slot = slots[uid];
    if (slot.worker == nullptr) {
      slot.worker = std::make_shared<PodWorker>(*context, object, true);
    } else {
      slot.worker->update(object);
    }
  }
  notify(uid);
}

void Kubelet::Rep::removed(const ObjectPtr& object) {
  const std::string uid(object->uid());
  with_worker(uid, [](PodWorker& w) { w.removed(); });
  notify(uid);
}

void Kubelet::Rep::notify(const std::string& uid) {
  std::lock_guard lock(mutex);
  const auto it = slots.find(uid);
  if (it == slots.end() || stopping || !started) return;
  if (it->second.running) {
    it->second.again = true;
    return;
  }
  it->second.running = true;
  turns->post([this, uid] { run_turn(uid); });
}

void Kubelet::Rep::run_turn(const std::string& uid) {
  std::shared_ptr<PodWorker> worker;
  base::Timers::Id old = 0;
  {
    std::lock_guard lock(mutex);
    Slot& slot = slots.at(uid);
    worker = slot.worker;
    slot.again = false;
    old = std::exchange(slot.timer, 0);
    if (stopping) {
      slot.running = false;
      return;
    }
  }
  if (old != 0) deps.timers.cancel(old);
  const bool gone = worker->turn();
  if (gone) {
    state.remove(uid);
    statuses.forget(uid);
    std::lock_guard lock(mutex);
    slots.erase(uid);
    return;
  }
  state.save(worker->object());
  std::lock_guard lock(mutex);
  Slot& slot = slots.at(uid);
  slot.running = false;
  if (stopping) return;
  if (slot.again) {
    slot.running = true;
    turns->post([this, uid] { run_turn(uid); });
    return;
  }
  if (const auto wake = worker->wake()) {
    const base::Duration wait = std::max<base::Duration>(*wake - deps.clock.now(), milliseconds(1));
    slot.timer = deps.timers.after(wait, [this, uid] { notify(uid); });
  }
}

// --- The runtime ------------------------------------------------------------------------------------

Status Kubelet::Rep::first_list() {
  const base::MonoTime deadline = deps.clock.mono() + kRuntimeWait;
  while (true) {
    const auto listed = cache.relist();
    if (listed.ok()) return {};
    if (deps.clock.mono() > deadline)
      return listed.error().with_context("the container runtime does not answer");
    std::this_thread::sleep_for(milliseconds(100));
  }
}

/// A task on the pool of turns after a delay; nothing once stopping.
void Kubelet::Rep::after(base::Duration delay, std::function<void()> task) {
  std::lock_guard lock(mutex);
  if (stopping) return;
  const uint64_t number = next_timer++;
  timers[number] = deps.timers.after(delay, [this, number, task = std::move(task)] {
    std::lock_guard inner(mutex);
    timers.erase(number);
    if (!stopping) turns->post(task);
  });
}

void Kubelet::Rep::on_event(const ContainerEvent& event) {
  const std::string id = event.container_id.empty() ? event.sandbox_id : event.container_id;
  if (cache.owner(id).empty()) return;
  std::lock_guard lock(mutex);
  const bool stopped = event.type == ContainerEvent::Type::kStopped;
  if (!stopping) turns->post([this, id, stopped] { refresh(id, stopped, 0); });
}

/// An event can be ahead of what the runtime's own listing shows: asks again until that has changed, and
/// after the news of an end until the end shows, because there will be no other news of it.
void Kubelet::Rep::refresh(const std::string& id, bool stopped, int attempt) {
  constexpr int kAttempts = 11, kAttemptsForEnd = 70, kMostDoublings = 10;
  bool changed = false;
  const std::string uid = cache.refresh(id, &changed);
  if (uid.empty()) return;
  if (changed) notify(uid);
  if (stopped ? cache.ended(id) : changed) return;
  if (attempt >= (stopped ? kAttemptsForEnd : kAttempts)) return;
  after(milliseconds(1) * (1 << std::min(attempt, kMostDoublings)),
        [this, id, stopped, attempt] { refresh(id, stopped, attempt + 1); });
}

void Kubelet::Rep::resync() {
  const auto changed = cache.relist();
  if (!changed.ok()) {
    after(seconds(1), [this] { resync(); });
    return;
  }
  for (const std::string& uid : *changed) notify(uid);
  std::lock_guard lock(mutex);
  relist_delay = changed->empty() ? std::min(relist_delay * 2, kRelistMax) : kRelistMin;
}

void Kubelet::Rep::relist_later(milliseconds delay) {
  after(delay, [this] {
    bool any = false;
    {
      std::lock_guard lock(mutex);
      any = std::any_of(slots.begin(), slots.end(), [](const auto& s) { return s.second.worker->active(); });
    }
    if (any) resync();
    milliseconds next{};
    {
      std::lock_guard lock(mutex);
      next = relist_delay;
    }
    relist_later(next);
  });
}

/// What runs without an object is ended, once it is sure that there is none.
void Kubelet::Rep::adopt_orphans() {
  for (const std::string& uid : cache.pods()) {
    {
      std::lock_guard lock(mutex);
      if (slots.count(uid) != 0) continue;
    }
    const Json tree = restore_pod(cache.pod(uid));
    auto object = api::Object::from_tree(tree);
    if (!object.ok()) continue;
    base::log_info("kubelet", "ending a pod that has no object", {{"uid", uid}});
    {
      std::lock_guard lock(mutex);
      slots[uid].worker = std::make_shared<PodWorker>(*context, *object, false);
    }
    notify(uid);
  }
}

/// Once the API's list is there: pods known only from disk or runtime end, leftovers on disk go.
void Kubelet::Rep::reconcile() {
  if (!pods.synced()) {
    after(seconds(1), [this] { reconcile(); });
    return;
  }
  std::vector<std::string> stale;
  {
    std::lock_guard lock(mutex);
    if (std::exchange(reconciled, true)) return;
    for (const auto& [uid, slot] : slots) {
      const ObjectPtr object = slot.worker->object();
      const ObjectPtr now = pods.get(object->ns(), object->name());
      if (now == nullptr || now->uid() != uid) stale.push_back(uid);
    }
  }
  for (const std::string& uid : stale) {
    with_worker(uid, [](PodWorker& w) { w.removed(); });
    notify(uid);
  }
  adopt_orphans();
  const auto known = [this](const std::string& uid) {
    std::lock_guard lock(mutex);
    return slots.count(uid) != 0;
  };
  for (const std::string& uid : volumes.pods_on_disk()) {
    if (known(uid)) continue;
    (void)cgroups.remove_pod(uid);
    (void)volumes.tear_down(uid);
  }
}

/// With the node's heartbeat: rotates logs, and frees disk space when it runs short.
void Kubelet::Rep::housekeeping() {
  std::vector<RunningLog> running;
  {
    std::lock_guard lock(mutex);
    for (const auto& [uid, slot] : slots) {
      const ObjectPtr object = slot.worker->object();
      for (const ContainerStatus& c : cache.pod(uid).containers) {
        if (c.state != ContainerState::kRunning) continue;
        running.push_back({c.id, base::cat(config.log_dir, "/", object->ns(), "_", object->name(), "_", uid,
                                           "/", container_log_path(c.name, c.attempt))});
      }
    }
  }
  logs.rotate(running, deps.clock.now());
  const base::MonoTime now = deps.clock.mono();
  if (now - last_image_gc < config.image_gc_interval) return;
  last_image_gc = now;
  const Pressure p = machine_pressure(config.root_dir);
  const int64_t total = node->machine().disk_bytes;
  const int64_t used = total - p.disk_available;
  if (total <= 0 || used * 100 < total * config.image_gc_high_percent) return;
  const int64_t wanted = used - total * config.image_gc_low_percent / 100;
  const uint64_t freed =
      images.collect(static_cast<uint64_t>(wanted), config.image_min_age, config.pinned_images);
  if (freed < static_cast<uint64_t>(wanted)) {
    events.warning(node->about(), "FreeDiskSpaceFailed",
                   base::cat("Failed to garbage collect required amount of images. Attempted to free ",
                             wanted, " bytes, but only found ", freed, " bytes eligible to free."));
  }
}

// --- Kubelet ----------------------------------------------------------------------------------------

Kubelet::Kubelet(KubeletConfig config, const KubeletDeps& deps)
    : rep_(std::make_unique<Rep>(std::move(config), deps)) {}

Kubelet::~Kubelet() {
  stop();
  std::lock_guard lock(rep_->link->mutex);
  rep_->link->rep = nullptr;
}

Status Kubelet::start() {
  Rep& r = *rep_;
  ORCH_RETURN_IF_ERROR(base::make_dirs(r.config.root_dir, 0750));
  ORCH_RETURN_IF_ERROR(base::make_dirs(r.config.log_dir, 0755));
  if (Status made = r.cgroups.prepare(); !made.ok() && r.config.fail_cgroups) return made;
  ORCH_RETURN_IF_ERROR(r.first_list());
  r.services.start();
  r.nodes.start();
  r.pods.start();  // makes workers; their turns wait for `started`
  if (!r.pods.synced()) {
    for (const ObjectPtr& pod : r.state.load()) r.upsert(pod);
  }
  std::vector<std::string> uids;
  {
    std::lock_guard lock(r.mutex);
    r.started = true;
    for (const auto& [uid, slot] : r.slots) uids.push_back(uid);
  }
  for (const std::string& uid : uids) r.notify(uid);
  Rep* rep = rep_.get();
  Runtime::EventHandlers handlers;
  const auto link = r.link;
  handlers.on_event = [link](const ContainerEvent& e) { link->with([&](Rep& to) { to.on_event(e); }); };
  handlers.on_resync = [link] {
    link->with([](Rep& to) {
      to.after(base::Duration::zero(), [&to] { to.resync(); });
      to.after(seconds(1), [&to] { to.resync(); });
    });
  };
  handlers.on_unsupported = [link] { link->with([](Rep& to) { to.relist_later(kRelistMin); }); };
  r.deps.runtime.watch_events(std::move(handlers));
  r.node->start();
  r.after(base::Duration::zero(), [rep] { rep->reconcile(); });
  return {};
}

void Kubelet::stop() {
  Rep& r = *rep_;
  std::vector<base::Timers::Id> timers;
  {
    std::lock_guard lock(r.mutex);
    if (std::exchange(r.stopping, true)) return;
    for (const auto& [number, id] : r.timers) timers.push_back(id);
    for (const auto& [uid, slot] : r.slots) {
      if (slot.timer != 0) timers.push_back(slot.timer);
    }
  }
  for (const auto id : timers) r.deps.timers.cancel(id);
  r.deps.runtime.cancel_calls();
  r.node->stop();
  r.turns->drain();
  r.stops->drain();
  r.statuses.flush();
}

void Kubelet::network_changed() { rep_->node->poke(); }
void Kubelet::services_changed(const base::Status& status) { rep_->node->services_changed(status); }
bool Kubelet::node_ready() const { return rep_->node->ready(); }
const KubeletConfig& Kubelet::config() const { return rep_->config; }
Runtime& Kubelet::runtime() const { return rep_->deps.runtime; }

}  // namespace orch::agent
