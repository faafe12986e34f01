// Scheduler and controllers of a whole control plane, with a node that is an object alone.
#include <chrono>
#include <thread>

#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

const std::string kCore = "/api/v1/namespaces/default";
const std::string kPods = kCore + "/pods";

Json parse(std::string_view text) {
  auto parsed = base::parse_json(text);
  INFO(text);
  REQUIRE(parsed.ok());
  return std::move(*parsed);
}

void created(const Answer& answer) {
  INFO(answer.body);
  REQUIRE(answer.status == 201);
}

/// A ready node of this many CPUs.
void make_node(const Control& c, const std::string& name, const std::string& cpu) {
  created(c.post("/api/v1/nodes", {{"kind", "Node"}, {"apiVersion", "v1"}, {"metadata", {{"name", name}}}}));
  const std::string now = base::format_time(base::SystemClock().now());
  const Json status = {{"status",
                        {{"allocatable", {{"cpu", cpu}, {"memory", "8Gi"}, {"pods", "110"}}},
                         {"capacity", {{"cpu", cpu}, {"memory", "8Gi"}, {"pods", "110"}}},
                         {"conditions", Json::array({{{"type", "Ready"},
                                                      {"status", "True"},
                                                      {"reason", "KubeletReady"},
                                                      {"message", "ready"},
                                                      {"lastHeartbeatTime", now},
                                                      {"lastTransitionTime", now}}})}}}};
  REQUIRE(c.patch("/api/v1/nodes/" + name + "/status", "merge-patch+json", status).status == 200);
}

Json make_pod(const std::string& name, const std::string& cpu, const Json& more = Json::object()) {
  Json pod = {
      {"kind", "Pod"},
      {"apiVersion", "v1"},
      {"metadata", {{"name", name}, {"labels", {{"app", "x"}}}}},
      {"spec",
       {{"terminationGracePeriodSeconds", 0},
        {"containers",
         Json::array({{{"name", "c"}, {"image", "i"}, {"resources", {{"requests", {{"cpu", cpu}}}}}}})}}}};
  pod.merge_patch(more);
  return pod;
}

std::string node_of(const Control& c, const std::string& pod) {
  const Answer a = c.get(kPods + "/" + pod);
  return a.status == 200 ? std::string(base::string_at(a.tree(), {"spec", "nodeName"})) : std::string();
}

Json condition_of(const Json& object, std::string_view type) {
  for (const auto& one : base::array_at(object, {"status", "conditions"})) {
    if (base::string_at(one, {"type"}) == type) return one;
  }
  return Json::object();
}

/// An event with this reason about an object of this name has this in its message.
bool told(const Control& c, const std::string& name, const std::string& reason, const std::string& part) {
  const Json events =
      c.get(kCore + "/events?fieldSelector=involvedObject.name=" + name + ",reason=" + reason).tree();
  for (const auto& e : base::array_at(events, {"items"})) {
    if (base::string_at(e, {"message"}).find(part) != std::string_view::npos) return true;
  }
  return false;
}

struct Cluster {
  DataFolder folder;
  Control control{folder};
  Cluster() {
    control.start();
    // Pods need their account.
    REQUIRE(soon([&] { return control.get(kCore + "/serviceaccounts/default").status == 200; }));
  }
};

TEST_CASE("a pod waits, is told why, and goes where there is room") {
  Cluster cluster;
  const Control& c = cluster.control;
  created(c.post(kPods, make_pod("early", "1")));
  REQUIRE(soon([&] { return told(c, "early", "FailedScheduling", "no nodes available to schedule pods"); }));
  make_node(c, "n1", "2");
  REQUIRE(soon([&] { return node_of(c, "early") == "n1"; }));
  CHECK(condition_of(c.get(kPods + "/early").tree(), "PodScheduled")["status"] == "True");
  CHECK(soon([&] { return told(c, "early", "Scheduled", "Successfully assigned default/early to n1"); }));

  created(c.post(kPods, make_pod("late", "2")));
  const std::string why =
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are "
      "available: 1 No preemption victims found for incoming pod.";
  REQUIRE(soon([&] { return told(c, "late", "FailedScheduling", why); }));
  CHECK(soon([&] {
    const Json scheduled = condition_of(c.get(kPods + "/late").tree(), "PodScheduled");
    return base::string_at(scheduled, {"reason"}) == "Unschedulable" &&
           base::string_at(scheduled, {"message"}) == why;
  }));
  CHECK(c.send("DELETE", kPods + "/early").status == 200);
  CHECK(soon([&] { return node_of(c, "late") == "n1"; }));
  const std::string figures = c.get("/metrics").body;
  for (const char* line :
       {"node_collector_zone_size{zone=\"\"} 1\n", "node_collector_zone_health{zone=\"\"} 100\n",
        "workqueue_depth{name=\"garbage_collector_attempt_to_orphan\"} "}) {
    CHECK_THAT(figures, contains(line));
  }
}

