#include "tests/unit/server/controllers/deployment_fixture.h"

namespace orch::testing {
namespace {

TEST_CASE("a new deployment makes its replica set") {
  MapView view;
  Json d = deployment_of(3);
  d["metadata"]["annotations"] = {{"mine", "1"}, {"kubectl.kubernetes.io/last-applied-configuration", "{}"}};
  d["spec"]["minReadySeconds"] = 5;
  view.put(kDeployments, d);
  Plan p = plan(view);
  auto made = writes(p, Verb::kCreate, "replicasets");
  REQUIRE(made.size() == 1);
  const Json& set = *made[0].body;
  const std::string hash = set["metadata"]["labels"]["pod-template-hash"];
  CHECK(set["metadata"]["name"] == "d-" + hash);
  CHECK(set["spec"]["replicas"] == 3);
  CHECK(set["spec"]["minReadySeconds"] == 5);
  CHECK(set["spec"]["selector"]["matchLabels"] == Json({{"app", "x"}, {"pod-template-hash", hash}}));
  CHECK(set["spec"]["template"]["metadata"]["labels"] == set["spec"]["selector"]["matchLabels"]);
  CHECK(set["metadata"]["annotations"] == Json({{"mine", "1"},
                                                {kRevision, "1"},
                                                {"deployment.kubernetes.io/desired-replicas", "3"},
                                                {"deployment.kubernetes.io/max-replicas", "4"}}));
  CHECK(api::controller_of(set).uid == "uid-d");
  CHECK(noted(p, "ScalingReplicaSet", base::cat("Scaled up replica set d-", hash, " from 0 to 3")));

  // The revision goes with the status: otherwise it would make a new generation.
  CHECK(writes(p, Verb::kPatch, "deployments").empty());
  CHECK(writes(p, Verb::kUpdate, "deployments").empty());
  auto status = writes(p, Verb::kUpdate, "deployments", "status");
  REQUIRE(status.size() == 1);
  CHECK((*status[0].body)["metadata"]["annotations"]["mine"] == "1");
  CHECK((*status[0].body)["metadata"]["annotations"][kRevision] == "1");

  view.apply(p);
  Plan second = plan(view);
  CHECK(writes(second, Verb::kCreate, "replicasets").empty());
}

TEST_CASE("steps of a rolling update") {
  struct Case {
    const char* what;
    int replicas;
    Json surge, unavailable;
    int old_want, old_available, new_want, new_available;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"the new set grows first", 10, 5, 5, 10, 10, 0, 0, "new=5"},
      {"up to what surge allows", 10, "25%", "25%", 10, 10, 0, 0, "new=3"},
      {"surge rounds up, unavailable down", 3, "25%", "25%", 3, 3, 0, 0, "new=1"},
      {"then the old one shrinks by what may be missing", 10, "25%", "25%", 10, 10, 3, 0, "old=8"},
      {"and by what the new one has", 10, "25%", "25%", 8, 8, 3, 3, "new=5"},
      {"with nothing to spare it waits", 4, 1, 0, 4, 4, 1, 0, ""},
      {"then goes one by one", 4, 1, 0, 4, 4, 1, 1, "old=3"},
      {"no surge: the old one shrinks first", 4, 0, 1, 4, 4, 0, 0, "old=3"},
      {"then the new one takes the place", 4, 0, 1, 3, 3, 0, 0, "new=1"},
      {"both zero counts as one unavailable", 4, 0, 0, 4, 4, 0, 0, "old=3"},
      {"0% and 0% too", 4, "0%", "0%", 4, 4, 0, 0, "old=3"},
      {"old pods that serve nobody go first", 10, 2, 2, 10, 8, 2, 0, "old=8"},
      {"the last ones", 4, 1, 1, 1, 1, 4, 4, "old=0"},
      {"more than all may be missing", 2, 0, 5, 2, 2, 0, 0, "old=0"},
      {"a set that has too much", 3, 1, 1, 0, 0, 5, 5, "new=3"},
      {"complete", 3, 1, 1, 0, 0, 3, 3, ""},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    MapView view;
    Json d = deployment_of(c.replicas, "new");
    d["spec"]["strategy"]["rollingUpdate"] = {{"maxSurge", c.surge}, {"maxUnavailable", c.unavailable}};
    view.put(kDeployments, d);
    view.put(kReplicaSets, set_of("old", "old", c.old_want, c.old_available, 1, 1000));
    view.put(kReplicaSets, set_of("new", "new", c.new_want, c.new_available, 2, 10));
    // Annotations of both sets as they are after a first plan.
    Plan p = plan(view);
    std::string got;
    for (const auto& w : writes(p, Verb::kUpdate, "replicasets")) {
      const int64_t before = base::int_at(view.get(kReplicaSets, "ns", w.name)->tree(), {"spec", "replicas"});
      const int64_t after = base::int_at(*w.body, {"spec", "replicas"});
      if (before != after) got += base::cat(got.empty() ? "" : " ", w.name, "=", after);
    }
    CHECK(got == c.expect);
  }
}

TEST_CASE("a rolling update ends, whatever the limits, and is never below its minimum") {
  auto [surge, unavailable] =
      GENERATE(table<Json, Json>({{"25%", "25%"}, {1, 0}, {0, 1}, {"100%", 0}, {0, "100%"}, {3, 2}}));
  MapView view;
  Json d = deployment_of(7, "new");
  d["spec"]["strategy"]["rollingUpdate"] = {{"maxSurge", surge}, {"maxUnavailable", unavailable}};
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("d-old", "old", 7, 7, 1, 1000));
  auto percent = [](const Json& v, bool up) {
    if (v.is_number()) return v.get<int>();
    const int p = std::stoi(v.get<std::string>());
    return up ? (7 * p + 99) / 100 : 7 * p / 100;
  };
  int steps = 0;
  for (bool done = false; !done && steps < 60; ++steps) {
    view.apply(plan(view));
    int64_t total = 0, available = 0;
    done = true;
    for (const auto& o : view.list(kReplicaSets, "ns")) {
      Json set = o->tree();
      const int64_t want = base::int_at(set, {"spec", "replicas"});
      // The replica set controller: pods go at once, and come up within a step.
      total += want;
      available += std::min(want, base::int_at(set, {"status", "availableReplicas"}));
      set["status"] = {{"replicas", want},
                       {"readyReplicas", want},
                       {"availableReplicas", want},
                       {"observedGeneration", 1}};
      done = done && want == (o->name() == "d-old" ? 0 : 7);
      view.put(kReplicaSets, set);
    }
    CHECK(total <= 7 + percent(surge, true));
    CHECK(available >= 7 - percent(unavailable, false));
  }
  CHECK(steps < 60);
}

