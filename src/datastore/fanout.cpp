#include "datastore/fanout.h"

#include <algorithm>
#include <utility>

namespace orch::datastore {

struct Fanout::Subscriber {
  Subscriber(std::string_view p, Listener l) : prefix(p), listener(std::move(l)) {}

  bool wants(const Event& event) const { return std::string_view(event.kv.key).starts_with(prefix); }

  // Calls the listener unless the subscription has ended. Recursive, so that a listener can end itself.
  void deliver(const std::vector<Event>& events) {
    const std::lock_guard lock(delivery);
    if (open && !events.empty()) listener(events);
  }

  const std::string prefix;
  const Listener listener;
  std::recursive_mutex delivery;
  bool open = true;  // under delivery
  // Under Registry::mutex:
  bool live = false;
  std::vector<Event> waiting;  // committed while history is being read
};

struct Fanout::Registry {
  std::mutex mutex;
  std::shared_ptr<const List> subscribers = std::make_shared<const List>();  // under mutex; copied on change

  void add(const std::shared_ptr<Subscriber>& subscriber) {
    auto next = std::make_shared<List>(*subscribers);
    next->push_back(subscriber);
    subscribers = std::move(next);
  }
  void remove(const Subscriber* subscriber) {
    auto next = std::make_shared<List>(*subscribers);
    std::erase_if(*next, [&](const auto& s) { return s.get() == subscriber; });
    subscribers = std::move(next);
  }
};

class Fanout::Handle final : public Subscription {
 public:
  Handle(std::shared_ptr<Registry> registry, std::shared_ptr<Subscriber> subscriber)
      : registry_(std::move(registry)), subscriber_(std::move(subscriber)) {}
  ~Handle() override {
    {
      const std::lock_guard lock(subscriber_->delivery);
      subscriber_->open = false;
    }
    const std::lock_guard lock(registry_->mutex);
    registry_->remove(subscriber_.get());
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

 private:
  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Subscriber> subscriber_;
};

Fanout::Fanout(Revision revision) : registry_(std::make_shared<Registry>()), revision_(revision) {}
Fanout::~Fanout() = default;

void Fanout::publish(Revision revision, std::vector<Event> events) {
  List live;
  {
    const std::lock_guard lock(registry_->mutex);
    revision_.store(revision, std::memory_order_release);
    for (const auto& subscriber : *registry_->subscribers) {
      if (subscriber->live) {
        live.push_back(subscriber);
        continue;
      }
      for (const Event& event : events) {
        if (subscriber->wants(event)) subscriber->waiting.push_back(event);
      }
    }
  }
  if (live.empty() || events.empty()) return;

  // Most events have one subscriber: the last to want an event gets it moved, not copied.
  std::vector<uint32_t> wanted(events.size(), 0);
  std::vector<size_t> count(live.size(), 0);
  for (size_t s = 0; s < live.size(); ++s) {
    for (size_t e = 0; e < events.size(); ++e) {
      if (!live[s]->wants(events[e])) continue;
      ++wanted[e];
      ++count[s];
    }
  }
  for (size_t s = 0; s < live.size(); ++s) {
    if (count[s] == 0) continue;
    // Nothing has been moved out of `events` yet if this one wants all: it would have been counted as later.
    if (count[s] == events.size()) {
      live[s]->deliver(events);
      for (uint32_t& w : wanted) --w;
      continue;
    }
    std::vector<Event> part;
    part.reserve(count[s]);
    for (size_t e = 0; e < events.size(); ++e) {
      if (!live[s]->wants(events[e])) continue;
      if (--wanted[e] == 0) {
        // The key stays: it decides what the subscribers after this one want.
        part.push_back({events[e].type, {}, events[e].prev_revision});
        part.back().kv = {events[e].kv.key, std::move(events[e].kv.value), events[e].kv.create_revision,
                          events[e].kv.mod_revision, events[e].kv.version};
      } else {
        part.push_back(events[e]);
      }
    }
    live[s]->deliver(part);
  }
}

SubscribeResult Fanout::subscribe(std::string_view prefix, Revision after, Listener listener,
                                  const ReadHistory& history) {
  auto subscriber = std::make_shared<Subscriber>(prefix, std::move(listener));
  auto handle = std::make_unique<Handle>(registry_, subscriber);
  Revision upto = 0;
  {
    const std::lock_guard lock(registry_->mutex);
    upto = revision();
    if (after > upto) return {Outcome::kFuture, "revision has not been issued", nullptr};
    registry_->add(subscriber);
  }
  if (after < upto) {
    std::string message;
    const auto deliver = [&](const std::vector<Event>& events) { subscriber->deliver(events); };
    const Outcome outcome = history(prefix, after, upto, deliver, message);
    if (outcome != Outcome::kOk) return {outcome, std::move(message), nullptr};
  }
  // What was committed meanwhile, in rounds that get shorter, until there is nothing or little left.
  for (int round = 0; round < 8; ++round) {
    std::unique_lock lock(registry_->mutex);
    const std::vector<Event> waiting = std::exchange(subscriber->waiting, {});
    lock.unlock();
    if (waiting.empty()) break;
    subscriber->deliver(waiting);
  }
  // Live from here: a publisher that sees it waits for the delivery lock until the rest is delivered.
  const std::lock_guard delivery(subscriber->delivery);
  std::vector<Event> rest;
  {
    const std::lock_guard lock(registry_->mutex);
    rest = std::exchange(subscriber->waiting, {});
    subscriber->live = true;
  }
  subscriber->deliver(rest);
  return {Outcome::kOk, {}, std::move(handle)};
}

}  // namespace orch::datastore
