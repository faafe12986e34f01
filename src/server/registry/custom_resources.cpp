#include "server/registry/custom_resources.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "api/meta.h"
#include "api/resources/custom_resource.h"
#include "api/scan.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "base/threads.h"
#include "server/registry/crd_plan.h"

namespace orch::server {

using api::ObjectPtr;
using api::ResourcePtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kGroup = "apiextensions.k8s.io";
constexpr std::string_view kPlural = "customresourcedefinitions";
constexpr std::chrono::seconds kLongestSettling{2};
constexpr std::chrono::seconds kRetry{1};
constexpr int64_t kDeletedAtOnce = 100;

/// Stands for what decides how instances are read and kept: when it changes, they are read anew. Every
/// change of a spec is a new generation.
std::string content_of(const Json& crd) {
  return base::cat(base::string_at(crd, {"metadata", "uid"}), "/",
                   base::int_at(crd, {"metadata", "generation"}), "/",
                   base::dump_json(base::object_at(crd, {"status", "acceptedNames"})));
}

}  // namespace

struct CustomResources::Rep : std::enable_shared_from_this<Rep> {
  Rep(Registry& registry, base::Timers& timers, CustomResourcesOptions options)
      : registry(registry), timers(timers), options(std::move(options)), pool("crds", 1) {}

  Registry& registry;
  base::Timers& timers;
  CustomResourcesOptions options;  // listeners: by the pool's thread alone after start()
  std::unique_ptr<CacheWatch> watch;

  // --- Who waits for whom ---
  std::mutex mutex;
  std::condition_variable settled;
  std::map<std::string, bool> queued;  // under mutex: names yet to be looked at, and whether somebody waits
  std::atomic<size_t> unsettled{0};    // changes under mutex: how many are waited for, with the one at hand
  bool stopping = false;               // under mutex

  // --- By the pool's thread alone ---
  struct Served {
    std::string content;
    bool terminating = false;
    ResourcePtr stored;
    std::unique_ptr<CacheWatch> instances;  // while they are being deleted
  };
  std::map<std::string, Served> served;      // by the definition's name
  std::map<std::string, int64_t> looked_at;  // generations whose schemas were looked at
  struct Accepted {
    int64_t revision = 0;  // of the definition they were read from
    Json definition;       // with its accepted names alone
  };
  std::map<std::string, Accepted, std::less<>> accepted;
  std::set<std::string> contested;  // definitions that wait for names

  base::ThreadPool pool;  // last: its thread ends before what it uses

  /// `waited_for`: requests are to see what comes of it, as of a definition that changed.
  void enqueue(const std::string& name, bool waited_for = true) {
    std::lock_guard lock(mutex);
    if (stopping) return;
    const auto [it, fresh] = queued.emplace(name, waited_for);
    if (waited_for && (fresh || !it->second)) ++unsettled;
    it->second = it->second || waited_for;
    if (fresh) pool.post([this, name] { run(name); });
  }

  void run(const std::string& name) {
    bool waited_for = false;
    {
      std::lock_guard lock(mutex);
      waited_for = queued[name];
      queued.erase(name);
      if (stopping && waited_for) finish_one();
      if (stopping) return;
    }
    const Status status = bring_up(name);
    if (waited_for) {
      std::lock_guard lock(mutex);
      finish_one();
    }
    const Status cleaned = status.ok() ? clean_up(name) : status;
    if (cleaned.ok() || cleaned.code() == Code::kConflict || cleaned.code() == Code::kNotFound) return;
    base::log_warning("crds", "will retry", {{"definition", name}, {"error", cleaned.message()}});
    timers.after(kRetry, [weak = weak_from_this(), name] {
      if (auto self = weak.lock()) self->enqueue(name);
    });
  }

  void finish_one() {  // under mutex
    if (--unsettled == 0) settled.notify_all();
  }

  WatchCachePtr definitions() const { return registry.cache(kGroup, kPlural); }
  ResourcePtr definitions_row() const { return registry.table().find(kGroup, "v1", kPlural); }

  WriteContext context() const {
    WriteContext c;
    c.user = &options.user;
    c.manager = "kube-apiserver";
    return c;
  }

