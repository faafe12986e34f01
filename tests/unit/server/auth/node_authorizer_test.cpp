#include "server/auth/node_authorizer.h"

#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

const char* const kPod = R"({"apiVersion":"v1","kind":"Pod",
  "metadata":{"name":"web","namespace":"a","uid":"1","generation":1},
  "spec":{"nodeName":"n1","serviceAccountName":"bot","imagePullSecrets":[{"name":"pull"}],
    "initContainers":[{"name":"i","envFrom":[{"secretRef":{"name":"init-env"}}]}],
    "containers":[{"name":"c","envFrom":[{"configMapRef":{"name":"env"}}],
      "env":[{"name":"X","valueFrom":{"secretKeyRef":{"name":"key","key":"k"}}}]}],
    "volumes":[{"name":"s","secret":{"secretName":"vol"}},{"name":"c","configMap":{"name":"conf"}},
      {"name":"p","projected":{"sources":[{"secret":{"name":"proj"}},{"configMap":{"name":"kube-root-ca.crt"}}]}},
      {"name":"d","persistentVolumeClaim":{"claimName":"data"}},{"name":"e","ephemeral":{}}]}})";

struct Cluster {
  NodeGraph graph;
  NodeAuthorizer authorizer{graph};
  UserInfo n1 = user("system:node:n1", {"system:nodes"});
  UserInfo n2 = user("system:node:n2", {"system:nodes"});
  bool may(const UserInfo& u, const char* verb, const char* group, const char* resource, const char* ns = "",
           const char* name = "", const char* subresource = "") {
    return authorizer.authorize(resource_attributes(u, verb, group, resource, ns, name, subresource))
               .decision == Decision::kAllow;
  }
};

}  // namespace

TEST_CASE("a node reads what its pods use, and nothing else") {
  Cluster c;
  c.graph.on_pod(nullptr, object(kPod));
  c.graph.on_persistent_volume(
      nullptr, object(R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv1"},
        "spec":{"claimRef":{"namespace":"a","name":"data"},
                "csi":{"nodeStageSecretRef":{"name":"stage","namespace":"storage"}}}})"));
  for (const char* secret : {"pull", "init-env", "key", "vol", "proj"}) {
    INFO(secret);
    CHECK(c.may(c.n1, "get", "", "secrets", "a", secret));
    CHECK(c.may(c.n1, "watch", "", "secrets", "a", secret));
    CHECK_FALSE(c.may(c.n1, "update", "", "secrets", "a", secret));
    CHECK_FALSE(c.may(c.n1, "get", "", "secrets", "b", secret));
    CHECK_FALSE(c.may(c.n2, "get", "", "secrets", "a", secret));
  }
  CHECK_FALSE(c.may(c.n1, "list", "", "secrets", "a"));
  CHECK_FALSE(c.may(c.n1, "get", "", "secrets", "a", "other"));
  for (const char* map : {"env", "conf", "kube-root-ca.crt"})
    CHECK(c.may(c.n1, "get", "", "configmaps", "a", map));
  CHECK(c.may(c.n1, "get", "", "persistentvolumeclaims", "a", "data"));
  CHECK(c.may(c.n1, "get", "", "persistentvolumeclaims", "a", "web-e"));
  CHECK(c.may(c.n1, "get", "", "persistentvolumes", "", "pv1"));
  CHECK_FALSE(c.may(c.n2, "get", "", "persistentvolumes", "", "pv1"));
  CHECK(c.may(c.n1, "get", "", "secrets", "storage", "stage"));
  CHECK(c.may(c.n1, "create", "", "serviceaccounts", "a", "bot", "token"));
  CHECK_FALSE(c.may(c.n1, "create", "", "serviceaccounts", "a", "default", "token"));
  CHECK_FALSE(c.may(c.n2, "create", "", "serviceaccounts", "a", "bot", "token"));
  const UserInfo bob = user("bob", {"system:nodes"}), fake = user("system:node:n1", {});
  CHECK_FALSE(c.may(bob, "get", "", "secrets", "a", "pull"));
  CHECK_FALSE(c.may(fake, "get", "", "secrets", "a", "pull"));
}

