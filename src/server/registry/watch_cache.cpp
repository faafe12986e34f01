#include "server/registry/watch_cache.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <unordered_map>

#include "base/log.h"
#include "base/writer_first_mutex.h"

namespace orch::server {

using api::Object;
using api::ObjectPtr;

namespace {

/// Events kept for watchers that resume; the older end goes first.
constexpr size_t kMaxEvents = 8192;
/// Twice what a client may count on (etcd's history under Kubernetes is five minutes).
constexpr std::chrono::minutes kKeepEvents{10};

struct NamePair {
  std::string_view ns, name;
};

NamePair names_of(const ObjectPtr& o) { return {o->ns(), o->name()}; }
NamePair names_of(const NamePair& n) { return n; }

struct ByName {
  using is_transparent = void;
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    NamePair x = names_of(a), y = names_of(b);
    int c = x.ns.compare(y.ns);
    return c != 0 ? c < 0 : x.name < y.name;
  }
};

NamePair split_after(std::string_view after) {
  size_t slash = after.find('/');
  if (slash == std::string_view::npos) return {{}, after};
  return {after.substr(0, slash), after.substr(slash + 1)};
}

bool matches(const Filter& f, const Object& o, const api::IndexedFields& fields) {
  if (!f.ns.empty() && o.ns() != f.ns) return false;
  if (!f.labels.empty() && !f.labels.matches(o)) return false;
  return f.fields.empty() || f.fields.matches(o, fields);
}

}  // namespace

ObjectPtr with_revision(const Object& object, int64_t revision, const api::IndexedFields& fields) {
  std::string_view bytes = object.bytes();
  std::string_view tail = object.bytes_from_metadata();
  std::string stored(bytes.substr(0, bytes.size() - tail.size()));
  constexpr std::string_view kSplice = "\"metadata\":{\"resourceVersion\":\"";
  if (tail.substr(0, kSplice.size()) == kSplice) {
    size_t end = tail.find('"', kSplice.size());
    tail.remove_prefix(end + 1);
    if (!tail.empty() && tail.front() == ',') tail.remove_prefix(1);
    stored += "\"metadata\":{";
  }
  stored += tail;
  auto made = Object::from_stored(stored, revision, fields);
  return made.ok() ? *made : nullptr;
}

namespace {

/// A watcher that only one value of a field can interest is found by that value.
struct Watcher {
  Filter filter;
  Sink sink;
  std::function<void()> on_close;
  std::string trigger;            // "" = general
  std::vector<Delivery> pending;  // under the cache's mutex
  std::mutex calling;             // held while sink runs, so that the end of a watch waits for it
  bool ended = false;             // under calling
};
using WatcherPtr = std::shared_ptr<Watcher>;

std::string trigger_for(const Filter& filter, const api::IndexedFields& fields) {
  if (filter.fields.empty()) return {};
  std::string_view name = filter.fields.exact("metadata.name");
  if (name.data() != nullptr) return "n" + std::string(name);
  if (fields.empty()) return {};
  std::string_view value = filter.fields.exact(fields[0].name);
  return value.data() != nullptr ? "f" + std::string(value) : std::string();
}

}  // namespace

namespace {

/// A committed change: the new state, or the "namespace/name" of what is gone.
struct CacheChange {
  ObjectPtr object;
  std::string gone;
  int64_t revision;
  base::MonoTime at;
};

}  // namespace

struct WatchCache::Rep {
  mutable base::WriterFirstMutex mutex;
  std::set<ObjectPtr, ByName> objects;  // under mutex
  std::deque<CacheEventPtr> events;     // under mutex, by revision
  int64_t oldest = 0;                   // under mutex: events <= this are not held
  int64_t last = 0;                     // under mutex: revision of the last event applied
  std::vector<WatcherPtr> general;      // under mutex
  std::unordered_map<std::string, std::vector<WatcherPtr>> triggered;  // under mutex
  std::vector<WatcherPtr> dirty;         // under mutex: watchers with pending deliveries
  bool filling = false, closed = false;  // under mutex
  int64_t filled = 0;                    // under mutex: what load() gave was of this revision
  std::vector<CacheChange> collected;    // under mutex, while filling

