// NamespaceLifecycle, ServiceAccount, Priority, tolerations, runtime classes, topology.
#include "server/admission/plugins.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using Operation = TestRequest::Operation;

TEST_CASE("namespaces take new objects while they live") {
  FakeLookup lookup;
  auto plugin = make_namespace_lifecycle(lookup);
  const auto pod = [&] { return create_pod(pod_with()); };
  auto none = pod();
  CHECK(none->run(*plugin) == R"(namespaces "ns" not found)");
  CHECK(none->code() == base::Code::kNotFound);
  lookup.put("namespaces", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"ns"}})");
  CHECK(pod()->run(*plugin).empty());
  lookup.put("namespaces", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"ns",
                               "deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Terminating"}})");
  auto late = pod();
  CHECK(
      late->run(*plugin) ==
      R"(pods "p" is forbidden: unable to create new content in namespace ns because it is being terminated)");
  const base::Status status = plugin->admit(**late);
  REQUIRE(status.details()->causes.size() == 1);
  CHECK(status.details()->causes[0].reason == "NamespaceTerminating");
  CHECK(status.details()->causes[0].field == "metadata.namespace");
  TestRequest update(Operation::kUpdate, "", "Pod", "pods", "ns", pod_with(), pod_with());
  CHECK(update.run(*plugin).empty());
  TestRequest review(Operation::kCreate, "authorization.k8s.io", "LocalSubjectAccessReview",
                     "localsubjectaccessreviews", "gone", json("{}"));
  CHECK(review.run(*plugin).empty());

  for (const char* name : {"default", "kube-system", "kube-public"}) {
    TestRequest remove(Operation::kDelete, "", "Namespace", "namespaces", "", nullptr,
                       Json{{"metadata", {{"name", name}}}});
    CHECK_THAT(remove.run(*plugin), contains("is forbidden: this namespace may not be deleted"));
  }
  TestRequest remove(Operation::kDelete, "", "Namespace", "namespaces", "", nullptr,
                     json(R"({"metadata":{"name":"mine"}})"));
  CHECK(remove.run(*plugin).empty());
}

namespace {

ServiceAccountHooks hooks(int* waits = nullptr, std::function<void()> on_wait = {}) {
  ServiceAccountHooks h;
  h.entropy = [] { return 42U; };
  h.wait = [waits, on_wait](base::Duration) {
    if (waits != nullptr) ++*waits;
    if (on_wait) on_wait();
  };
  return h;
}

const char* const kAccount =
    R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default","namespace":"ns","uid":"u"},
        "imagePullSecrets":[{"name":"pull"}]})";

}  // namespace

TEST_CASE("pods get an account and its token") {
  FakeLookup lookup;
  lookup.put("serviceaccounts", kAccount);
  auto plugin = make_service_account(lookup, hooks());
  auto r = create_pod(pod_with(R"({"initContainers":[{"name":"i"}]})"));
  REQUIRE(r->run(*plugin).empty());
  const Json& spec = r->object()["spec"];
  CHECK(spec["serviceAccountName"] == "default");
  CHECK(spec["serviceAccount"] == "default");
  CHECK(spec["imagePullSecrets"] == json(R"([{"name":"pull"}])"));
  REQUIRE(spec["volumes"].size() == 1);
  const std::string volume = spec["volumes"][0]["name"];
  CHECK(volume.starts_with("kube-api-access-"));
  CHECK(volume.size() == std::string("kube-api-access-").size() + 5);
  CHECK(spec["volumes"][0]["projected"] == json(R"({"defaultMode":420,"sources":[
    {"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},
    {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
    {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}]})"));
  for (const char* list : {"containers", "initContainers"}) {
    CHECK(spec[list][0]["volumeMounts"] ==
          Json::array({{{"name", volume},
                        {"readOnly", true},
                        {"mountPath", "/var/run/secrets/kubernetes.io/serviceaccount"}}}));
  }
}

TEST_CASE("tokens are mounted where they are wanted") {
  FakeLookup lookup;
  lookup.put("serviceaccounts", kAccount);
  auto plugin = make_service_account(lookup, hooks());
  auto no_token = create_pod(pod_with(R"({"automountServiceAccountToken":false})"));
  CHECK(no_token->run(*plugin).empty());
  CHECK_FALSE(no_token->object()["spec"].contains("volumes"));

  auto taken = create_pod(pod_with(
      "{}",
      R"({"volumeMounts":[{"name":"x","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]})"));
  CHECK(taken->run(*plugin).empty());
  CHECK_FALSE(taken->object()["spec"].contains("volumes"));

  auto own_secrets = create_pod(pod_with(R"({"imagePullSecrets":[{"name":"own"}]})"));
  CHECK(own_secrets->run(*plugin).empty());
  CHECK(own_secrets->object()["spec"]["imagePullSecrets"][0]["name"] == "own");

  auto given = create_pod(pod_with(R"({"volumes":[{"name":"kube-api-access-mine"}]})"));
  CHECK(given->run(*plugin).empty());
  CHECK(given->object()["spec"]["volumes"].size() == 1);
  CHECK(given->object()["spec"]["containers"][0]["volumeMounts"][0]["name"] == "kube-api-access-mine");

  Json off = json(kAccount);
  off["automountServiceAccountToken"] = false;
  lookup.put("serviceaccounts", object(off));
  auto by_account = create_pod(pod_with());
  CHECK(by_account->run(*plugin).empty());
  CHECK_FALSE(by_account->object()["spec"].contains("volumes"));
}

