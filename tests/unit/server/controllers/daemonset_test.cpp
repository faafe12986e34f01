#include "server/controllers/daemonset.h"

#include "server/controllers/daemonset_state.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::FailedDaemons;
using server::kDaemonSets;
using server::kNodes;
using server::kPods;
using server::kRevisions;

Json daemon_of(const std::string& image = "i") {
  Json d = {{"metadata",
             {{"name", "d"},
              {"generation", 1},
              {"annotations", {{"deprecated.daemonset.template.generation", "7"}}}}},
            {"spec",
             {{"selector", {{"matchLabels", {{"app", "x"}}}}},
              {"updateStrategy",
               json(R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}})")},
              {"revisionHistoryLimit", 10},
              {"template", template_x()}}}};
  d["spec"]["template"]["spec"]["containers"][0]["image"] = image;
  return d;
}

Plan plan(const MapView& view, base::WallTime now = kNow) {
  FailedDaemons failed;
  return server::plan_daemonset(view, {"ns", "d"}, now, failed);
}

/// A view of a daemon set whose current template has revision "new"; nodes by name.
struct Cluster {
  MapView view;
  explicit Cluster(const std::vector<std::string>& nodes, const Json& strategy = Json()) {
    Json d = daemon_of();
    if (!strategy.is_null()) d["spec"]["updateStrategy"]["rollingUpdate"] = strategy;
    view.put(kDaemonSets, d);
    for (const auto& n : nodes) view.put(kNodes, make_node(n));
    Json t = template_x();
    t["$patch"] = "replace";
    view.put(kRevisions,
             owned_by({{"metadata",
                        {{"name", "d-new"}, {"labels", {{"app", "x"}, {"controller-revision-hash", "new"}}}}},
                       {"data", {{"spec", {{"template", t}}}}},
                       {"revision", 2}},
                      "apps/v1", "DaemonSet", "d"));
  }
  Json& put(Json pod) {
    last = view.put(kPods, std::move(pod));
    return last;
  }
  Json last;
};

/// A daemon pod of this template on this node; ready since `ready_for` seconds.
Json daemon_pod(const std::string& name, const std::string& node, const std::string& hash, int64_t ready_for,
                int64_t age = 3600) {
  Json p = owned_by(make_pod(name, ready_for, node), "apps/v1", "DaemonSet", "d");
  p["metadata"]["labels"]["controller-revision-hash"] = hash;
  p["metadata"]["creationTimestamp"] = ago(age);
  return p;
}

std::string pinned_to(const server::Write& w) {
  const Json& terms =
      base::array_at(*w.body, {"spec", "affinity", "nodeAffinity",
                               "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"});
  REQUIRE(terms.size() >= 1);
  return terms[0]["matchFields"][0]["values"][0];
}

std::string created_on(const Plan& p) {
  std::string out;
  for (const auto& w : writes(p, Verb::kCreate, "pods")) out += (out.empty() ? "" : " ") + pinned_to(w);
  return out;
}

std::string gone(const Plan& p) {
  std::string out;
  for (const auto& name : removed(p, "pods")) out += (out.empty() ? "" : " ") + name;
  return out;
}

TEST_CASE("a new daemon set records its template and puts a pod on every node that suits") {
  MapView view;
  Json d = daemon_of();
  d["spec"]["template"]["spec"]["nodeSelector"] = {{"disk", "ssd"}};
  view.put(kDaemonSets, d);
  auto node = [&](const std::string& name, const char* disk, Json taints) {
    Json n = make_node(name);
    n["metadata"]["labels"]["disk"] = disk;
    if (!taints.is_null()) n["spec"]["taints"] = Json::array({std::move(taints)});
    view.put(kNodes, n);
  };
  node("plain", "ssd", Json());
  node("other", "hdd", Json());
  node("tainted", "ssd", {{"key", "k"}, {"effect", "NoSchedule"}});
  node("cordoned", "ssd", {{"key", "node.kubernetes.io/unschedulable"}, {"effect", "NoSchedule"}});
  node("unreachable", "ssd", {{"key", "node.kubernetes.io/unreachable"}, {"effect", "NoExecute"}});
  Plan p = plan(view);
  CHECK(created_on(p) == "cordoned plain unreachable");
  auto revisions = writes(p, Verb::kCreate, "controllerrevisions");
  REQUIRE(revisions.size() == 1);
  const Json& r = *revisions[0].body;
  const std::string hash = r["metadata"]["labels"]["controller-revision-hash"];
  CHECK(r["metadata"]["name"] == "d-" + hash);
  CHECK(r["revision"] == 1);
  CHECK(r["data"]["spec"]["template"]["$patch"] == "replace");
  const Json& pod = *writes(p, Verb::kCreate, "pods")[0].body;
  CHECK(pod["metadata"]["labels"]["controller-revision-hash"] == hash);
  CHECK(pod["metadata"]["labels"]["pod-template-generation"] == "7");
  CHECK(pod["spec"]["tolerations"].size() == 6);
  Json status = planned_status(p, "daemonsets");
  CHECK(status["desiredNumberScheduled"] == 3);
  CHECK(status["numberUnavailable"] == 3);
}