  void apply(const CacheChange& change, const api::IndexedFields& fields);  // under mutex

  void offer(const WatcherPtr& w, const CacheEvent& e, const api::IndexedFields& fields,
             ObjectPtr& gone_copy) {
    bool now = e.type != CacheEvent::Type::kDeleted && matches(w->filter, *e.object, fields);
    bool before = e.previous != nullptr && matches(w->filter, *e.previous, fields);
    if (!now && !before) return;
    Delivery d{CacheEvent::Type::kModified, e.object, e.revision};
    if (now && !before) d.type = CacheEvent::Type::kAdded;
    if (!now) {
      d.type = CacheEvent::Type::kDeleted;
      if (e.type != CacheEvent::Type::kDeleted) {
        // Left the selection: the watcher sees its last selected state go, at this revision.
        if (!gone_copy) gone_copy = with_revision(*e.previous, e.revision, fields);
        d.object = gone_copy;
      }
    }
    if (w->pending.empty()) dirty.push_back(w);
    w->pending.push_back(std::move(d));
  }

  template <typename F>
  void each_candidate(const CacheEvent& e, const F& call) {
    for (const auto& w : general) call(w);
    if (triggered.empty()) return;
    std::string first, second;
    auto visit = [&](const std::string& key) {
      if (key == first || key == second) return;
      (first.empty() ? first : second) = key;
      auto it = triggered.find(key);
      if (it == triggered.end()) return;
      for (const auto& w : it->second) call(w);
    };
    visit("n" + std::string(e.object->name()));
    first.clear();
    visit("f" + std::string(e.object->field(0)));
    if (e.previous) visit("f" + std::string(e.previous->field(0)));
  }

  void remove(const WatcherPtr& w) {
    std::unique_lock lock(mutex);
    auto drop = [&w](std::vector<WatcherPtr>& v) { v.erase(std::remove(v.begin(), v.end(), w), v.end()); };
    if (w->trigger.empty()) {
      drop(general);
    } else if (auto it = triggered.find(w->trigger); it != triggered.end()) {
      drop(it->second);
      if (it->second.empty()) triggered.erase(it);
    }
    drop(dirty);
  }
};

WatchCache::WatchCache(api::ResourcePtr resource, const std::atomic<int64_t>& progress, Reread reread)
    : resource_(std::move(resource)),
      progress_(progress),
      reread_(std::move(reread)),
      rep_(std::make_shared<Rep>()) {}

WatchCache::~WatchCache() = default;

ObjectPtr WatchCache::get(std::string_view ns, std::string_view name) const {
  std::shared_lock lock(rep_->mutex);
  auto it = rep_->objects.find(NamePair{ns, name});
  return it == rep_->objects.end() ? nullptr : *it;
}

size_t WatchCache::size() const {
  std::shared_lock lock(rep_->mutex);
  return rep_->objects.size();
}

int64_t WatchCache::revision() const {
  int64_t progress = progress_.load(std::memory_order_acquire);
  std::shared_lock lock(rep_->mutex);
  return std::max(progress, rep_->last);
}

Page WatchCache::list(const Filter& filter, std::string_view after, int64_t limit) const {
  Page page;
  int64_t progress = progress_.load(std::memory_order_acquire);
  const auto& fields = resource_->selectable_fields;
  bool plain = filter.labels.empty() && filter.fields.empty();
  std::shared_lock lock(rep_->mutex);
  page.revision = std::max(progress, rep_->last);
  const auto& objects = rep_->objects;

  std::string_view exact = filter.fields.exact("metadata.name");
  if (exact.data() != nullptr && (!filter.ns.empty() || !resource_->namespaced)) {
    auto it = objects.find(NamePair{filter.ns, exact});
    if (it != objects.end() && matches(filter, **it, fields) && after.empty()) page.items.push_back(*it);
    return page;
  }
  auto it = !after.empty()       ? objects.upper_bound(split_after(after))
            : !filter.ns.empty() ? objects.lower_bound(NamePair{filter.ns, {}})
                                 : objects.begin();
  if (plain && limit == 0 && filter.ns.empty()) page.items.reserve(objects.size());
  for (; it != objects.end(); ++it) {
    if (!filter.ns.empty() && (*it)->ns() != filter.ns) break;
    if (!plain && !matches(filter, **it, fields)) continue;
    if (limit > 0 && static_cast<int64_t>(page.items.size()) == limit) {
      const Object& last = *page.items.back();
      page.next = resource_->namespaced ? base::cat(last.ns(), "/", last.name()) : std::string(last.name());
      if (plain) {
        page.remaining = 0;
        for (; it != objects.end() && (filter.ns.empty() || (*it)->ns() == filter.ns); ++it) ++page.remaining;
      }
      break;
    }
    page.items.push_back(*it);
  }
  return page;
}