TEST_CASE("a gated pod is let through when its gates are gone") {
  Cluster cluster;
  const Control& c = cluster.control;
  make_node(c, "n1", "2");
  created(c.post(
      kPods, make_pod("gated", "1", parse(R"({"spec":{"schedulingGates":[{"name":"example.com/wait"}]}})"))));
  CHECK(condition_of(c.get(kPods + "/gated").tree(), "PodScheduled")["reason"] == "SchedulingGated");
  created(c.post(kPods, make_pod("free", "1")));
  REQUIRE(soon([&] { return node_of(c, "free") == "n1"; }));
  CHECK(node_of(c, "gated").empty());
  CHECK(c.patch(kPods + "/gated", "json-patch+json",
                parse(R"([{"op":"remove","path":"/spec/schedulingGates"}])"))
            .status == 200);
  CHECK(soon([&] { return node_of(c, "gated") == "n1"; }));
}

TEST_CASE("a more important pod takes the place of others") {
  Cluster cluster;
  const Control& c = cluster.control;
  make_node(c, "n1", "2");
  created(c.post(
      "/apis/scheduling.k8s.io/v1/priorityclasses",
      parse(
          R"({"kind":"PriorityClass","apiVersion":"scheduling.k8s.io/v1","metadata":{"name":"high"},"value":1000})")));
  created(c.post(kPods, make_pod("low", "2")));
  REQUIRE(soon([&] { return node_of(c, "low") == "n1"; }));
  created(c.post(kPods, make_pod("high", "1", parse(R"({"spec":{"priorityClassName":"high"}})"))));
  REQUIRE(soon([&] { return node_of(c, "high") == "n1"; }));
  CHECK(c.get(kPods + "/low").status == 404);
  CHECK(soon([&] { return told(c, "low", "Preempted", " on node n1"); }));
  CHECK_FALSE(c.get(kPods + "/high").tree()["status"].contains("nominatedNodeName"));
}

TEST_CASE("a replica set says that it may not make pods") {
  Cluster cluster;
  const Control& c = cluster.control;
  created(c.post(
      kCore + "/resourcequotas",
      parse(
          R"({"kind":"ResourceQuota","apiVersion":"v1","metadata":{"name":"q"},"spec":{"hard":{"pods":"1"}}})")));
  REQUIRE(soon([&] { return c.get(kCore + "/resourcequotas/q").tree()["status"].contains("hard"); }));
  const std::string deployments = "/apis/apps/v1/namespaces/default/deployments";
  created(c.post(deployments, parse(R"({"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},
      "spec":{"replicas":2,"selector":{"matchLabels":{"app":"x"}},"template":{"metadata":{"labels":{"app":"x"}},
      "spec":{"containers":[{"name":"c","image":"i"}]}}}})")));
  auto failure = [&] { return condition_of(c.get(deployments + "/d").tree(), "ReplicaFailure"); };
  REQUIRE(soon([&] { return base::string_at(failure(), {"reason"}) == "FailedCreate"; }));
  CHECK_THAT(failure()["message"].get<std::string>(), contains("exceeded quota: q"));
  const Json sets = c.get("/apis/apps/v1/namespaces/default/replicasets").tree();
  CHECK(told(c, sets["items"][0]["metadata"]["name"], "FailedCreate", "Error creating: pods \"d-"));
  CHECK(told(c, sets["items"][0]["metadata"]["name"], "SuccessfulCreate", "Created pod: d-"));
  CHECK(c.send("DELETE", kCore + "/resourcequotas/q").status == 200);
  CHECK(soon([&] { return failure().empty(); }));
  CHECK(c.get(kPods).tree()["items"].size() == 2);
}

