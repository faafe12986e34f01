#include "server/controllers/disruption.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::kDeployments;
using server::kPods;
using server::kReplicaSets;

const client::ResourceRef kBudgets{"policy", "v1", "poddisruptionbudgets"};
const client::ResourceRef kStatefulSets{"apps", "v1", "statefulsets"};

Json budget_of(const Json& spec) {
  Json b = {{"metadata", {{"name", "b"}, {"generation", 3}}},
            {"spec", {{"selector", {{"matchLabels", {{"app", "x"}}}}}}}};
  b["spec"].merge_patch(spec);
  return b;
}

Plan plan(const MapView& view, base::WallTime now = kNow) {
  return server::plan_disruption(view, {"ns", "b"}, now);
}

/// "healthy/desired/expected allowed"
std::string summary(const Json& status) {
  return base::cat(base::int_at(status, {"currentHealthy"}), "/", base::int_at(status, {"desiredHealthy"}),
                   "/", base::int_at(status, {"expectedPods"}), " ",
                   base::int_at(status, {"disruptionsAllowed"}));
}

/// A deployment of `replicas` with two sets, and pods of those: `ready` ones and `others`.
void put_pods(MapView& view, int replicas, int ready, int others) {
  view.put(kDeployments, {{"metadata", {{"name", "d"}}}, {"spec", {{"replicas", replicas}}}});
  for (const char* set : {"old", "new"}) {
    view.put(kReplicaSets, owned_by({{"metadata", {{"name", set}}}, {"spec", {{"replicas", 99}}}}, "apps/v1",
                                    "Deployment", "d"));
  }
  for (int i = 0; i < ready + others; ++i) {
    view.put(kPods, owned_by(make_pod(base::cat("p", i), i < ready ? 10 : -1), "apps/v1", "ReplicaSet",
                             i % 2 == 0 ? "old" : "new"));
  }
}

TEST_CASE("how many pods of a budget may be evicted") {
  struct Case {
    const char* what;
    Json spec;
    int replicas, ready, others;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"a minimum", {{"minAvailable", 2}}, 3, 3, 0, "3/2/3 1"},
      {"a minimum that is not kept", {{"minAvailable", 3}}, 3, 2, 1, "2/3/3 0"},
      {"a share of what there should be", {{"minAvailable", "50%"}}, 5, 4, 0, "4/3/5 1"},
      {"a maximum of missing ones", {{"maxUnavailable", 1}}, 4, 4, 0, "4/3/4 1"},
      {"one is missing already", {{"maxUnavailable", 1}}, 4, 3, 1, "3/3/4 0"},
      {"a share of missing ones", {{"maxUnavailable", "30%"}}, 4, 4, 0, "4/2/4 2"},
      {"more than all", {{"maxUnavailable", 9}}, 4, 4, 0, "4/0/4 4"},
      {"no pods", {{"minAvailable", 0}}, 0, 0, 0, "0/0/0 0"},
      {"nothing said", Json::object(), 3, 3, 0, "3/0/0 0"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    MapView view;
    view.put(kBudgets, budget_of(c.spec));
    put_pods(view, c.replicas, c.ready, c.others);
    Plan p = plan(view);
    const Json status = planned_status(p, "poddisruptionbudgets");
    CHECK(summary(status) == c.expect);
    CHECK(status["observedGeneration"] == 3);
    const bool allowed = base::int_at(status, {"disruptionsAllowed"}) > 0;
    const Json one = condition({{"status", status}}, "DisruptionAllowed");
    CHECK(one["status"] == (allowed ? "True" : "False"));
    CHECK(one["reason"] == (allowed ? "SufficientPods" : "InsufficientPods"));
    CHECK(one["message"] == "");
    CHECK(one["observedGeneration"] == 3);
    view.apply(p);
    CHECK(plan(view).writes.empty());
  }
}