TEST_CASE("a missing account is waited for when it is the default one") {
  FakeLookup lookup;
  int waits = 0;
  auto plugin = make_service_account(lookup, hooks(&waits, [&] {
                                       if (waits == 3) lookup.put("serviceaccounts", kAccount);
                                     }));
  CHECK(create_pod(pod_with())->run(*plugin).empty());
  CHECK(waits == 3);
  auto other = create_pod(pod_with(R"({"serviceAccountName":"bot"})"));
  CHECK(other->run(*plugin) ==
        R"(pods "p" is forbidden: error looking up service account ns/bot: serviceaccount )"
        R"("bot" not found)");
  CHECK(waits == 3);
}

TEST_CASE("accounts may limit the secrets of their pods") {
  FakeLookup lookup;
  Json account = json(kAccount);
  account["metadata"]["annotations"]["kubernetes.io/enforce-mountable-secrets"] = "true";
  account["secrets"] = json(R"([{"name":"good"}])");
  lookup.put("serviceaccounts", object(account));
  auto plugin = make_service_account(lookup, hooks());
  CHECK(create_pod(pod_with(R"({"volumes":[{"name":"v","secret":{"secretName":"good"}}]})"))
            ->run(*plugin)
            .empty());
  CHECK_THAT(
      create_pod(pod_with(R"({"volumes":[{"name":"v","secret":{"secretName":"bad"}}]})"))->run(*plugin),
      contains("volume with secret.secretName=\"bad\" is not allowed because service account default"));
  CHECK_THAT(
      create_pod(pod_with("{}", R"({"env":[{"name":"E","valueFrom":{"secretKeyRef":{"name":"bad"}}}]})"))
          ->run(*plugin),
      contains("container c with envVar E referencing secret.secretName=\"bad\" is not allowed"));
}

TEST_CASE("mirror pods refer to nothing") {
  FakeLookup lookup;
  auto plugin = make_service_account(lookup, hooks());
  Json mirror = pod_with();
  mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x";
  CHECK(create_pod(mirror)->run(*plugin).empty());
  mirror["spec"]["serviceAccountName"] = "a";
  CHECK_THAT(create_pod(mirror)->run(*plugin), contains("a mirror pod may not reference service accounts"));
  mirror["spec"].erase("serviceAccountName");
  mirror["spec"]["volumes"] = json(R"([{"name":"s","secret":{"secretName":"x"}}])");
  CHECK_THAT(create_pod(mirror)->run(*plugin), contains("a mirror pod may not reference secrets"));
}

TEST_CASE("priority classes become priorities") {
  FakeLookup lookup;
  for (const Json& c : system_priority_classes()) lookup.put("priorityclasses.scheduling.k8s.io", object(c));
  auto plugin = make_priority(lookup);
  auto plain = create_pod(pod_with());
  CHECK(plain->run(*plugin).empty());
  CHECK(plain->object()["spec"]["priority"] == 0);
  CHECK(plain->object()["spec"]["preemptionPolicy"] == "PreemptLowerPriority");
  auto critical = create_pod(pod_with(R"({"priorityClassName":"system-node-critical"})"));
  CHECK(critical->run(*plugin).empty());
  CHECK(critical->object()["spec"]["priority"] == 2000001000);
  CHECK_THAT(create_pod(pod_with(R"({"priorityClassName":"none"})"))->run(*plugin),
             contains("no PriorityClass with name none was found"));
  CHECK_THAT(
      create_pod(pod_with(R"({"priority":7})"))->run(*plugin),
      contains("the integer value of priority (7) must not be provided in pod spec; priority admission "
               "controller computed 0 from the given PriorityClass name"));

  lookup.put(
      "priorityclasses.scheduling.k8s.io",
      R"({"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"low"},"value":5,
                 "globalDefault":true,"preemptionPolicy":"Never"})");
  auto defaulted = create_pod(pod_with());
  CHECK(defaulted->run(*plugin).empty());
  CHECK(defaulted->object()["spec"]["priorityClassName"] == "low");
  CHECK(defaulted->object()["spec"]["priority"] == 5);
  CHECK(defaulted->object()["spec"]["preemptionPolicy"] == "Never");
  TestRequest second(Operation::kCreate, "scheduling.k8s.io", "PriorityClass", "priorityclasses", "",
                     json(R"({"metadata":{"name":"x"},"value":1,"globalDefault":true})"));
  CHECK_THAT(second.run(*plugin),
             contains("PriorityClass low is already marked as default. Only one default can exist"));

  TestRequest update(Operation::kUpdate, "", "Pod", "pods", "ns", pod_with(),
                     pod_with(R"({"priority":9,"preemptionPolicy":"Never"})"));
  CHECK(update.run(*plugin).empty());
  CHECK(update.object()["spec"]["priority"] == 9);
}

