// watch: a cache watch joined to an endless response body. No thread belongs to a watch: the store's writer
// queues frames, the HTTP pump sends them, and one timer per watch ends it after its time.
#include <algorithm>
#include <charconv>
#include <mutex>
#include <random>

#include "base/json.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
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

bool flag(const http::Query& query, std::string_view name) {
  std::string_view v = query.get(name);
  return query.has(name) && v != "false" && v != "0";
}

/// What one watch holds while it lasts; shared by the body's callbacks and the timers.
struct WatchSession : std::enable_shared_from_this<WatchSession> {
  WatchSession(Encoding encoding, base::Timers& timers, Registry& registry)
      : encoder(std::move(encoding)), timers(timers), registry(registry) {}

  void send(const std::vector<Delivery>& deliveries) {
    std::lock_guard lock(mutex);
    auto body = stream.lock();
    if (!body || closed) return;
    for (const auto& d : deliveries) {
      body->write(encoder.event(type_name(d.type), d.object));
      sent = d.revision;
    }
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
  std::recursive_mutex mutex;
  std::weak_ptr<http::StreamBody> stream;  // set before the body starts
  bool closed = false;                     // under mutex
  int64_t sent = 0;                        // under mutex: revision of the last frame
  std::chrono::seconds left{0};            // under mutex: from the next bookmark, or now, to the end
  base::Timers::Id bookmark_timer = 0, end_timer = 0;
  std::unique_ptr<CacheWatch> watch;
};

std::chrono::seconds duration_of(const http::Query& query) {
  std::string_view text = query.get("timeoutSeconds");
  int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  if (n > 0) return std::chrono::seconds(n);
  static thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::seconds(kDefaultSeconds + static_cast<int>(random() % kDefaultSeconds));
}

}  // namespace

http::Response ApiServer::do_watch(Call& call) {
  const http::Query& query = call.info.query;
  if (!call.resource->has_verb("watch")) {
    return http::Response::from_status(
        Status(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource"));
  }
  auto filter = parse_filter(query, *call.storage, call.info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  std::string_view version = query.get("resourceVersion");
  int64_t since = 0;
  auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), since);
  if (!version.empty() && (error != std::errc() || end != version.data() + version.size() || since < 0)) {
    return http::Response::from_status(
        Status(Code::kBadRequest, base::cat("invalid resourceVersion: \"", version, "\"")));
  }
  const bool send_initial = flag(query, "sendInitialEvents");
  const bool bookmarks = flag(query, "allowWatchBookmarks");
  if (send_initial && query.get("resourceVersionMatch") != "NotOlderThan") {
    return http::Response::from_status(
        Status(Code::kInvalid,
               "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents "
               "requires setting resourceVersionMatch to NotOlderThan"));
  }
  const bool from_state = send_initial || (since == 0 && !query.has("sendInitialEvents"));
  if (since == 0 && !from_state) since = registry_.revision();

  auto session = std::make_shared<WatchSession>(call.encoding(*this), *o_.timers, registry_);
  session->sent = since;
  WatchCache* cache = registry_.cache(*call.storage);
  http::Response response;
  response.content_type = session->encoder.content_type();
  const auto lasts = duration_of(query);
  session->left = lasts;

  auto on_start = [session, cache, filter = *filter, since, from_state, send_initial, bookmarks, lasts,
                   this](http::StreamBody& body) {
    auto initial = [&](const Page& page) {
      for (const auto& object : page.items) body.write(session->encoder.event("ADDED", object));
      if (send_initial && bookmarks) body.write(session->encoder.bookmark(page.revision, true));
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