TEST_CASE("steps of an update without surge") {
  struct Pod {
    const char *name, *node, *hash;
    int64_t ready_for;
  };
  struct Case {
    const char* what;
    Json unavailable;
    std::vector<Pod> pods;
    const char *gone, *created;
  };
  const std::vector<Case> cases = {
      {"one goes at a time",
       1,
       {{"a", "n1", "old", 10}, {"b", "n2", "old", 10}, {"c", "n3", "old", 10}},
       "a",
       ""},
      {"two if two may",
       2,
       {{"a", "n1", "old", 10}, {"b", "n2", "old", 10}, {"c", "n3", "old", 10}},
       "a b",
       ""},
      {"a share rounds up",
       "34%",
       {{"a", "n1", "old", 10}, {"b", "n2", "old", 10}, {"c", "n3", "old", 10}},
       "a b",
       ""},
      {"it waits for the new one",
       1,
       {{"a", "n1", "new", -1}, {"b", "n2", "old", 10}, {"c", "n3", "old", 10}},
       "",
       ""},
      {"and goes on when it is ready",
       1,
       {{"a", "n1", "new", 5}, {"b", "n2", "old", 10}, {"c", "n3", "old", 10}},
       "b",
       ""},
      {"old ones that do not serve go at once",
       1,
       {{"a", "n1", "old", -1}, {"b", "n2", "old", -1}, {"c", "n3", "old", 10}},
       "a b",
       ""},
      {"a node without a pod gets one first", 1, {{"b", "n2", "old", 10}, {"c", "n3", "old", 10}}, "", "n1"},
      {"done", 1, {{"a", "n1", "new", 5}, {"b", "n2", "new", 5}, {"c", "n3", "new", 5}}, "", ""},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Cluster cluster({"n1", "n2", "n3"}, {{"maxUnavailable", c.unavailable}});
    for (const auto& p : c.pods) cluster.put(daemon_pod(p.name, p.node, p.hash, p.ready_for));
    Plan p = plan(cluster.view);
    CHECK(gone(p) == c.gone);
    CHECK(created_on(p) == c.created);
  }
}

TEST_CASE("steps of an update with surge") {
  struct Pod {
    const char *name, *node, *hash;
    int64_t ready_for;
  };
  struct Case {
    const char* what;
    std::vector<Pod> pods;
    const char *gone, *created;
  };
  const std::vector<Case> cases = {
      {"a new pod beside the first old one", {{"a", "n1", "old", 10}, {"b", "n2", "old", 10}}, "", "n1"},
      {"it has to be ready first",
       {{"a", "n1", "old", 10}, {"a2", "n1", "new", -1}, {"b", "n2", "old", 10}},
       "",
       ""},
      {"then the old one goes",
       {{"a", "n1", "old", 10}, {"a2", "n1", "new", 5}, {"b", "n2", "old", 10}},
       "a",
       ""},
      {"an old one that does not serve is no loss",
       {{"a", "n1", "old", -1}, {"b", "n2", "old", 10}},
       "",
       "n1 n2"},
      {"and goes when its successor is there",
       {{"a", "n1", "old", -1}, {"a2", "n1", "new", -1}, {"b", "n2", "new", 5}},
       "a",
       ""},
      {"done", {{"a", "n1", "new", 5}, {"b", "n2", "new", 5}}, "", ""},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Cluster cluster({"n1", "n2"}, {{"maxUnavailable", 0}, {"maxSurge", 1}});
    int64_t age = 5000;
    for (const auto& p : c.pods) cluster.put(daemon_pod(p.name, p.node, p.hash, p.ready_for, age--));
    Plan p = plan(cluster.view);
    CHECK(gone(p) == c.gone);
    CHECK(created_on(p) == c.created);
  }
}

TEST_CASE("an update on delete leaves old pods alone") {
  Cluster cluster({"n1"});
  Json d = daemon_of();
  d["spec"]["updateStrategy"] = {{"type", "OnDelete"}};
  cluster.view.put(kDaemonSets, d);
  cluster.put(daemon_pod("a", "n1", "old", 10));
  Plan p = plan(cluster.view);
  CHECK(gone(p).empty());
  CHECK_FALSE(planned_status(p, "daemonsets").contains("updatedNumberScheduled"));
}

