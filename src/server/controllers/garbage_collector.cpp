#include "server/controllers/garbage_collector.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "api/scan.h"
#include "base/json.h"
#include "base/log.h"
#include "client/event_recorder.h"
#include "server/controllers/queue_metrics.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

Judgement judge(const std::vector<OwnerState>& owners, const std::vector<std::string>& finalizers,
                bool has_dependents) {
  Judgement out;
  bool solid = false, waiting = false;
  for (const auto& o : owners) {
    if (!o.exists) {
      out.drop_uids.push_back(o.reference.uid);
    } else if (o.waiting_for_dependents) {
      waiting = true;
      out.drop_uids.push_back(o.reference.uid);
    } else {
      solid = true;
    }
  }
  if (owners.empty()) return out;
  if (solid) {
    if (!out.drop_uids.empty()) out.action = Judgement::Action::kDropReferences;
    return out;
  }
  out.action = Judgement::Action::kDelete;
  auto has = [&](std::string_view f) {
    return std::find(finalizers.begin(), finalizers.end(), f) != finalizers.end();
  };
  // An owner that waits for its dependents waits for theirs too.
  if (waiting && has_dependents) {
    out.propagation = "Foreground";
  } else if (has("orphan")) {
    out.propagation = "Orphan";
  } else {
    out.propagation = has("foregroundDeletion") ? "Foreground" : "Background";
  }
  return out;
}

namespace {

struct Ref {
  client::ResourceRef resource;
  std::string ns, name, uid;
  friend bool operator<(const Ref& a, const Ref& b) { return a.uid < b.uid; }
};

constexpr std::chrono::milliseconds kFirstRetry{20};
constexpr std::chrono::seconds kLastRetry{30};
constexpr size_t kThreads = 4;
constexpr size_t kMaxAbsent = 500;

/// An owner, as far as waiting for it goes.
struct Owner {
  std::string uid;
  bool blocks = false;
  friend bool operator==(const Owner&, const Owner&) = default;
};

std::vector<std::string> finalizers_of(const Json& tree) {
  std::vector<std::string> out;
  for (const auto& f : base::array_at(tree, {"metadata", "finalizers"})) {
    if (f.is_string()) out.push_back(f.get<std::string>());
  }
  return out;
}

bool mentions(const api::Object& o, std::string_view text) { return api::mentions(o.bytes(), text); }

}  // namespace

struct GarbageCollector::Rep : std::enable_shared_from_this<Rep> {
  Rep(client::Client& client, api::ResourceTable& table, base::Timers& timers, const base::Clock& clock,
      base::TaskMaker& tasks)
      : client(client),
        table(table),
        timers(timers),
        clock(clock),
        recorder(client, clock),
        pool(tasks.make("gc", kThreads)) {}

  /// What the metrics take for a queue: which one an object is in is seen when it comes.
  struct Queue {
    QueueMetrics metrics;
    std::multimap<std::string, base::MonoTime> running;  // uids, since when
  };

  void expose(base::Metrics& metrics) {
    const auto make = [&](const char* name, Queue Rep::*queue) {
      (this->*queue).metrics = make_queue_metrics(metrics, name, [weak = weak_from_this(), queue] {
        const auto self = weak.lock();
        if (!self) return Unfinished();
        std::lock_guard lock(self->mutex);
        return Unfinished::of((self.get()->*queue).running, self->clock.mono());
      });
    };
    make("garbage_collector_attempt_to_delete", &Rep::to_delete);
    make("garbage_collector_attempt_to_orphan", &Rep::to_orphan);
  }

  // --- What is known; under mutex ---
  std::mutex mutex;
  Queue to_delete, to_orphan;
  std::unordered_map<std::string, std::set<Ref>> dependents;   // by owner uid
  std::unordered_map<std::string, std::vector<Owner>> owners;  // of objects that have any, by uid
  std::set<std::string> absent;  // uids of owners that no namespace has; bounded
  std::map<std::string, int> failures;
  struct Entry {
    Queue* queue = nullptr;
    base::MonoTime since{};
  };
  std::unordered_map<std::string, Entry> queued;  // by uid
  bool stopping = false;

