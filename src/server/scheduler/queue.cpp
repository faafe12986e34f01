#include "server/scheduler/queue.h"

#include <algorithm>
#include <vector>

#include "server/scheduler/event.h"

namespace orch::server::scheduler {

namespace {

constexpr std::chrono::minutes kLongestSleep{5};

}  // namespace

base::Duration Queue::backoff_after(int attempts) const {
  base::Duration d = first_backoff_;
  for (int i = 1; i < attempts && d < last_backoff_; ++i) d *= 2;
  return std::min<base::Duration>(d, last_backoff_);
}

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
      impatient_.erase({e.pod->priority, e.order});
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
    if (!e.erred) impatient_[{e.pod->priority, e.order}] = e.pod->uid;
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
    e.missed |= kOwnChange;
    return;
  }
  detach(e);
  e.pod = pod;
  e.state = Entry::State::kDeciding;  // in none of the lists
  wake(e, now);
}

void Queue::refresh(const PodPtr& pod) {
  auto it = entries_.find(pod->uid);
  // Its rank is where it is found again; priorities never change.
  if (it != entries_.end() && it->second.pod->priority == pod->priority) it->second.pod = pod;
}

PodPtr Queue::find(const std::string& uid) const {
  auto it = entries_.find(uid);
  return it == entries_.end() ? nullptr : it->second.pod;
}

std::optional<Waiting> Queue::waits_for(const std::string& uid) const {
  auto it = entries_.find(uid);
  if (it == entries_.end() || it->second.state != Entry::State::kSleeping) return std::nullopt;
  return it->second.waiting;
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
  auto& from = active_.empty() ? impatient_ : active_;
  if (from.empty()) return nullptr;
  Entry& e = entries_.at(from.begin()->second);
  detach(e);
  e.state = Entry::State::kDeciding;
  e.missed = 0;
  deciding_.insert(e.pod->uid);
  return e.pod;
}

void Queue::placed(const std::string& uid) { remove(uid); }

void Queue::failed(const PodPtr& pod, const Waiting& waiting, base::MonoTime now) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) return;  // deleted meanwhile
  Entry& e = it->second;
  if (e.state != Entry::State::kDeciding) return;
  ++e.attempts;
  e.last_failure = now;
  e.waiting = waiting;
  e.erred = false;
  if (((waiting.helped_by | kOwnChange) & e.missed) != 0) {
    wake(e, now);
    return;
  }
  detach(e);
  e.state = Entry::State::kSleeping;
  sleeping_.insert({now, pod->uid});
}

void Queue::unplaced(const PodPtr& pod, base::MonoTime now) {
  Entry& e = entries_[pod->uid];
  const bool fresh = e.pod == nullptr;
  if (!fresh && e.state != Entry::State::kDeciding) return;  // changed meanwhile and queued again
  if (fresh) {
    e.pod = pod;
    e.order = next_order_++;
  }
  e.erred = true;
  e.attempts = ++binding_failures_[pod->uid];
  e.last_failure = now;
  e.state = Entry::State::kDeciding;
  wake(e, now);
}

void Queue::on_event(uint32_t events, base::MonoTime now, const Judge& judge) {
  for (const auto& uid : deciding_) entries_.at(uid).missed |= events;
  std::vector<std::string> helped;
  for (const auto& [since, uid] : sleeping_) {
    Entry& e = entries_.at(uid);
    if ((e.waiting.helped_by & events) == 0) continue;
    const auto more = judge ? judge(*e.pod, e.waiting.rejectors) : std::nullopt;
    if (!more) {
      helped.push_back(uid);
      continue;
    }
    e.waiting.rejectors |= more->rejectors;
    e.waiting.helped_by |= more->helped_by;
  }
  for (const auto& uid : helped) wake(entries_.at(uid), now);
}

std::optional<base::MonoTime> Queue::advance(base::MonoTime now) {
  while (!sleeping_.empty() && sleeping_.begin()->first + kLongestSleep <= now) {
    wake(entries_.at(sleeping_.begin()->second), now);
  }
  while (!backoff_.empty() && backoff_.begin()->first <= now) {
    Entry& e = entries_.at(backoff_.begin()->second);
    detach(e);
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