TEST_CASE("recreate waits for the last old pod") {
  MapView view;
  Json d = deployment_of(2, "new");
  d["spec"]["strategy"] = {{"type", "Recreate"}};
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("d-old", "old", 2, 2, 1, 1000));
  Json pod = owned_by(make_pod("p", 10), "apps/v1", "ReplicaSet", "d-old");
  view.put(kPods, pod);
  Plan p = plan(view);
  CHECK(scales(p) == "d-old=0");
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
  view.apply(p);
  pod["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kPods, pod);
  CHECK(writes(plan(view), Verb::kCreate, "replicasets").empty());
  view.drop(kPods, "ns", "p");
  auto made = writes(plan(view), Verb::kCreate, "replicasets");
  REQUIRE(made.size() == 1);
  CHECK((*made[0].body)["spec"]["replicas"] == 2);
}

TEST_CASE("recreate tells old sets first, for they may be making pods") {
  MapView view;
  Json d = deployment_of(2, "new");
  d["spec"]["strategy"] = {{"type", "Recreate"}};
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("d-old", "old", 2, 0, 1, 1000));
  const Plan p = plan(view);
  CHECK(scales(p) == "d-old=0");
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
  view.apply(p);
  CHECK(writes(plan(view), Verb::kCreate, "replicasets").size() == 1);
}

TEST_CASE("pods that an old set is yet to remove are not counted as available") {
  MapView view;
  Json d = deployment_of(5, "new");
  d["spec"]["strategy"] = {{"type", "RollingUpdate"},
                           {"rollingUpdate", {{"maxSurge", 2}, {"maxUnavailable", 2}}}};
  view.put(kDeployments, d);
  // The old set wants 3 and tells of the 4 it had before; the new one has 2 of 4.
  view.put(kReplicaSets, set_of("old", "old", 3, 4, 1, 1000, 5, 7));
  view.put(kReplicaSets, set_of("new", "new", 4, 2, 2, 10, 5, 7));
  // 3 + 2 are available, 3 have to stay.
  CHECK(scales(plan(view)) == "old=1");
}

TEST_CASE("a paused deployment does not roll, but scales") {
  MapView view;
  Json d = deployment_of(4, "new");
  d["spec"]["paused"] = true;
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("old", "old", 2, 2, 1, 1000, 2, 3));
  Plan p = plan(view);
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
  CHECK(scales(p) == "old=4");
  CHECK(condition({{"status", planned_status(p, "deployments")}}, "Progressing")["reason"] ==
        "DeploymentPaused");
}

