// Who is next.
#include "server/flowcontrol/fair_queues.h"

#include <cmath>
#include <deque>
#include <map>

#include "server/flowcontrol/seats.h"
#include "server/flowcontrol/work_estimate.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;
using namespace std::chrono_literals;

namespace {

bool near(double a, double b, double by = 1e-6) { return std::abs(a - b) <= by; }

base::MonoTime at(base::Duration d) { return base::MonoTime{} + 1h + d; }

/// A level of `seats`, with flows that always have the next request ready.
struct Room {
  explicit Room(int64_t seats, QueueShape shape = {16, 50, 4}) : limit(seats) {
    queues.shape(shape);
    queues.pass(at(0s), limit);
  }
  bool come(uint64_t flow, Work work = {}) {
    entries.push_back({});
    auto& entry = entries.back();
    entry.work = work;
    flow_of[&entry] = flow;
    return queues.enqueue(entry, flow, in_use >= limit);
  }
  FairQueues::Entry* start(base::MonoTime now) {
    FairQueues::Entry* next = queues.next();
    if (next == nullptr || in_use + next->work.widest() > limit) return nullptr;
    queues.pass(now, limit);
    queues.begin(*next, now);
    in_use += next->work.widest();
    return next;
  }
  void stop(FairQueues::Entry* entry, base::MonoTime now) {
    queues.pass(now, limit);
    queues.end(*entry, now);
    queues.release(*entry);
    in_use -= entry->work.widest();
  }

  FairQueues queues;
  int64_t limit, in_use = 0;
  std::deque<FairQueues::Entry> entries;
  std::map<FairQueues::Entry*, uint64_t> flow_of;
};

}  // namespace

TEST_CASE("a flow with a hundred waiting does not hold up one that comes later") {
  Room room(1);
  const uint64_t noisy = flow_hash("s", "noisy"), quiet = flow_hash("s", "quiet");
  for (int i = 0; i < 100; ++i) REQUIRE(room.come(noisy));
  auto* running = room.start(at(0s));
  REQUIRE(running != nullptr);
  REQUIRE(room.come(quiet));
  int before = 0;
  base::Duration now = 0s;
  while (room.flow_of[running] == noisy) {
    room.stop(running, at(now += 3ms));
    running = room.start(at(now));
    REQUIRE(running != nullptr);
    ++before;
  }
  // Four queues of the noisy one have a turn at most.
  CHECK(before <= 5);
}

TEST_CASE("flows share the seats evenly, however long their requests take") {
  Room room(4, {64, 200, 2});
  const uint64_t slow = 3, fast = 64 * 5 + 9;  // hands without a queue in common
  std::map<uint64_t, base::Duration> busy;
  for (int i = 0; i < 80; ++i) {
    room.come(slow);
    room.come(fast);
  }
  std::multimap<base::MonoTime, FairQueues::Entry*> running;
  base::MonoTime now = at(0s);
  while (now < at(500ms)) {
    while (auto* entry = room.start(now)) {
      const base::Duration takes = room.flow_of[entry] == slow ? 20ms : 5ms;
      busy[room.flow_of[entry]] += takes;
      running.emplace(now + takes, entry);
      room.come(room.flow_of[entry]);
    }
    REQUIRE_FALSE(running.empty());
    now = running.begin()->first;
    room.stop(running.begin()->second, now);
    running.erase(running.begin());
  }
  const double share = static_cast<double>(busy[slow].count()) / static_cast<double>(busy[fast].count());
  CHECK(share > 0.8);
  CHECK(share < 1.25);
}

TEST_CASE("full queues refuse, and only when there is no seat") {
  Room room(1, {1, 2, 1});
  CHECK(room.come(1));
  auto* first = room.start(at(0s));
  CHECK(room.come(1));
  CHECK(room.come(1));
  CHECK_FALSE(room.come(1));
  room.stop(first, at(1ms));
  CHECK(room.come(1));  // three wait, but a seat is free
  CHECK(room.queues.waiting() == 3);
}

TEST_CASE("who gives up leaves nothing behind") {
  Room room(1, {4, 10, 2});
  room.come(1);
  room.come(1, {3, 5, 10ms});
  room.queues.leave(room.entries[1]);
  room.queues.leave(room.entries[0]);
  CHECK(room.queues.waiting() == 0);
  CHECK(room.queues.seats_waiting() == 0);
  CHECK(room.queues.next() == nullptr);
  for (const auto& queue : room.queues.queues()) CHECK((queue.idle() && queue.work == 0));
  room.queues.shape({2, 10, 2});
  CHECK(room.queues.queues().size() == 2);
}

TEST_CASE("seat-seconds") {
  CHECK(seats_times(2, 1500ms) == 300'000'000);
  CHECK(seat_seconds_text(seats_times(2, 1501500us)) == "3.00300000ss");
}

