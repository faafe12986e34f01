// Traits of kinds, and the strategies of those that have few rules of their own.
#include "api/resources/traits.h"

#include <set>
#include <string>

#include "api/resources/strategies.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

Json json(std::string_view text) {
  auto parsed = base::parse_json(text);
  INFO(text);
  REQUIRE(parsed.ok());
  return std::move(*parsed);
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
      CHECK(strategy_for(kind.substr(0, slash), kind.substr(slash + 1))->returns_deleted == (list == &yes));
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
    strategy_for(c.group, c.kind)->set_defaults(object);
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
       "supported values: \"Egress\", \"Ingress\""},
      {"", "ResourceQuota", R"({"spec":{"hard":{"pods":"-1"}}})", "", "must be greater than or equal to 0"},
  };
  for (const auto& c : cases) {
    INFO(c.kind << " " << c.object);
    FieldErrors errors;
    const auto strategy = strategy_for(c.group, c.kind);
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

}  // namespace
}  // namespace orch::api
