// Hands committed events to subscribers: history first, then live, no gap and no repeat. What every Store
// implementation needs and none should have twice.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/store.h"

namespace orch::datastore {

/// Thread-safe, except that publish() is called by one thread at a time, in revision order.
class Fanout {
 public:
  using Batch = std::function<void(const std::vector<Event>&)>;
  /// Gives the events of a prefix with after < revision <= upto to `batch`, in order; any outcome but kOk
  /// (with message) ends the subscription.
  using ReadHistory = std::function<Outcome(std::string_view prefix, Revision after, Revision upto,
                                            const Batch& batch, std::string& message)>;

  /// `revision`: the last one committed before.
  explicit Fanout(Revision revision);
  ~Fanout();
  Fanout(const Fanout&) = delete;
  Fanout& operator=(const Fanout&) = delete;

  /// The last revision published.
  Revision revision() const { return revision_.load(std::memory_order_acquire); }
  /// Makes `revision` the current one and gives `events` to all live subscribers, on this thread.
  void publish(Revision revision, std::vector<Event> events);
  /// `after` has been checked against the compacted revision by the caller; kFuture is found here.
  SubscribeResult subscribe(std::string_view prefix, Revision after, Listener listener,
                            const ReadHistory& history);

 private:
  struct Subscriber;
  class Handle;
  using List = std::vector<std::shared_ptr<Subscriber>>;
  struct Registry;  // outlives the fanout while a handle is left

  std::shared_ptr<Registry> registry_;
  std::atomic<Revision> revision_;  // changed under the registry's mutex
};

}  // namespace orch::datastore
