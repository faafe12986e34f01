#include "server/flowcontrol/fair_queues.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace orch::server {
namespace {

constexpr double kScale = 1e8;
/// How long a request is thought to take until it has ended.
constexpr base::Duration kServiceTime = std::chrono::milliseconds(3);

}  // namespace

SeatSeconds seats_times(double seats, base::Duration duration) {
  return static_cast<SeatSeconds>(
      std::llround(seats * static_cast<double>(duration.count()) / (1e9 / kScale)));
}

std::string seat_seconds_text(SeatSeconds value) {
  constexpr SeatSeconds kOne = 100'000'000;
  char text[48];
  const auto size = std::snprintf(text, sizeof text, "%lld.%08lldss", static_cast<long long>(value / kOne),
                                  static_cast<long long>(std::abs(value % kOne)));
  return {text, static_cast<size_t>(size)};
}

void FairQueues::shape(const QueueShape& shape) {
  shape_ = shape;
  if (queues_.size() < static_cast<size_t>(shape.queues)) queues_.resize(static_cast<size_t>(shape.queues));
  drop_spare();
}

/// From the end alone: entries know their queue by its number.
void FairQueues::drop_spare() {
  while (queues_.size() > static_cast<size_t>(shape_.queues) && queues_.back().idle() &&
         queues_.back().seats == 0)
    queues_.pop_back();
  if (robin_ >= queues_.size()) robin_ = 0;
}

void FairQueues::count(const Queue& queue, int by) {
  if (!queue.idle()) active_ += by;
  seats_wanted_ += by * (queue.seats + queue.seats_waiting);
}

void FairQueues::pass(base::MonoTime now, int64_t limit) {
  const base::Duration passed = now - last_;
  last_ = now;
  if (active_ == 0 || passed.count() <= 0) return;
  const double rate =
      std::min(static_cast<double>(seats_wanted_), static_cast<double>(limit)) / static_cast<double>(active_);
  r_ += seats_times(rate, passed);
}

/// Nobody begins, in the world of R, before he came: a queue that never used its share saves nothing up.
void FairQueues::bound(Queue& queue) {
  if (!queue.waiting.empty()) queue.next = std::max(queue.next, queue.waiting.front()->arrival);
}

bool FairQueues::enqueue(Entry& entry, uint64_t flow, bool busy) {
  deal(flow, shape_.queues, shape_.hand, hand_);
  const size_t offset = dealt_++ % hand_.size();
  SeatSeconds least = std::numeric_limits<SeatSeconds>::max();
  for (size_t i = 0; i < hand_.size(); ++i) {
    const auto index = static_cast<size_t>(hand_[(offset + i) % hand_.size()]);
    if (queues_[index].work >= least) continue;
    least = queues_[index].work;
    entry.queue = index;
  }
  Queue& queue = queues_[entry.queue];
  if (busy && queue.waiting.size() >= static_cast<size_t>(shape_.length)) return false;
  count(queue, -1);
  if (queue.idle()) queue.next = r_;
  entry.arrival = r_;
  entry.total = seats_times(static_cast<double>(entry.work.seats), kServiceTime) +
                seats_times(static_cast<double>(entry.work.final_seats), entry.work.afterwards);
  entry.place = queue.waiting.insert(queue.waiting.end(), &entry);
  entry.waiting = true;
  queue.work += entry.total;
  queue.seats_waiting += entry.work.widest();
  queue.initial_waiting += entry.work.seats;
  ++waiting_;
  seats_waiting_ += entry.work.widest();
  count(queue, 1);
  bound(queue);
  return true;
}

FairQueues::Entry* FairQueues::next() {
  if (waiting_ == 0) return nullptr;
  SeatSeconds least = std::numeric_limits<SeatSeconds>::max();
  Entry* best = nullptr;
  // Begins behind the queue that was served last, so that the others win a tie.
  for (size_t i = 1; i <= queues_.size(); ++i) {
    const Queue& queue = queues_[(robin_ + i) % queues_.size()];
    if (queue.waiting.empty()) continue;
    Entry* first = queue.waiting.front();
    if (queue.next + first->total >= least) continue;
    least = queue.next + first->total;
    best = first;
  }
  return best;
}

void FairQueues::take_out(Entry& entry) {
  Queue& queue = queues_[entry.queue];
  queue.waiting.erase(entry.place);
  entry.waiting = false;
  queue.work -= entry.total;
  queue.seats_waiting -= entry.work.widest();
  queue.initial_waiting -= entry.work.seats;
  --waiting_;
  seats_waiting_ -= entry.work.widest();
}

void FairQueues::begin(Entry& entry, base::MonoTime now) {
  Queue& queue = queues_[entry.queue];
  count(queue, -1);
  take_out(entry);
  entry.running = true;
  entry.began = now;
  ++queue.running;
  queue.seats += entry.work.widest();
  queue.next += entry.total;
  count(queue, 1);
  bound(queue);
  robin_ = entry.queue;
}

void FairQueues::leave(Entry& entry) {
  Queue& queue = queues_[entry.queue];
  count(queue, -1);
  take_out(entry);
  count(queue, 1);
  bound(queue);
  drop_spare();
}

void FairQueues::end(Entry& entry, base::MonoTime now) {
  Queue& queue = queues_[entry.queue];
  count(queue, -1);
  entry.running = false;
  --queue.running;
  queue.next -= seats_times(static_cast<double>(entry.work.seats), kServiceTime - (now - entry.began));
  count(queue, 1);
  bound(queue);
}

void FairQueues::release(Entry& entry) {
  Queue& queue = queues_[entry.queue];
  count(queue, -1);
  queue.seats -= entry.work.widest();
  count(queue, 1);
  drop_spare();
}

}  // namespace orch::server
