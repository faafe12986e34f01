#include "pki/pki.h"
#include "server/admission/plugins.h"
#include "server/auth/authorizers.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using Operation = TestRequest::Operation;

namespace {

struct Cluster {
  FakeLookup lookup;
  MastersAuthorizer nobody;
  std::unique_ptr<AdmissionPlugin> plugin = make_node_restriction(lookup, nobody);
  Cluster() {
    lookup.put("nodes", simple_object("Node", "", "n1", "node-uid"));
    lookup.put("pods",
               R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"mine","namespace":"ns","uid":"1"},
      "spec":{"nodeName":"n1","volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"t"}},
      {"serviceAccountToken":{"path":"v","audience":"vault"}}]}}]}})");
    lookup.put("pods",
               R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"other","namespace":"ns","uid":"2"},
      "spec":{"nodeName":"n2"}})");
  }
  std::string run(TestRequest& r) {
    r.requester() = user("system:node:n1", {"system:nodes"});
    return r.run(*plugin);
  }
};

Json mirror() {
  return json(R"({"metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"},
    "ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n1","uid":"node-uid","controller":true}]},
    "spec":{"nodeName":"n1","containers":[{"name":"c"}]}})");
}

}  // namespace

TEST_CASE("nodes make mirror pods of their own only") {
  Cluster c;
  struct Row {
    std::function<void(Json&)> change;
    const char* message;
  };
  const Row rows[] = {
      {[](Json&) {}, ""},
      {[](Json& p) { p["metadata"].erase("annotations"); }, "can only create mirror pods"},
      {[](Json& p) { p["spec"]["nodeName"] = "n2"; },
       R"(node "n1" can only create pods with spec.nodeName set to itself)"},
      {[](Json& p) { p["metadata"].erase("ownerReferences"); }, "with an owner reference set to itself"},
      {[](Json& p) { p["metadata"]["ownerReferences"][0]["uid"] = "x"; }, "UID mismatch"},
      {[](Json& p) { p["metadata"]["ownerReferences"][0].erase("controller"); },
       "with a controller owner reference"},
      {[](Json& p) { p["spec"]["serviceAccountName"] = "a"; },
       "can not create pods that reference serviceaccounts"},
      {[](Json& p) { p["spec"]["volumes"] = json(R"([{"name":"v","secret":{"secretName":"s"}}])"); },
       "can not create pods that reference secrets"},
      {[](Json& p) {
         p["spec"]["volumes"] = json(R"([{"name":"v","persistentVolumeClaim":{"claimName":"s"}}])");
       },
       "can not create pods that reference persistentvolumeclaims"},
      {[](Json& p) { p["spec"]["volumes"] = json(R"([{"name":"v","hostPath":{"path":"/"}}])"); }, ""},
  };
  for (const Row& row : rows) {
    Json pod = mirror();
    row.change(pod);
    auto r = create_pod(pod);
    const std::string said = c.run(*r);
    INFO(row.message);
    if (*row.message == '\0') {
      CHECK(said.empty());
    } else {
      CHECK_THAT(said, contains(row.message));
    }
  }
}

TEST_CASE("nodes touch pods bound to them only") {
  Cluster c;
  for (const auto& [name, allowed] : {std::pair("mine", true), {"other", false}}) {
    const Json pod = c.lookup.get("pods", "ns", name)->tree();
    TestRequest remove(Operation::kDelete, "", "Pod", "pods", "ns", nullptr, pod);
    CHECK(c.run(remove).empty() == allowed);
    TestRequest status(Operation::kUpdate, "", "Pod", "pods", "ns", pod, pod);
    status->subresource = "status";
    CHECK(c.run(status).empty() == allowed);
    TestRequest eviction(Operation::kCreate, "", "Pod", "pods", "ns", Json{{"metadata", {{"name", name}}}});
    eviction->subresource = "eviction";
    CHECK(c.run(eviction).empty() == allowed);
    TestRequest update(Operation::kUpdate, "", "Pod", "pods", "ns", pod, pod);
    CHECK_FALSE(c.run(update).empty());
  }
  Json relabelled = c.lookup.get("pods", "ns", "mine")->tree();
  relabelled["metadata"]["labels"]["a"] = "b";
  TestRequest labels(Operation::kUpdate, "", "Pod", "pods", "ns", relabelled,
                     c.lookup.get("pods", "ns", "mine")->tree());
  labels->subresource = "status";
  CHECK_THAT(c.run(labels), contains("cannot update labels through pod status"));
}