TEST_CASE("what a request is worth") {
  const struct {
    ListFacts facts;
    int64_t widest, seats;
  } lists[] = {
      {{0, 0, 0}, 0, 1},
      {{10, 1000, 0}, 0, 1},
      {{1000, 1000, 0}, 0, 10},
      {{5000, 1000, 0}, 0, 10},
      {{5000, 1000, 0, false, false}, 0, 50},
      {{5000, 1000, 500, false, false}, 0, 5},
      {{5000, 1000, 500, false, false, true}, 0, 25},
      {{5000, 1000, 0, true}, 0, 1},
      {{1000, 1000, 0}, 4, 4},
  };
  for (const auto& row : lists) {
    CAPTURE(row.facts.objects, row.facts.limit, row.widest);
    CHECK(estimate_list(row.facts, row.widest).seats == row.seats);
  }
  CHECK(estimate_write(9, 0).final_seats == 0);
  CHECK(estimate_write(10, 0).final_seats == 1);
  CHECK(estimate_write(10, 0).afterwards == 5ms);
  CHECK(estimate_write(1000, 0).final_seats == 10);
  CHECK(estimate_write(1000, 0).afterwards == 50ms);
  CHECK(estimate_write(1000, 5).afterwards == 100ms);
}

TEST_CASE("how long a request may wait, and what a list is read from") {
  CHECK(wait_limit("") == 15s);
  CHECK(wait_limit("8s") == 2s);
  CHECK(wait_limit("10m") == 15s);
  CHECK(wait_limit("nonsense") == 15s);
  const auto cached = [](const char* query) { return list_from_cache(http::Query::parse(query)); };
  CHECK(cached(""));
  CHECK(cached("limit=500"));
  CHECK(cached("limit=500&resourceVersion=0"));
  CHECK_FALSE(cached("limit=500&resourceVersion=7"));
  CHECK_FALSE(cached("continue=abc"));
  CHECK_FALSE(cached("resourceVersion=7&resourceVersionMatch=Exact"));
  CHECK(cached("resourceVersion=7&resourceVersionMatch=NotOlderThan"));
}

TEST_CASE("watches that a write concerns") {
  WatchCounts counts;
  auto all = counts.add({"", "pods", "", ""}), ns = counts.add({"", "pods", "a", ""}),
       one = counts.add({"", "pods", "a", "x"}), other = counts.add({"apps", "deployments", "", ""});
  CHECK(counts.interested({"", "pods", "a", "x"}) == 3);
  CHECK(counts.interested({"", "pods", "a", ""}) == 2);
  CHECK(counts.interested({"", "pods", "b", "y"}) == 1);
  all.reset();
  CHECK(counts.interested({"", "pods", "a", "x"}) == 2);
  CHECK(counts.interested({"", "nodes", "", "n"}) == 0);
}

TEST_CASE("numbers between bounds that sum up") {
  const auto given = allocate(100, {{50, 0, 100}, {150, 0, 100}});
  REQUIRE(given);
  CHECK(near((*given)[0], 25.0));
  CHECK(near((*given)[1], 75.0));
  const auto bounded = allocate(100, {{50, 40, 100}, {150, 0, 100}, {10, 0, 5}});
  REQUIRE(bounded);
  CHECK(near((*bounded)[0], 40.0));
  CHECK(near((*bounded)[0] + (*bounded)[1] + (*bounded)[2], 100.0));
  CHECK_FALSE(allocate(10, {{20, 20, 30}}));
  CHECK_FALSE(allocate(100, {{20, 20, 30}}));
  CHECK(near(allocate(30, {{20, 20, 30}})->at(0), 30.0));
}

TEST_CASE("an idle level lends what a busy one asks for") {
  SeatDemand busy, idle;
  busy.highest = 60;
  busy.smoothed = 60;
  const auto seats = borrow_seats({{false, {20, 10, 120}, busy, 20}, {false, {100, 10, 200}, idle, 55}});
  REQUIRE(seats.size() == 2);
  CHECK(seats[0] + seats[1] == 120);
  CHECK(seats[0] > 60);
  CHECK(seats[1] >= 10);
  // Exempt requests take theirs first.
  SeatDemand exempt;
  exempt.highest = 115;
  const auto scarce = borrow_seats(
      {{true, {0, 0, 120}, exempt, 0}, {false, {60, 5, 120}, busy, 60}, {false, {60, 5, 120}, busy, 60}});
  CHECK(scarce == std::vector<int64_t>{115, 5, 5});
}

TEST_CASE("demand is weighed by time, rises at once and falls slowly") {
  DemandMeter meter(at(0s));
  meter.set(at(0s), 10);
  meter.set(at(5s), 0);
  auto seen = meter.take(at(10s));
  CHECK(near(seen.average, 5.0));
  CHECK(near(seen.deviation, 5.0));
  CHECK(seen.highest == 10);
  SeatDemand demand;
  demand.update(seen);
  CHECK(near(demand.smoothed, 10.0));
  seen = meter.take(at(310s));
  CHECK(seen.highest == 0);
  demand.update(seen);
  CHECK(near(demand.smoothed, 5.0, 0.1));
}

TEST_CASE("clients that are refused are sent away for longer") {
  RetryAfter retry;
  CHECK(retry.seconds() == 1);
  for (int i = 0; i < 3; ++i) retry.refused(100);
  CHECK(retry.seconds() == 1);
  retry.refused(101);
  CHECK(retry.seconds() == 2);
  retry.refused(110);
  CHECK(retry.seconds() == 1);
  int64_t second = 200;
  for (int i = 0; i < 100; ++i, ++second) {
    for (int n = 0; n < 200; ++n) retry.refused(second);
  }
  CHECK(retry.seconds() == 32);
}
