#include "server/controllers/statefulset.h"

#include "server/controllers/statefulset_state.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::kClaims;
using server::kPods;
using server::kRevisions;
using server::kStatefulSets;

constexpr const char* kOldImage = "old";
constexpr const char* kNewImage = "new";

Json set_of(int replicas, const std::string& image = kNewImage) {
  Json s = {{"metadata", {{"name", "web"}, {"generation", 2}}},
            {"spec",
             {{"replicas", replicas},
              {"serviceName", "nginx"},
              {"selector", {{"matchLabels", {{"app", "x"}}}}},
              {"podManagementPolicy", "OrderedReady"},
              {"updateStrategy", json(R"({"type":"RollingUpdate","rollingUpdate":{"partition":0}})")},
              {"revisionHistoryLimit", 10},
              {"persistentVolumeClaimRetentionPolicy", {{"whenDeleted", "Retain"}, {"whenScaled", "Retain"}}},
              {"template", template_x()}}}};
  s["spec"]["template"]["spec"]["containers"][0]["image"] = image;
  return s;
}

Json revision_of(const std::string& image, int number) {
  const Json data = server::template_patch(set_of(1, image));
  return owned_by({{"metadata", {{"name", "web-" + image}, {"labels", {{"app", "x"}}}}},
                   {"data", data},
                   {"revision", number}},
                  "apps/v1", "StatefulSet", "web");
}

