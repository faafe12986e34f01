// watch: a cache watch joined to an endless response body. No thread belongs to a watch: the store's writer
// queues frames, the HTTP pump sends them, and one timer per watch ends it after its time.
#include <algorithm>
#include <mutex>
#include <random>

#include "base/json.h"
#include "server/apiserver/call.h"
#include "server/apiserver/request_metrics.h"

namespace orch::server {

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
    std::lock_guard lock(mutex);
    auto body = stream.lock();
    if (!body || closed) return;
    for (const auto& d : deliveries) {
      body->write(encoder.event(type_name(d.type), d.object));
      sent = d.revision;
    }
    events.add(deliveries.size());
  }

  void bookmark_tick() {
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

  WatchEncoder encoder;  // under mutex
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
  auto filter = parse_filter(query, *call.resource, *call.storage, call.info.ns);
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
  WatchCache* cache = registry_.cache(*call.storage);
  http::Response response;
  response.content_type = session->encoder.content_type();
  const auto lasts = duration_of(*options);
  session->left = lasts;

  auto on_start = [session, cache, filter = *filter, since, from_state, bookmarks, lasts,
                   this](http::StreamBody& body) {
    auto initial = [&](const Page& page) {
      for (const auto& object : page.items) body.write(session->encoder.event("ADDED", object));
      session->events.add(page.items.size());
      if (bookmarks) body.write(session->encoder.bookmark(page.revision, true));
      session->sent = page.revision;
    };
    auto watch = cache->watch(filter, since, from_state ? std::function<void(const Page&)>(initial) : nullptr,
                              [session](const std::vector<Delivery>& d) { session->send(d); });
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