TEST_CASE("nodes write their own node, lease and CSINode") {
  Cluster c;
  const auto node = [](const char* name, const char* labels) {
    return Json{{"metadata", {{"name", name}, {"labels", json(labels)}}}, {"spec", Json::object()}};
  };
  const char* own = R"({"kubernetes.io/hostname":"n1","node.kubernetes.io/x":"y","my/label":"z"})";
  TestRequest create(Operation::kCreate, "", "Node", "nodes", "", node("n1", own));
  CHECK(c.run(create).empty());
  TestRequest other(Operation::kCreate, "", "Node", "nodes", "", node("n2", "{}"));
  CHECK_THAT(c.run(other), contains(R"(node "n1" is not allowed to modify node "n2")"));
  TestRequest role(
      Operation::kCreate, "", "Node", "nodes", "",
      node("n1", R"({"node-role.kubernetes.io/control-plane":"","node-restriction.kubernetes.io/a":"b"})"));
  CHECK_THAT(c.run(role),
             contains("is not allowed to set the following labels: node-restriction.kubernetes.io/a, "
                      "node-role.kubernetes.io/control-plane"));
  TestRequest relabel(Operation::kUpdate, "", "Node", "nodes", "", node("n1", R"({"x.k8s.io/a":"b"})"),
                      node("n1", "{}"));
  CHECK_THAT(c.run(relabel), contains("is not allowed to modify labels: x.k8s.io/a"));
  Json tainted = node("n1", "{}");
  tainted["spec"]["taints"] = json(R"([{"key":"a","effect":"NoSchedule"}])");
  TestRequest untaint(Operation::kUpdate, "", "Node", "nodes", "", node("n1", "{}"), tainted);
  CHECK_THAT(c.run(untaint), contains("is not allowed to modify taints"));

  for (const auto& [group, kind, plural, ns] :
       {std::tuple("coordination.k8s.io", "Lease", "leases", "kube-node-lease"),
        std::tuple("storage.k8s.io", "CSINode", "csinodes", "")}) {
    TestRequest mine(Operation::kCreate, group, kind, plural, ns, json(R"({"metadata":{"name":"n1"}})"));
    CHECK(c.run(mine).empty());
    TestRequest theirs(Operation::kCreate, group, kind, plural, ns, json(R"({"metadata":{"name":"n2"}})"));
    CHECK_FALSE(c.run(theirs).empty());
  }
}

TEST_CASE("nodes ask for tokens and certificates of their own") {
  Cluster c;
  const auto token = [&](const char* spec) {
    TestRequest r(Operation::kCreate, "", "ServiceAccount", "serviceaccounts", "ns",
                  Json{{"metadata", {{"name", "sa"}}}, {"spec", json(spec)}});
    r->subresource = "token";
    return c.run(r);
  };
  CHECK(token(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"mine","uid":"1"}})").empty());
  CHECK(
      token(
          R"({"audiences":["vault"],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"mine","uid":"1"}})")
          .empty());
  CHECK_THAT(
      token(
          R"({"audiences":["x"],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"mine","uid":"1"}})"),
      contains(R"(audience "x" not found in pod spec volume)"));
  CHECK_THAT(token("{}"), contains("node requested token not bound to a pod"));
  CHECK_THAT(token(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"mine"}})"),
             contains("without a uid"));
  CHECK_THAT(token(R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"other","uid":"2"}})"),
             contains("scheduled on a different node"));

  const auto signing = [&](const char* common_name) {
    pki::CertificateRequest wish;
    wish.common_name = common_name;
    wish.organizations = {"system:nodes"};
    const std::string csr = *pki::make_csr(pki::generate_key(), wish);
    TestRequest r(
        Operation::kCreate, "certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests",
        "",
        Json{{"metadata", {{"name", "x"}}},
             {"spec",
              {{"signerName", "kubernetes.io/kubelet-serving"}, {"request", pki::base64_encode(csr)}}}});
    return c.run(r);
  };
  CHECK(signing("system:node:n1").empty());
  CHECK_THAT(signing("system:node:n2"), contains("can only create a node CSR with CN=system:node:n1"));
}

TEST_CASE("others are not restricted") {
  Cluster c;
  TestRequest r(Operation::kDelete, "", "Node", "nodes", "", nullptr, json(R"({"metadata":{"name":"n2"}})"));
  CHECK(r.run(*c.plugin).empty());
  r.requester() = user("system:node:", {"system:nodes"});
  CHECK_THAT(r.run(*c.plugin), contains("could not determine node"));
}