  client::Client& client;
  api::ResourceTable& table;
  base::Timers& timers;
  const base::Clock& clock;
  client::EventRecorder recorder;
  std::mutex watches_mutex;
  std::map<std::string, std::unique_ptr<client::Watch>> watches;  // under watches_mutex, by group and plural
  std::unique_ptr<base::Tasks> pool;

  Ref ref_of(const client::ResourceRef& resource, const api::Object& o) {
    return {resource, std::string(o.ns()), std::string(o.name()), std::string(o.uid())};
  }

  /// Brings the graph up to an object's current owners; null: it is gone. True when they changed, the owners
  /// before and after are woken then: they may have waited for this. Under mutex.
  bool note(const Ref& ref, const api::Object* object) {
    std::vector<Owner> now;
    if (object != nullptr && mentions(*object, "\"ownerReferences\"")) {
      for (const auto& o : api::owner_references(*object)) now.push_back({o.uid, o.block_owner_deletion});
    }
    std::vector<Owner> before;
    if (auto had = owners.find(ref.uid); had != owners.end()) before = had->second;
    if (now == before) return false;
    for (const auto& o : before) {
      auto it = dependents.find(o.uid);
      if (it == dependents.end()) continue;
      it->second.erase(ref);
      if (it->second.empty()) dependents.erase(it);
    }
    for (const auto& o : now) dependents[o.uid].insert(ref);
    if (now.empty()) {
      owners.erase(ref.uid);
    } else {
      owners[ref.uid] = now;
    }
    for (const auto* list : {&before, &now}) {
      for (const auto& o : *list) wake_owner(o.uid);
    }
    return true;
  }

  void on_change(const client::ResourceRef& resource, const ObjectPtr& object, bool deleted) {
    Ref ref = ref_of(resource, *object);
    std::lock_guard lock(mutex);
    if (stopping) return;
    if (deleted) {
      note(ref, nullptr);
      waiting.erase(ref.uid);
      if (auto it = dependents.find(ref.uid); it != dependents.end()) {
        for (const auto& d : it->second) enqueue(d);
      }
      return;
    }
    const bool changed = note(ref, object.get());
    const bool ours = object->deleting() &&
                      (mentions(*object, "\"foregroundDeletion\"") || mentions(*object, "\"orphan\""));
    if (ours) waiting[ref.uid] = {ref, mentions(*object, "\"orphan\"")};
    // What else changes of an object is nothing to the collector.
    if (ours || (changed && owners.count(ref.uid) != 0)) enqueue(ref);
  }

  /// A deleting object with a finalizer of ours.
  struct Waiting {
    Ref ref;
    bool orphans = false;
  };
  std::unordered_map<std::string, Waiting> waiting;  // under mutex

  void wake_owner(const std::string& uid) {  // under mutex
    auto it = waiting.find(uid);
    if (it != waiting.end()) enqueue(it->second.ref);
  }

  void enqueue(const Ref& ref) {  // under mutex
    if (stopping) return;
    const auto [entry, fresh] = queued.try_emplace(ref.uid);
    if (!fresh) return;
    const auto it = waiting.find(ref.uid);
    Queue& queue = it != waiting.end() && it->second.orphans ? to_orphan : to_delete;
    entry->second = {&queue, clock.mono()};
    queue.metrics.adds->add();
    queue.metrics.depth->add(1);
    pool->post([this, ref] { run(ref); });
  }

