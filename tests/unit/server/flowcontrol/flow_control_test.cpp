// Requests among threads and time: who runs at once, who waits and for how long, who is refused.
#include "server/flowcontrol/flow_control.h"

#include <atomic>
#include <thread>

#include "api/resources/flow_objects.h"
#include "base/json.h"
#include "server/flowcontrol/maintain.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;
using namespace std::chrono_literals;
using orch::testing::contains;

namespace {

struct Bench {
  explicit Bench(int64_t seats) {
    FlowControlOptions options;
    options.seats = seats;
    options.clock = &clock;
    options.timers = &timers;
    options.metrics = &metrics;
    flow = std::make_unique<FlowControl>(options);
  }
  /// One level that has all seats: with queues, or without.
  void one_level(QueueShape shape) {
    LevelConfig level;
    level.name = "work";
    level.uid = "level-uid";
    level.shares = 1000;
    level.shape = shape;
    FlowSchema schema;
    schema.name = "everybody";
    schema.uid = "schema-uid";
    schema.level = "work";
    schema.precedence = 5;
    schema.by = FlowSchema::By::kUser;
    FlowAccess all;
    all.verbs = all.groups = all.resources = all.namespaces = {"*"};
    all.cluster_scope = true;
    schema.rules = {{{{FlowSubject::Kind::kUser, "", "*"}}, {all}, {}}};
    flow->configure({level}, {schema});
  }
  FlowTicketPtr ask(const std::string& name, Work work = {}, base::Duration wait = 15s,
                    bool patient = false) {
    UserInfo user;
    user.name = name;
    if (name == "root") user.groups = {std::string(kGroupMasters)};
    const FlowRequest request{&user, true, "get", "", "pods", "", "default", "", patient};
    return flow->begin(
        request, wait, [&](int64_t) { return work; },
        [&] { return FlowControl::Details{name, "get", "/x", "default", "", "v1", "pods", ""}; });
  }

  base::FakeClock clock;
  base::FakeTimers timers{clock};
  base::Metrics metrics;
  std::unique_ptr<FlowControl> flow;
};

using State = FlowTicket::State;

}  // namespace

TEST_CASE("who finds no seat waits until one is free") {
  Bench bench(2);
  bench.one_level({4, 10, 2});
  auto first = bench.ask("a"), second = bench.ask("a");
  CHECK(first->schema_uid() == "schema-uid");
  CHECK(first->level_uid() == "level-uid");
  auto third = bench.ask("b");
  REQUIRE((first->state() == State::kRunning && second->state() == State::kRunning));
  REQUIRE(third->state() == State::kWaiting);
  int told = 0;
  third->when_decided([&] { ++told; });
  CHECK(told == 0);
  CHECK_THAT(bench.flow->dump_requests(true), contains("everybody"));
  CHECK_THAT(bench.flow->dump_requests(true), contains("/x"));
  first->finish();
  CHECK(told == 1);
  CHECK(third->state() == State::kRunning);
  first->finish();
  auto fourth = bench.ask("b");
  CHECK(fourth->state() == State::kWaiting);
  third.reset();
  CHECK(fourth->state() == State::kRunning);
  second->finish();
  fourth->finish();
  const std::string text = bench.metrics.expose();
  CHECK_THAT(text, contains("apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"everybody\","
                            "priority_level=\"work\"} 4\n"));
  CHECK_THAT(text, contains("apiserver_flowcontrol_current_executing_seats{flow_schema=\"everybody\","
                            "priority_level=\"work\"} 0\n"));
  CHECK_THAT(text, contains("apiserver_flowcontrol_current_inqueue_requests{flow_schema=\"everybody\","
                            "priority_level=\"work\"} 0\n"));
  CHECK_THAT(bench.flow->dump_priority_levels(), contains("work,              0,            true"));
}

TEST_CASE("who is patient leaves a quarter of the seats, and lets others pass") {
  Bench bench(8);
  bench.one_level({4, 10, 2});
  const auto patient = [&] { return bench.ask("much", {}, 15s, true); };
  const auto other = [&] { return bench.ask("little"); };
  std::vector<FlowTicketPtr> running;
  for (int i = 0; i < 6; ++i) {
    running.push_back(patient());
    CHECK(running.back()->state() == State::kRunning);
  }
  const auto waits = patient();
  CHECK(waits->state() == State::kWaiting);
  const auto passes = other(), passes_too = other();
  CHECK(passes->state() == State::kRunning);
  CHECK(passes_too->state() == State::kRunning);
  const auto none_left = other(), behind = other();
  CHECK(none_left->state() == State::kWaiting);
  CHECK(behind->state() == State::kWaiting);
  running.pop_back();
  const auto runs = [](const FlowTicketPtr& ticket) { return ticket->state() == State::kRunning ? 1 : 0; };
  CHECK(runs(waits) + runs(none_left) + runs(behind) == 1);  // once others wait, all seats are shared out
  passes->finish();
  passes_too->finish();
  none_left->finish();
  behind->finish();
  CHECK(runs(waits) + runs(none_left) + runs(behind) == 3);

  Bench without(4);
  without.one_level({});
  running.clear();
  for (int i = 0; i < 4; ++i) running.push_back(without.ask("much", {}, 15s, true));
  for (const auto& ticket : running) CHECK(ticket->state() == State::kRunning);
  running.clear();
}

