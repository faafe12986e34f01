// Traits of kinds, and the strategies of those that have few rules of their own.
#include "api/resources/traits.h"

#include <set>
#include <string>

#include "api/resources/kinds.h"
#include "api/resources/strategies.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "tests/catch.h"
#include "tests/json.h"

namespace orch::api {
namespace {

using testing::json;

const Schema& builtin() {
  static const std::unique_ptr<const Schema> schema = Schema::builtin();
  return *schema;
}

TEST_CASE("which kinds answer a deletion with the object") {
  const std::set<std::string> yes = {"/Pod",
                                     "/Service",
                                     "/ServiceAccount",
                                     "/Namespace",
                                     "/PersistentVolume",
                                     "/PersistentVolumeClaim",
                                     "/PodTemplate",
                                     "/ResourceQuota",
                                     "storage.k8s.io/CSIDriver",
                                     "storage.k8s.io/CSINode",
                                     "storage.k8s.io/StorageClass",
                                     "storage.k8s.io/VolumeAttachment",
                                     "storage.k8s.io/VolumeAttributesClass",
                                     "resource.k8s.io/DeviceClass",
                                     "resource.k8s.io/ResourceClaim",
                                     "resource.k8s.io/ResourceClaimTemplate",
                                     "resource.k8s.io/ResourceSlice"};
  const std::set<std::string> no = {"/ConfigMap",
                                    "/Secret",
                                    "/Node",
                                    "/Event",
                                    "/LimitRange",
                                    "/Endpoints",
                                    "apps/Deployment",
                                    "apps/ReplicaSet",
                                    "apps/DaemonSet",
                                    "batch/Job",
                                    "policy/PodDisruptionBudget",
                                    "networking.k8s.io/Ingress",
                                    "storage.k8s.io/CSIStorageCapacity"};
  for (const auto* list : {&yes, &no}) {
    for (const std::string& kind : *list) {
      INFO(kind);
      const size_t slash = kind.find('/');
      CHECK(strategy_for(kind.substr(0, slash), kind.substr(slash + 1), builtin())->returns_deleted ==
            (list == &yes));
    }
  }
}

TEST_CASE("defaults of kinds with few") {
  struct Case {
    const char *group, *kind, *object, *expect;
  };
  const std::vector<Case> cases = {
      {"scheduling.k8s.io", "PriorityClass", R"({"value":1})",
       R"({"value":1,"preemptionPolicy":"PreemptLowerPriority"})"},
      {"storage.k8s.io", "StorageClass", R"({"provisioner":"a/b"})",
       R"({"provisioner":"a/b","reclaimPolicy":"Delete","volumeBindingMode":"Immediate"})"},
      {"storage.k8s.io", "StorageClass",
       R"({"reclaimPolicy":"Retain","volumeBindingMode":"WaitForFirstConsumer"})",
       R"({"reclaimPolicy":"Retain","volumeBindingMode":"WaitForFirstConsumer"})"},
      {"networking.k8s.io", "NetworkPolicy", R"({"spec":{"ingress":[{"ports":[{"port":80}]}]}})",
       R"({"spec":{"ingress":[{"ports":[{"port":80,"protocol":"TCP"}]}],"policyTypes":["Ingress"]}})"},
      {"networking.k8s.io", "NetworkPolicy", R"({"spec":{"egress":[{}]}})",
       R"({"spec":{"egress":[{}],"policyTypes":["Ingress","Egress"]}})"},
      {"", "PersistentVolumeClaim", R"({"spec":{}})",
       R"({"spec":{"volumeMode":"Filesystem"},"status":{"phase":"Pending"}})"},
      {"", "PersistentVolume", R"({"spec":{}})",
       R"({"spec":{"persistentVolumeReclaimPolicy":"Retain","volumeMode":"Filesystem"},"status":{"phase":"Pending"}})"},
      {"", "LimitRange",
       R"({"spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"}},{"type":"Pod","max":{"cpu":"4"}}]}})",
       R"({"spec":{"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"},"default":{"cpu":"2"},
           "defaultRequest":{"cpu":"2","memory":"1Mi"}},{"type":"Pod","max":{"cpu":"4"}}]}})"},
  };
  for (const auto& c : cases) {
    INFO(c.kind << " " << c.object);
    Json object = json(c.object);
    strategy_for(c.group, c.kind, builtin())->set_defaults(object);
    CHECK(object == json(c.expect));
  }
}

