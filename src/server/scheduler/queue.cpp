#include "server/scheduler/queue.h"

#include <algorithm>
#include <vector>

#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

namespace {

constexpr std::chrono::seconds kFirstBackoff{1}, kLastBackoff{10};
constexpr std::chrono::minutes kLongestSleep{5};

base::Duration backoff_after(int attempts) {
  base::Duration d = kFirstBackoff;
  for (int i = 1; i < attempts && d < kLastBackoff; ++i) d *= 2;
  return std::min<base::Duration>(d, kLastBackoff);
}

}  // namespace

void Queue::activate(Entry& e) {
  e.state = Entry::State::kActive;
  active_[{e.pod->priority, e.order}] = e.pod->uid;
}

void Queue::detach(Entry& e) {
  switch (e.state) {
    case Entry::State::kActive:
      active_.erase({e.pod->priority, e.order});
      break;
    case Entry::State::kBackoff:
      backoff_.erase({e.due, e.pod->uid});
      break;
    case Entry::State::kSleeping:
      sleeping_.erase({e.last_failure, e.pod->uid});
      break;
    case Entry::State::kDeciding:
      deciding_.erase(e.pod->uid);
      break;
  }
}

void Queue::wake(Entry& e, base::MonoTime now) {
  detach(e);
  e.due = e.last_failure + backoff_after(e.attempts);
  if (e.attempts == 0 || e.due <= now) {
    activate(e);
  } else {
    e.state = Entry::State::kBackoff;
    backoff_.insert({e.due, e.pod->uid});
  }
}

void Queue::add(const PodPtr& pod, base::MonoTime now) {
  auto [it, fresh] = entries_.try_emplace(pod->uid);
  Entry& e = it->second;
  if (fresh) {
    e.pod = pod;
    e.order = next_order_++;
    activate(e);
    return;
  }
  if (e.state == Entry::State::kDeciding) {
    e.pod = pod;
    e.missed |= kPodChanged;
    return;
  }
  detach(e);
  e.pod = pod;
  e.state = Entry::State::kDeciding;  // in none of the lists
  wake(e, now);
}

void Queue::refresh(const PodPtr& pod) {
  auto it = entries_.find(pod->uid);
  if (it != entries_.end()) it->second.pod = pod;
}

void Queue::remove(const std::string& uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end()) return;
  detach(it->second);
  entries_.erase(it);
}

void Queue::forget(const std::string& uid) {
  remove(uid);
  binding_failures_.erase(uid);
}

PodPtr Queue::pop() {
  if (active_.empty()) return nullptr;
  Entry& e = entries_.at(active_.begin()->second);
  active_.erase(active_.begin());
  e.state = Entry::State::kDeciding;
  e.missed = 0;
  deciding_.insert(e.pod->uid);
  return e.pod;
}

void Queue::placed(const std::string& uid) { remove(uid); }

void Queue::failed(const PodPtr& pod, uint32_t helped_by, base::MonoTime now) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) return;  // deleted meanwhile
  Entry& e = it->second;
  if (e.state != Entry::State::kDeciding) return;
  ++e.attempts;
  e.last_failure = now;
  e.helped_by = helped_by;
  if (((helped_by | kPodChanged) & e.missed) != 0) {
    wake(e, now);
    return;
  }
  detach(e);
  e.state = Entry::State::kSleeping;
  sleeping_.insert({now, pod->uid});
}

void Queue::unplaced(const PodPtr& pod, base::MonoTime now) {
  Entry& e = entries_[pod->uid];
  if (e.pod != nullptr) return;  // changed meanwhile and queued again
  e.pod = pod;
  e.order = next_order_++;
  e.attempts = ++binding_failures_[pod->uid];
  e.last_failure = now;
  e.state = Entry::State::kDeciding;
  wake(e, now);
}

void Queue::on_event(uint32_t events, base::MonoTime now, const StillHelpedBy& still) {
  for (const auto& uid : deciding_) entries_.at(uid).missed |= events;
  std::vector<std::string> helped;
  for (const auto& [since, uid] : sleeping_) {
    Entry& e = entries_.at(uid);
    if ((e.helped_by & events) == 0) continue;
    const uint32_t waits_for = still ? still(*e.pod) : 0;
    e.helped_by |= waits_for;
    if (waits_for == 0) helped.push_back(uid);
  }
  for (const auto& uid : helped) wake(entries_.at(uid), now);
}

std::optional<base::MonoTime> Queue::advance(base::MonoTime now) {
  while (!sleeping_.empty() && sleeping_.begin()->first + kLongestSleep <= now) {
    wake(entries_.at(sleeping_.begin()->second), now);
  }
  while (!backoff_.empty() && backoff_.begin()->first <= now) {
    Entry& e = entries_.at(backoff_.begin()->second);
    backoff_.erase(backoff_.begin());
    activate(e);
  }
  std::optional<base::MonoTime> due;
  if (!backoff_.empty()) due = backoff_.begin()->first;
  if (!sleeping_.empty()) {
    const base::MonoTime longest = sleeping_.begin()->first + kLongestSleep;
    if (!due || longest < *due) due = longest;
  }
  return due;
}

}  // namespace orch::server::scheduler
