// What objects spell out, leave out or have given to them on their way through the registry.
#include "tests/unit/server/registry/fixture.h"

namespace orch::testing {
namespace {

TEST_CASE("what an update may not spell out") {
  RegistryFixture f;
  f.create("persistentvolumeclaims",
           json(R"({"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"s",
                    "resources":{"requests":{"storage":"1Gi"}}}})"));
  Json claim = f.get("persistentvolumeclaims", "c");
  claim["spec"]["volumeAttributesClassName"] = "";
  CHECK_THAT(f.try_update("persistentvolumeclaims", claim).status().message(),
             contains("spec: Forbidden: spec is immutable after creation"));
  claim["spec"].erase("volumeAttributesClassName");
  claim["spec"]["storageClassName"] = "";
  CHECK_FALSE(f.try_update("persistentvolumeclaims", claim).ok());
  // An empty list is there, to those who ask.
  Json job = f.create("cronjobs.batch", json(R"({"metadata":{"name":"c"},"spec":{"schedule":"0 3 * * *",
      "jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never",
      "containers":[{"name":"c","image":"i"}]}}}}}})"));
  job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["ephemeralContainers"] =
      json(R"([{"name":"a","image":"i","resizePolicy":[]}])");
  CHECK_THAT(
      f.try_update("cronjobs.batch", job).status().message(),
      contains("ephemeralContainers[0].resizePolicy: Forbidden: cannot be set for an Ephemeral Container"));
}

TEST_CASE("an empty list that is spelled out counts for some kinds") {
  RegistryFixture f;
  const auto generation = [&](const char* resource, const char* object, const char* pointer) {
    Json made = f.create(resource, json(object), "");
    made[Json::json_pointer(pointer)] = Json::array();
    const Json after = f.update(resource, made);
    CHECK_FALSE(after.contains(Json::json_pointer(pointer)));  // it is not stored
    return after["metadata"]["generation"].get<int>();
  };
  CHECK(generation("validatingwebhookconfigurations.admissionregistration.k8s.io",
                   R"({"metadata":{"name":"v"},"webhooks":[{"name":"a.example.com","sideEffects":"None",
                       "admissionReviewVersions":["v1"],"clientConfig":{"url":"https://example.com/x"}}]})",
                   "/webhooks/0/namespaceSelector/matchExpressions") == 2);
  CHECK(generation("priorityclasses.scheduling.k8s.io", R"({"metadata":{"name":"p"},"value":1})",
                   "/metadata/finalizers") == 1);
}

TEST_CASE("metadata of a claim template is labels and annotations") {
  RegistryFixture f;
  const auto made = [&](const char* metadata) {
    Json spec =
        json(R"({"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"g"}}]}}})");
    spec["metadata"] = json(metadata);
    return f
        .try_create("resourceclaimtemplates.resource.k8s.io",
                    {{"metadata", {{"generateName", "t"}}}, {"spec", std::move(spec)}})
        .status()
        .message();
  };
  CHECK(made(R"({"generation":0,"name":"","labels":{"a":"b"}})").empty());
  CHECK_THAT(made(R"({"generation":1})"), contains("spec.metadata.generation: Forbidden: cannot be set"));
  CHECK_THAT(made(R"({"ownerReferences":[]})"),
             contains("spec.metadata.ownerReferences: Forbidden: cannot be set"));
  CHECK_THAT(made(R"({"deletionGracePeriodSeconds":0})"),
             contains("spec.metadata.deletionGracePeriodSeconds: Forbidden: cannot be set"));
}

TEST_CASE("a name that makes no label is complained of in the template alone") {
  RegistryFixture f;
  const auto made = f.try_create("jobs.batch", json(R"({"metadata":{"name":"A:b"},"spec":{"template":{"spec":{
      "restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}})"));
  CHECK_THAT(made.status().message(), contains("spec.template.labels: Invalid value: \"A:b\""));
  CHECK(made.status().message().find("metadata.labels") == std::string::npos);
}

TEST_CASE("a limit range without a name gets one") {
  RegistryFixture f;
  const Json made = f.create("limitranges", json(R"({"metadata":{},"spec":{"limits":[]}})"));
  const std::string name = made["metadata"]["name"];
  CHECK(name.size() == 36);
  CHECK(f.get("limitranges", name) == made);
}

TEST_CASE("a node without allocatable may give what it has") {
  RegistryFixture f;
  const Json made = f.create(
      "nodes", json(R"({"metadata":{"name":"n"},"status":{"capacity":{"cpu":"4"},"allocatable":{}}})"));
  CHECK(made["status"]["allocatable"] == Json{{"cpu", "4"}});
}

TEST_CASE("the time of an event that is gone is null") {
  RegistryFixture f;
  auto context = f.context();
  context.asked = &f.served("events.k8s.io", "v1", "events");
  Json event = json(R"({"metadata":{"name":"e","namespace":"ns"},"kind":"Event","apiVersion":"v1",
      "involvedObject":{"kind":"Pod","name":"p","namespace":"ns"},"reason":"r","message":"m","type":"Normal",
      "eventTime":"2026-01-01T00:00:00.000000Z","reportingComponent":"a.example.com/b",
      "reportingInstance":"i","action":"a"})");
  REQUIRE(f.registry().create(f.row("events"), "ns", event, context).ok());
  event.erase("eventTime");
  const auto updated = f.registry().update(
      f.row("events"), "ns", "e", "", [&](const Json&) -> base::Result<Json> { return event; }, context);
  CHECK_THAT(updated.status().message(), contains("eventTime: Invalid value: null: field is immutable"));
}

}  // namespace
}  // namespace orch::testing