TEST_CASE("pods that should not be there go") {
  Cluster cluster({"n1", "n2"});
  SECTION("all but the oldest of a node") {
    cluster.put(daemon_pod("young", "n1", "new", 10, 100));
    cluster.put(daemon_pod("old", "n1", "new", 10, 200));
    cluster.put(daemon_pod("b", "n2", "new", 10));
    CHECK(gone(plan(cluster.view)) == "young");
  }
  SECTION("those of a node that has become unsuitable") {
    Json n = make_node("n1");
    n["spec"]["taints"] = json(R"([{"key":"k","effect":"NoExecute"}])");
    cluster.view.put(kNodes, n);
    cluster.put(daemon_pod("a", "n1", "new", 10));
    cluster.put(daemon_pod("b", "n2", "new", 10));
    Plan p = plan(cluster.view);
    CHECK(gone(p) == "a");
    CHECK(planned_status(p, "daemonsets")["numberMisscheduled"] == 1);
  }
  SECTION("not for a taint that only keeps new ones away") {
    Json n = make_node("n1");
    n["spec"]["taints"] = json(R"([{"key":"k","effect":"NoSchedule"}])");
    cluster.view.put(kNodes, n);
    cluster.put(daemon_pod("a", "n1", "new", 10));
    cluster.put(daemon_pod("b", "n2", "new", 10));
    CHECK(gone(plan(cluster.view)).empty());
  }
  SECTION("those that wait for a node that is gone; bound ones are collected with it") {
    cluster.put(daemon_pod("a", "n1", "new", 10));
    cluster.put(daemon_pod("b", "n2", "new", 10));
    Json lost = daemon_pod("lost", "", "new", -1);
    lost["spec"]["affinity"] = json(
        R"({"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
            {"matchFields":[{"key":"metadata.name","operator":"In","values":["n9"]}]}]}}})");
    cluster.put(lost);
    cluster.put(daemon_pod("bound", "n9", "new", 10));
    CHECK(gone(plan(cluster.view)) == "lost");
  }
}

TEST_CASE("a pod that fails again and again is replaced more and more slowly") {
  Cluster cluster({"n1"});
  Json failed_pod = daemon_pod("a", "n1", "new", -1);
  failed_pod["status"]["phase"] = "Failed";
  cluster.put(failed_pod);
  FailedDaemons failed;
  auto plan_at = [&](int64_t seconds) {
    return server::plan_daemonset(cluster.view, {"ns", "d"}, kNow + std::chrono::seconds(seconds), failed);
  };
  Plan first = plan_at(0);
  CHECK(gone(first) == "a");
  CHECK(noted(first, "FailedDaemonPod", "Found failed daemon pod ns/a on node n1, will try to kill it"));
  CHECK(created_on(first).empty());  // only once it is gone
  Plan soon = plan_at(0);
  CHECK(gone(soon).empty());
  CHECK(soon.requeue == std::chrono::seconds(1));
  CHECK(gone(plan_at(1)) == "a");
  CHECK(plan_at(1).requeue == std::chrono::seconds(2));
  CHECK(gone(plan_at(3)) == "a");
  CHECK(plan_at(3).requeue == std::chrono::seconds(4));
  int64_t t = 7;
  for (int i = 0; i < 12; ++i) {
    CHECK(gone(plan_at(t)) == "a");
    t += 900;
  }
  CHECK(plan_at(t - 900).requeue == std::chrono::minutes(15));
  // A good half hour forgives everything.
  CHECK(gone(plan_at(t + 1801)) == "a");
  CHECK(plan_at(t + 1801).requeue == std::chrono::seconds(1));
}

TEST_CASE("a pod that succeeded is replaced at once") {
  Cluster cluster({"n1"});
  Json done = daemon_pod("a", "n1", "new", -1);
  done["status"]["phase"] = "Succeeded";
  cluster.put(done);
  Plan p = plan(cluster.view);
  CHECK(gone(p) == "a");
  CHECK(noted(p, "SucceededDaemonPod"));
}

TEST_CASE("status of a daemon set") {
  Cluster cluster({"n1", "n2", "n3"}, {{"maxUnavailable", 0}, {"maxSurge", 1}});
  Json d = cluster.view.get(kDaemonSets, "ns", "d")->tree();
  d["spec"]["minReadySeconds"] = 30;
  cluster.view.put(kDaemonSets, d);
  cluster.put(daemon_pod("a", "n1", "old", 100, 500));
  cluster.put(daemon_pod("a2", "n1", "new", 5, 50));  // the oldest pod of a node counts
  cluster.put(daemon_pod("b", "n2", "new", 10));
  Json going = daemon_pod("c", "n3", "new", -1);
  going["metadata"]["deletionTimestamp"] = ago(1);
  cluster.put(going);
  Plan p = plan(cluster.view);
  Json s = planned_status(p, "daemonsets");
  CHECK(s["desiredNumberScheduled"] == 3);
  CHECK(s["currentNumberScheduled"] == 3);
  CHECK(s["numberReady"] == 2);
  CHECK(s["numberAvailable"] == 1);
  CHECK(s["numberUnavailable"] == 2);
  CHECK(s["updatedNumberScheduled"] == 2);
  CHECK(s["observedGeneration"] == 1);
  CHECK(p.requeue == std::chrono::seconds(20));
}

