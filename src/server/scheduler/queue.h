// Queue: pods that wait for a node. Pure over its inputs: the caller passes the time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// Why a pod sleeps: who refused it, and the kinds of events that may change that.
struct Waiting {
  uint64_t rejectors = 0;  // as Filters::rejectors()
  uint32_t helped_by = 0;  // EventKind bits
};

/// Active pods by priority, then by time; pods that did not fit sleep until an event that could help them
/// happens, and are then held back 1 to 10 seconds when they keep failing, or until there is nobody else to
/// try. As in kube-scheduler nobody sleeps for more than five minutes: whoever looks at a pod finds a recent
/// report. Not thread-safe.
class Queue {
 public:
  explicit Queue(base::Duration first_backoff = std::chrono::seconds(1),
                 base::Duration last_backoff = std::chrono::seconds(10))
      : first_backoff_(first_backoff), last_backoff_(last_backoff) {}

  /// Nothing when an event is worth a new try of this pod, else what it waits for besides from now on.
  using Judge = std::function<std::optional<Waiting>(const PodInfo& pod, uint64_t rejectors)>;

  /// A new or changed pod. One that is queued keeps its place; one that sleeps is woken.
  void add(const PodPtr& pod, base::MonoTime now);
  /// What is known of a queued pod, newer but no reason for another try.
  void refresh(const PodPtr& pod);
  /// The pod as it was when it was queued last; null when it is not.
  PodPtr find(const std::string& uid) const;
  /// What a sleeping pod waits for; nothing when it does not sleep.
  std::optional<Waiting> waits_for(const std::string& uid) const;
  bool knows(const std::string& uid) const { return entries_.count(uid) != 0; }
  void remove(const std::string& uid);
  /// The pod is bound or gone: nothing of it is remembered.
  void forget(const std::string& uid);
  /// The next pod to place, or null. It stays known until placed() or failed().
  PodPtr pop();
  void placed(const std::string& uid);
  /// It did not fit. Of the events that help it one that happened since pop() counts.
  void failed(const PodPtr& pod, const Waiting& waiting, base::MonoTime now);
  /// Placed, but the binding failed, or nobody could say whether it fits: it comes back after its back-off.
  void unplaced(const PodPtr& pod, base::MonoTime now);
  /// Something happened: wakes those it could help, but for those that `judge` (may be empty) holds back.
  void on_event(uint32_t events, base::MonoTime now, const Judge& judge = {});
  /// Moves pods whose back-off is over or that slept long enough to active; when the next one is due.
  std::optional<base::MonoTime> advance(base::MonoTime now);
  /// pop() has somebody: an active pod, or one that is held back although there is nobody else.
  bool has_active() const { return !active_.empty() || !impatient_.empty(); }
  size_t sleeping() const { return sleeping_.size(); }
  /// Somebody was popped and is neither placed nor failed yet.
  bool deciding() const { return !deciding_.empty(); }

 private:
  struct Rank {
    int64_t priority;
    uint64_t order;
    friend bool operator<(const Rank& a, const Rank& b) {
      return a.priority != b.priority ? a.priority > b.priority : a.order < b.order;
    }
  };
  struct Entry {
    PodPtr pod;
    int attempts = 0;
    uint64_t order = 0;
    Waiting waiting;
    bool erred = false;   // its last failure was not its own: back-off is kept
    uint32_t missed = 0;  // events since pop()
    base::MonoTime last_failure;
    enum class State : uint8_t { kActive, kDeciding, kBackoff, kSleeping } state = State::kActive;
    base::MonoTime due;
  };
  void activate(Entry& e);
  void wake(Entry& e, base::MonoTime now);
  void detach(Entry& e);

  base::Duration backoff_after(int attempts) const;

  const base::Duration first_backoff_, last_backoff_;
  std::unordered_map<std::string, Entry> entries_;
  std::map<Rank, std::string> active_;
  std::set<std::pair<base::MonoTime, std::string>> backoff_;
  std::map<Rank, std::string> impatient_;                      // of backoff_, those that may go earlier
  std::set<std::pair<base::MonoTime, std::string>> sleeping_;  // by last_failure
  std::set<std::string> deciding_;
  std::map<std::string, int> binding_failures_;  // by uid, of pods that came back
  uint64_t next_order_ = 1;
};

}  // namespace orch::server::scheduler
