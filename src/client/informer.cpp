#include "client/informer.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <unordered_map>

#include "base/log.h"

namespace orch::client {

using api::ObjectPtr;
using base::Code;
using base::Status;

namespace {

using Key = std::pair<std::string, std::string>;
using KeyView = std::pair<std::string_view, std::string_view>;

struct KeyLess {
  using is_transparent = void;
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    int c = std::string_view(a.first).compare(std::string_view(b.first));
    return c != 0 ? c < 0 : std::string_view(a.second) < std::string_view(b.second);
  }
};

constexpr std::chrono::milliseconds kFirstRetry{200};
constexpr std::chrono::seconds kLastRetry{30};

class InformerImpl final : public Informer {
 public:
  InformerImpl(Client& client, base::Timers& timers, ResourceRef resource, ListOptions options,
               base::TaskMaker& tasks)
      : shared_(std::make_shared<Shared>(client, timers, std::move(resource), std::move(options))),
        pool_(tasks.make("informer", 1)) {
    shared_->pool = pool_.get();
  }
  ~InformerImpl() override { shared_->stop(); }

  void on_change(ChangeHandler handler) override { shared_->handlers.push_back(std::move(handler)); }
  void add_index(const std::string& name, IndexFunction function) override {
    for (const auto& index : shared_->indexes) {
      if (index.name == name) return;
    }
    shared_->indexes.push_back({name, std::move(function), {}});
  }
  void start() override {
    if (!std::exchange(started_, true)) shared_->relist();
  }
  void stop() override { shared_->stop(); }
  bool synced() const override {
    std::shared_lock lock(shared_->mutex);
    return shared_->synced;
  }
  bool wait_synced(std::chrono::milliseconds timeout) override {
    std::unique_lock lock(shared_->mutex);
    return shared_->sync_changed.wait_for(lock, timeout, [&] { return shared_->synced; });
  }
  ObjectPtr get(std::string_view ns, std::string_view name) const override {
    std::shared_lock lock(shared_->mutex);
    auto it = shared_->objects.find(KeyView(ns, name));
    return it == shared_->objects.end() ? nullptr : it->second;
  }
  std::vector<ObjectPtr> list() const override {
    std::shared_lock lock(shared_->mutex);
    std::vector<ObjectPtr> out;
    out.reserve(shared_->objects.size());
    for (const auto& [key, object] : shared_->objects) out.push_back(object);
    return out;
  }
  std::vector<ObjectPtr> list_namespace(std::string_view ns) const override {
    std::shared_lock lock(shared_->mutex);
    std::vector<ObjectPtr> out;
    for (auto it = shared_->objects.lower_bound(KeyView(ns, {})); it != shared_->objects.end(); ++it) {
      if (it->second->ns() != ns) break;
      out.push_back(it->second);
    }
    return out;
  }
  std::vector<ObjectPtr> by_index(const std::string& name, std::string_view value) const override {
    std::shared_lock lock(shared_->mutex);
    for (const auto& index : shared_->indexes) {
      if (index.name != name) continue;
      auto it = index.entries.find(std::string(value));
      return it == index.entries.end() ? std::vector<ObjectPtr>() : it->second;
    }
    return {};
  }
  int64_t revision() const override {
    std::shared_lock lock(shared_->mutex);
    return shared_->revision;
  }

 private:
  struct Index {
    std::string name;
    IndexFunction function;
    std::unordered_map<std::string, std::vector<ObjectPtr>> entries;
  };

  /// Outlives the informer while a callback or a retry timer still holds it.
  struct Shared : std::enable_shared_from_this<Shared> {
    Shared(Client& client, base::Timers& timers, ResourceRef resource, ListOptions options)
        : client(client), timers(timers), resource(std::move(resource)), options(std::move(options)) {}

    void stop() {
      std::unique_ptr<Watch> ending;
      base::Timers::Id timer = 0;
      {
        std::unique_lock lock(mutex);
        stopped = true;
        ending = std::move(watch);
        timer = retry_timer;
      }
      if (timer != 0) timers.cancel(timer);
      ending.reset();
      // A callback under way on another thread has ended when this returns.
      std::lock_guard wait(delivery);
    }

    void relist() {
      auto listed = client.list(resource, options);
      if (!listed.ok()) {
        retry(listed.error(), true);
        return;
      }
      {
        std::lock_guard guard(delivery);
        replace(*listed);
      }
      rewatch();
    }

