#include "server/controllers/replicaset.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::kPods;
using server::kReplicaSets;
using server::plan_replicaset;

Json set_of(int replicas) {
  return {{"metadata", {{"name", "rs"}, {"generation", 1}}},
          {"spec",
           {{"replicas", replicas},
            {"selector", {{"matchLabels", {{"app", "x"}}}}},
            {"template", template_x()}}}};
}
Json own_pod(const std::string& name, int64_t ready_for, const std::string& node = "n1") {
  return owned_by(make_pod(name, ready_for, node), "apps/v1", "ReplicaSet", "rs");
}

Plan plan(const MapView& view) { return plan_replicaset(view, {"ns", "rs"}, kNow); }

TEST_CASE("a replica set makes the pods it lacks") {
  MapView view;
  view.put(kReplicaSets, set_of(3));
  view.put(kPods, own_pod("a", 10));
  Plan p = plan(view);
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 2);
  const Json& pod = *made[0].body;
  CHECK(made[0].ns == "ns");
  CHECK(pod["metadata"]["generateName"] == "rs-");
  CHECK(pod["metadata"]["labels"] == Json({{"app", "x"}}));
  CHECK(pod["spec"] == template_x()["spec"]);
  CHECK(api::controller_of(pod).uid == "uid-rs");
  CHECK(api::controller_of(pod).block_owner_deletion);
  CHECK((*made[0].body)["metadata"]["name"] != (*made[1].body)["metadata"]["name"]);
  CHECK(noted(p, "SuccessfulCreate", "Created pod: rs-"));
  CHECK(planned_status(p, "replicasets") == json(R"({"replicas":1,"fullyLabeledReplicas":1,"readyReplicas":1,
      "availableReplicas":1,"observedGeneration":1,"terminatingReplicas":0})"));
}

