#include "server/controllers/loop.h"

#include <future>

#include "server/controllers/executor.h"
#include "tests/fake_api.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using server::Applied;
using server::apply_plan;
using server::Controller;
using server::kConfigMaps;
using server::Key;
using server::View;
using server::Write;

Json map_named(const std::string& name) {
  return {{"kind", "ConfigMap"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", name}, {"namespace", "ns"}, {"uid", "uid-" + name}}}};
}

api::ObjectPtr object(const Json& tree) {
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  return *made;
}

TEST_CASE("a plan is carried out up to the first failure") {
  tests::FakeApi api;  // it deletes, but makes nothing
  for (const char* name : {"a", "b"}) api.put(kConfigMaps, map_named(name));
  Plan plan;
  plan.remove(kConfigMaps, *object(map_named("a")));
  plan.remove(kConfigMaps, *object(map_named("gone")));  // done already
  plan.create(kConfigMaps, "ns", map_named("c"));
  plan.remove(kConfigMaps, *object(map_named("b")));
  const Applied applied = apply_plan(api, plan);
  CHECK(applied.done == 2);
  CHECK(applied.status.code() == base::Code::kMethodNotAllowed);
  CHECK_FALSE(api.get(kConfigMaps, "ns", "a").ok());
  CHECK(api.get(kConfigMaps, "ns", "b").ok());
}

TEST_CASE("an event belongs to the writes planned before it") {
  Plan plan;
  const auto about = object(map_named("a"));
  plan.note(about, "Normal", "First", "");
  plan.remove(kConfigMaps, *about);
  plan.note(about, "Normal", "Second", "");
  CHECK(plan.notes[0].after == 0);
  CHECK(plan.notes[1].after == 1);
}

TEST_CASE("the loop asks a plan what to do about its failure, and tries again") {
  base::FakeClock clock(kNow);
  base::FakeTimers timers(clock);
  base::Metrics metrics;
  tests::FakeApi api;
  api.put(kConfigMaps, map_named("wish"));
  std::promise<std::string> first, second;
  int tries = 0;  // the loop never runs a key twice at once
  Controller c;
  c.name = "test";
  c.sources = {{kConfigMaps, server::own_key, {}}};
  c.plan = [&](const View&, const Key& key, base::WallTime) {
    Plan plan;
    plan.create(kConfigMaps, key.ns, map_named("child"));
    plan.otherwise = [&](const Write& failed, const base::Status& why) {
      if (++tries <= 2) {
        (tries == 1 ? first : second)
            .set_value(base::cat(base::string_at(*failed.body, {"metadata", "name"}), ": ", why.message()));
      }
      return Plan();
    };
    return plan;
  };
  client::InformerFactory informers(api, timers);
  std::vector<Controller> controllers;
  controllers.push_back(std::move(c));
  server::ControllerLoop loop(api, informers, timers, clock, metrics, std::move(controllers));
  informers.start();
  REQUIRE(informers.wait_synced(5s));
  loop.start();
  auto told = first.get_future(), again = second.get_future();
  REQUIRE(told.wait_for(10s) == std::future_status::ready);
  CHECK(told.get() == "child: the fake only reads and deletes");
  for (int i = 0; i < 1000 && again.wait_for(5ms) != std::future_status::ready; ++i) timers.advance(5ms);
  CHECK(again.wait_for(0s) == std::future_status::ready);
}

TEST_CASE("a queue has the metrics of client-go's") {
  base::FakeClock clock(kNow);
  base::FakeTimers timers(clock);
  base::Metrics metrics;
  tests::FakeApi api;
  api.put(kConfigMaps, map_named("wish"));
  std::promise<void> began, go;
  Controller c;
  c.name = "test-controller";
  c.queue = "test";
  c.sources = {{kConfigMaps, server::own_key, {}}};
  c.plan = [&](const View&, const Key&, base::WallTime) {
    began.set_value();
    go.get_future().wait();
    return Plan();
  };
  client::InformerFactory informers(api, timers);
  std::vector<Controller> controllers;
  controllers.push_back(std::move(c));
  server::ControllerLoop loop(api, informers, timers, clock, metrics, std::move(controllers));
  informers.start();
  REQUIRE(informers.wait_synced(5s));
  clock.advance(2s);
  loop.start();
  REQUIRE(began.get_future().wait_for(10s) == std::future_status::ready);
  clock.advance(3s);
  std::string text = metrics.expose();
  for (const char* line :
       {"workqueue_adds_total{name=\"test\"} 1\n", "workqueue_depth{name=\"test\"} 0\n",
        "workqueue_retries_total{name=\"test\"} 0\n", "# TYPE workqueue_unfinished_work_seconds gauge\n",
        "workqueue_unfinished_work_seconds{name=\"test\"} 3\n",
        "workqueue_longest_running_processor_seconds{name=\"test\"} 3\n",
        "workqueue_queue_duration_seconds_sum{name=\"test\"} 2\n",
        "workqueue_work_duration_seconds_count{name=\"test\"} 0\n"}) {
    CHECK_THAT(text, contains(line));
  }
  go.set_value();
  for (int i = 0; i < 1000 && !loop.idle(); ++i) std::this_thread::sleep_for(5ms);
  text = metrics.expose();
  for (const char* line : {"workqueue_unfinished_work_seconds{name=\"test\"} 0\n",
                           "workqueue_work_duration_seconds_sum{name=\"test\"} 3\n"}) {
    CHECK_THAT(text, contains(line));
  }
}

TEST_CASE("a key that waits for a time looks again when the clock is set") {
  base::FakeClock clock(base::WallTime(std::chrono::seconds(0)));  // 1970
  base::FakeTimers timers(clock);
  base::Metrics metrics;
  tests::FakeApi api;
  api.put(kConfigMaps, map_named("wish"));
  std::promise<void> first, second;
  int runs = 0;
  Controller c;
  c.name = "test";
  c.sources = {{kConfigMaps, server::own_key, {}}};
  c.plan = [&](const View&, const Key&, base::WallTime) {
    if (++runs <= 2) (runs == 1 ? first : second).set_value();
    return Plan().again_after(std::chrono::hours(24 * 365 * 56));
  };
  client::InformerFactory informers(api, timers);
  std::vector<Controller> controllers;
  controllers.push_back(std::move(c));
  server::ControllerLoop loop(api, informers, timers, clock, metrics, std::move(controllers));
  informers.start();
  REQUIRE(informers.wait_synced(5s));
  loop.start();
  REQUIRE(first.get_future().wait_for(10s) == std::future_status::ready);
  while (!loop.idle()) std::this_thread::sleep_for(1ms);
  timers.clock_was_set();
  CHECK(second.get_future().wait_for(10s) == std::future_status::ready);
}

}  // namespace
}  // namespace orch::testing