namespace {

class WatchHandle final : public CacheWatch {
 public:
  WatchHandle(WatcherPtr watcher, std::function<void()> remove)
      : watcher_(std::move(watcher)), remove_(std::move(remove)) {}
  ~WatchHandle() override {
    remove_();
    std::lock_guard lock(watcher_->calling);
    watcher_->ended = true;
    watcher_->sink = nullptr;
  }

 private:
  WatcherPtr watcher_;
  std::function<void()> remove_;
};

}  // namespace

base::Result<std::unique_ptr<CacheWatch>> WatchCache::watch(
    Filter filter, int64_t since, const std::function<void(const Page&)>& on_initial, Sink sink,
    std::function<void()> on_close) {
  const auto& fields = resource_->selectable_fields;
  auto w = std::make_shared<Watcher>();
  w->trigger = trigger_for(filter, fields);
  w->filter = std::move(filter);
  w->sink = std::move(sink);
  w->on_close = std::move(on_close);
  int64_t progress = progress_.load(std::memory_order_acquire);
  // Held through the replay, so that live events wait until the past ones were delivered.
  std::unique_lock calling(w->calling);
  std::vector<Delivery> past;
  Page initial;
  {
    std::unique_lock lock(rep_->mutex);
    if (rep_->closed) return base::Status(base::Code::kGone, "the resource is no longer served this way");
    if (on_initial) {
      initial.revision = std::max(progress, rep_->last);
      for (const auto& o : rep_->objects) {
        if (matches(w->filter, *o, fields)) initial.items.push_back(o);
      }
    } else {
      if (since < rep_->oldest) {
        return base::Status(base::Code::kExpired,
                            base::cat("too old resource version: ", since, " (", rep_->oldest, ")"));
      }
      auto from = std::upper_bound(rep_->events.begin(), rep_->events.end(), since,
                                   [](int64_t r, const CacheEventPtr& e) { return r < e->revision; });
      for (; from != rep_->events.end(); ++from) {
        ObjectPtr gone;
        rep_->offer(w, **from, fields, gone);
      }
      past.swap(w->pending);
      rep_->dirty.erase(std::remove(rep_->dirty.begin(), rep_->dirty.end(), w), rep_->dirty.end());
    }
    if (w->trigger.empty()) {
      rep_->general.push_back(w);
    } else {
      rep_->triggered[w->trigger].push_back(w);
    }
  }
  if (on_initial) on_initial(initial);
  if (!past.empty()) w->sink(past);
  calling.unlock();
  auto rep = rep_;
  return std::unique_ptr<CacheWatch>(std::make_unique<WatchHandle>(w, [rep, w] { rep->remove(w); }));
}

base::Result<ObjectPtr> WatchCache::read(const datastore::KeyValue& kv) const {
  const auto& fields = resource_->selectable_fields;
  if (!reread_) return Object::from_stored(kv.value, kv.mod_revision, fields);
  return Object::from_stored(reread_(kv.value, kv.mod_revision), kv.mod_revision, fields);
}

void WatchCache::begin_filling() {
  std::unique_lock lock(rep_->mutex);
  rep_->filling = true;
}