    void rewatch() {
      int64_t from;
      {
        std::shared_lock lock(mutex);
        if (stopped) return;
        from = revision;
      }
      WatchHandler handler;
      std::weak_ptr<Shared> weak = weak_from_this();
      handler.on_events = [weak](const std::vector<WatchEvent>& events) {
        if (auto self = weak.lock()) self->apply(events);
      };
      handler.on_end = [weak](const Status& status) {
        if (auto self = weak.lock())
          self->retry(status, status.code() == Code::kExpired || status.code() == Code::kGone);
      };
      auto started = client.watch(resource, options, from, std::move(handler));
      if (!started.ok()) {
        retry(started.error(),
              started.error().code() == Code::kExpired || started.error().code() == Code::kGone);
        return;
      }
      std::unique_ptr<Watch> old;
      std::unique_lock lock(mutex);
      if (stopped) {
        old = std::move(*started);
        lock.unlock();
        return;
      }
      old = std::exchange(watch, std::move(*started));
      lock.unlock();
    }

    void retry(const Status& why, bool list_again) {
      std::unique_lock lock(mutex);
      if (stopped) return;
      if (!why.ok() && why.code() != Code::kExpired) {
        base::log_debug("informer", "watch ended", {{"resource", resource.plural}, {"why", why.message()}});
      }
      base::Duration wait{0};
      if (!why.ok() && why.code() != Code::kExpired) {
        delay = std::min<base::Duration>(delay.count() == 0 ? base::Duration(kFirstRetry) : delay * 2,
                                         kLastRetry);
        wait =
            delay + base::Duration(static_cast<int64_t>(static_cast<double>(delay.count()) * 0.5 * jitter()));
      }
      std::weak_ptr<Shared> weak = weak_from_this();
      // Never from within the callback: a watch must not be replaced by itself.
      retry_timer = timers.after(wait, [weak, list_again] {
        auto self = weak.lock();
        if (!self) return;
        // A list may wait for a server that is away: not on the timers' thread.
        std::unique_lock guard(self->mutex);
        if (self->stopped) return;
        self->pool->post([weak, list_again] {
          auto again = weak.lock();
          if (again) list_again ? again->relist() : again->rewatch();
        });
      });
    }

    static double jitter() {
      // One for all: to be given a seed by the machine takes its time.
      static thread_local std::minstd_rand random{std::random_device{}()};
      return std::uniform_real_distribution<double>(0, 1)(random);
    }

    void index_change(const ObjectPtr& before, const ObjectPtr& after) {  // under mutex
      for (auto& index : indexes) {
        if (before) {
          for (const auto& value : index.function(*before)) {
            auto it = index.entries.find(value);
            if (it == index.entries.end()) continue;
            auto& v = it->second;
            v.erase(std::remove(v.begin(), v.end(), before), v.end());
            if (v.empty()) index.entries.erase(it);
          }
        }
        if (after) {
          for (const auto& value : index.function(*after)) index.entries[value].push_back(after);
        }
      }
    }

    /// One change into the view, then to the handlers. Under delivery.
    void change(const ObjectPtr& after, const KeyView& key, int64_t at) {
      ObjectPtr before;
      {
        std::unique_lock lock(mutex);
        if (stopped) return;
        auto it = objects.find(key);
        if (it != objects.end()) before = it->second;
        if (!before && !after) {
          revision = std::max(revision, at);
          return;
        }
        index_change(before, after);
        if (!after) {
          objects.erase(it);
        } else if (it != objects.end()) {
          it->second = after;
        } else {
          objects.emplace(Key(key.first, key.second), after);
        }
        revision = std::max(revision, at);
      }
      for (const auto& handler : handlers) handler(before, after);
    }