TEST_CASE("pods that have ended or are going do not count") {
  MapView view;
  view.put(kReplicaSets, set_of(2));
  Json failed = own_pod("failed", -1), succeeded = own_pod("succeeded", -1), going = own_pod("going", 5);
  failed["status"]["phase"] = "Failed";
  succeeded["status"]["phase"] = "Succeeded";
  going["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kPods, failed);
  view.put(kPods, succeeded);
  view.put(kPods, going);
  Plan p = plan(view);
  CHECK(writes(p, Verb::kCreate, "pods").size() == 2);
  CHECK(removed(p, "pods").empty());
  CHECK(planned_status(p, "replicasets")["replicas"] == 0);
  CHECK(planned_status(p, "replicasets")["terminatingReplicas"] == 1);
}

TEST_CASE("which pods go first") {
  // Each pod hurts less than the one after it.
  struct Case {
    const char* what;
    Json first, second;
  };
  auto with = [](Json pod, const char* pointer, Json value) {
    pod[Json::json_pointer(pointer)] = std::move(value);
    return pod;
  };
  const char* cost = "/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost";
  const Json restarts = json(R"([{"name":"c","restartCount":3}])");
  const std::vector<Case> cases = {
      {"unassigned before assigned", own_pod("z", -1, ""), own_pod("a", -1, "n1")},
      {"pending before running", with(own_pod("z", -1), "/status/phase", "Pending"), own_pod("a", -1)},
      {"unknown before running", with(own_pod("z", -1), "/status/phase", "Unknown"), own_pod("a", -1)},
      {"not ready before ready", own_pod("z", -1), own_pod("a", 10)},
      {"low cost before high", with(own_pod("z", 1000), cost, "-5"), own_pod("a", 10)},
      {"costs are numbers", with(own_pod("z", 10), cost, "9"), with(own_pod("a", 10), cost, "10")},
      {"short ready before long", own_pod("z", 10), own_pod("a", 1000)},
      {"more restarts before fewer", with(own_pod("z", 10), "/status/containerStatuses", restarts),
       own_pod("a", 10)},
      {"young before old", with(own_pod("z", 10), "/metadata/creationTimestamp", ago(20)), own_pod("a", 10)},
      {"an order of magnitude apart is needed: by uid otherwise", own_pod("a", 1030), own_pod("z", 1025)},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    MapView view;
    view.put(kReplicaSets, set_of(1));
    view.put(kPods, c.first);
    view.put(kPods, c.second);
    Plan p = plan(view);
    CHECK(removed(p, "pods") == std::vector<std::string>{c.first["metadata"]["name"]});
    CHECK(noted(p, "SuccessfulDelete",
                base::cat("Deleted pod: ", c.first["metadata"]["name"].get<std::string>())));
    REQUIRE(writes(p, Verb::kDelete, "pods").size() == 1);
    CHECK(writes(p, Verb::kDelete, "pods")[0].remove.uid ==
          "uid-" + c.first["metadata"]["name"].get<std::string>());
  }
}

TEST_CASE("surplus pods leave the fullest node") {
  MapView view;
  view.put(kReplicaSets, set_of(2));
  view.put(kPods, own_pod("a", 10, "n1"));
  view.put(kPods, own_pod("b", 10, "n2"));
  view.put(kPods, own_pod("c", 10, "n2"));
  CHECK(removed(plan(view), "pods").size() == 1);
  CHECK(removed(plan(view), "pods")[0] != "a");
}

/// What a plan sees when the set begins to go while it looks: the pods are of a later time than the set.
class Overtaken final : public server::View {
 public:
  Overtaken(const MapView& before, const MapView& after) : before_(before), after_(after) {}
  api::ObjectPtr get(const client::ResourceRef& r, std::string_view ns,
                     std::string_view name) const override {
    return (looked_at_pods_ ? after_ : before_).get(r, ns, name);
  }
  std::vector<api::ObjectPtr> list(const client::ResourceRef& r, std::string_view ns) const override {
    return after_.list(r, ns);
  }
  std::vector<api::ObjectPtr> by_index(const client::ResourceRef& r, const std::string& index,
                                       std::string_view value) const override {
    looked_at_pods_ |= r == kPods;
    return after_.by_index(r, index, value);
  }

 private:
  const MapView &before_, &after_;
  mutable bool looked_at_pods_ = false;
};

TEST_CASE("a set that is going does not take back what it has let go") {
  MapView before, after;
  before.put(kReplicaSets, set_of(1));
  before.put(kPods, own_pod("a", 10));
  Json going = set_of(1);
  going["metadata"]["deletionTimestamp"] = ago(1);
  after.put(kReplicaSets, going);
  after.put(kPods, make_pod("a", 10, "n1"));
  CHECK(writes(plan_replicaset(Overtaken(before, after), {"ns", "rs"}, kNow), Verb::kPatch, "pods").empty());
}

TEST_CASE("orphans that match are adopted") {
  MapView view;
  view.put(kReplicaSets, set_of(2));
  view.put(kPods, make_pod("orphan", 10));
  Json other = make_pod("other-labels", 10);
  other["metadata"]["labels"] = {{"app", "y"}};
  view.put(kPods, other);
  view.put(kPods, owned_by(make_pod("foreign", 10), "apps/v1", "ReplicaSet", "another"));
  Json going = make_pod("going", 10);
  going["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kPods, going);
  Json ended = make_pod("ended", -1);
  ended["status"]["phase"] = "Succeeded";
  view.put(kPods, ended);
  Json elsewhere = make_pod("elsewhere", 10);
  elsewhere["metadata"]["namespace"] = "other";
  view.put(kPods, elsewhere);
  Plan p = plan(view);
  auto patches = writes(p, Verb::kPatch, "pods");
  REQUIRE(patches.size() == 1);
  CHECK(patches[0].name == "orphan");
  CHECK((*patches[0].body)["metadata"]["uid"] == "uid-orphan");
  CHECK((*patches[0].body)["metadata"]["ownerReferences"][0]["uid"] == "uid-rs");
  CHECK(writes(p, Verb::kCreate, "pods").size() == 1);
}

TEST_CASE("pods that do not match any more are let go") {
  MapView view;
  view.put(kReplicaSets, set_of(1));
  Json p1 = own_pod("gone-astray", 10);
  p1["metadata"]["labels"] = {{"app", "y"}};
  view.put(kPods, p1);
  Plan p = plan(view);
  auto patches = writes(p, Verb::kPatch, "pods");
  REQUIRE(patches.size() == 1);
  CHECK((*patches[0].body)["metadata"]["ownerReferences"] == json(R"([{"$patch":"delete","uid":"uid-rs"}])"));
  CHECK(writes(p, Verb::kCreate, "pods").size() == 1);
  CHECK(removed(p, "pods").empty());
}

TEST_CASE("a replica set under deletion touches no pod") {
  MapView view;
  Json set = set_of(3);
  set["metadata"]["deletionTimestamp"] = ago(1);
  view.put(kReplicaSets, set);
  view.put(kPods, make_pod("orphan", 10));
  Json astray = own_pod("astray", 10);
  astray["metadata"]["labels"] = {{"app", "y"}};
  view.put(kPods, astray);
  Plan p = plan(view);
  CHECK(writes(p, Verb::kCreate, "pods").empty());
  CHECK(writes(p, Verb::kPatch, "pods").empty());
  CHECK(removed(p, "pods").empty());
}

TEST_CASE("a pod is available after minReadySeconds") {
  MapView view;
  Json set = set_of(2);
  set["spec"]["minReadySeconds"] = 30;
  view.put(kReplicaSets, set);
  view.put(kPods, own_pod("a", 40));
  view.put(kPods, own_pod("b", 10));
  Plan p = plan(view);
  Json status = planned_status(p, "replicasets");
  CHECK(status["readyReplicas"] == 2);
  CHECK(status["availableReplicas"] == 1);
  CHECK(p.requeue == std::chrono::seconds(20));
}

TEST_CASE("pods beyond the template's labels are counted apart") {
  MapView view;
  Json set = set_of(2);
  set["spec"]["template"]["metadata"]["labels"]["extra"] = "1";
  view.put(kReplicaSets, set);
  Json full = own_pod("a", 10);
  full["metadata"]["labels"]["extra"] = "1";
  view.put(kPods, full);
  view.put(kPods, own_pod("b", 10));
  Json status = planned_status(plan(view), "replicasets");
  CHECK(status["replicas"] == 2);
  CHECK(status["fullyLabeledReplicas"] == 1);
}

TEST_CASE("nothing to do is an empty plan") {
  MapView view;
  CHECK(plan(view).writes.empty());
  view.put(kReplicaSets, set_of(2));
  view.put(kPods, own_pod("a", 10));
  view.put(kPods, own_pod("b", 10));
  view.apply(plan(view));
  Plan p = plan(view);
  CHECK(p.writes.empty());
  CHECK(p.notes.empty());
  CHECK(p.requeue.count() == 0);
}

TEST_CASE("a set says that it cannot make or remove pods, until it can") {
  MapView view;
  Json set = set_of(2);
  view.put(kReplicaSets, set);
  Plan p = plan(view);
  REQUIRE(p.otherwise);
  const base::Status refused(base::Code::kForbidden, "pods \"rs-abcde\" is forbidden: exceeded quota: q");
  Plan told = p.otherwise(p.writes[0], refused);
  CHECK(noted(told, "FailedCreate", "Error creating: pods \"rs-abcde\" is forbidden: exceeded quota: q"));
  Json status = planned_status(told, "replicasets");
  Json failure = condition({{"status", status}}, "ReplicaFailure");
  CHECK(failure["status"] == "True");
  CHECK(failure["reason"] == "FailedCreate");
  CHECK(failure["message"] == refused.message());
  CHECK(status["replicas"] == 0);
  view.apply(told);

  // The next failure names another pod: nothing to write.
  p = plan(view);
  told = p.otherwise(p.writes[0], base::Status(base::Code::kForbidden, "pods \"rs-other\" is forbidden"));
  CHECK(noted(told, "FailedCreate"));
  CHECK(told.writes.empty());

  // As soon as the pods are there it is over.
  view.put(kPods, own_pod("a", 10));
  view.put(kPods, own_pod("b", 10));
  CHECK_FALSE(planned_status(plan(view), "replicasets").contains("conditions"));

  set["spec"]["replicas"] = 1;
  view.put(kReplicaSets, set);
  p = plan(view);
  told = p.otherwise(writes(p, Verb::kDelete, "pods")[0], base::Status(base::Code::kInternal, "disk full"));
  CHECK(noted(told, "FailedDelete", "Error deleting: disk full"));
  CHECK(condition({{"status", planned_status(told, "replicasets")}}, "ReplicaFailure")["message"] ==
        "unable to delete pods: disk full");
}

TEST_CASE("a namespace that goes away is no failure") {
  MapView view;
  view.put(kReplicaSets, set_of(1));
  Plan p = plan(view);
  base::StatusDetails details;
  details.causes.push_back(
      {"NamespaceTerminating", "namespace ns is being terminated", "metadata.namespace"});
  Plan told = p.otherwise(p.writes[0], base::Status(base::Code::kForbidden, "forbidden", details));
  CHECK(told.writes.empty());
  CHECK(told.notes.empty());
}

TEST_CASE("nodes crowded by pods of the same deployment give first") {
  MapView view;
  view.put(kReplicaSets, owned_by(set_of(1), "apps/v1", "Deployment", "d"));
  Json sibling = set_of(3);
  sibling["metadata"]["name"] = "sibling";
  view.put(kReplicaSets, owned_by(sibling, "apps/v1", "Deployment", "d"));
  auto of = [](const std::string& name, const std::string& node, const char* set) {
    return owned_by(make_pod(name, 1000, node), "apps/v1", "ReplicaSet", set);
  };
  view.put(kPods, of("a", "lonely", "rs"));
  view.put(kPods, of("z", "crowded", "rs"));
  for (const char* name : {"s1", "s2", "s3"}) view.put(kPods, of(name, "crowded", "sibling"));
  CHECK(removed(plan(view), "pods") == std::vector<std::string>{"z"});
}

TEST_CASE("many pods are made in bursts, in growing steps") {
  MapView view;
  view.put(kReplicaSets, set_of(1200));
  Plan p = plan(view);
  CHECK(writes(p, Verb::kCreate, "pods").size() == 500);
  REQUIRE(p.batches.size() == 1);
  CHECK(p.batches[0].begin == 0);
  CHECK(p.batches[0].end == 500);
  CHECK(p.batches[0].slow_start);
}

TEST_CASE("a replication controller does the same by plain labels") {
  auto controller_of = [](int replicas) {
    return Json{{"metadata", {{"name", "rc"}, {"generation", 1}}},
                {"spec", {{"replicas", replicas}, {"selector", {{"app", "x"}}}, {"template", template_x()}}}};
  };
  auto own = [](const std::string& name) {
    return owned_by(make_pod(name, 10), "v1", "ReplicationController", "rc");
  };
  MapView view;
  auto run = [&] { return server::plan_replication_controller(view, {"ns", "rc"}, kNow); };
  view.put(server::kReplicationControllers, controller_of(3));
  view.put(kPods, own("a"));
  view.put(kPods, make_pod("orphan", 10));
  Json stray = own("stray");
  stray["metadata"]["labels"] = {{"app", "y"}};
  view.put(kPods, stray);
  Plan p = run();
  auto patches = writes(p, Verb::kPatch, "pods");
  REQUIRE(patches.size() == 2);
  CHECK(patches[0].name == "stray");
  CHECK(patches[1].name == "orphan");
  CHECK((*patches[1].body)["metadata"]["ownerReferences"][0]["kind"] == "ReplicationController");
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 1);
  CHECK((*made[0].body)["metadata"]["generateName"] == "rc-");
  // The kind knows no terminatingReplicas.
  CHECK(planned_status(p, "replicationcontrollers") ==
        json(R"({"replicas":2,"fullyLabeledReplicas":2,"readyReplicas":2,"availableReplicas":2,
                 "observedGeneration":1})"));
  Plan told = p.otherwise(made[0], base::Status(base::Code::kForbidden, "exceeded quota"));
  CHECK(noted(told, "FailedCreate", "Error creating: exceeded quota"));
  CHECK(condition({{"status", planned_status(told, "replicationcontrollers")}}, "ReplicaFailure")["reason"] ==
        "FailedCreate");

  view.put(server::kReplicationControllers, controller_of(0));
  view.drop(kPods, "ns", "orphan");
  CHECK(removed(run(), "pods") == std::vector<std::string>{"a"});

  auto controller = server::make_replication_controller_controller();
  CHECK(controller.name == "replication-controller");
  view.put(kPods, make_pod("other", 1));
  CHECK(controller.sources[1].keys(nullptr, view.get(kPods, "ns", "other"), view) ==
        server::Keys{{"ns", "rc"}});
}

TEST_CASE("keys of pods: their owner, or who could adopt them") {
  MapView view;
  view.put(kReplicaSets, set_of(2));
  auto controller = server::make_replicaset_controller();
  const auto& keys = controller.sources[1].keys;
  view.put(kPods, own_pod("a", 1));
  view.put(kPods, make_pod("orphan", 1));
  CHECK(keys(nullptr, view.get(kPods, "ns", "a"), view) == server::Keys{{"ns", "rs"}});
  CHECK(keys(view.get(kPods, "ns", "a"), nullptr, view) == server::Keys{{"ns", "rs"}});
  CHECK(keys(nullptr, view.get(kPods, "ns", "orphan"), view) == server::Keys{{"ns", "rs"}});
  CHECK(keys(view.get(kPods, "ns", "orphan"), nullptr, view).empty());
}

}  // namespace
}  // namespace orch::testing