  void run(const Ref& ref) {
    const base::MonoTime began = clock.mono();
    Queue* queue = nullptr;
    std::multimap<std::string, base::MonoTime>::iterator running;
    {
      std::lock_guard lock(mutex);
      if (stopping) return;
      const auto entry = queued.find(ref.uid);
      queue = entry->second.queue;
      queue->metrics.depth->add(-1);
      queue->metrics.patience->observe(seconds_between(entry->second.since, began));
      queued.erase(entry);
      running = queue->running.emplace(ref.uid, began);
    }
    Status status = process(ref);
    queue->metrics.work->observe(seconds_between(began, clock.mono()));
    std::lock_guard lock(mutex);
    queue->running.erase(running);
    if (status.ok() || status.code() == Code::kNotFound) {
      failures.erase(ref.uid);
      return;
    }
    queue->metrics.retries->add();
    const int n = std::min(failures[ref.uid]++, 12);
    if (status.code() != Code::kConflict) {
      base::log_debug(
          "gc", "will retry",
          {{"object", ref.resource.plural + " " + ref.ns + "/" + ref.name}, {"error", status.message()}});
    }
    if (stopping) return;
    timers.after(std::min<base::Duration>(base::Duration(kFirstRetry) * (1 << n), kLastRetry),
                 [weak = weak_from_this(), ref] {
                   auto self = weak.lock();
                   if (!self) return;
                   std::lock_guard guard(self->mutex);
                   self->enqueue(ref);
                 });
  }

  Status process(const Ref& ref) {
    auto object = client.get(ref.resource, ref.ns, ref.name);
    if (!object.ok()) return object.error();
    if ((*object)->uid() != ref.uid) return {};
    const Json tree = (*object)->tree();
    const auto finalizers = finalizers_of(tree);
    auto has = [&](std::string_view f) {
      return std::find(finalizers.begin(), finalizers.end(), f) != finalizers.end();
    };
    if ((*object)->deleting()) {
      if (has("orphan")) return orphan_dependents(ref, tree);
      if (has("foregroundDeletion")) return delete_dependents(ref, tree);
      return {};
    }
    const auto references = api::owner_references(**object);
    if (references.empty()) return {};
    std::vector<OwnerState> states;
    for (const auto& r : references) {
      auto state = look_up(r, ref.ns);
      if (!state.ok()) return state.error();
      if (state->elsewhere) {
        recorder.record(
            "garbage-collector-controller", **object, "Warning", "OwnerRefInvalidNamespace",
            base::cat("ownerRef [", r.api_version, "/", r.kind, ", namespace: ", ref.ns, ", name: ", r.name,
                      ", uid: ", r.uid, "] does not exist in namespace \"", ref.ns, "\""));
      }
      states.push_back(std::move(*state));
    }
    bool has_dependents, circle = false;
    {
      std::lock_guard lock(mutex);
      auto it = dependents.find(ref.uid);
      has_dependents = it != dependents.end();
      if (has_dependents) {
        circle = std::any_of(it->second.begin(), it->second.end(),
                             [&](const Ref& d) { return waiting.count(d.uid) != 0; });
      }
    }
    Judgement j = judge(states, finalizers, has_dependents);
    // Objects that wait for each other would do so for ever.
    if (j.propagation == "Foreground" && circle) ORCH_RETURN_IF_ERROR(stop_blocking(ref, references));
    switch (j.action) {
      case Judgement::Action::kKeep:
        return {};
      case Judgement::Action::kDropReferences:
        return drop_references(ref, j.drop_uids);
      case Judgement::Action::kDelete:
        break;
    }
    client::DeleteOptions options;
    options.uid = ref.uid;
    if (!circle) options.resource_version = std::to_string((*object)->revision());
    options.propagation = j.propagation;
    return client.remove(ref.resource, ref.ns, ref.name, options);
  }