TEST_CASE("a disruption budget has a say in evictions") {
  Cluster cluster;
  const Control& c = cluster.control;
  make_node(c, "n1", "4");
  const std::string budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
  created(
      c.post(budgets, parse(R"({"kind":"PodDisruptionBudget","apiVersion":"policy/v1","metadata":{"name":"b"},
      "spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"x"}}}})")));
  auto evict = [&](const std::string& pod) {
    return c.post(kPods + "/" + pod + "/eviction",
                  {{"kind", "Eviction"}, {"apiVersion", "policy/v1"}, {"metadata", {{"name", pod}}}});
  };
  auto allowed = [&] {
    return base::int_at(c.get(budgets + "/b").tree(), {"status", "disruptionsAllowed"}, -1);
  };
  for (const char* name : {"a", "b"}) {
    created(c.post(kPods, make_pod(name, "1", parse(R"({"spec":{"terminationGracePeriodSeconds":30}})"))));
    REQUIRE(soon([&] { return node_of(c, name) == "n1"; }));
    REQUIRE(
        c.patch(kPods + "/" + name + "/status", "strategic-merge-patch+json",
                parse(R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})"))
            .status == 200);
  }
  REQUIRE(soon([&] { return allowed() == 1; }));
  created(evict("a"));
  const Json going = c.get(kPods + "/a").tree();
  CHECK(going["metadata"].contains("deletionTimestamp"));
  CHECK(condition_of(going, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI");
  REQUIRE(soon([&] { return allowed() == 0; }));
  Answer refused = evict("b");
  check_error(refused, 429, "TooManyRequests",
              "Cannot evict pod as it would violate the pod's disruption budget.");
  CHECK(refused.tree()["details"]["causes"][0]["message"] ==
        "The disruption budget b needs 1 healthy pods and has 1 currently");
  check_error(c.post(kPods + "/b/eviction",
                     parse(R"({"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"z"}})")),
              400, "BadRequest", "name in URL does not match name in Eviction object");
  // Without a budget nobody objects.
  CHECK(c.send("DELETE", budgets + "/b").status == 200);
  created(evict("b"));
}

/// An owner and two objects it owns, the second of which blocks its deletion.
std::string make_family(const Control& c, const std::string& name) {
  const Answer owner = c.post(kMaps, config_map(name));
  created(owner);
  const std::string uid = owner.tree()["metadata"]["uid"];
  for (const bool blocks : {false, true}) {
    Json child = config_map(name + (blocks ? "-blocking" : "-child"));
    child["metadata"]["ownerReferences"] = Json::array({{{"apiVersion", "v1"},
                                                         {"kind", "ConfigMap"},
                                                         {"name", name},
                                                         {"uid", uid},
                                                         {"blockOwnerDeletion", blocks}}});
    if (blocks) child["metadata"]["finalizers"] = Json::array({"example.com/hold"});
    created(c.post(kMaps, child));
  }
  return uid;
}

TEST_CASE("what becomes of dependents") {
  Cluster cluster;
  const Control& c = cluster.control;
  auto there = [&](const std::string& name) { return c.get(kMaps + "/" + name).status == 200; };
  auto remove = [&](const std::string& name, const char* policy) {
    return c.send("DELETE", kMaps + "/" + name, Json({{"propagationPolicy", policy}}).dump()).status;
  };
  auto release = [&](const std::string& name) {
    return c.patch(kMaps + "/" + name, "merge-patch+json", parse(R"({"metadata":{"finalizers":null}})"))
        .status;
  };
  make_family(c, "back");
  CHECK(remove("back", "Background") == 200);
  CHECK_FALSE(there("back"));
  CHECK(soon([&] { return !there("back-child"); }));
  CHECK(release("back-blocking") == 200);
  CHECK(soon([&] { return !there("back-blocking"); }));

  make_family(c, "front");
  CHECK(remove("front", "Foreground") == 200);
  CHECK(soon([&] { return !there("front-child"); }));
  CHECK(soon(
      [&] { return c.get(kMaps + "/front-blocking").tree()["metadata"].contains("deletionTimestamp"); }));
  CHECK(there("front"));
  CHECK(release("front-blocking") == 200);
  CHECK(soon([&] { return !there("front"); }));

  make_family(c, "leave");
  CHECK(remove("leave", "Orphan") == 200);
  CHECK(soon([&] { return !there("leave"); }));
  CHECK(there("leave-child"));
  CHECK_FALSE(c.get(kMaps + "/leave-child").tree()["metadata"].contains("ownerReferences"));
}

TEST_CASE("owners that cannot be owners") {
  Cluster cluster;
  const Control& c = cluster.control;
  created(c.post("/api/v1/namespaces",
                 parse(R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":"other"}})")));
  const Answer owner = c.post(kMaps, config_map("owner"));
  created(owner);
  const std::string uid = owner.tree()["metadata"]["uid"];
  const Json reference =
      Json::array({{{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"name", "owner"}, {"uid", uid}}});
  // One of another namespace is no owner: the object counts as left behind, and an event says so.
  Json child = config_map("child");
  child["metadata"]["ownerReferences"] = reference;
  created(c.post("/api/v1/namespaces/other/configmaps", child));
  CHECK(soon([&] { return c.get("/api/v1/namespaces/other/configmaps/child").status == 404; }));
  CHECK(soon([&] {
    const Json events =
        c.get("/api/v1/namespaces/other/events?fieldSelector=reason=OwnerRefInvalidNamespace").tree();
    return events["items"].size() == 1 &&
           events["items"][0]["message"] == "ownerRef [v1/ConfigMap, namespace: other, name: owner, uid: " +
                                                uid + "] does not exist in namespace \"other\"";
  }));
  // An object of the whole cluster is never taken for one of a namespaced owner.
  Json cluster_role = parse(
      R"({"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"kept"},"rules":[]})");
  cluster_role["metadata"]["ownerReferences"] = reference;
  created(c.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", cluster_role));
  CHECK(c.send("DELETE", kMaps + "/owner").status == 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(c.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/kept").status == 200);
}

TEST_CASE("the day on which the token of a Secret is used is written down") {
  Cluster cluster;
  const Control& c = cluster.control;
  const std::string today = base::format_time(base::SystemClock().now()).substr(0, 10);
  const std::string map =
      "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
  REQUIRE(soon([&] { return c.get(map).status == 200; }));
  CHECK(c.get(map).tree()["data"]["since"] == today);
  created(c.post(kCore + "/secrets", parse(R"({"kind":"Secret","apiVersion":"v1",
      "metadata":{"name":"t","annotations":{"kubernetes.io/service-account.name":"default"}},
      "type":"kubernetes.io/service-account-token"})")));
  const auto secret = [&] { return c.get(kCore + "/secrets/t").tree(); };
  REQUIRE(soon([&] { return !base::string_at(secret(), {"data", "token"}).empty(); }));
  CHECK_FALSE(secret()["metadata"].contains("labels"));
  Credentials who;
  who.token = *pki::base64_decode(base::string_at(secret(), {"data", "token"}));
  const auto use = [&] { return c.send_as(who, "GET", "/api").status; };
  CHECK(use() == 200);
  const Json used = secret();
  CHECK(used["metadata"]["labels"] == Json{{"kubernetes.io/legacy-token-last-used", today}});
  CHECK(use() == 200);
  CHECK(secret() == used);
  CHECK(c.patch(kCore + "/secrets/t", "merge-patch+json",
                parse(R"({"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2026-01-01"}}})"))
            .status == 200);
  CHECK(soon([&] { return use() == 401; }));
}

TEST_CASE("a namespace tells what holds it back") {
  Cluster cluster;
  const Control& c = cluster.control;
  const std::string ns = "/api/v1/namespaces/held";
  created(c.post("/api/v1/namespaces",
                 parse(R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":"held"}})")));
  Json held = config_map("held");
  held["metadata"]["finalizers"] = Json::array({"example.com/hold"});
  created(c.post(ns + "/configmaps", held));
  CHECK(c.send("DELETE", ns).status == 200);
  REQUIRE(soon([&] {
    return base::string_at(condition_of(c.get(ns).tree(), "NamespaceFinalizersRemaining"), {"status"}) ==
           "True";
  }));
  CHECK(condition_of(c.get(ns).tree(), "NamespaceFinalizersRemaining")["message"] ==
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances");
  CHECK(c.patch(ns + "/configmaps/held", "merge-patch+json", parse(R"({"metadata":{"finalizers":null}})"))
            .status == 200);
  CHECK(soon([&] { return c.get(ns).status == 404; }));
}

}  // namespace
}  // namespace orch::testing