TEST_CASE("the time to wait is bounded") {
  Bench bench(1);
  bench.one_level({4, 10, 2});
  auto running = bench.ask("a");
  auto waiting = bench.ask("b", {}, 2s);
  bool told = false;
  waiting->when_decided([&] { told = true; });
  bench.timers.advance(1900ms);
  CHECK_FALSE(told);
  bench.timers.advance(200ms);
  CHECK(told);
  CHECK(waiting->state() == State::kRefused);
  CHECK(waiting->retry_after() == 1);
  CHECK_THAT(bench.metrics.expose(), contains("reason=\"time-out\"} 1\n"));
  running->finish();
  CHECK(bench.ask("c")->state() == State::kRunning);
}

TEST_CASE("full queues, and levels without any, refuse at once; exempt requests pass") {
  Bench bench(1);
  bench.one_level({1, 1, 1});
  auto running = bench.ask("a"), waiting = bench.ask("a"), refused = bench.ask("a");
  CHECK(waiting->state() == State::kWaiting);
  CHECK(refused->state() == State::kRefused);
  CHECK_THAT(bench.metrics.expose(), contains("reason=\"queue-full\"} 1\n"));
  for (int i = 0; i < 50; ++i) CHECK(bench.ask("root")->state() == State::kRunning);
  running->finish();
  CHECK(waiting->state() == State::kRunning);
  waiting->finish();

  Bench plain(1);
  plain.one_level({});
  auto only = plain.ask("a");
  CHECK(plain.ask("a")->state() == State::kRefused);
  CHECK_THAT(plain.metrics.expose(), contains("reason=\"concurrency-limit\"} 1\n"));
}

TEST_CASE("a write holds its seats until its watchers know") {
  Bench bench(4);
  bench.one_level({4, 10, 2});
  auto write = bench.ask("a", {1, 4, 50ms});
  auto next = bench.ask("b");
  CHECK(next->state() == State::kWaiting);
  write->finish();
  write.reset();
  CHECK(next->state() == State::kWaiting);
  bench.timers.advance(60ms);
  CHECK(next->state() == State::kRunning);
}

TEST_CASE("one that is wider than its level gets it alone") {
  Bench bench(2);
  bench.one_level({4, 10, 2});
  auto small = bench.ask("a"), wide = bench.ask("b", {9, 0, {}});
  CHECK(wide->state() == State::kWaiting);
  small->finish();
  CHECK(wide->state() == State::kRunning);
  auto after = bench.ask("a");
  CHECK(after->state() == State::kWaiting);
  wide->finish();
  CHECK(after->state() == State::kRunning);
}

TEST_CASE("seats move to the level that asks for them, and nothing ticks when nobody does") {
  Bench bench(100);
  std::vector<LevelConfig> levels;
  std::vector<FlowSchema> schemas;
  for (const auto* list :
       {&api::builtin_priority_levels().mandatory, &api::builtin_priority_levels().suggested}) {
    for (const Json& object : *list) levels.push_back(*parse_priority_level(object));
  }
  for (const Json& object : api::builtin_flow_schemas().suggested)
    schemas.push_back(parse_flow_schema(object));
  bench.flow->configure(levels, schemas);
  const auto ask = [&] {
    UserInfo user;
    user.name = "u";
    user.groups = {std::string(kGroupAuthenticated)};
    return bench.flow->begin(
        {&user, true, "list", "", "pods", "", "", ""}, 60s, [](int64_t) { return Work{}; },
        [] { return FlowControl::Details{}; });
  };
  std::vector<FlowTicketPtr> tickets;
  for (int i = 0; i < 60; ++i) tickets.push_back(ask());
  const auto running = [&] {
    return std::count_if(tickets.begin(), tickets.end(),
                         [](const auto& t) { return t->state() == State::kRunning; });
  };
  const auto before = running();
  CHECK(before < 20);
  bench.timers.advance(11s);
  bench.timers.advance(10s);
  CHECK(running() > before + 10);
  for (auto& ticket : tickets) ticket->finish();
  for (auto& ticket : tickets) ticket->finish();
  tickets.clear();
  bench.timers.advance(60s);
  CHECK_THAT(
      bench.metrics.expose(),
      contains("apiserver_flowcontrol_demand_seats_high_watermark{priority_level=\"global-default\"} 0\n"));
}

