#include "server/scheduler/queue.h"

#include "server/scheduler/framework.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using server::scheduler::kNodeAdded;
using server::scheduler::kNodeTaints;
using server::scheduler::kPodGone;
using server::scheduler::Queue;
using server::scheduler::Waiting;

Waiting waits(uint32_t events) { return {1, events}; }

base::MonoTime at(double seconds) {
  return base::MonoTime(std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9)));
}

PodPtr ranked(const std::string& name, int64_t priority) {
  return pod(name, "", {{"spec", {{"priority", priority}}}});
}

std::string next(Queue& q) {
  PodPtr p = q.pop();
  return p ? p->name : "-";
}

TEST_CASE("pods come by priority, then in the order they were added") {
  Queue q;
  q.add(ranked("a", 0), at(0));
  q.add(ranked("b", 10), at(0));
  q.add(ranked("c", 0), at(0));
  q.add(ranked("d", -5), at(0));
  q.add(ranked("e", 10), at(0));
  CHECK(next(q) == "b");
  CHECK(next(q) == "e");
  CHECK(next(q) == "a");
  CHECK(next(q) == "c");
  CHECK(next(q) == "d");
  CHECK(next(q) == "-");
}

TEST_CASE("a pod that did not fit sleeps until an event that helps it") {
  Queue q;
  PodPtr p = pod("a");
  q.add(p, at(0));
  REQUIRE(next(q) == "a");
  q.failed(p, waits(kPodGone | kNodeAdded), at(0));
  CHECK(q.sleeping() == 1);
  CHECK(next(q) == "-");
  q.on_event(kNodeTaints, at(20));
  CHECK(q.sleeping() == 1);
  // A node with room has a taint: from now on that is waited for too.
  q.on_event(kPodGone, at(20), [](const PodInfo&, uint64_t) { return Waiting{2, kNodeTaints}; });
  CHECK(q.sleeping() == 1);
  q.on_event(kNodeTaints, at(20), [](const PodInfo& pod, uint64_t rejectors) -> std::optional<Waiting> {
    if (pod.name == "a" && rejectors == 3) return std::nullopt;
    return Waiting{};
  });
  CHECK(next(q) == "a");
}

TEST_CASE("who keeps failing is held back, one second to ten, while there is somebody else") {
  const double back_offs[] = {1, 2, 4, 8, 10, 10};
  Queue q;
  PodPtr p = ranked("a", 10), other = ranked("b", 0);
  q.add(p, at(0));
  q.add(other, at(0));
  double now = 0;
  for (double wait : back_offs) {
    REQUIRE(next(q) == "a");
    q.failed(p, waits(kPodGone), at(now));
    q.on_event(kPodGone, at(now));
    auto due = q.advance(at(now));
    REQUIRE(due);
    CHECK(*due == at(now + wait));
    q.advance(at(now + wait - 0.001));
    REQUIRE(next(q) == "b");
    q.placed(other->uid);
    q.add(other, at(now));
    now += wait;
    q.advance(at(now));
  }
  CHECK(next(q) == "a");
}

TEST_CASE("nobody is held back when there is nobody else, the most important goes first") {
  Queue q;
  for (const PodPtr& p : {ranked("a", 0), ranked("b", 10)}) {
    q.add(p, at(0));
    REQUIRE(next(q) == p->name);
    q.failed(p, waits(kPodGone), at(0));
  }
  q.on_event(kPodGone, at(0));
  CHECK(q.has_active());
  CHECK(next(q) == "b");
  CHECK(next(q) == "a");
  CHECK_FALSE(q.has_active());
}

TEST_CASE("nothing that happens while a pod is decided on is slept through") {
  struct Case {
    const char* what;
    uint32_t event, helped_by;
    bool woken;
  };
  const std::vector<Case> cases = {{"nothing", 0, kPodGone, false},
                                   {"what helps", kPodGone, kPodGone | kNodeAdded, true},
                                   {"what does not", kNodeTaints, kPodGone, false}};
  for (const auto& c : cases) {
    INFO(c.what);
    Queue q;
    PodPtr p = pod("a");
    q.add(p, at(0));
    REQUIRE(next(q) == "a");
    if (c.event != 0) q.on_event(c.event, at(0));
    q.failed(p, waits(c.helped_by), at(0));
    CHECK(q.has_active() == c.woken);
  }
  Queue q;
  PodPtr p = pod("a");
  q.add(p, at(0));
  REQUIRE(next(q) == "a");
  q.add(pod("a", "1"), at(0));  // changed meanwhile
  q.failed(p, waits(kPodGone), at(0));
  q.advance(at(5));
  REQUIRE(q.has_active());
  CHECK(q.pop()->requests.milli_cpu == 1000);
}

TEST_CASE("a changed pod is tried again, a refreshed one is not") {
  Queue q;
  PodPtr p = pod("a");
  q.add(p, at(0));
  REQUIRE(next(q) == "a");
  q.failed(p, waits(kPodGone), at(0));
  q.refresh(pod("a", "2"));
  q.advance(at(60));
  CHECK(q.sleeping() == 1);
  q.add(pod("a", "3"), at(60));
  CHECK(q.sleeping() == 0);
  CHECK(q.pop()->requests.milli_cpu == 3000);
}

TEST_CASE("nobody sleeps for more than five minutes") {
  Queue q;
  PodPtr p = pod("a");
  q.add(p, at(0));
  REQUIRE(next(q) == "a");
  q.failed(p, waits(kPodGone), at(10));
  auto due = q.advance(at(20));
  REQUIRE(due);
  CHECK(*due == at(310));
  CHECK_FALSE(q.has_active());
  q.advance(at(310));
  CHECK(next(q) == "a");
  CHECK_FALSE(q.advance(at(310)));
}

TEST_CASE("a pod whose binding failed comes back after its back-off, later each time") {
  Queue q;
  PodPtr p = pod("a");
  double now = 0;
  q.add(p, at(now));
  for (double wait : {1.0, 2.0, 4.0}) {
    REQUIRE(next(q) == "a");
    q.placed(p->uid);
    q.unplaced(p, at(now));
    CHECK(next(q) == "-");
    now += wait;
    q.advance(at(now));
  }
  CHECK(next(q) == "a");
}

TEST_CASE("a pod that is gone is nowhere in the queue") {
  for (int state = 0; state < 4; ++state) {
    INFO(state);
    Queue q;
    PodPtr p = pod("a");
    q.add(p, at(0));
    if (state > 0) q.pop();
    if (state > 1) q.failed(p, waits(kPodGone), at(0));
    if (state > 2) q.on_event(kPodGone, at(0));
    q.forget(p->uid);
    q.failed(p, waits(kPodGone), at(0));
    q.on_event(kPodGone, at(0));
    CHECK_FALSE(q.advance(at(1000)));
    CHECK(q.sleeping() == 0);
    CHECK(next(q) == "-");
  }
}

}  // namespace
}  // namespace orch::testing
