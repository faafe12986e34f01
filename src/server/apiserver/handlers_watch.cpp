// watch: a cache watch joined to an endless response body. No thread belongs to a watch: the store's writer
// queues frames, the HTTP pump sends them, and one timer per watch ends it after its time.
#include <algorithm>
#include <mutex>
#include <random>
#include <set>
#include <utility>

#include "api/meta.h"
#include "api/resources/custom_resource.h"
#include "base/json.h"
#include "server/apiserver/call.h"
#include "server/apiserver/request_metrics.h"
#include "server/flowcontrol/flow_control.h"

namespace orch::server {

using base::Status;

namespace {

constexpr std::chrono::seconds kBookmarkPeriod{60};
/// The last bookmark comes so long before the end that the server has set for the watch: so a quiet watch
/// resumes from the present, not from where it began.
constexpr std::chrono::seconds kBookmarkBeforeEnd{2};
/// A watch without timeoutSeconds ends after 30 to 60 minutes, so that clients spread over servers.
constexpr int kDefaultSeconds = 1800;

std::string_view type_name(CacheEvent::Type type) {
  switch (type) {
    case CacheEvent::Type::kAdded:
      return "ADDED";
    case CacheEvent::Type::kModified:
      return "MODIFIED";
    case CacheEvent::Type::kDeleted:
      break;
  }
  return "DELETED";
}

/// The events of a watch whose objects a webhook converts, in their order; and what is selected of them,
/// which is known only then.
class Converting {
 public:
  Converting(api::ResourcePtr row, api::FieldSelector fields)
      : row_(std::move(row)), fields_(std::move(fields)) {}

  /// True if somebody has to begin to pop.
  bool push(const std::vector<Delivery>& deliveries) {
    std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.end(), deliveries.begin(), deliveries.end());
    return !std::exchange(busy_, true);
  }
  /// False when nothing is left: then the next push() begins anew.
  bool pop(std::vector<Delivery>& out) {
    std::lock_guard lock(mutex_);
    out = std::exchange(waiting_, {});
    busy_ = !out.empty();
    return busy_;
  }
  bool busy() {
    std::lock_guard lock(mutex_);
    return busy_;
  }
  /// These were selected before the watch began, as far as they are.
  void know(std::vector<api::ObjectPtr> objects) {
    if (fields_.empty()) return;
    auto selected = select_converted(*row_, std::move(objects), fields_);
    if (!selected.ok()) return;
    for (const auto& object : *selected) seen_.insert(api::object_key(*object));
  }

  base::Result<std::vector<Delivery>> convert(std::vector<Delivery> batch) {
    std::vector<Delivery> out;
    for (Delivery& d : batch) {
      if (d.object == nullptr) {
        out.push_back(d);
        continue;
      }
      auto objects = convert_objects(*row_, {d.object});
      if (!objects.ok()) return objects.error();
      d.object = objects->front();
      if (fields_.empty() || select(d)) out.push_back(std::move(d));
    }
    return out;
  }

 private:
  /// Whether the watcher is told, and what.
  bool select(Delivery& d) {
    const std::string key = api::object_key(*d.object);
    auto selected = select_converted(*row_, {d.object}, fields_);
    const bool now = d.type != CacheEvent::Type::kDeleted && selected.ok() && !selected->empty();
    const bool before = now ? !seen_.insert(key).second : seen_.erase(key) != 0;
    if (!now && !before) return false;
    d.type = !now     ? CacheEvent::Type::kDeleted
             : before ? CacheEvent::Type::kModified
                      : CacheEvent::Type::kAdded;
    return true;
  }

  const api::ResourcePtr row_;
  const api::FieldSelector fields_;
  std::set<std::string> seen_;  // by whoever pops
  std::mutex mutex_;
  std::vector<Delivery> waiting_;  // under mutex_
  bool busy_ = false;              // under mutex_
};

/// What one watch holds while it lasts; shared by the body's callbacks and the timers.
struct WatchSession : std::enable_shared_from_this<WatchSession> {
  WatchSession(Encoding encoding, base::Timers& timers, Registry& registry, base::Counter& events,
               base::Gauge& running)
      : encoder(std::move(encoding)), timers(timers), registry(registry), events(events), running(running) {
    running.add(1);
  }
  ~WatchSession() { running.add(-1); }
  WatchSession(const WatchSession&) = delete;