TEST_CASE("pods on their way out are not healthy") {
  MapView view;
  Json b = budget_of({{"minAvailable", 1}});
  b["status"] = {{"disruptedPods", {{"p0", ago(60)}, {"p1", ago(121)}, {"p2", ago(10)}, {"gone", ago(10)}}}};
  view.put(kBudgets, b);
  put_pods(view, 4, 4, 0);
  Json going = view.get(kPods, "ns", "p2")->tree();
  going["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kPods, going);
  Plan p = plan(view);
  const Json status = planned_status(p, "poddisruptionbudgets");
  // p0 is awaited, p1 was not deleted and counts again, p2 is being deleted.
  CHECK(summary(status) == "2/1/4 1");
  CHECK(status["disruptedPods"] == Json({{"p0", ago(60)}}));
  CHECK(noted(p, "NotDeleted"));
  CHECK(p.requeue == std::chrono::seconds(60));
}

TEST_CASE("whose scale is not known") {
  MapView view;
  view.put(kBudgets, budget_of({{"maxUnavailable", 1}}));
  view.put(kPods, make_pod("naked", 10));
  SECTION("pods without a controller are told of") {
    Plan p = plan(view);
    CHECK(noted(p, "UnmanagedPods"));
    CHECK(summary(planned_status(p, "poddisruptionbudgets")) == "1/0/0 0");
  }
  SECTION("a controller without a scale is a failure, and nothing is allowed") {
    view.put(kPods, owned_by(make_pod("p", 10), "apps/v1", "DaemonSet", "ds"));
    Plan p = plan(view);
    const Json status = planned_status(p, "poddisruptionbudgets");
    CHECK(status["disruptionsAllowed"] == 0);
    const Json one = condition({{"status", status}}, "DisruptionAllowed");
    CHECK(one["reason"] == "SyncFailed");
    CHECK(one["message"] == "daemonsets.apps does not implement the scale subresource");
    CHECK(noted(p, "CalculateExpectedPodCountFailed"));
  }
  SECTION("a stateful set has one") {
    view.drop(kPods, "ns", "naked");
    view.put(kStatefulSets, {{"metadata", {{"name", "s"}}}, {"spec", {{"replicas", 2}}}});
    view.put(kPods, owned_by(make_pod("p", 10), "apps/v1", "StatefulSet", "s"));
    CHECK(summary(planned_status(plan(view), "poddisruptionbudgets")) == "1/1/2 0");
  }
}

TEST_CASE("an empty selector covers the namespace, none covers nothing") {
  MapView view;
  Json b = budget_of({{"minAvailable", 1}});
  b["spec"]["selector"] = Json::object();
  view.put(kBudgets, b);
  put_pods(view, 2, 2, 0);
  CHECK(summary(planned_status(plan(view), "poddisruptionbudgets")) == "2/1/2 1");
  b["spec"].erase("selector");
  view.put(kBudgets, b);
  Plan p = plan(view);
  CHECK(summary(planned_status(p, "poddisruptionbudgets")) == "0/1/0 0");
  CHECK(noted(p, "NoPods"));
}

TEST_CASE("a disruption that did not come is taken back") {
  struct Case {
    const char* what;
    const char *status, *reason, *phase;
    int64_t since;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"not yet", "True", "EvictionByEvictionAPI", "Running", 119, "wait"},
      {"after two minutes", "True", "EvictionByEvictionAPI", "Running", 120, "False"},
      {"taken back already", "False", "", "Running", 500, ""},
      {"the kubelet's own", "True", "TerminationByKubelet", "Running", 500, ""},
      {"of a pod that ended", "True", "PreemptionByScheduler", "Failed", 500, ""},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    MapView view;
    Json pod = make_pod("p", 10);
    pod["status"]["phase"] = c.phase;
    pod["status"]["conditions"].push_back({{"type", "DisruptionTarget"},
                                           {"status", c.status},
                                           {"reason", c.reason},
                                           {"lastTransitionTime", ago(c.since)}});
    view.put(kPods, pod);
    Plan p = server::plan_stale_disruption(view, {"ns", "p"}, kNow);
    const Json status = planned_status(p, "pods");
    std::string got = status.is_null() ? "" : condition({{"status", status}}, "DisruptionTarget")["status"];
    if (p.requeue.count() > 0) got = "wait";
    CHECK(got == c.expect);
  }
}

}  // namespace
}  // namespace orch::testing
