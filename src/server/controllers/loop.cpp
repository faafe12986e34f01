#include "server/controllers/loop.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <set>

#include "base/log.h"
#include "client/event_recorder.h"
#include "server/controllers/executor.h"
#include "server/controllers/pods.h"
#include "server/controllers/queue_metrics.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

constexpr std::chrono::milliseconds kFirstBackoff{5};
constexpr std::chrono::seconds kLastBackoff{60};
/// Writes of batches under way at a time, besides those of the plans' own threads.
constexpr size_t kHelpers = 16;

class InformerView final : public View {
 public:
  explicit InformerView(client::InformerFactory& informers) : informers_(informers) {}
  api::ObjectPtr get(const client::ResourceRef& r, std::string_view ns,
                     std::string_view name) const override {
    return informers_.get(r).get(ns, name);
  }
  std::vector<api::ObjectPtr> list(const client::ResourceRef& r, std::string_view ns) const override {
    return ns.empty() ? informers_.get(r).list() : informers_.get(r).list_namespace(ns);
  }
  std::vector<api::ObjectPtr> by_index(const client::ResourceRef& r, const std::string& index,
                                       std::string_view value) const override {
    return informers_.get(r).by_index(index, value);
  }

 private:
  client::InformerFactory& informers_;
};

/// Losing a race, or meeting an object that is going, is no failure: the change that won wakes the key again,
/// and the retry sees it.
bool is_race(const Status& s) { return s.code() == Code::kConflict || s.code() == Code::kNotFound; }

}  // namespace

struct ControllerLoop::Rep : std::enable_shared_from_this<ControllerLoop::Rep> {
  struct Queue {
    Controller controller;
    std::map<Key, base::MonoTime> running;  // since when
    std::set<Key> again;                    // changed while running
    std::map<Key, base::MonoTime> waiting;  // since when; posted to the pool, or held back
    std::deque<Key> held;  // of those waiting: what comes when another key of the controller is done
    int64_t posted = 0;    // given to the pool and not done
    std::map<Key, int> failures;
    std::map<Key, base::Timers::Id> timers;
    QueueMetrics metrics;
  };

  Rep(client::Client& client, client::InformerFactory& informers, base::Timers& timers,
      const base::Clock& clock, size_t max_threads, base::TaskMaker& tasks)
      : client(client),
        view(informers),
        timers(timers),
        clock(clock),
        recorder(client, clock),
        helpers(tasks.make("writes", kHelpers)),
        pool(tasks.make("controller", max_threads)) {}

  QueueMetrics expose(base::Metrics& metrics, size_t q, const std::string& name) {
    return make_queue_metrics(metrics, name, [weak = weak_from_this(), q] {
      const auto self = weak.lock();
      return self ? self->unfinished(q) : Unfinished();
    });
  }

  void add(size_t q, const Key& key) {
    std::lock_guard lock(mutex);
    add_locked(q, key);
  }

  void add_locked(size_t q, const Key& key) {
    Queue& queue = *queues[q];
    if (stopping) return;
    queue.metrics.adds->add();
    if (queue.running.count(key) != 0) {
      queue.again.insert(key);
      return;
    }
    if (!queue.waiting.emplace(key, clock.mono()).second) return;
    queue.metrics.depth->add(1);
    if (started) post_locked(q, key);
  }

  /// Gives the key to the pool, or holds it back while the controller has as much running as it may.
  void post_locked(size_t q, const Key& key) {
    Queue& queue = *queues[q];
    const int64_t most = queue.controller.at_once;
    if (most > 0 && queue.posted >= most) {
      queue.held.push_back(key);
      return;
    }
    ++queue.posted;
    pool->post([this, q, key] { run(q, key); });
  }

  void done_locked(size_t q) {
    Queue& queue = *queues[q];
    --queue.posted;
    if (queue.held.empty()) return;
    const Key next = queue.held.front();
    queue.held.pop_front();
    post_locked(q, next);
  }

  void run(size_t q, const Key& key) {
    Queue& queue = *queues[q];
    {
      std::lock_guard lock(mutex);
      if (stopping) return;
      const base::MonoTime now = clock.mono();
      if (const auto it = queue.waiting.find(key); it != queue.waiting.end()) {
        queue.metrics.patience->observe(seconds_between(it->second, now));
        queue.waiting.erase(it);
      }
      queue.running.emplace(key, now);
      queue.metrics.depth->add(-1);
      if (auto it = queue.timers.find(key); it != queue.timers.end()) {
        timers.cancel(it->second);
        queue.timers.erase(it);
      }
    }
    const base::MonoTime began = clock.mono();
    Plan plan;
    Status status;
    if (queue.controller.observe_and_plan) {
      auto planned = queue.controller.observe_and_plan(client, view, key, clock.now());
      status = planned.status();
      if (planned.ok()) plan = std::move(*planned);
    } else {
      plan = queue.controller.plan(view, key, clock.now());
    }
    if (status.ok()) status = apply(queue.controller.name, plan);
    // Nothing can be made in a namespace that goes away: its end is not to be hurried by trying again.
    const bool futile = !status.ok() && namespace_terminating(status);
    if (!status.ok() && !is_race(status) && !futile) {
      base::log_warning("controller", "will retry",
                        {{"controller", queue.controller.name},
                         {"key", key.ns + "/" + key.name},
                         {"error", status.message()}});
    }
    queue.metrics.work->observe(seconds_between(began, clock.mono()));

    std::lock_guard lock(mutex);
    queue.running.erase(key);
    done_locked(q);
    if (status.ok() || futile) {
      queue.failures.erase(key);
    } else {
      queue.metrics.retries->add();
      const int n = std::min(queue.failures[key]++, 20);
      base::Duration wait =
          std::min<base::Duration>(base::Duration(kFirstBackoff) * (1LL << n), kLastBackoff);
      plan.again_after(wait);
    }
    if (queue.again.erase(key) != 0) {
      add_locked(q, key);
    } else if (plan.requeue.count() > 0 && !stopping) {
      queue.timers[key] = timers.after(plan.requeue, [weak = weak_from_this(), q, key] {
        auto self = weak.lock();
        if (!self) return;
        std::lock_guard guard(self->mutex);
        if (self->stopping) return;
        self->queues[q]->timers.erase(key);
        self->add_locked(q, key);
      });
    }
  }