TEST_CASE("scaling in the middle of a rollout keeps the shares") {
  struct Case {
    const char* what;
    int old_want, new_want, was, was_max, now;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"grows by share", 8, 5, 10, 13, 20, "new=10 old=15"},
      {"shrinks by share", 8, 5, 10, 13, 5, "new=3 old=4"},
      {"to nothing", 8, 5, 10, 13, 0, "new=0 old=0"},
      {"one active set takes all", 0, 5, 5, 7, 9, "new=9"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    MapView view;
    view.put(kDeployments, deployment_of(c.now, "new"));
    view.put(kReplicaSets, set_of("old", "old", c.old_want, c.old_want, 1, 1000, c.was, c.was_max));
    view.put(kReplicaSets, set_of("new", "new", c.new_want, 0, 2, 10, c.was, c.was_max));
    CHECK(scales(plan(view)) == c.expect);
  }
}

TEST_CASE("a finished rollout that is scaled leaves nothing to the old sets") {
  MapView view;
  view.put(kDeployments, deployment_of(10, "new"));
  view.put(kReplicaSets, set_of("old", "old", 1, 1, 1, 1000, 5, 7));
  view.put(kReplicaSets, set_of("new", "new", 10, 10, 2, 10, 10, 13));
  CHECK(scales(plan(view)) == "old=0");
}

TEST_CASE("a paused deployment without active sets scales its newest") {
  MapView view;
  Json d = deployment_of(3, "newer");
  d["spec"]["paused"] = true;
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("a", "a", 0, 0, 1, 1000));
  view.put(kReplicaSets, set_of("b", "b", 0, 0, 2, 10));
  CHECK(scales(plan(view)) == "b=3");
}