TEST_CASE("the graph follows pods") {
  Cluster c;
  const auto pod = object(kPod);
  Json unbound = json(kPod);
  unbound["spec"].erase("nodeName");
  c.graph.on_pod(nullptr, object(unbound));
  CHECK_FALSE(c.may(c.n1, "get", "", "secrets", "a", "vol"));
  c.graph.on_pod(object(unbound), pod);
  CHECK(c.may(c.n1, "get", "", "secrets", "a", "vol"));
  Json debugged = json(kPod);
  debugged["metadata"]["generation"] = 2;
  debugged["spec"]["ephemeralContainers"] =
      json(R"([{"name":"d","envFrom":[{"secretRef":{"name":"late"}}]}])");
  c.graph.on_pod(pod, object(debugged));
  CHECK(c.may(c.n1, "get", "", "secrets", "a", "late"));
  Json other = json(kPod);
  other["metadata"]["uid"] = "2";
  other["spec"]["nodeName"] = "n2";
  c.graph.on_pod(object(debugged), object(other));
  CHECK_FALSE(c.may(c.n1, "get", "", "secrets", "a", "vol"));
  CHECK(c.may(c.n2, "get", "", "secrets", "a", "vol"));
  c.graph.on_pod(object(other), nullptr);
  CHECK_FALSE(c.may(c.n2, "get", "", "secrets", "a", "vol"));

  Json mirror = json(kPod);
  mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x";
  c.graph.on_pod(nullptr, object(mirror));
  CHECK_FALSE(c.may(c.n1, "get", "", "secrets", "a", "vol"));
  CHECK(c.may(c.n1, "get", "", "pods", "a", "web"));
}

TEST_CASE("what a node may do besides") {
  Cluster c;
  c.graph.on_pod(nullptr, object(kPod));
  struct Row {
    const char *verb, *group, *resource, *ns, *name, *subresource;
    bool allowed;
  };
  const Row rows[] = {
      {"get", "", "nodes", "", "n1", "", true},
      {"get", "", "nodes", "", "n2", "", false},
      {"list", "", "nodes", "", "", "", false},
      {"create", "", "nodes", "", "", "", true},
      {"patch", "", "nodes", "", "n1", "status", true},
      {"delete", "", "nodes", "", "n1", "", false},
      {"get", "", "pods", "a", "web", "", true},
      {"list", "", "pods", "", "", "", false},
      {"delete", "", "pods", "a", "web", "", true},
      {"create", "", "pods", "a", "", "", true},
      {"patch", "", "pods", "a", "web", "status", true},
      {"create", "", "pods", "a", "web", "eviction", true},
      {"create", "", "pods", "a", "web", "exec", false},
      {"get", "coordination.k8s.io", "leases", "kube-node-lease", "n1", "", true},
      {"update", "coordination.k8s.io", "leases", "kube-node-lease", "n2", "", false},
      {"create", "coordination.k8s.io", "leases", "kube-node-lease", "", "", true},
      {"create", "coordination.k8s.io", "leases", "kube-system", "", "", false},
      {"list", "coordination.k8s.io", "leases", "kube-node-lease", "", "", false},
      {"list", "", "services", "", "", "", true},
      {"create", "", "events", "a", "", "", true},
      {"list", "storage.k8s.io", "csidrivers", "", "", "", true},
      {"get", "storage.k8s.io", "csinodes", "", "n1", "", true},
      {"get", "storage.k8s.io", "csinodes", "", "n2", "", false},
      {"create", "apps", "deployments", "a", "", "", false},
      {"list", "", "secrets", "", "", "", false},
  };
  for (const Row& r : rows) {
    INFO(r.verb << " " << r.resource << "/" << r.subresource << " " << r.ns << "/" << r.name);
    CHECK(c.may(c.n1, r.verb, r.group, r.resource, r.ns, r.name, r.subresource) == r.allowed);
  }
  Attributes list = resource_attributes(c.n1, "watch", "", "pods");
  list.field_selector = "spec.nodeName=n1";
  CHECK(c.authorizer.authorize(list).decision == Decision::kAllow);
  list.field_selector = "spec.nodeName=n2";
  CHECK(c.authorizer.authorize(list).reason == "can only list/watch pods with spec.nodeName field selector");
  CHECK(c.authorizer.authorize(resource_attributes(c.n1, "get", "", "secrets", "a", "x")).reason ==
        "no relationship found between node 'n1' and this object");
}