  Result<OwnerState> look_up(const api::OwnerReference& reference, const std::string& ns) {
    OwnerState state;
    state.reference = reference;
    auto [group, version] = api::split_api_version(reference.api_version);
    api::ResourcePtr row = table.find_kind(group, version, reference.kind);
    if (row == nullptr || !row->stored) {
      // A kind nobody serves cannot be seen to be gone.
      return Status(Code::kInternal,
                    base::cat("owner kind ", reference.api_version, " ", reference.kind, " is not served"));
    }
    // An object of the whole cluster cannot be owned by one of some namespace: nothing is known of that
    // owner.
    if (row->namespaced && ns.empty()) {
      return Status(Code::kNotFound, base::cat("owner kind ", reference.kind, " is namespaced"));
    }
    const client::ResourceRef resource{row->group, row->version, row->plural};
    auto owner = client.get(resource, row->namespaced ? ns : std::string(), reference.name);
    if (!owner.ok()) {
      if (owner.error().code() != Code::kNotFound) return owner.error();
      if (row->namespaced) state.elsewhere = exists_anywhere(resource, reference.uid);
      return state;
    }
    state.exists = (*owner)->uid() == reference.uid;
    state.waiting_for_dependents =
        state.exists && (*owner)->deleting() && mentions(**owner, "\"foregroundDeletion\"");
    return state;
  }

  /// Whether some namespace has an object of this uid. Asked once for each that is gone.
  bool exists_anywhere(const client::ResourceRef& resource, const std::string& uid) {
    {
      std::lock_guard lock(mutex);
      if (absent.count(uid) != 0) return false;
    }
    auto list = client.list(resource, {});
    if (!list.ok()) return false;
    if (std::any_of(list->items.begin(), list->items.end(),
                    [&](const ObjectPtr& o) { return o->uid() == uid; })) {
      return true;
    }
    std::lock_guard lock(mutex);
    if (absent.size() >= kMaxAbsent) absent.clear();
    absent.insert(uid);
    return false;
  }

  Status stop_blocking(const Ref& ref, const std::vector<api::OwnerReference>& references) {
    Json list = Json::array();
    for (const auto& r : references) {
      if (r.block_owner_deletion) list.push_back({{"uid", r.uid}, {"blockOwnerDeletion", false}});
    }
    if (list.empty()) return {};
    if (is_custom(ref)) {
      std::vector<std::string> blocking;
      for (const Json& one : list) blocking.push_back(one["uid"].get<std::string>());
      return edit_owners(ref, [&](Json& owner) {
        if (std::find(blocking.begin(), blocking.end(), base::string_at(owner, {"uid"})) != blocking.end())
          owner["blockOwnerDeletion"] = false;
        return true;
      });
    }
    return client
        .patch(ref.resource, ref.ns, ref.name, client::PatchType::kStrategic,
               {{"metadata", {{"uid", ref.uid}, {"ownerReferences", std::move(list)}}}})
        .status();
  }

  /// Custom resources know no strategic merge.
  bool is_custom(const Ref& ref) const {
    const auto row = table.find(ref.resource.group, ref.resource.version, ref.resource.plural);
    return row != nullptr && row->custom != nullptr;
  }

  /// Changes each owner reference of an object, or drops it when `edit` says false.
  Status edit_owners(const Ref& ref, const std::function<bool(Json& owner)>& edit) {
    auto object = client.get(ref.resource, ref.ns, ref.name);
    if (!object.ok()) return object.error();
    if ((*object)->uid() != ref.uid) return {};
    Json owners = Json::array();
    const Json tree = (*object)->tree();
    for (Json owner : base::array_at(tree, {"metadata", "ownerReferences"})) {
      if (edit(owner)) owners.push_back(std::move(owner));
    }
    return client
        .patch(ref.resource, ref.ns, ref.name, client::PatchType::kMerge,
               {{"metadata",
                 {{"uid", ref.uid},
                  {"resourceVersion", std::to_string((*object)->revision())},
                  {"ownerReferences", owners.empty() ? Json() : std::move(owners)}}}})
        .status();
  }

  Status drop_references(const Ref& ref, const std::vector<std::string>& uids) {
    if (is_custom(ref)) {
      return edit_owners(ref, [&](Json& owner) {
        return std::find(uids.begin(), uids.end(), owner.value("uid", "")) == uids.end();
      });
    }
    Json list = Json::array();
    for (const auto& uid : uids) list.push_back({{"$patch", "delete"}, {"uid", uid}});
    return client
        .patch(ref.resource, ref.ns, ref.name, client::PatchType::kStrategic,
               {{"metadata", {{"uid", ref.uid}, {"ownerReferences", list}}}})
        .status();
  }