TEST_CASE("taints and tolerations by default") {
  auto tolerations = make_default_toleration_seconds(10, 20);
  auto r = create_pod(pod_with());
  CHECK(r->run(*tolerations).empty());
  CHECK(r->object()["spec"]["tolerations"] == json(R"([
    {"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":10},
    {"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":20}])"));
  auto all = create_pod(pod_with(R"({"tolerations":[{"operator":"Exists"}]})"));
  CHECK(all->run(*tolerations).empty());
  CHECK(all->object()["spec"]["tolerations"].size() == 1);
  auto one = create_pod(pod_with(
      R"({"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoSchedule"},
                                  {"key":"node.kubernetes.io/unreachable","operator":"Exists"}]})"));
  CHECK(one->run(*tolerations).empty());
  CHECK(one->object()["spec"]["tolerations"].size() == 3);

  auto taints = make_taint_nodes_by_condition();
  TestRequest node(Operation::kCreate, "", "Node", "nodes", "", json(R"({"metadata":{"name":"n"}})"));
  CHECK(node.run(*taints).empty());
  CHECK(node.run(*taints).empty());
  CHECK(node.object()["spec"]["taints"] ==
        json(R"([{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}])"));
}

TEST_CASE("pods carry their node's zone") {
  FakeLookup lookup;
  lookup.put("nodes", R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n","labels":{
    "topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r","other":"x"}}})");
  auto plugin = make_pod_topology_labels(lookup);
  auto pod = create_pod(pod_with(R"({"nodeName":"n"})"));
  CHECK(pod->run(*plugin).empty());
  CHECK(pod->object()["metadata"]["labels"] ==
        json(R"({"topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r"})"));
  TestRequest binding(Operation::kCreate, "", "Pod", "pods", "ns",
                      json(R"({"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}})"));
  binding->subresource = "binding";
  CHECK(binding.run(*plugin).empty());
  CHECK(binding.object()["metadata"]["labels"].size() == 2);
  auto elsewhere = create_pod(pod_with(R"({"nodeName":"m"})"));
  CHECK(elsewhere->run(*plugin).empty());
  CHECK_FALSE(elsewhere->object()["metadata"].contains("labels"));
}

TEST_CASE("runtime classes bring overhead and scheduling") {
  FakeLookup lookup;
  lookup.put("runtimeclasses.node.k8s.io", R"({"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass",
    "metadata":{"name":"vm"},"handler":"vm","overhead":{"podFixed":{"memory":"64Mi"}},
    "scheduling":{"nodeSelector":{"vm":"yes"},"tolerations":[{"key":"vm","operator":"Exists"}]}})");
  auto plugin = make_runtime_class(lookup);
  auto r = create_pod(pod_with(R"({"runtimeClassName":"vm","nodeSelector":{"a":"b"},
                                   "tolerations":[{"key":"vm","operator":"Equal","value":"x"}]})"));
  REQUIRE(r->run(*plugin).empty());
  CHECK(r->object()["spec"]["overhead"] == json(R"({"memory":"64Mi"})"));
  CHECK(r->object()["spec"]["nodeSelector"] == json(R"({"a":"b","vm":"yes"})"));
  CHECK(r->object()["spec"]["tolerations"] == json(R"([{"key":"vm","operator":"Exists"}])"));
  CHECK(create_pod(pod_with(R"({"runtimeClassName":"vm","overhead":{"memory":"65536Ki"}})"))
            ->run(*plugin)
            .empty());
  CHECK_THAT(create_pod(pod_with(R"({"runtimeClassName":"vm","overhead":{"memory":"1Mi"}})"))->run(*plugin),
             contains("Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
  CHECK_THAT(
      create_pod(pod_with(R"({"runtimeClassName":"vm","nodeSelector":{"vm":"no"}})"))->run(*plugin),
      contains("conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"));
  CHECK_THAT(create_pod(pod_with(R"({"runtimeClassName":"none"})"))->run(*plugin),
             contains(R"(pod rejected: RuntimeClass "none" not found)"));
  CHECK_THAT(create_pod(pod_with(R"({"overhead":{"memory":"1Mi"}})"))->run(*plugin),
             contains("Pod Overhead set without corresponding RuntimeClass defined Overhead"));
  CHECK(create_pod(pod_with())->run(*plugin).empty());
}
