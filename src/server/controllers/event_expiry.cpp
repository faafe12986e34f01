#include "server/controllers/event_expiry.h"

#include <algorithm>
#include <mutex>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "base/log.h"
#include "base/threads.h"

namespace orch::server {

using api::ObjectPtr;

namespace {

const client::ResourceRef kEvents{"", "v1", "events"};
/// Who is due within this time of the first goes with it.
constexpr std::chrono::seconds kTogether{60};
constexpr std::chrono::seconds kRetry{60};

}  // namespace

void Deadlines::set(const std::string& name, base::MonoTime due) {
  drop(name);
  by_name_[name] = by_time_.emplace(due, name);
}

void Deadlines::drop(const std::string& name) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return;
  by_time_.erase(it->second);
  by_name_.erase(it);
}

std::optional<base::MonoTime> Deadlines::next() const {
  if (by_time_.empty()) return std::nullopt;
  return by_time_.begin()->first;
}

std::vector<std::string> Deadlines::take(base::MonoTime until) {
  std::vector<std::string> out;
  while (!by_time_.empty() && by_time_.begin()->first <= until) {
    out.push_back(by_time_.begin()->second);
    by_name_.erase(out.back());
    by_time_.erase(by_time_.begin());
  }
  return out;
}

base::Duration event_age(const api::Object& event, base::WallTime now) {
  base::WallTime last = api::creation_time(event);
  const auto note = [&](std::string_view raw) {
    if (auto t = base::parse_time(api::scalar_text(raw)); t.ok()) last = std::max(last, *t);
  };
  // Every event comes by here: one pass over it, and no tree.
  api::JsonScanner scanner(event.bytes());
  api::scan_object(scanner, [&](std::string_view key) {
    std::string_view raw;
    if (!scanner.value(raw)) return false;
    if (key == "lastTimestamp" || key == "eventTime") note(raw);
    if (key == "series") note(api::raw_value(raw, {"lastObservedTime"}));
    return true;
  });
  return std::max<base::Duration>(now - last, base::Duration(0));
}

struct EventExpiry::Rep : std::enable_shared_from_this<EventExpiry::Rep> {
  Rep(client::Client& client, client::Informer& events, base::Timers& timers, const base::Clock& clock,
      base::Duration ttl)
      : client(client), events(events), timers(timers), clock(clock), ttl(ttl), pool("event-expiry", 1) {}

  void on_change(const ObjectPtr& before, const ObjectPtr& after) {
    std::lock_guard lock(mutex);
    if (stopping) return;
    if (after == nullptr) {
      deadlines.drop(api::object_key(*before));
      return;
    }
    // One seen for the first time may come from the store, where it has lain for a while.
    const base::Duration age = before ? base::Duration(0) : std::min(event_age(*after, clock.now()), ttl);
    deadlines.set(api::object_key(*after), clock.mono() + ttl - age);
    if (started) arm();
  }

  /// Sets the timer for the first deadline, unless it rings before that anyway. Under mutex.
  void arm() {
    const auto next = deadlines.next();
    if (!next || busy || (timer != 0 && rings <= *next)) return;
    if (timer != 0) timers.cancel(timer);
    rings = *next;
    timer = timers.after(*next - clock.mono(), [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      std::lock_guard lock(self->mutex);
      self->timer = 0;
      if (self->stopping) return;
      self->busy = true;
      self->pool.post([rep = self.get()] { rep->expire(); });
    });
  }

  /// On the pool's thread, which the destructor waits for.
  void expire() {
    std::vector<std::string> due;
    {
      std::lock_guard lock(mutex);
      const auto next = deadlines.next();
      if (!stopping && next && *next <= clock.mono()) due = deadlines.take(*next + kTogether);
    }
    for (const std::string& key : due) {
      const auto [ns, name] = api::split_key(key);
      const ObjectPtr event = events.get(ns, name);
      if (event == nullptr) continue;
      client::DeleteOptions options;
      options.uid = event->uid();
      // Only as it is: one that was written meanwhile has a deadline of its own.
      options.resource_version = std::to_string(event->revision());
      const base::Status s = client.remove(kEvents, ns, name, options);
      if (s.ok() || s.code() == base::Code::kNotFound || s.code() == base::Code::kConflict) continue;
      base::log_warning("event-expiry", "will retry", {{"event", key}, {"error", s.message()}});
      std::lock_guard lock(mutex);
      deadlines.set(key, clock.mono() + kRetry);
    }
    std::lock_guard lock(mutex);
    busy = false;
    if (!stopping) arm();
  }

  client::Client& client;
  client::Informer& events;
  base::Timers& timers;
  const base::Clock& clock;
  const base::Duration ttl;

  std::mutex mutex;
  Deadlines deadlines;                                   // under mutex
  base::Timers::Id timer = 0;                            // under mutex; 0 = none
  base::MonoTime rings;                                  // under mutex; when `timer` does
  bool busy = false, started = false, stopping = false;  // under mutex
  base::ThreadPool pool;                                 // last: ends first
};

EventExpiry::EventExpiry(client::Client& client, client::InformerFactory& informers, base::Timers& timers,
                         const base::Clock& clock, base::Duration ttl)
    : rep_(std::make_shared<Rep>(client, informers.get(kEvents), timers, clock, ttl)) {
  informers.get(kEvents).on_change(
      [weak = std::weak_ptr<Rep>(rep_)](const ObjectPtr& before, const ObjectPtr& after) {
        if (auto rep = weak.lock()) rep->on_change(before, after);
      });
}

EventExpiry::~EventExpiry() {
  base::Timers::Id timer = 0;
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
    timer = rep_->timer;
  }
  if (timer != 0) rep_->timers.cancel(timer);
  rep_->pool.drain();
}

void EventExpiry::start() {
  std::lock_guard lock(rep_->mutex);
  rep_->started = true;
  rep_->arm();
}

}  // namespace orch::server