  void send(const std::vector<Delivery>& deliveries) {
    if (converter) return queue(deliveries);
    write(deliveries);
  }

  void write(const std::vector<Delivery>& deliveries) {
    std::lock_guard lock(mutex);
    auto body = stream.lock();
    if (!body || closed) return;
    for (const auto& d : deliveries) {
      body->write(encoder.event(type_name(d.type), d.object));
      sent = d.revision;
    }
    events.add(deliveries.size());
  }

  // --- Where a webhook converts: never on the store's thread ---
  void queue(const std::vector<Delivery>& deliveries) {
    if (!converter->push(deliveries)) return;
    pool->post([self = shared_from_this()] { self->drain(); });
  }
  void queue_page(const Page& page, bool bookmark) {
    std::vector<Delivery> deliveries;
    for (const auto& object : page.items)
      deliveries.push_back({CacheEvent::Type::kAdded, object, page.revision});
    if (bookmark) deliveries.push_back({CacheEvent::Type::kAdded, nullptr, page.revision});
    sent = page.revision;
    queue(deliveries);
  }
  void drain() {
    std::vector<Delivery> batch;
    while (converter->pop(batch)) {
      auto converted = converter->convert(std::move(batch));
      if (!converted.ok()) return fail(converted.error());
      for (Delivery& d : *converted) {
        if (d.object != nullptr) {
          write({std::move(d)});
        } else {
          std::lock_guard lock(mutex);
          auto body = stream.lock();
          if (body && !closed) body->write(encoder.bookmark(d.revision, true));
        }
      }
    }
  }
  void fail(const base::Status& why) {
    std::lock_guard lock(mutex);
    auto body = stream.lock();
    if (!body || closed) return;
    body->write(encoder.error(why));
    body->finish();
  }

  void bookmark_tick() {
    if (converter && converter->busy()) {
      // What waits is older than what a bookmark would say.
      std::lock_guard lock(mutex);
      return arm_bookmark();
    }
    // Not revision(): events up to there may still be on their way to this watch.
    int64_t now = registry.delivered();
    std::lock_guard lock(mutex);
    auto body = stream.lock();
    if (!body || closed) return;
    if (now > sent) {
      body->write(encoder.bookmark(now, false));
      sent = now;
    }
    arm_bookmark();
  }
  void arm_bookmark() {  // under mutex
    const std::chrono::seconds wait = std::min(kBookmarkPeriod, left - kBookmarkBeforeEnd);
    if (wait.count() <= 0) return;
    left -= wait;
    bookmark_timer = timers.after(wait, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->bookmark_tick();
    });
  }

  std::unique_ptr<Converting> converter;  // set before the body starts
  std::shared_ptr<const void> counted;    // among the watches that writes are told to
  base::ThreadPool* pool = nullptr;       // with converter
  WatchEncoder encoder;                   // under mutex
  base::Timers& timers;
  Registry& registry;
  base::Counter& events;
  base::Gauge& running;
  std::recursive_mutex mutex;
  std::weak_ptr<http::StreamBody> stream;  // set before the body starts
  bool closed = false;                     // under mutex
  int64_t sent = 0;                        // under mutex: revision of the last frame
  std::chrono::seconds left{0};            // under mutex: from the next bookmark, or now, to the end
  base::Timers::Id bookmark_timer = 0, end_timer = 0;
  std::unique_ptr<CacheWatch> watch;
};

std::chrono::seconds duration_of(const ListOptions& options) {
  if (options.timeout_seconds.value_or(0) > 0) return std::chrono::seconds(*options.timeout_seconds);
  static thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::seconds(kDefaultSeconds + static_cast<int>(random() % kDefaultSeconds));
}

}  // namespace