  Unfinished unfinished(size_t q) const {
    std::lock_guard lock(mutex);
    return Unfinished::of(queues[q]->running, clock.mono());
  }

  /// When to look again was reckoned from a time that was wrong (a machine without a clock boots in 1970 and
  /// learns the time later): whoever waits looks again now.
  void on_clock_set() {
    std::lock_guard lock(mutex);
    for (size_t q = 0; q < queues.size(); ++q) {
      for (const auto& [key, id] : queues[q]->timers) add_locked(q, key);
    }
  }

  /// Writes, then events; of a failure, what the plan has to say about it.
  Status apply(const std::string& name, const Plan& plan) {
    const Applied applied = apply_plan(client, plan, helpers.get());
    for (const auto& n : plan.notes) {
      if (applied.reached(n.after)) recorder.record(name, *n.about, n.type, n.reason, n.message);
    }
    if (applied.status.ok()) return {};
    const Write& failed = plan.writes[applied.failed];
    if (plan.otherwise) {
      const Plan other = plan.otherwise(failed, applied.status);
      // Should telling fail too, it is told the next time.
      (void)apply(name, other);
    }
    return applied.status.with_context(base::cat(failed.resource.plural, " ", failed.ns, "/", failed.name));
  }

  client::Client& client;
  InformerView view;
  base::Timers& timers;
  const base::Clock& clock;
  client::EventRecorder recorder;
  std::vector<std::unique_ptr<Queue>> queues;  // fixed after construction; contents under mutex
  mutable std::mutex mutex;
  bool started = false, stopping = false;  // under mutex
  base::Timers::Id clock_watch = 0;        // set once
  std::unique_ptr<base::Tasks> helpers;    // carry out batches for the threads of pool
  std::unique_ptr<base::Tasks> pool;       // last: ends first
};

ControllerLoop::ControllerLoop(client::Client& client, client::InformerFactory& informers,
                               base::Timers& timers, const base::Clock& clock, base::Metrics& metrics,
                               std::vector<Controller> controllers, size_t max_threads,
                               base::TaskMaker& tasks)
    : rep_(std::make_shared<Rep>(client, informers, timers, clock, max_threads, tasks)) {
  for (auto& c : controllers) {
    const size_t q = rep_->queues.size();
    auto queue = std::make_unique<Rep::Queue>();
    queue->metrics = rep_->expose(metrics, q, c.queue.empty() ? c.name : c.queue);
    for (const auto& source : c.sources) {
      auto& informer = informers.get(source.resource);
      for (const auto& [name, function] : source.indexes) informer.add_index(name, function);
      if (!source.keys) continue;
      informer.on_change([weak = std::weak_ptr<Rep>(rep_), q, keys = source.keys](
                             const api::ObjectPtr& before, const api::ObjectPtr& after) {
        auto rep = weak.lock();
        if (!rep) return;
        for (const auto& key : keys(before, after, rep->view)) rep->add(q, key);
      });
    }
    queue->controller = std::move(c);
    rep_->queues.push_back(std::move(queue));
  }
  rep_->clock_watch = timers.on_clock_set([weak = std::weak_ptr<Rep>(rep_)] {
    if (auto rep = weak.lock()) rep->on_clock_set();
  });
}

ControllerLoop::~ControllerLoop() {
  std::vector<base::Timers::Id> pending;
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
    for (auto& q : rep_->queues) {
      for (auto& [key, id] : q->timers) pending.push_back(id);
      q->timers.clear();
    }
  }
  pending.push_back(rep_->clock_watch);
  for (auto id : pending) rep_->timers.cancel(id);
  rep_->pool->drain();
}

void ControllerLoop::start() {
  std::lock_guard lock(rep_->mutex);
  rep_->started = true;
  for (size_t q = 0; q < rep_->queues.size(); ++q) {
    for (const auto& [key, since] : rep_->queues[q]->waiting) rep_->post_locked(q, key);
  }
}

bool ControllerLoop::idle() const {
  std::lock_guard lock(rep_->mutex);
  return std::all_of(rep_->queues.begin(), rep_->queues.end(), [](const auto& q) {
    return q->running.empty() && q->waiting.empty() && q->again.empty() && q->failures.empty();
  });
}

}  // namespace orch::server