  /// Names, conditions, rows and caches.
  Status bring_up(const std::string& name) {
    const ObjectPtr object = definitions()->get({}, name);
    if (object == nullptr) {
      withdraw(name);
      looked_at.erase(name);
      accepted.erase(name);
      contested.erase(name);
      look_at_group(name);
      return {};
    }
    const Json crd = object->tree();
    const std::string group(base::string_at(crd, {"spec", "group"}));
    const int64_t generation = base::int_at(crd, {"metadata", "generation"});
    const auto seen = looked_at.find(name);
    const std::vector<const Json*> others =
        names_settled(crd) ? std::vector<const Json*>() : names_of_others(group, name);
    const Json next = plan_crd_status(crd, others, registry.clock().now(),
                                      seen != looked_at.end() && seen->second == generation);
    looked_at[name] = generation;
    if (api::condition_is_true(next, "NamesAccepted")) {
      contested.erase(name);
    } else {
      contested.insert(name);
    }
    if (api::condition_is_true(next, "Established")) ORCH_RETURN_IF_ERROR(serve(name, object, next));
    if (next == crd) return {};
    auto written = registry.update(
        *definitions_row(), {}, name, "status",
        [&next](const Json& current) -> Result<Json> {
          Json out = current;
          out["status"] = next["status"];
          out["metadata"]["resourceVersion"] = next["metadata"]["resourceVersion"];
          return out;
        },
        context());
    if (!written.ok()) return written.error();
    // A name may have become free.
    if (next["status"].value("acceptedNames", Json()) != crd["status"].value("acceptedNames", Json()))
      look_at_group(name);
    return {};
  }

  /// A definition is called after its group.
  static bool is_of_group(std::string_view name, std::string_view group) {
    return name.size() > group.size() && name.ends_with(group) && name[name.size() - group.size() - 1] == '.';
  }

  /// The group's other definitions, as far as their accepted names go. Each is read once per revision: with
  /// many definitions their texts are long. Valid until the next call.
  std::vector<const Json*> names_of_others(const std::string& group, const std::string& name) {
    std::vector<const Json*> out;
    for (const ObjectPtr& object : definitions()->list({}).items) {
      const std::string_view own = object->name();
      if (own == name || !is_of_group(own, group)) continue;
      auto at = accepted.find(own);
      if (at == accepted.end()) at = accepted.emplace(own, Accepted()).first;
      if (at->second.revision != object->revision()) {
        auto names = base::parse_json(api::raw_value(object->bytes(), {"status", "acceptedNames"}));
        at->second.definition =
            names.ok() ? Json{{"status", {{"acceptedNames", std::move(*names)}}}} : Json();
        at->second.revision = object->revision();
      }
      if (at->second.definition.is_object()) out.push_back(&at->second.definition);
    }
    return out;
  }

  /// The other definitions of the group that wait for names.
  void look_at_group(const std::string& name) {
    const std::string group = name.substr(name.find('.') + 1);
    for (const std::string& own : contested) {
      if (own != name && is_of_group(own, group)) enqueue(own);
    }
  }

  Status serve(const std::string& name, const ObjectPtr& object, const Json& crd) {
    Served& known = served[name];
    std::string content = content_of(crd);
    const bool terminating = api::condition_is_true(crd, "Terminating");
    const bool same = known.stored != nullptr && known.content == content;
    // Rows hold the definition they were made from: the newest, so that there is one copy.
    if (same && known.terminating == terminating && known.stored->custom->definition == object) return {};
    std::vector<ResourcePtr> rows = api::custom_rows(registry.schema(), object, crd, options.webhook);
    ResourcePtr stored;
    for (const ResourcePtr& row : rows) {
      if (row->storage_version) stored = row;
    }
    if (stored == nullptr) return Status(Code::kInternal, "no version is the storage version");
    if (!same) {
      known.instances.reset();
      ORCH_RETURN_IF_ERROR(registry.open(rows));
    }
    registry.table().replace(stored->group, stored->plural, std::move(rows));
    known.content = std::move(content);
    known.terminating = terminating;
    known.stored = stored;
    if (!same && options.opened) options.opened(*stored);
    return {};
  }

  void withdraw(const std::string& name) {
    const auto it = served.find(name);
    if (it == served.end()) return;
    const ResourcePtr stored = it->second.stored;
    served.erase(it);
    if (stored == nullptr) return;
    registry.table().replace(stored->group, stored->plural, {});
    registry.close(stored->group, stored->plural);
    if (options.closed) options.closed(*stored);
  }