TEST_CASE("going back takes the old set and the next revision") {
  MapView view;
  view.put(kDeployments, deployment_of(2, "a"));
  view.put(kReplicaSets, set_of("set-a", "a", 0, 0, 1, 1000));
  view.put(kReplicaSets, set_of("set-b", "b", 2, 2, 2, 10));
  Plan p = plan(view);
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
  Json a;
  for (const auto& w : writes(p, Verb::kUpdate, "replicasets")) {
    if (w.name == "set-a") a = *w.body;
  }
  REQUIRE(a.is_object());
  CHECK(a["metadata"]["annotations"][kRevision] == "3");
  CHECK(a["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1");
  CHECK(a["spec"]["replicas"] == 1);
  auto status = writes(p, Verb::kUpdate, "deployments", "status");
  REQUIRE(status.size() == 1);
  CHECK((*status[0].body)["metadata"]["annotations"][kRevision] == "3");
}

TEST_CASE("old sets beyond the limit go once the rollout is complete") {
  MapView view;
  Json d = deployment_of(1, "new");
  d["spec"]["revisionHistoryLimit"] = 1;
  d["status"] = {
      {"replicas", 1}, {"updatedReplicas", 1}, {"availableReplicas", 1}, {"observedGeneration", 1}};
  Json unfinished = d;
  unfinished["status"]["availableReplicas"] = 0;
  view.put(kReplicaSets, set_of("a", "a", 0, 0, 1, 3000));
  view.put(kReplicaSets, set_of("b", "b", 0, 0, 2, 2000));
  view.put(kReplicaSets, set_of("c", "c", 0, 0, 3, 1000));
  view.put(kReplicaSets, set_of("new", "new", 1, 1, 4, 10));
  view.put(kDeployments, unfinished);
  CHECK(removed(plan(view), "replicasets").empty());
  view.put(kDeployments, d);
  CHECK(removed(plan(view), "replicasets") == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a paused deployment hands its annotations on") {
  MapView view;
  Json d = deployment_of(2, "new");
  d["spec"]["paused"] = true;
  d["metadata"]["annotations"] = {{"kubernetes.io/change-cause", "because"}};
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("new", "new", 2, 2, 3, 10, 2, 3));
  Plan p = plan(view);
  auto updates = writes(p, Verb::kUpdate, "replicasets");
  REQUIRE(updates.size() == 1);
  CHECK((*updates[0].body)["metadata"]["annotations"]["kubernetes.io/change-cause"] == "because");
  CHECK((*updates[0].body)["metadata"]["annotations"][kRevision] == "3");
}

TEST_CASE("sets that no longer match are let go") {
  MapView view;
  view.put(kDeployments, deployment_of(2));
  Json stray = set_of("stray", "i", 2, 2, 1, 10);
  stray["metadata"]["labels"] = {{"app", "y"}};
  view.put(kReplicaSets, stray);
  auto patches = writes(plan(view), Verb::kPatch, "replicasets");
  REQUIRE(patches.size() == 1);
  CHECK((*patches[0].body)["metadata"]["ownerReferences"] == json(R"([{"$patch":"delete","uid":"uid-d"}])"));
}

TEST_CASE("the history of a set's revisions is kept short") {
  MapView view;
  view.put(kDeployments, deployment_of(2, "a"));
  Json set = set_of("set-a", "a", 0, 0, 700, 1000);
  std::string history = "1";
  for (int i = 2; i < 700; ++i) history += "," + std::to_string(i);
  history = history.substr(0, history.rfind(',', 1999));
  set["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = history;
  view.put(kReplicaSets, set);
  view.put(kReplicaSets, set_of("set-b", "b", 2, 2, 701, 10));
  for (const auto& w : writes(plan(view), Verb::kUpdate, "replicasets")) {
    if (w.name != "set-a") continue;
    const std::string got = (*w.body)["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"];
    CHECK(got.size() <= 2000);
    CHECK(got.substr(got.size() - 4) == ",700");
    return;
  }
  FAIL("set-a was not written");
}

TEST_CASE("a long name leaves room for the hash") {
  MapView view;
  Json d = deployment_of(1);
  d["metadata"]["name"] = std::string(253, 'd');
  view.put(kDeployments, d);
  Plan p = plan_deployment(view, {"ns", std::string(253, 'd')}, kNow);
  auto made = writes(p, Verb::kCreate, "replicasets");
  REQUIRE(made.size() == 1);
  CHECK(base::string_at(*made[0].body, {"metadata", "name"}).size() == 253);
}

TEST_CASE("a settled deployment is left alone") {
  MapView view;
  view.put(kDeployments, deployment_of(2, "new"));
  for (int i = 0; i < 5; ++i) {
    Plan p = plan(view);
    view.apply(p);
    for (const auto& w : writes(p, Verb::kPatch, "deployments")) {
      Json d = view.get(kDeployments, "ns", "d")->tree();
      d.merge_patch(*w.body);
      view.put(kDeployments, d);
    }
    for (const auto& o : view.list(kReplicaSets, "ns")) {
      Json set = o->tree();
      set["status"] = {
          {"replicas", 2}, {"readyReplicas", 2}, {"availableReplicas", 2}, {"observedGeneration", 1}};
      if (set != o->tree()) view.put(kReplicaSets, set);
    }
  }
  Plan p = plan(view);
  CHECK(p.writes.empty());
  CHECK(p.notes.empty());
}

TEST_CASE("a hash that is taken moves the collision count") {
  MapView view;
  view.put(kDeployments, deployment_of(2));
  Plan p = plan(view);
  Json squatter = *writes(p, Verb::kCreate, "replicasets")[0].body;
  squatter["metadata"].erase("ownerReferences");
  squatter["metadata"]["labels"] = {{"app", "other"}};
  view.put(kReplicaSets, squatter);
  p = plan(view);
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
  CHECK((*writes(p, Verb::kUpdate, "deployments", "status")[0].body)["status"]["collisionCount"] == 1);
  Json d = deployment_of(2);
  d["status"] = {{"collisionCount", 1}};
  view.put(kDeployments, d);
  CHECK(writes(plan(view), Verb::kCreate, "replicasets").size() == 1);
}

TEST_CASE("a collision count survives the same plan's status") {
  MapView view;
  view.put(kDeployments, deployment_of(2));
  Json squatter = *writes(plan(view), Verb::kCreate, "replicasets")[0].body;
  squatter["metadata"].erase("ownerReferences");
  squatter["metadata"]["labels"] = {{"app", "other"}};
  view.put(kReplicaSets, squatter);
  view.apply(plan(view));
  CHECK(base::int_at(view.get(kDeployments, "ns", "d")->tree(), {"status", "collisionCount"}) == 1);
}

TEST_CASE("orphan sets that match are adopted, foreign ones left") {
  MapView view;
  view.put(kDeployments, deployment_of(2));
  Json orphan = set_of("orphan", "i", 2, 2, 1, 10);
  orphan["metadata"].erase("ownerReferences");
  view.put(kReplicaSets, orphan);
  Plan p = plan(view);
  auto patches = writes(p, Verb::kPatch, "replicasets");
  REQUIRE(patches.size() == 1);
  CHECK((*patches[0].body)["metadata"]["ownerReferences"][0]["uid"] == "uid-d");
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
}

TEST_CASE("an empty selector is refused") {
  MapView view;
  Json d = deployment_of(2);
  d["spec"]["selector"] = Json::object();
  view.put(kDeployments, d);
  Plan p = plan(view);
  CHECK(planned_status(p, "deployments") == Json({{"observedGeneration", 1}}));
  CHECK(writes(p, Verb::kCreate, "replicasets").empty());
  CHECK(noted(p, "SelectingAll"));
}

}  // namespace
}  // namespace orch::testing
