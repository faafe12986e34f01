#include "server/scheduler/preemption.h"

#include <algorithm>

#include "server/scheduler/plugins/all.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

/// A pod of this priority; `minute` is when it started.
PodPtr runs(const std::string& name, const std::string& cpu, int64_t priority, int minute = 0,
            const Json& more = Json::object()) {
  Json tree = {
      {"metadata", {{"labels", {{"app", "x"}}}}},
      {"spec", {{"priority", priority}}},
      {"status", {{"startTime", base::cat("2026-01-01T00:", minute < 10 ? "0" : "", minute, ":00Z")}}}};
  tree.merge_patch(more);
  return pod(name, cpu, tree);
}

struct Result {
  std::string node, victims, message;
  bool keep = false;
};

Result run(const PodPtr& p, const std::vector<NodeInfo>& nodes, const std::vector<Budget>& budgets = {},
           const Nominated& nominated = {}) {
  const Profile profile = default_profile();
  const std::vector<std::unique_ptr<Extender>> none;
  const World world(nodes);
  Outcome outcome = decide(profile, none, *p, world.cluster(), nominated, 0);
  REQUIRE(outcome.node == nullptr);
  Preemption found =
      preempt({profile, *p, world.cluster(), nominated, outcome.filters, outcome.occupied, budgets, 0}, none);
  Result out{found.node, "", found.message, found.keep_nomination};
  for (const auto& v : found.victims) out.victims += (out.victims.empty() ? "" : " ") + v->name;
  return out;
}

PodPtr important(const std::string& cpu, const Json& more = Json::object()) {
  return runs("p", cpu, 100, 0, more);
}

TEST_CASE("which pods go from a node") {
  struct Case {
    const char* what;
    std::vector<PodPtr> pods;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"one is enough", {runs("a", "2", 1), runs("b", "2", 1, 1)}, "b"},
      {"the least important first", {runs("a", "2", 1), runs("b", "2", 0, 1)}, "b"},
      {"importance before age", {runs("a", "2", 2, 9), runs("b", "2", 1, 0)}, "b"},
      {"a big one rather than an important one", {runs("a", "1", 9), runs("b", "3", 1)}, "b"},
      {"several when one is not enough",
       {runs("a", "1", 3), runs("b", "1", 2), runs("c", "1", 1), runs("d", "1", 0)},
       "c d"},
      {"nobody as important as itself", {runs("a", "2", 100), runs("b", "2", 99)}, "b"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    CHECK(run(important("2"), {node("n", Json::object(), c.pods)}).victims == c.expect);
  }
}

TEST_CASE("which node is taken") {
  struct Case {
    const char* what;
    std::vector<PodPtr> on_a, on_b;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"the one with the less important victim", {runs("a", "4", 5)}, {runs("b", "4", 1)}, "b"},
      {"the smaller sum",
       {runs("a1", "2", 5), runs("a2", "2", 4)},
       {runs("b1", "2", 5), runs("b2", "2", 3)},
       "b"},
      {"fewer victims, even of negative priority",
       {runs("a1", "2", -5), runs("a2", "2", -5)},
       {runs("b", "4", -5)},
       "b"},
      {"the one that started last", {runs("a", "4", 1, 1)}, {runs("b", "4", 1, 2)}, "b"},
      {"the first when all is equal", {runs("a", "4", 1)}, {runs("b", "4", 1)}, "a"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    CHECK(run(important("3"), {node("a", Json::object(), c.on_a), node("b", Json::object(), c.on_b)}).node ==
          c.expect);
  }
}

TEST_CASE("budgets are kept where they can be") {
  Budget none{"ns", api::LabelSelector::from_map({{"app", "x"}}), 0, {}};
  const Json other = {{"metadata", {{"labels", {{"app", "y"}}}}}};
  SECTION("a victim without a budget is preferred, although it is more important") {
    Result r = run(important("2"),
                   {node("n", Json::object(), {runs("a", "2", 1), runs("b", "2", 5, 0, other)})}, {none});
    CHECK(r.victims == "b");
  }
  SECTION("a node without a violation is preferred") {
    Result r = run(important("3"),
                   {node("a", Json::object(), {runs("a", "4", 1)}),
                    node("b", Json::object(), {runs("b", "4", 9, 0, other)})},
                   {none});
    CHECK(r.node == "b");
  }
  SECTION("violated when there is no other way") {
    CHECK(run(important("3"), {node("n", Json::object(), {runs("a", "4", 1)})}, {none}).victims == "a");
  }
  SECTION("a pod the budget was charged for is no violation") {
    none.disrupted = {"a"};
    Result r = run(important("2"),
                   {node("n", Json::object(), {runs("a", "2", 1), runs("b", "2", 5, 0, other)})}, {none});
    CHECK(r.victims == "a");
  }
  SECTION("of another namespace") {
    none.ns = "else";
    Result r = run(important("2"),
                   {node("n", Json::object(), {runs("a", "2", 1), runs("b", "2", 5, 0, other)})}, {none});
    CHECK(r.victims == "a");
  }
}

TEST_CASE("why preemption does not help") {
  const Json tainted = json(R"({"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]}})");
  struct Case {
    const char* what;
    PodPtr pod;
    std::vector<NodeInfo> nodes;
    const char* expect;
    bool keep;
  };
  const std::vector<Case> cases = {
      {"all are as important",
       runs("p", "2", 0),
       {node("a", Json::object(), {runs("q", "3", 0)})},
       "0/1 nodes are available: 1 No preemption victims found for incoming pod.",
       false},
      {"more than the node has",
       important("5"),
       {node("a", Json::object(), {runs("q", "3", 0)})},
       "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
       false},
      {"not enough goes",
       important("3"),
       {node("a", Json::object(), {runs("q", "3", 100), runs("r", "1", 0)})},
       "0/1 nodes are available: 1 Insufficient cpu.",
       false},
      {"each node for its own reason",
       runs("p", "2", 0),
       {node("a", Json::object(), {runs("q", "3", 0)}), node("b", tainted), node("c", tainted)},
       "0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful "
       "for scheduling.",
       false},
      {"it never does",
       important("2", {{"spec", {{"preemptionPolicy", "Never"}}}}),
       {node("a", Json::object(), {runs("q", "3", 0)})},
       "not eligible due to preemptionPolicy=Never.",
       true},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Result r = run(c.pod, c.nodes);
    CHECK(r.node.empty());
    CHECK(r.message == c.expect);
    CHECK(r.keep == c.keep);
  }
}

TEST_CASE("a pod waits for victims that are on their way out") {
  const Json leaving = json(
      R"({"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},
          "status":{"conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}]}})");
  const PodPtr p = important("2", {{"status", {{"nominatedNodeName", "a"}}}});
  const std::vector<PodPtr> others = {runs("q", "2", 0), runs("r", "2", 1)};
  std::vector<PodPtr> with = others;
  with[0] = runs("q", "2", 0, 0, leaving);
  Result waits = run(p, {node("a", Json::object(), with)});
  CHECK(waits.node.empty());
  CHECK(waits.message == "not eligible due to a terminating pod on the nominated node.");
  CHECK(waits.keep);
  // Whoever leaves for another reason is no promise.
  CHECK(run(p, {node("a", Json::object(), others)}).victims == "q");
}

TEST_CASE("room that others were promised is not given away twice") {
  Nominated nominated;
  nominated["n"] = {runs("first", "2", 200)};
  Result r =
      run(important("2"), {node("n", Json::object(), {runs("a", "2", 1), runs("b", "2", 2)})}, {}, nominated);
  CHECK(r.victims == "b a");
}

}  // namespace
}  // namespace orch::testing