TEST_CASE("a level that is gone keeps who is in it") {
  Bench bench(1);
  bench.one_level({4, 10, 2});
  auto running = bench.ask("a"), waiting = bench.ask("a");
  bench.flow->configure({}, {});
  CHECK_THAT(bench.flow->dump_priority_levels(), contains("work"));
  running->finish();
  CHECK(waiting->state() == State::kRunning);
  waiting->finish();
  bench.flow->configure({}, {});
  CHECK(bench.flow->dump_priority_levels().find("work") == std::string::npos);
}

TEST_CASE("when the server ends, nobody waits any longer") {
  Bench bench(1);
  bench.one_level({4, 10, 2});
  auto running = bench.ask("a"), waiting = bench.ask("a");
  bool told = false;
  waiting->when_decided([&] { told = true; });
  bench.flow->stop();
  CHECK(told);
  CHECK(waiting->state() == State::kRefused);
  CHECK(bench.ask("b")->state() == State::kRefused);
}

TEST_CASE("many threads: every seat comes back, nobody is forgotten") {
  Bench bench(3);
  bench.one_level({8, 1000, 3});
  std::atomic<int> running{0}, most{0}, done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        auto ticket = bench.ask("u" + std::to_string(t));
        std::atomic<bool> decided{false};
        ticket->when_decided([&] { decided = true; });
        while (!decided) std::this_thread::yield();
        if (ticket->state() != State::kRunning) continue;
        const int now = ++running;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --running;
        ticket->finish();
        ++done;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(done == 2400);
  CHECK(most <= 3);
  CHECK_THAT(bench.metrics.expose(),
             contains("apiserver_flowcontrol_current_executing_seats{flow_schema=\"everybody\","
                      "priority_level=\"work\"} 0\n"));
}

TEST_CASE("built-in objects are put right, and what people made of them is kept") {
  const Json& builtin = api::builtin_flow_schemas().suggested[0];
  const Json& mandatory = api::builtin_flow_schemas().mandatory[1];
  CHECK(*revise_flow_object(nullptr, builtin, false) == builtin);
  CHECK_FALSE(revise_flow_object(&builtin, builtin, false));
  Json changed = builtin;
  changed["spec"]["matchingPrecedence"] = 77;
  changed["metadata"]["annotations"].erase("apf.kubernetes.io/autoupdate-spec");
  changed["metadata"]["generation"] = 2;
  auto revised = revise_flow_object(&changed, builtin, false);
  REQUIRE(revised);
  CHECK((*revised)["spec"]["matchingPrecedence"] == 77);
  CHECK((*revised)["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] == "false");
  CHECK_FALSE(revise_flow_object(&*revised, builtin, false));
  changed["metadata"]["generation"] = 1;
  CHECK((*revise_flow_object(&changed, builtin, false))["spec"] == builtin["spec"]);
  Json spoilt = mandatory;
  spoilt["spec"]["matchingPrecedence"] = 9;
  spoilt["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = "false";
  revised = revise_flow_object(&spoilt, mandatory, true);
  REQUIRE(revised);
  CHECK((*revised)["spec"] == mandatory["spec"]);
  CHECK((*revised)["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] == "true");
  // How many seats exempt requests have is not put back.
  const Json& exempt = api::builtin_priority_levels().mandatory[0];
  Json own = exempt;
  own["spec"]["exempt"]["nominalConcurrencyShares"] = 10;
  CHECK_FALSE(revise_flow_object(&own, exempt, true));

  Json old = builtin;
  old["metadata"]["name"] = "of-an-older-server";
  CHECK(obsolete_flow_object(old, api::builtin_flow_schemas()));
  CHECK_FALSE(obsolete_flow_object(builtin, api::builtin_flow_schemas()));
  old["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = "false";
  CHECK_FALSE(obsolete_flow_object(old, api::builtin_flow_schemas()));
}

TEST_CASE("schemas say whether their level exists") {
  const base::FakeClock clock;
  Json schema = api::builtin_flow_schemas().suggested[0];
  auto marked = mark_dangling(schema, false, clock.now());
  REQUIRE(marked);
  const Json& condition = (*marked)["status"]["conditions"][0];
  CHECK(condition["status"] == "True");
  CHECK(condition["reason"] == "NotFound");
  CHECK(condition["message"] ==
        "This FlowSchema references the PriorityLevelConfiguration object named \"exempt\" but there is no "
        "such "
        "object");
  CHECK((*marked)["metadata"] == Json{{"name", schema["metadata"]["name"]}});
  CHECK_FALSE(marked->contains("spec"));  // it is applied: what it does not say stays
  schema["status"] = (*marked)["status"];
  CHECK_FALSE(mark_dangling(schema, false, clock.now()));
  marked = mark_dangling(schema, true, clock.now());
  REQUIRE(marked);
  CHECK((*marked)["status"]["conditions"].size() == 1);
  CHECK((*marked)["status"]["conditions"][0]["reason"] == "Found");
}