  /// Deletes instances, then lets the definition go.
  Status clean_up(const std::string& name) {
    const ObjectPtr object = definitions()->get({}, name);
    if (object == nullptr || !object->deleting()) return {};
    const Json crd = object->tree();
    const auto known = served.find(name);
    const ResourcePtr stored = known != served.end() ? known->second.stored : nullptr;
    const WatchCachePtr cache = stored != nullptr ? registry.cache(*stored) : nullptr;
    const size_t instances = cache != nullptr ? cache->size() : 0;
    const CrdCleanup cleanup = plan_crd_cleanup(crd, instances);
    if (cleanup == CrdCleanup::kNone) return {};
    if (cleanup == CrdCleanup::kFinalizer) return let_go(name);
    const Json next = with_cleanup_condition(crd, cleanup, registry.clock().now());
    if (next != crd) {
      // The change comes back as an event, which leads here again.
      return write_status(name, next);
    }
    Served& state = known->second;
    if (state.instances == nullptr) ORCH_RETURN_IF_ERROR(follow_instances(name, *cache, state));
    // In parts, so that other definitions get their turn.
    int64_t left = kDeletedAtOnce;
    for (const ObjectPtr& one : cache->list({}).items) {
      if (one->deleting()) continue;
      if (left-- == 0) {
        enqueue(name, false);
        return {};
      }
      auto removed = registry.remove(*stored, one->ns(), one->name(), {}, context());
      if (!removed.ok() && removed.error().code() != Code::kNotFound) return removed.error();
    }
    if (cache->size() == 0) enqueue(name, false);
    return {};
  }

  /// Looks again when an instance is gone.
  Status follow_instances(const std::string& name, WatchCache& cache, Served& state) {
    auto watching = cache.watch({}, cache.revision(), nullptr,
                                [weak = weak_from_this(), name](const std::vector<Delivery>& deliveries) {
                                  for (const Delivery& d : deliveries) {
                                    if (d.type != CacheEvent::Type::kDeleted) continue;
                                    if (auto self = weak.lock()) self->enqueue(name, false);
                                    return;
                                  }
                                });
    if (!watching.ok()) return watching.error();
    state.instances = std::move(*watching);
    return {};
  }

  Status write_status(const std::string& name, const Json& next) {
    return registry
        .update(
            *definitions_row(), {}, name, "status",
            [&next](const Json& current) -> Result<Json> {
              Json out = current;
              out["status"] = next["status"];
              return out;
            },
            context())
        .status();
  }

  Status let_go(const std::string& name) {
    WriteContext c = context();
    c.skip_validation = true;  // status and finalizers in one step
    const base::WallTime now = registry.clock().now();
    return registry
        .update(
            *definitions_row(), {}, name, "",
            [now](const Json& current) -> Result<Json> {
              Json out = with_cleanup_condition(current, CrdCleanup::kFinalizer, now);
              api::remove_finalizer(out, kCleanupFinalizer);
              return out;
            },
            c)
        .status();
  }
};

CustomResources::CustomResources(Registry& registry, base::Timers& timers, CustomResourcesOptions options)
    : rep_(std::make_shared<Rep>(registry, timers, std::move(options))) {}

CustomResources::~CustomResources() {
  stop();
  rep_->served.clear();
}

void CustomResources::stop() {
  rep_->watch.reset();
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
    rep_->settled.notify_all();
  }
  rep_->pool.drain();
}

Status CustomResources::start() {
  const WatchCachePtr cache = rep_->definitions();
  Page now = cache->list({});
  std::vector<std::string> unfinished;
  for (const ObjectPtr& object : now.items) {
    const Json crd = object->tree();
    const std::string name(object->name());
    const bool established = api::condition_is_true(crd, "Established");
    if (!established || object->deleting() || !names_settled(crd)) unfinished.push_back(name);
    if (!established) continue;
    rep_->looked_at[name] = base::int_at(crd, {"metadata", "generation"});
    if (Status served = rep_->serve(name, object, crd); !served.ok()) {
      base::log_error("crds", "cannot be served", {{"definition", name}, {"error", served.message()}});
    }
  }
  // Only now does the other thread begin.
  for (const std::string& name : unfinished) rep_->enqueue(name);
  auto watch = cache->watch({}, now.revision, nullptr,
                            [weak = std::weak_ptr<Rep>(rep_)](const std::vector<Delivery>& deliveries) {
                              auto rep = weak.lock();
                              for (const Delivery& d : deliveries) {
                                if (rep) rep->enqueue(std::string(d.object->name()));
                              }
                            });
  if (!watch.ok()) return watch.error();
  rep_->watch = std::move(*watch);
  return {};
}

void CustomResources::set_listeners(std::function<void(const api::Resource&)> opened,
                                    std::function<void(const api::Resource&)> closed) {
  rep_->pool.post([rep = rep_.get(), opened = std::move(opened), closed = std::move(closed)] {
    rep->options.opened = opened;
    rep->options.closed = closed;
    for (const auto& [name, state] : rep->served) {
      if (state.stored != nullptr && opened) opened(*state.stored);
    }
  });
}

void CustomResources::settle() {
  if (rep_->unsettled.load(std::memory_order_acquire) == 0) return;
  const base::ThreadPool::Waiting waiting;
  std::unique_lock lock(rep_->mutex);
  rep_->settled.wait_for(lock, kLongestSettling, [this] { return rep_->unsettled == 0 || rep_->stopping; });
}

}  // namespace orch::server