  std::vector<Ref> dependents_of(const std::string& uid) {
    std::lock_guard lock(mutex);
    auto it = dependents.find(uid);
    return it == dependents.end() ? std::vector<Ref>()
                                  : std::vector<Ref>(it->second.begin(), it->second.end());
  }

  Status remove_finalizer(const Ref& ref, Json tree, const char* finalizer) {
    Json& list = tree["metadata"]["finalizers"];
    list.erase(std::remove(list.begin(), list.end(), finalizer), list.end());
    Status s = client.update(ref.resource, ref.ns, tree).status();
    if (s.ok()) {
      std::lock_guard lock(mutex);
      waiting.erase(ref.uid);
    }
    return s;
  }

  Status orphan_dependents(const Ref& ref, const Json& tree) {
    for (const auto& d : dependents_of(ref.uid)) {
      Status s = drop_references(d, {ref.uid});
      if (!s.ok() && s.code() != Code::kNotFound) return s;
    }
    return remove_finalizer(ref, tree, "orphan");
  }

  Status delete_dependents(const Ref& ref, const Json& tree) {
    bool blocked = false;
    for (const auto& d : dependents_of(ref.uid)) {
      auto object = client.get(d.resource, d.ns, d.name);
      if (!object.ok() || (*object)->uid() != d.uid) continue;
      for (const auto& r : api::owner_references(**object)) {
        if (r.uid == ref.uid && r.block_owner_deletion) blocked = true;
      }
      if (!(*object)->deleting()) {
        std::lock_guard lock(mutex);
        enqueue(d);
      }
    }
    if (blocked) return {};
    return remove_finalizer(ref, tree, "foregroundDeletion");
  }
};

GarbageCollector::GarbageCollector(client::Client& client, api::ResourceTable& table, base::Timers& timers,
                                   const base::Clock& clock, base::Metrics& metrics, base::TaskMaker& tasks)
    : rep_(std::make_shared<Rep>(client, table, timers, clock, tasks)) {
  rep_->expose(metrics);
}

GarbageCollector::~GarbageCollector() {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
  }
  {
    std::lock_guard lock(rep_->watches_mutex);
    rep_->watches.clear();
  }
  rep_->pool->drain();
}

Status GarbageCollector::start() {
  const auto rows = rep_->table.all();
  for (const auto& row : *rows) {
    if (!row->stored || !row->storage_version || !row->has_verb("delete")) continue;
    // Events own nothing and are owned by nothing.
    if (row->plural == "events") continue;
    ORCH_RETURN_IF_ERROR(follow({row->group, row->version, row->plural}));
  }
  return {};
}

Status GarbageCollector::follow(const client::ResourceRef& resource) {
  auto listed = rep_->client.list(resource, {});
  if (!listed.ok()) return listed.error();
  for (const auto& object : listed->items) rep_->on_change(resource, object, false);
  client::WatchHandler handler;
  handler.on_events = [rep = rep_.get(), resource](const std::vector<client::WatchEvent>& events) {
    for (const auto& e : events) {
      if (e.object) rep->on_change(resource, e.object, e.type == client::WatchEvent::Type::kDeleted);
    }
  };
  handler.on_end = [](const Status&) {};
  auto watch = rep_->client.watch(resource, {}, listed->revision, std::move(handler));
  if (!watch.ok()) return watch.error();
  std::unique_ptr<client::Watch> old;  // ends outside of the lock
  std::lock_guard lock(rep_->watches_mutex);
  old = std::exchange(rep_->watches[base::cat(resource.plural, ".", resource.group)], std::move(*watch));
  return {};
}

void GarbageCollector::unfollow(const client::ResourceRef& resource) {
  std::unique_ptr<client::Watch> old;
  std::lock_guard lock(rep_->watches_mutex);
  const auto it = rep_->watches.find(base::cat(resource.plural, ".", resource.group));
  if (it == rep_->watches.end()) return;
  old = std::move(it->second);
  rep_->watches.erase(it);
}

}  // namespace orch::server