http::Response ApiServer::do_watch(Call& call) {
  const http::Query& query = call.info.query;
  auto options = parse_list_options(query, true);
  if (!options.ok()) return http::Response::from_status(options.error());
  const WatchCachePtr cache = registry_.cache(*call.storage);
  if (cache == nullptr) return no_such_resource();
  auto filter = parse_filter(query, *call.resource, cache->resource(), call.info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  const bool bookmarks = options->bookmarks;
  int64_t since = std::max<int64_t>(0, options->revision);
  // A watch from nowhere in particular begins with what there is.
  const bool from_state = options->initial_events.value_or(since == 0);
  if (from_state && since > registry_.revision())
    return http::Response::from_status(too_large_revision(since, registry_.revision()));
  if (since == 0 && !from_state) since = registry_.revision();

  auto session = std::make_shared<WatchSession>(call.encoding(*this), *o_.timers, registry_,
                                                requests_->watch_events(call.info),
                                                requests_->long_running(call.info, call.request.method));
  session->sent = since;
  if (o_.flow != nullptr) {
    session->counted =
        o_.flow->watches().add({call.info.group, call.info.resource, call.info.ns, call.info.name});
  }
  if (call.resource->custom && call.resource->custom->converter->remote()) {
    session->converter = std::make_unique<Converting>(
        call.resource, selects_converted(*call.resource, *filter) ? std::exchange(filter->fields, {})
                                                                  : api::FieldSelector());
    session->pool = &converters_;
  }
  http::Response response;
  response.content_type = session->encoder.content_type();
  const auto lasts = duration_of(*options);
  session->left = lasts;

  auto on_start = [session, cache, filter = *filter, since, from_state, bookmarks, lasts, place = call.place,
                   this](http::StreamBody& body) {
    struct Begun {
      FlowTicket* place;
      ~Begun() {
        if (place != nullptr) place->finish();
      }
    } const begun{place.get()};
    auto initial = [&](const Page& page) {
      if (session->converter) {
        session->queue_page(page, bookmarks);
        return;
      }
      for (const auto& object : page.items) body.write(session->encoder.event("ADDED", object));
      session->events.add(page.items.size());
      if (bookmarks) body.write(session->encoder.bookmark(page.revision, true));
      session->sent = page.revision;
    };
    if (session->converter && !from_state) session->converter->know(cache->list(filter).items);
    const std::weak_ptr<WatchSession> weak_session = session;
    auto watch = cache->watch(
        filter, since, from_state ? std::function<void(const Page&)>(initial) : nullptr,
        [session](const std::vector<Delivery>& d) { session->send(d); },
        [weak_session] {
          auto self = weak_session.lock();
          if (!self) return;
          if (auto stream = self->stream.lock()) stream->finish();
        });
    std::lock_guard lock(session->mutex);
    if (session->closed) {
      // Closed meanwhile.
      if (watch.ok())
        reaper_.post([w = std::shared_ptr<CacheWatch>(std::move(*watch))]() mutable { w.reset(); });
      return;
    }
    if (!watch.ok()) {
      body.write(session->encoder.error(watch.error()));
      body.finish();
      return;
    }
    session->watch = std::move(*watch);
    if (bookmarks) session->arm_bookmark();
    session->end_timer = o_.timers->after(lasts, [weak = session->weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      if (auto body = self->stream.lock()) body->finish();
    });
  };
  auto on_close = [session, this] {
    // The watch waits for a running delivery, which may be waiting for this very connection: end it
    // elsewhere.
    reaper_.post([session] {
      std::unique_ptr<CacheWatch> watch;
      base::Timers::Id bookmark = 0, end = 0;
      {
        std::lock_guard lock(session->mutex);
        session->closed = true;
        watch = std::move(session->watch);
        bookmark = session->bookmark_timer;
        end = session->end_timer;
      }
      if (bookmark != 0) session->timers.cancel(bookmark);
      if (end != 0) session->timers.cancel(end);
    });
  };
  response.stream = std::make_shared<http::StreamBody>(std::move(on_start), std::move(on_close));
  session->stream = response.stream;
  return response;
}

}  // namespace orch::server