TEST_CASE("history of a daemon set") {
  Cluster cluster({"n1"});
  cluster.put(daemon_pod("a", "n1", "h1", 10));
  auto revision = [&](const std::string& name, int64_t number, const std::string& image) {
    Json t = template_x();
    t["$patch"] = "replace";
    t["spec"]["containers"][0]["image"] = image;
    cluster.view.put(
        kRevisions,
        owned_by({{"metadata",
                   {{"name", "d-" + name}, {"labels", {{"app", "x"}, {"controller-revision-hash", name}}}}},
                  {"data", {{"spec", {{"template", t}}}}},
                  {"revision", number}},
                 "apps/v1", "DaemonSet", "d"));
  };
  SECTION("a template of the past gets a new number") {
    revision("h3", 3, "later");
    Plan p = plan(cluster.view);
    auto updates = writes(p, Verb::kUpdate, "controllerrevisions");
    REQUIRE(updates.size() == 1);
    CHECK(updates[0].name == "d-new");
    CHECK((*updates[0].body)["revision"] == 4);
    CHECK(writes(p, Verb::kCreate, "controllerrevisions").empty());
  }
  SECTION("beyond the limit the oldest go, unless a pod is of them") {
    Json d = daemon_of();
    d["spec"]["revisionHistoryLimit"] = 1;
    cluster.view.put(kDaemonSets, d);
    revision("h0", 0, "a");
    revision("h1", 1, "b");
    revision("hx", -1, "c");
    CHECK(removed(plan(cluster.view), "controllerrevisions") == std::vector<std::string>{"d-h0", "d-hx"});
  }
  SECTION("revisions that say the same become the newest of them, without new pods") {
    revision("twin", 3, "i");
    cluster.put(daemon_pod("b", "n1", "new", 10));
    const Plan p = plan(cluster.view);
    CHECK(removed(p, "controllerrevisions") == std::vector<std::string>{"d-new"});
    const auto patches = writes(p, Verb::kPatch, "pods");
    REQUIRE(patches.size() == 1);
    CHECK(patches[0].name == "b");
    CHECK((*patches[0].body)["metadata"]["labels"]["controller-revision-hash"] == "twin");
    CHECK(removed(p, "pods").empty());
    CHECK(p.requeue.count() > 0);
  }
  SECTION("an orphan that matches is adopted") {
    Json orphan = {{"metadata", {{"name", "d-old"}, {"labels", {{"app", "x"}}}}},
                   {"data", {{"spec", {{"template", Json::object()}}}}},
                   {"revision", 1}};
    cluster.view.put(kRevisions, orphan);
    const Plan p = plan(cluster.view);
    CHECK(writes(p, Verb::kPatch, "controllerrevisions").size() == 1);
    const auto named = writes(p, Verb::kUpdate, "controllerrevisions");
    REQUIRE(named.size() == 1);
    CHECK((*named[0].body)["metadata"]["labels"]["controller-revision-hash"] == "d-old");
  }
  SECTION("a name that is taken moves the collision count") {
    cluster.view.put(kDaemonSets, daemon_of("other"));
    Plan p = plan(cluster.view);
    Json squatter = *writes(p, Verb::kCreate, "controllerrevisions")[0].body;
    for (const char* key : {"ownerReferences", "labels"}) squatter["metadata"].erase(key);
    cluster.view.put(kRevisions, squatter);
    p = plan(cluster.view);
    CHECK(planned_status(p, "daemonsets")["collisionCount"] == 1);
    CHECK(writes(p, Verb::kCreate, "pods").empty());
    cluster.view.apply(p);
    CHECK(writes(plan(cluster.view), Verb::kCreate, "controllerrevisions").size() == 1);
  }
}

TEST_CASE("a daemon set that cannot make a pod says so") {
  Cluster cluster({"n1"});
  Plan p = plan(cluster.view);
  Plan told = p.otherwise(writes(p, Verb::kCreate, "pods")[0], base::Status(base::Code::kForbidden, "no"));
  CHECK(noted(told, "FailedCreate", "Error creating: no"));
  CHECK(planned_status(told, "daemonsets")["desiredNumberScheduled"] == 1);
}

TEST_CASE("a settled daemon set is left alone") {
  Cluster cluster({"n1"});
  cluster.put(daemon_pod("a", "n1", "new", 10));
  cluster.view.apply(plan(cluster.view));
  Plan p = plan(cluster.view);
  CHECK(p.writes.empty());
  CHECK(p.notes.empty());
}

}  // namespace
}  // namespace orch::testing