TEST_CASE("what is refused of kinds with few rules") {
  struct Case {
    const char *group, *kind, *object, *old;
    const char* expect;  // in the errors; "" = none
  };
  const char* budget = R"({"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{}}})";
  const std::vector<Case> cases = {
      {"policy", "PodDisruptionBudget", budget, "", ""},
      {"policy", "PodDisruptionBudget", R"({"spec":{"minAvailable":1,"maxUnavailable":1}})", "",
       "minAvailable and maxUnavailable cannot be both set"},
      {"policy", "PodDisruptionBudget", R"({"spec":{"minAvailable":"101%"}})", "",
       "must not be greater than 100%"},
      {"policy", "PodDisruptionBudget", R"({"spec":{"minAvailable":-1}})", "",
       "must be greater than or equal to 0"},
      {"policy", "PodDisruptionBudget", R"({"spec":{"minAvailable":1,"unhealthyPodEvictionPolicy":"Maybe"}})",
       "", "supported values: \"AlwaysAllow\", \"IfHealthyBudget\""},
      {"scheduling.k8s.io", "PriorityClass", R"({"metadata":{"name":"x"},"value":1000000001})", "",
       "maximum allowed value of a user defined priority is 1000000000"},
      {"scheduling.k8s.io", "PriorityClass", R"({"metadata":{"name":"system-mine"},"value":1})", "",
       "system-mine is not a known system priority class"},
      {"scheduling.k8s.io", "PriorityClass",
       R"({"metadata":{"name":"system-node-critical"},"value":2000001000})", "", ""},
      {"scheduling.k8s.io", "PriorityClass", R"({"metadata":{"name":"x"},"value":2})",
       R"({"metadata":{"name":"x"},"value":1})", "may not be changed in an update."},
      {"storage.k8s.io", "StorageClass", R"({"reclaimPolicy":"Delete","volumeBindingMode":"Immediate"})", "",
       "provisioner: Required value"},
      {"storage.k8s.io", "StorageClass",
       R"({"provisioner":"b","reclaimPolicy":"Delete","volumeBindingMode":"Immediate"})",
       R"({"provisioner":"a","reclaimPolicy":"Delete","volumeBindingMode":"Immediate"})",
       "updates to provisioner are forbidden."},
      {"networking.k8s.io", "IngressClass", R"({"spec":{"controller":"example.com/c"}})", "", ""},
      {"networking.k8s.io", "IngressClass", R"({"spec":{"controller":"example.com/c"}})",
       R"({"spec":{"controller":"example.com/d"}})", "field is immutable"},
      {"networking.k8s.io", "Ingress", R"({"spec":{}})", "",
       "either `defaultBackend` or `rules` must be specified"},
      {"networking.k8s.io", "Ingress", R"({"spec":{"rules":[{"http":{"paths":[{"path":"/"}]}}]}})", "",
       "pathType must be specified"},
      {"networking.k8s.io", "NetworkPolicy", R"({"spec":{"policyTypes":["Up"]}})", "",
       "supported values: \"Ingress\", \"Egress\""},
      {"", "ResourceQuota", R"({"spec":{"hard":{"pods":"-1"}}})", "", "must be greater than or equal to 0"},
  };
  for (const auto& c : cases) {
    INFO(c.kind << " " << c.object);
    FieldErrors errors;
    const auto strategy = strategy_for(c.group, c.kind, builtin());
    if (*c.old == 0) {
      strategy->validate(json(c.object), errors);
    } else {
      strategy->validate_update(json(c.object), json(c.old), errors);
    }
    INFO(errors.text());
    CHECK(errors.empty() == (*c.expect == 0));
    CHECK(errors.text().find(c.expect) != std::string::npos);
  }
}

TEST_CASE("a pod that is bound is of the same generation, one whose spec is edited is not") {
  const auto changed = pod_strategy().generation_changed;
  const Json old = json(R"({"spec":{"containers":[{"name":"a","image":"x"}],"nodeName":""}})");
  const auto with = [&](const char* path, Json value) {
    Json next = old;
    next["spec"][path] = std::move(value);
    return next;
  };
  CHECK_FALSE(changed(old, old));
  CHECK_FALSE(changed(with("nodeName", "n1"), old));
  CHECK_FALSE(changed(json(R"({"spec":{"containers":[{"name":"a","image":"x"}]}})"), old));
  CHECK(changed(with("activeDeadlineSeconds", 5), old));
  CHECK(changed(old, with("activeDeadlineSeconds", 5)));
  CHECK(changed(with("containers", Json::array()), old));
}

TEST_CASE("an address is named by itself, in its one right form") {
  const auto check = ip_address_strategy().validate_name;
  CHECK(check("10.43.0.1", false).empty());
  CHECK(check("fe80::42:1dff:fe84:f9e2", false).empty());
  using Problems = std::vector<std::string>;
  CHECK(check("FE80::1", false) == Problems{"must be in canonical form (\"fe80::1\")"});
  CHECK(check("10.043.0.1", false) == Problems{"must not have leading 0s"});
  CHECK(check("ten", false) == Problems{"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"});
}

TEST_CASE("an address belongs to one object for good") {
  const Strategy s = ip_address_strategy();
  const auto problems = [&](const char* spec, const Json* old) {
    const Json object = json(base::cat(R"({"spec":)", spec, "}"));
    FieldErrors errors;
    old != nullptr ? s.validate_update(object, *old, errors) : s.validate(object, errors);
    return errors.empty() ? std::string() : errors.text();
  };
  const char* good = R"({"parentRef":{"resource":"services","namespace":"default","name":"web"}})";
  const Json old = json(base::cat(R"({"spec":)", good, "}"));
  CHECK(problems(good, nullptr).empty());
  CHECK(problems(good, &old).empty());
  CHECK(problems("{}", nullptr) == "spec.parentRef: Required value");
  CHECK(problems(R"({"parentRef":{"resource":"services"}})", nullptr) ==
        "spec.parentRef.name: Required value");
  CHECK(problems(R"({"parentRef":{"name":"a/b","resource":"services"}})", nullptr) ==
        "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'");
  CHECK(
      problems(R"({"parentRef":{"resource":"services","name":"other"}})", &old).find("field is immutable") !=
      std::string::npos);
}

}  // namespace
}  // namespace orch::api