void WatchCache::end_filling(int64_t revision) {
  std::unique_lock lock(rep_->mutex);
  rep_->oldest = std::max(rep_->oldest, revision);
  rep_->filled = revision;
  std::vector<CacheChange> collected = std::move(rep_->collected);
  rep_->collected.clear();
  std::stable_sort(collected.begin(), collected.end(),
                   [](const CacheChange& a, const CacheChange& b) { return a.revision < b.revision; });
  // What comes while these are applied waits for the lock.
  for (const CacheChange& change : collected) {
    if (change.revision <= rep_->filled) continue;
    rep_->apply(change, resource_->selectable_fields);
    rep_->filled = change.revision;
  }
  rep_->filling = false;
}

void WatchCache::close() {
  std::vector<WatcherPtr> watchers;
  {
    std::unique_lock lock(rep_->mutex);
    rep_->closed = true;
    watchers = std::move(rep_->general);
    rep_->general.clear();
    for (auto& [key, some] : rep_->triggered) watchers.insert(watchers.end(), some.begin(), some.end());
    rep_->triggered.clear();
    rep_->dirty.clear();
  }
  for (const WatcherPtr& w : watchers) {
    std::lock_guard lock(w->calling);
    if (!w->ended && w->on_close) w->on_close();
  }
}

void WatchCache::load(const datastore::KeyValue& kv) {
  auto object = read(kv);
  if (!object.ok()) {
    base::log_error("registry", "stored object does not parse",
                    {{"key", kv.key}, {"error", object.error().message()}});
    return;
  }
  std::unique_lock lock(rep_->mutex);
  rep_->objects.insert(*object);
}

void WatchCache::set_oldest(int64_t revision) {
  std::unique_lock lock(rep_->mutex);
  rep_->oldest = revision;
}

void WatchCache::apply(const datastore::Event& event, base::MonoTime now) {
  CacheChange change{nullptr, {}, event.kv.mod_revision, now};
  if (event.type == datastore::Event::Type::kPut) {
    auto object = read(event.kv);
    if (!object.ok()) {
      base::log_error("registry", "written object does not parse",
                      {{"key", event.kv.key}, {"error", object.error().message()}});
      return;
    }
    change.object = *object;
  } else {
    change.gone = event.kv.key.substr(resource_->key_prefix().size());
  }
  std::unique_lock lock(rep_->mutex);
  if (rep_->filling) {
    rep_->collected.push_back(std::move(change));
  } else if (change.revision > rep_->filled) {
    rep_->apply(change, resource_->selectable_fields);
  }
}

void WatchCache::Rep::apply(const CacheChange& change, const api::IndexedFields& fields) {
  auto e = std::make_shared<CacheEvent>();
  e->at = change.at;
  e->revision = change.revision;
  if (change.object) {
    e->object = change.object;
    auto it = objects.find(e->object);
    e->type = it == objects.end() ? CacheEvent::Type::kAdded : CacheEvent::Type::kModified;
    if (it != objects.end()) {
      e->previous = *it;
      // The key views point into the value: move the node rather than allocate another.
      auto node = objects.extract(it);
      node.value() = e->object;
      objects.insert(std::move(node));
    } else {
      objects.insert(e->object);
    }
  } else {
    auto it = objects.find(split_after(change.gone));
    if (it == objects.end()) return;
    e->type = CacheEvent::Type::kDeleted;
    e->previous = *it;
    e->object = with_revision(**it, e->revision, fields);
    objects.erase(it);
  }
  last = e->revision;
  ObjectPtr gone;
  each_candidate(*e, [&](const WatcherPtr& w) { offer(w, *e, fields, gone); });
  events.push_back(std::move(e));
  while (events.size() > kMaxEvents || change.at - events.front()->at > kKeepEvents) {
    oldest = events.front()->revision;
    events.pop_front();
  }
}

void WatchCache::flush() {
  std::vector<std::pair<WatcherPtr, std::vector<Delivery>>> out;
  {
    std::unique_lock lock(rep_->mutex);
    if (rep_->dirty.empty()) return;
    out.reserve(rep_->dirty.size());
    for (auto& w : rep_->dirty) out.emplace_back(w, std::move(w->pending)), w->pending.clear();
    rep_->dirty.clear();
  }
  for (auto& [w, deliveries] : out) {
    std::lock_guard lock(w->calling);
    if (!w->ended) w->sink(deliveries);
  }
}

}  // namespace orch::server