/// A pod of the set with this ordinal and revision: ready since so many seconds (-1: not).
Json member(int ordinal, int64_t ready_for, const std::string& image = kNewImage) {
  const std::string name = base::cat("web-", ordinal);
  Json p = owned_by(make_pod(name, ready_for), "apps/v1", "StatefulSet", "web");
  p["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = name;
  p["metadata"]["labels"]["controller-revision-hash"] = "web-" + image;
  return p;
}

Json deleting(Json pod) {
  pod["metadata"]["deletionTimestamp"] = ago(1);
  return pod;
}

Json in_phase(Json pod, const char* phase) {
  pod["status"]["phase"] = phase;
  return pod;
}

/// The set has both revisions and is at the old one; pods by letter.
struct World {
  MapView view;
  explicit World(const Json& set, bool updating = false) {
    Json s = set;
    if (!s.contains("status")) s["status"]["currentRevision"] = updating ? "web-old" : "web-new";
    view.put(kStatefulSets, s);
    view.put(kRevisions, revision_of(kOldImage, 1));
    view.put(kRevisions, revision_of(kNewImage, 2));
  }
  World& put(Json pod) {
    view.put(kPods, std::move(pod));
    return *this;
  }
  Plan plan() const { return server::plan_statefulset(view, {"ns", "web"}, kNow); }
};

std::string names_of(const std::vector<server::Write>& list) {
  std::string out;
  for (const auto& w : list) {
    const std::string name =
        w.name.empty() ? std::string(base::string_at(*w.body, {"metadata", "name"})) : w.name;
    out += (out.empty() ? "" : " ") + name;
  }
  return out;
}

std::string made(const Plan& p) { return names_of(writes(p, Verb::kCreate, "pods")); }
std::string gone(const Plan& p) { return names_of(writes(p, Verb::kDelete, "pods")); }

TEST_CASE("a new set records its template and makes its first pod") {
  MapView view;
  Json s = set_of(3);
  s["spec"]["volumeClaimTemplates"] =
      json(R"([{"metadata":{"name":"data","labels":{"a":"b"}},"spec":{"accessModes":["ReadWriteOnce"]}}])");
  s["spec"]["template"]["spec"]["volumes"] =
      json(R"([{"name":"data","emptyDir":{}},{"name":"tmp","emptyDir":{}}])");
  s["metadata"]["annotations"]["note"] = "n";
  view.put(kStatefulSets, s);
  const Plan p = server::plan_statefulset(view, {"ns", "web"}, kNow);
  const auto revisions = writes(p, Verb::kCreate, "controllerrevisions");
  REQUIRE(revisions.size() == 1);
  const Json& r = *revisions[0].body;
  const std::string hash = r["metadata"]["labels"]["controller.kubernetes.io/hash"];
  CHECK(r["metadata"]["name"] == "web-" + hash);
  CHECK(r["metadata"]["labels"]["app"] == "x");
  CHECK(r["metadata"]["annotations"]["note"] == "n");
  CHECK(r["revision"] == 1);
  REQUIRE(made(p) == "web-0");
  const Json& pod = *writes(p, Verb::kCreate, "pods")[0].body;
  CHECK(pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "web-0");
  CHECK(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0");
  CHECK(pod["metadata"]["labels"]["controller-revision-hash"] == "web-" + hash);
  CHECK(pod["spec"]["hostname"] == "web-0");
  CHECK(pod["spec"]["subdomain"] == "nginx");
  CHECK(
      pod["spec"]["volumes"] ==
      json(
          R"([{"name":"data","persistentVolumeClaim":{"claimName":"data-web-0"}},{"name":"tmp","emptyDir":{}}])"));
  const auto claims = writes(p, Verb::kCreate, "persistentvolumeclaims");
  REQUIRE(names_of(claims) == "data-web-0");
  CHECK((*claims[0].body)["metadata"]["labels"] == json(R"({"a":"b","app":"x"})"));
  CHECK(noted(p, "SuccessfulCreate", "Create Pod web-0 in StatefulSet web successful"));
  CHECK(noted(p, "SuccessfulCreate", "Create Claim data-web-0 Pod web-0 in StatefulSet web success"));
  const Json status = planned_status(p, "statefulsets");
  CHECK(status["currentRevision"] == "web-" + hash);
  CHECK(status["updateRevision"] == "web-" + hash);
  CHECK(status["replicas"] == 0);
  CHECK(status["collisionCount"] == 0);
}

TEST_CASE("pods are made in order, each when those before it are available") {
  struct Case {
    const char* what;
    bool parallel;
    int start;
    std::vector<Json> pods;
    const char *made, *gone;
  };
  const std::vector<Case> cases = {
      {"the next one", false, 0, {member(0, 10)}, "web-1", ""},
      {"not ready: wait", false, 0, {member(0, -1)}, "", ""},
      {"pending: wait", false, 0, {in_phase(member(0, -1), "Pending")}, "", ""},
      {"terminating: wait", false, 0, {deleting(member(0, 10))}, "", ""},
      {"a hole is filled before the end", false, 0, {member(0, 10), member(2, 10)}, "web-1", ""},
      {"failed: removed, made again when gone", false, 0, {in_phase(member(0, -1), "Failed")}, "", "web-0"},
      {"succeeded as well", false, 0, {member(0, 10), in_phase(member(1, -1), "Succeeded")}, "", "web-1"},
      {"failed and going: wait", false, 0, {deleting(in_phase(member(0, -1), "Failed"))}, "", ""},
      {"parallel: all at once", true, 0, {member(1, -1)}, "web-0 web-2", ""},
      {"parallel: a failed one does not hold others up",
       true,
       0,
       {in_phase(member(0, -1), "Failed")},
       "web-1 web-2",
       "web-0"},
      {"ordinals begin elsewhere, and what is below goes last",
       false,
       5,
       {member(0, 10), member(5, 10)},
       "web-6",
       ""},
  };
  for (const auto& c : cases) {
    DYNAMIC_SECTION(c.what) {
      Json s = set_of(3);
      if (c.parallel) s["spec"]["podManagementPolicy"] = "Parallel";
      if (c.start > 0) s["spec"]["ordinals"]["start"] = c.start;
      World w(s);
      for (const auto& p : c.pods) w.put(p);
      const Plan p = w.plan();
      CHECK(made(p) == c.made);
      CHECK(gone(p) == c.gone);
    }
  }
}

TEST_CASE("a set shrinks from its end, one pod at a time and only while it is well") {
  struct Case {
    const char* what;
    bool parallel;
    std::vector<Json> pods;
    const char* gone;
  };
  const std::vector<Case> cases = {
      {"the last one", false, {member(0, 10), member(1, 10), member(2, 10)}, "web-2"},
      {"it waits for one that goes", false, {member(0, 10), member(1, 10), deleting(member(2, 10))}, ""},
      {"not while a living one is not ready", false, {member(0, -1), member(1, 10)}, ""},
      {"the first that is not well goes before others",
       false,
       {member(0, 10), member(1, 10), member(2, -1)},
       "web-2"},
      {"but only from the end", false, {member(0, 10), member(1, -1), member(2, -1)}, ""},
      {"parallel: all", true, {member(0, -1), member(1, -1), member(2, 10)}, "web-2 web-1"},
  };
  for (const auto& c : cases) {
    DYNAMIC_SECTION(c.what) {
      Json s = set_of(1);
      if (c.parallel) s["spec"]["podManagementPolicy"] = "Parallel";
      World w(s);
      for (const auto& p : c.pods) w.put(p);
      CHECK(gone(w.plan()) == c.gone);
    }
  }
}

TEST_CASE("an update replaces the highest pod first and stops at one that is not well") {
  struct Case {
    const char* what;
    const char* strategy;
    std::vector<Json> pods;
    const char* gone;
  };
  const char* rolling = R"({"type":"RollingUpdate","rollingUpdate":{"partition":0}})";
  const std::vector<Case> cases = {
      {"the last one", rolling, {member(0, 10, "old"), member(1, 10, "old"), member(2, 10, "old")}, "web-2"},
      {"the next one", rolling, {member(0, 10, "old"), member(1, 10, "old"), member(2, 10)}, "web-1"},
      {"it waits for the new one", rolling, {member(0, 10, "old"), member(1, 10, "old"), member(2, -1)}, ""},
      {"a broken new one halts it", rolling, {member(0, 10, "old"), member(1, -1), member(2, 10)}, ""},
      {"maxUnavailable is off",
       R"({"type":"RollingUpdate","rollingUpdate":{"partition":0,"maxUnavailable":2}})",
       {member(0, 10, "old"), member(1, 10, "old"), member(2, 10, "old")},
       "web-2"},
      {"not below the partition",
       R"({"type":"RollingUpdate","rollingUpdate":{"partition":2}})",
       {member(0, 10, "old"), member(1, 10, "old"), member(2, 10)},
       ""},
      {"on delete: never",
       R"({"type":"OnDelete"})",
       {member(0, 10, "old"), member(1, 10, "old"), member(2, 10, "old")},
       ""},
  };
  for (const auto& c : cases) {
    DYNAMIC_SECTION(c.what) {
      Json s = set_of(3);
      s["spec"]["updateStrategy"] = json(c.strategy);
      World w(s, true);
      for (const auto& p : c.pods) w.put(p);
      const Plan p = w.plan();
      CHECK(gone(p) == c.gone);
      CHECK(made(p).empty());
    }
  }
}

TEST_CASE("a set whose old pods are broken is updated once they are repaired by hand alone") {
  World w(set_of(2), true);
  w.put(member(0, -1, "old")).put(member(1, 10, "old"));
  // Ordered sets tend to their pods first, and the first is not ready.
  CHECK(gone(w.plan()).empty());
}

TEST_CASE("which revision a missing pod is made of") {
  struct Case {
    const char* what;
    const char* strategy;
    int current_replicas;
    const char* image;
  };
  const std::vector<Case> cases = {
      {"below the partition: the old one", R"({"type":"RollingUpdate","rollingUpdate":{"partition":2}})", 0,
       "old"},
      {"at the partition: the new one", R"({"type":"RollingUpdate","rollingUpdate":{"partition":1}})", 3,
       "new"},
      {"without parameters: the old one while the update has not got there", R"({"type":"RollingUpdate"})", 2,
       "old"},
      {"and the new one then", R"({"type":"RollingUpdate"})", 1, "new"},
      {"on delete: the new one", R"({"type":"OnDelete"})", 3, "new"},
  };
  for (const auto& c : cases) {
    DYNAMIC_SECTION(c.what) {
      Json s = set_of(2);
      s["spec"]["updateStrategy"] = json(c.strategy);
      s["status"] = {{"currentRevision", "web-old"}, {"currentReplicas", c.current_replicas}};
      World w(s, true);
      w.put(member(0, 10, "old"));
      const auto pods = writes(w.plan(), Verb::kCreate, "pods");
      REQUIRE(pods.size() == 1);
      CHECK((*pods[0].body)["spec"]["containers"][0]["image"] == c.image);
      CHECK((*pods[0].body)["metadata"]["labels"]["controller-revision-hash"] ==
            std::string("web-") + c.image);
    }
  }
}

TEST_CASE("the status counts pods by revision, readiness and availability") {
  Json s = set_of(3);
  s["spec"]["minReadySeconds"] = 30;
  World w(s, true);
  w.put(member(0, 60, "old")).put(member(1, 10, "old")).put(deleting(member(2, 10)));
  const Plan p = w.plan();
  const Json status = planned_status(p, "statefulsets");
  CHECK(status == json(R"({"replicas":3,"readyReplicas":3,"availableReplicas":1,"currentReplicas":2,
                           "currentRevision":"web-old","updateRevision":"web-new","collisionCount":0,
                           "observedGeneration":2})"));
  CHECK(p.requeue == std::chrono::seconds(20));
}

TEST_CASE("replacing pods older than the current revision takes no count below 0") {
  World w(set_of(2), true);
  w.put(member(0, 10, "older")).put(member(1, 10, "older"));
  const Plan p = w.plan();
  CHECK(gone(p) == "web-1");
  CHECK_FALSE(planned_status(p, "statefulsets").contains("currentReplicas"));
}

TEST_CASE("an update that is through makes the new revision the current one") {
  World w(set_of(2), true);
  w.put(member(0, 10)).put(member(1, 10));
  const Json status = planned_status(w.plan(), "statefulsets");
  CHECK(status["currentRevision"] == "web-new");
  CHECK(status["currentReplicas"] == 2);
  CHECK(status["updatedReplicas"] == 2);
}

TEST_CASE("a status that says the same is not written, whatever else is in it") {
  Json s = set_of(1);
  s["status"] = json(R"({"replicas":1,"readyReplicas":1,"availableReplicas":1,"currentReplicas":1,
                         "updatedReplicas":1,"currentRevision":"web-new","updateRevision":"web-new",
                         "observedGeneration":2,"conditions":[{"type":"Mine","status":"True"}]})");
  World w(s);
  w.put(member(0, 10));
  CHECK(w.plan().writes.empty());
}

TEST_CASE("history") {
  SECTION("rolling back makes the old revision the newest") {
    World w(set_of(1, kOldImage), true);
    w.put(member(0, 10, "new"));
    const Plan p = w.plan();
    const auto updated = writes(p, Verb::kUpdate, "controllerrevisions");
    REQUIRE(updated.size() == 1);
    CHECK(updated[0].name == "web-old");
    CHECK((*updated[0].body)["revision"] == 3);
    CHECK(gone(p) == "web-0");
    CHECK(planned_status(p, "statefulsets")["updateRevision"] == "web-old");
  }
  SECTION("the oldest that nothing is of go beyond the limit") {
    Json s = set_of(1);
    s["spec"]["revisionHistoryLimit"] = 1;
    World w(s);
    w.put(member(0, 10));
    for (int i = 3; i <= 5; ++i) w.view.put(kRevisions, revision_of(base::cat("i", i), -i));
    // The newest is still the set's; -5, -4, -3 and 1 are history.
    CHECK(names_of(writes(w.plan(), Verb::kDelete, "controllerrevisions")) == "web-i5 web-i4 web-i3");
  }
  SECTION("revisions of living pods stay") {
    Json s = set_of(2);
    s["spec"]["revisionHistoryLimit"] = 0;
    World w(s);
    w.put(member(0, 10)).put(member(1, 10, "old"));
    CHECK(writes(w.plan(), Verb::kDelete, "controllerrevisions").empty());
  }
  SECTION("a name that another revision has is not taken") {
    MapView view;
    view.put(kStatefulSets, set_of(1));
    Plan p = server::plan_statefulset(view, {"ns", "web"}, kNow);
    const std::string taken = names_of(writes(p, Verb::kCreate, "controllerrevisions"));
    view.put(kRevisions, {{"metadata", {{"name", taken}}}, {"data", Json::object()}, {"revision", 1}});
    p = server::plan_statefulset(view, {"ns", "web"}, kNow);
    const std::string other = names_of(writes(p, Verb::kCreate, "controllerrevisions"));
    CHECK(other != taken);
    CHECK_FALSE(other.empty());
    CHECK(planned_status(p, "statefulsets")["collisionCount"] == 1);
  }
}

TEST_CASE("pods are adopted and released by name and labels") {
  World w(set_of(2));
  Json orphan = member(0, 10);
  orphan["metadata"].erase("ownerReferences");
  w.put(orphan);
  Json stranger = make_pod("other-0", 10);
  w.put(stranger);
  Json renamed = member(1, 10);
  renamed["metadata"]["labels"]["app"] = "y";
  w.put(renamed);
  const Plan p = w.plan();
  const auto patches = writes(p, Verb::kPatch, "pods");
  REQUIRE(names_of(patches) == "web-1 web-0");
  CHECK((*patches[0].body)["metadata"]["ownerReferences"][0]["$patch"] == "delete");
  CHECK((*patches[1].body)["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet");
  // The name is taken until the released pod goes.
  CHECK(made(p).empty());
}

TEST_CASE("a pod that lost its label gets it back") {
  World w(set_of(1));
  Json pod = member(0, 10);
  pod["metadata"]["labels"].erase("statefulset.kubernetes.io/pod-name");
  w.put(pod);
  const Plan p = w.plan();
  const auto updates = writes(p, Verb::kUpdate, "pods");
  REQUIRE(updates.size() == 1);
  CHECK((*updates[0].body)["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "web-0");
  CHECK(noted(p, "SuccessfulUpdate", "Update Pod web-0 in StatefulSet web successful"));
}

TEST_CASE("a set that is being deleted only counts") {
  Json s = set_of(3);
  s["metadata"]["deletionTimestamp"] = ago(1);
  World w(s);
  w.put(member(0, 10));
  const Plan p = w.plan();
  CHECK(made(p).empty());
  CHECK(gone(p).empty());
  CHECK(planned_status(p, "statefulsets")["replicas"] == 1);
}

TEST_CASE("owners of claims follow the retention policy") {
  struct Case {
    const char *deleted, *scaled;
    int replicas;
    const char* before;  // owners: s set, p pod, o an older pod of the name, x another controller
    const char* after;   // "-": not written
  };
  const std::vector<Case> cases = {
      {"Retain", "Retain", 1, "", "-"},  {"Retain", "Retain", 1, "s", ""},
      {"Delete", "Retain", 1, "", "s"},  {"Delete", "Retain", 1, "s", "-"},
      {"Retain", "Delete", 1, "", "-"},  {"Retain", "Delete", 0, "", "p"},
      {"Delete", "Delete", 1, "", "s"},  {"Delete", "Delete", 0, "s", "p"},
      {"Delete", "Delete", 1, "p", "s"}, {"Delete", "Delete", 1, "o", "-"},
      {"Delete", "Delete", 1, "x", "-"}, {"Delete", "Retain", 1, "xs", "x"},
  };
  for (const auto& c : cases) {
    DYNAMIC_SECTION(c.deleted << " " << c.scaled << " " << c.replicas << " " << c.before) {
      Json s = set_of(c.replicas);
      s["spec"]["volumeClaimTemplates"] = json(R"([{"metadata":{"name":"data"}}])");
      s["spec"]["persistentVolumeClaimRetentionPolicy"] = {{"whenDeleted", c.deleted},
                                                           {"whenScaled", c.scaled}};
      World w(s);
      Json pod = member(0, 10);
      pod["spec"]["volumes"] =
          json(R"([{"name":"data","persistentVolumeClaim":{"claimName":"data-web-0"}}])");
      w.put(pod);
      Json claim = {{"metadata", {{"name", "data-web-0"}}}};
      for (const char* o = c.before; *o != 0; ++o) {
        claim["metadata"]["ownerReferences"].push_back(
            *o == 's'   ? api::controller_reference("apps/v1", "StatefulSet", "web", "uid-web")
            : *o == 'p' ? api::controller_reference("v1", "Pod", "web-0", "uid-web-0")
            : *o == 'o' ? api::controller_reference("v1", "Pod", "web-0", "uid-of-before")
                        : api::controller_reference("v1", "Thing", "x", "uid-x"));
      }
      w.view.put(kClaims, claim);
      const auto updates = writes(w.plan(), Verb::kUpdate, "persistentvolumeclaims");
      std::string after = updates.empty() ? "-" : "";
      if (!updates.empty()) {
        for (const auto& r : api::owner_references(*updates[0].body))
          after += r.kind == "StatefulSet" ? "s" : r.kind == "Pod" ? "p" : "x";
      }
      CHECK(after == c.after);
    }
  }
}

TEST_CASE("claims that hold a pod back") {
  Json s = set_of(1);
  s["spec"]["volumeClaimTemplates"] = json(R"([{"metadata":{"name":"data"}}])");
  SECTION("one that is being deleted") {
    World w(s);
    w.view.put(kClaims, deleting({{"metadata", {{"name", "data-web-0"}}}}));
    const Plan p = w.plan();
    CHECK(made(p).empty());
    CHECK(noted(p, "FailedCreate",
                "Create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"));
  }
  SECTION("one that goes with an earlier pod") {
    s["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = "Delete";
    World w(s);
    w.view.put(
        kClaims,
        {{"metadata",
          {{"name", "data-web-0"},
           {"ownerReferences", Json::array({api::controller_reference("v1", "Pod", "web-0", "gone")})}}}});
    CHECK(made(w.plan()).empty());
  }
}

TEST_CASE("a failure becomes an event, and the status is written all the same") {
  World w(set_of(2));
  w.put(member(0, 10));
  const Plan p = w.plan();
  const auto pods = writes(p, Verb::kCreate, "pods");
  REQUIRE(pods.size() == 1);
  const Plan other = p.otherwise(pods[0], base::Status(base::Code::kForbidden, "exceeded quota"));
  CHECK(noted(other, "FailedCreate", "Create Pod web-1 in StatefulSet web failed error: exceeded quota"));
  CHECK(planned_status(other, "statefulsets")["replicas"] == 1);
}

}  // namespace
}  // namespace orch::testing
