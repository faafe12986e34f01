// The waiting room of one level: requests of many flows in a few queues, and who is next
// (k8s.io/apiserver pkg/util/flowcontrol/fairqueuing/queueset). No lock, no clock: the caller has both.
//
// A flow is dealt a hand of queues by its hash; a request waits in that of its hand with the least work
// before it. Each queue is served as if all that have something to do shared the seats evenly, bit by bit:
// R counts what each was given so far, in seat-seconds, and the queue whose first request would be done at
// the lowest R is next. How long a request takes is guessed when it begins and put right when it ends.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "base/clock.h"
#include "server/flowcontrol/flow_config.h"

namespace orch::server {

/// What a request is thought to cost: seats while it runs, and seats for a while after its end.
struct Work {
  int64_t seats = 1, final_seats = 0;
  base::Duration afterwards{0};
  int64_t widest() const { return seats > final_seats ? seats : final_seats; }
};

/// In 1/10^8 seat-seconds; "3.00300000ss" as text.
using SeatSeconds = int64_t;
SeatSeconds seats_times(double seats, base::Duration duration);
std::string seat_seconds_text(SeatSeconds value);

/// One thread at a time.
class FairQueues {
 public:
  /// A request that waits or runs. Owned by the caller, who keeps it in place until it is released.
  struct Entry {
    Work work;
    size_t queue = 0;
    bool waiting = false, running = false;
    SeatSeconds arrival = 0;  // R then
    SeatSeconds total = 0;    // all the work it is thought to be
    base::MonoTime began{};
    std::list<Entry*>::iterator place{};
  };
  struct Queue {
    std::list<Entry*> waiting;
    SeatSeconds next = 0;  // R at which its next request begins
    SeatSeconds work = 0;  // of those that wait
    int64_t seats_waiting = 0, initial_waiting = 0;
    int64_t seats = 0, running = 0;
    bool idle() const { return waiting.empty() && running == 0; }
  };

  /// Queues that are too many stay until they are empty. There must be at least one.
  void shape(const QueueShape& shape);
  /// Time passes, with `limit` seats; before anything else changes.
  void pass(base::MonoTime now, int64_t limit);
  /// False when its queue is full; `busy`: every seat is taken (otherwise there is always room).
  bool enqueue(Entry& entry, uint64_t flow, bool busy);
  /// Whose turn it is; null when nobody waits.
  Entry* next();
  /// It begins: the one that next() gave.
  void begin(Entry& entry, base::MonoTime now);
  /// It gives up.
  void leave(Entry& entry);
  /// It ended, but holds its seats still.
  void end(Entry& entry, base::MonoTime now);
  /// Its seats are free.
  void release(Entry& entry);

  size_t waiting() const { return waiting_; }
  int64_t seats_waiting() const { return seats_waiting_; }
  const std::vector<Queue>& queues() const { return queues_; }

 private:
  void bound(Queue& queue);
  void take_out(Entry& entry);
  void drop_spare();
  void count(const Queue& queue, int by);

  QueueShape shape_;
  std::vector<Queue> queues_;
  std::vector<int> hand_;  // of the flow being dealt to
  base::MonoTime last_{};
  SeatSeconds r_ = 0;
  size_t robin_ = 0, dealt_ = 0, waiting_ = 0;
  int64_t seats_waiting_ = 0;
  int64_t active_ = 0, seats_wanted_ = 0;  // queues with something to do; seats they hold and wait for
};

}  // namespace orch::server