    void replace(const List& list) {
      std::vector<Key> gone;
      {
        std::shared_lock lock(mutex);
        std::map<KeyView, bool> listed;
        for (const auto& o : list.items) listed[{o->ns(), o->name()}] = true;
        for (const auto& [key, object] : objects) {
          if (listed.count({key.first, key.second}) == 0) gone.push_back(key);
        }
      }
      for (const auto& key : gone) change(nullptr, KeyView(key.first, key.second), list.revision);
      for (const auto& o : list.items) {
        ObjectPtr have;
        {
          std::shared_lock lock(mutex);
          auto it = objects.find(KeyView(o->ns(), o->name()));
          if (it != objects.end()) have = it->second;
        }
        if (have && have->uid() != o->uid()) change(nullptr, KeyView(o->ns(), o->name()), 0);
        if (!have || have->revision() != o->revision()) change(o, KeyView(o->ns(), o->name()), 0);
      }
      std::unique_lock lock(mutex);
      revision = std::max(revision, list.revision);
      synced = true;
      delay = base::Duration{0};
      sync_changed.notify_all();
    }

    void apply(const std::vector<WatchEvent>& events) {
      std::lock_guard guard(delivery);
      for (const auto& e : events) {
        if (e.type == WatchEvent::Type::kBookmark) {
          std::unique_lock lock(mutex);
          revision = std::max(revision, e.revision);
          continue;
        }
        KeyView key(e.object->ns(), e.object->name());
        change(e.type == WatchEvent::Type::kDeleted ? nullptr : e.object, key, e.revision);
      }
      std::unique_lock lock(mutex);
      delay = base::Duration{0};
    }

    Client& client;
    base::Timers& timers;
    base::Tasks* pool = nullptr;  // valid until stopped
    const ResourceRef resource;
    const ListOptions options;
    std::vector<ChangeHandler> handlers;  // before start

    std::mutex delivery;  // one change at a time; taken before mutex
    mutable std::shared_mutex mutex;
    std::condition_variable_any sync_changed;
    std::vector<Index> indexes;                 // names and functions before start; entries under mutex
    std::map<Key, ObjectPtr, KeyLess> objects;  // under mutex
    int64_t revision = 0;                       // under mutex
    bool synced = false, stopped = false;       // under mutex
    std::unique_ptr<Watch> watch;               // under mutex
    base::Duration delay{0};                    // under mutex
    base::Timers::Id retry_timer = 0;           // under mutex
  };

  std::shared_ptr<Shared> shared_;
  bool started_ = false;
  std::unique_ptr<base::Tasks> pool_;  // destroyed first, after stop(): joins a list under way
};

}  // namespace

std::unique_ptr<Informer> make_informer(Client& client, base::Timers& timers, ResourceRef resource,
                                        ListOptions options, base::TaskMaker& tasks) {
  return std::make_unique<InformerImpl>(client, timers, std::move(resource), std::move(options), tasks);
}

struct InformerFactory::Rep {
  Client& client;
  base::Timers& timers;
  base::TaskMaker& tasks;
  std::mutex mutex;
  struct Entry {
    ResourceRef resource;
    ListOptions options;
    std::unique_ptr<Informer> informer;
  };
  std::vector<Entry> entries;  // under mutex
};

InformerFactory::InformerFactory(Client& client, base::Timers& timers, base::TaskMaker& tasks)
    : rep_(new Rep{client, timers, tasks, {}, {}}) {}
// All before any: a handler of one may be looking into another.
InformerFactory::~InformerFactory() { stop(); }

Informer& InformerFactory::get(const ResourceRef& resource, const ListOptions& options) {
  std::lock_guard lock(rep_->mutex);
  for (auto& e : rep_->entries) {
    if (e.resource == resource && e.options.ns == options.ns &&
        e.options.label_selector == options.label_selector &&
        e.options.field_selector == options.field_selector) {
      return *e.informer;
    }
  }
  rep_->entries.push_back(
      {resource, options, make_informer(rep_->client, rep_->timers, resource, options, rep_->tasks)});
  return *rep_->entries.back().informer;
}

std::vector<Informer*> InformerFactory::all() const {
  std::lock_guard lock(rep_->mutex);
  std::vector<Informer*> out;
  for (auto& e : rep_->entries) out.push_back(e.informer.get());
  return out;
}

// Not under the lock: handlers of what is delivered at once look into other informers of the factory.
void InformerFactory::start() {
  for (Informer* informer : all()) informer->start();
}

void InformerFactory::stop() {
  for (Informer* informer : all()) informer->stop();
}

bool InformerFactory::wait_synced(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (Informer* informer : all()) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (!informer->wait_synced(std::max(left, std::chrono::milliseconds(0)))) return false;
  }
  return true;
}

}  // namespace orch::client
