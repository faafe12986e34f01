#include <set>

#include "api/resources/resource.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

namespace {

const Schema& builtin() {
  static const std::unique_ptr<const Schema> made = Schema::builtin();
  return *made;
}

std::vector<std::string> names(const IndexedFields& fields) {
  std::vector<std::string> out;
  for (const IndexedField& field : fields) out.push_back(field.name);
  return out;
}

}  // namespace

TEST_CASE("every resource of Kubernetes v1.35 is there") {
  const auto table = ResourceTable::builtin(builtin());
  const std::set<std::string> expected = {"bindings",
                                          "componentstatuses",
                                          "configmaps",
                                          "endpoints",
                                          "events",
                                          "limitranges",
                                          "namespaces",
                                          "nodes",
                                          "persistentvolumeclaims",
                                          "persistentvolumes",
                                          "pods",
                                          "podtemplates",
                                          "replicationcontrollers",
                                          "resourcequotas",
                                          "secrets",
                                          "serviceaccounts",
                                          "services",
                                          "apiservices.apiregistration.k8s.io",
                                          "controllerrevisions.apps",
                                          "daemonsets.apps",
                                          "deployments.apps",
                                          "replicasets.apps",
                                          "statefulsets.apps",
                                          "events.events.k8s.io",
                                          "selfsubjectreviews.authentication.k8s.io",
                                          "tokenreviews.authentication.k8s.io",
                                          "localsubjectaccessreviews.authorization.k8s.io",
                                          "selfsubjectaccessreviews.authorization.k8s.io",
                                          "selfsubjectrulesreviews.authorization.k8s.io",
                                          "subjectaccessreviews.authorization.k8s.io",
                                          "horizontalpodautoscalers.autoscaling",
                                          "cronjobs.batch",
                                          "jobs.batch",
                                          "certificatesigningrequests.certificates.k8s.io",
                                          "ingressclasses.networking.k8s.io",
                                          "ingresses.networking.k8s.io",
                                          "ipaddresses.networking.k8s.io",
                                          "networkpolicies.networking.k8s.io",
                                          "servicecidrs.networking.k8s.io",
                                          "poddisruptionbudgets.policy",
                                          "clusterrolebindings.rbac.authorization.k8s.io",
                                          "clusterroles.rbac.authorization.k8s.io",
                                          "rolebindings.rbac.authorization.k8s.io",
                                          "roles.rbac.authorization.k8s.io",
                                          "csidrivers.storage.k8s.io",
                                          "csinodes.storage.k8s.io",
                                          "csistoragecapacities.storage.k8s.io",
                                          "storageclasses.storage.k8s.io",
                                          "volumeattachments.storage.k8s.io",
                                          "volumeattributesclasses.storage.k8s.io",
                                          "mutatingwebhookconfigurations.admissionregistration.k8s.io",
                                          "validatingadmissionpolicies.admissionregistration.k8s.io",
                                          "validatingadmissionpolicybindings.admissionregistration.k8s.io",
                                          "validatingwebhookconfigurations.admissionregistration.k8s.io",
                                          "customresourcedefinitions.apiextensions.k8s.io",
                                          "priorityclasses.scheduling.k8s.io",
                                          "leases.coordination.k8s.io",
                                          "runtimeclasses.node.k8s.io",
                                          "endpointslices.discovery.k8s.io",
                                          "deviceclasses.resource.k8s.io",
                                          "resourceclaims.resource.k8s.io",
                                          "resourceclaimtemplates.resource.k8s.io",
                                          "resourceslices.resource.k8s.io",
                                          "flowschemas.flowcontrol.apiserver.k8s.io",
                                          "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"};
  std::set<std::string> found;
  for (const ResourcePtr& row : *table->all()) {
    INFO(row->group_resource());
    found.insert(row->group_resource());
    CHECK(row->type != nullptr);
    CHECK(row->strategy != nullptr);
    CHECK_FALSE(row->singular.empty());
    CHECK_FALSE(row->verbs.empty());
    CHECK(row->columns.empty() == !row->has_verb("get"));
  }
  CHECK(found == expected);
}

TEST_CASE("rows are found") {
  const auto table = ResourceTable::builtin(builtin());
  const ResourcePtr pods = table->find("", "v1", "pods");
  REQUIRE(pods != nullptr);
  CHECK(pods->kind == "Pod");
  CHECK(pods->list_kind == "PodList");
  CHECK(pods->namespaced);
  CHECK(pods->stored);
  CHECK(pods->storage_version);
  CHECK(pods->short_names == std::vector<std::string>{"po"});
  CHECK(pods->categories == std::vector<std::string>{"all"});
  CHECK(pods->group_resource() == "pods");
  CHECK(pods->key_prefix() == "/registry/core/pods/");
  CHECK(pods->key("default", "web") == "/registry/core/pods/default/web");
  CHECK_FALSE(pods->storage_hash.empty());
  REQUIRE(pods->subresource("eviction") != nullptr);
  CHECK(pods->subresource("eviction")->group == "policy");
  CHECK(pods->subresource("status")->kind == "Pod");
  CHECK(pods->subresource("none") == nullptr);
  CHECK(pods->columns.size() == 9);
  CHECK(table->find("", "v1", "none") == nullptr);
  CHECK(table->find("", "v2", "pods") == nullptr);

  const ResourcePtr deployments = table->find_kind("apps", "v1", "Deployment");
  REQUIRE(deployments != nullptr);
  CHECK(deployments->group_resource() == "deployments.apps");
  CHECK(deployments->subresource("scale")->group == "autoscaling");
  CHECK(table->find("", "v1", "nodes")->key("", "n1") == "/registry/core/nodes/n1");
  CHECK(table->find("coordination.k8s.io", "v1", "leases")->key("kube-node-lease", "n1") ==
        "/registry/coordination.k8s.io/leases/kube-node-lease/n1");
  for (const char* name : {"bindings", "componentstatuses"}) CHECK_FALSE(table->find("", "v1", name)->stored);
  CHECK_FALSE(table->find("authorization.k8s.io", "v1", "subjectaccessreviews")->stored);
  const ResourcePtr limits = table->find("", "v1", "limitranges");
  REQUIRE(limits->columns.size() == 2);
  CHECK(limits->columns[1].name == "Created At");
}

TEST_CASE("versions of one resource share their storage") {
  const auto table = ResourceTable::builtin(builtin());
  const ResourcePtr events = table->find("events.k8s.io", "v1", "events");
  REQUIRE(events != nullptr);
  CHECK_FALSE(events->storage_version);
  CHECK(events->storage_group.empty());
  CHECK(events->key_prefix() == "/registry/core/events/");
  CHECK(table->storage("events.k8s.io", "events")->api_version() == "v1");
  CHECK(table->storage("", "events")->api_version() == "v1");
  CHECK(table->storage("autoscaling", "horizontalpodautoscalers")->version == "v2");
  CHECK(table->storage("apps", "deployments")->version == "v1");
  CHECK(table->storage("apps", "none") == nullptr);
  REQUIRE(events->conversion != nullptr);
  REQUIRE(table->find("autoscaling", "v1", "horizontalpodautoscalers")->conversion != nullptr);
  CHECK(table->find("", "v1", "events")->conversion == nullptr);
}

TEST_CASE("groups come in the order of discovery") {
  const auto table = ResourceTable::builtin(builtin());
  const auto& groups = table->group_versions();
  REQUIRE(groups.size() > 20);
  CHECK(groups[0].group.empty());
  CHECK(groups[0].group_priority == 18000);
  CHECK(groups[1].group == "apiregistration.k8s.io");
  CHECK(groups[2].group == "apps");
  CHECK(groups[2].version_priority == 15);
}

TEST_CASE("field selectors know the fields of their kind") {
  using Names = std::vector<std::string>;
  CHECK(names(selectable_fields_of("", "Pod")) ==
        Names{"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
              "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"});
  CHECK(names(selectable_fields_of("", "Node")) == Names{"spec.unschedulable"});
  CHECK(names(selectable_fields_of("batch", "Job")) == Names{"status.successful"});
  CHECK(selectable_fields_of("apps", "ReplicaSet").empty());
  CHECK(selectable_fields_of("", "ConfigMap").empty());
  const IndexedFields core = selectable_fields_of("", "Event");
  const IndexedFields events = selectable_fields_of("events.k8s.io", "Event");
  REQUIRE(core.size() == 11);
  REQUIRE(events.size() == core.size());
  for (size_t i = 0; i < core.size(); ++i) CHECK(core[i].path == events[i].path);
  CHECK(core[1].name == "involvedObject.namespace");
  CHECK(events[1].name == "regarding.namespace");

  const auto table = ResourceTable::builtin(builtin());
  CHECK(table->find("", "v1", "pods")->unknown_field_message("spec.x") ==
        "field label not supported: spec.x");
  CHECK(table->find("", "v1", "configmaps")->unknown_field_message("x") ==
        "\"x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
  CHECK(table->find("resource.k8s.io", "v1", "resourceslices")->unknown_field_message("x") ==
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x");
}

TEST_CASE("rows come and go") {
  const auto table = ResourceTable::builtin(builtin());
  const auto before = table->all();
  const uint64_t generation = table->generation();
  auto row = std::make_shared<Resource>();
  row->group = "example.com";
  row->version = "v1";
  row->kind = "Foo";
  row->plural = "foos";
  row->set_key_prefix();
  table->add(row);
  CHECK(table->generation() > generation);
  CHECK(table->all()->size() == before->size() + 1);
  REQUIRE(table->find("example.com", "v1", "foos") == row);
  CHECK(row->key("ns", "a") == "/registry/example.com/foos/ns/a");
  table->add(std::make_shared<Resource>(*row));
  CHECK(table->all()->size() == before->size() + 1);
  table->remove("example.com", "v1", "foos");
  CHECK(table->find("example.com", "v1", "foos") == nullptr);
  CHECK(table->all()->size() == before->size());
}

TEST_CASE("a broken table of rows is refused with its line") {
  const auto [text, message] = GENERATE(table<const char*, const char*>({
      {"# comment\nX\ta\n", "table of resources, line 2: unknown record"},
      {"R\t-\tv1\n", "table of resources, line 1: a resource has eleven fields"},
      {"R\t-\tv1\tFrob\tfrobs\tfrob\tN\t-\t-\tget\t-/v1\t-\n",
       "table of resources, line 1: the schema does not have this kind"},
      {"C\tName\tstring\t-\t0\n",
       "table of resources, line 1: a column has four fields and belongs to a resource"},
  }));
  const auto rows = parse_rows(text, builtin());
  REQUIRE_FALSE(rows.ok());
  CHECK(rows.error().message() == message);
}

TEST_CASE("events convert between their two groups") {
  const auto table = ResourceTable::builtin(builtin());
  const auto conversion = table->find("events.k8s.io", "v1", "events")->conversion;
  const Json served =
      Json::parse(R"({"regarding":{"kind":"Pod"},"note":"n","reportingController":"c","reason":"r",
      "deprecatedSource":{"component":"k"},"deprecatedCount":2,"deprecatedFirstTimestamp":null})");
  Json tree = served;
  conversion->to_storage(tree);
  CHECK(tree ==
        Json::parse(R"({"involvedObject":{"kind":"Pod"},"message":"n","reportingComponent":"c","reason":"r",
      "source":{"component":"k"},"count":2,"firstTimestamp":null})"));
  conversion->from_storage(tree);
  CHECK(tree == served);
}

TEST_CASE("autoscalers convert between versions without loss") {
  const auto table = ResourceTable::builtin(builtin());
  const auto conversion = table->find("autoscaling", "v1", "horizontalpodautoscalers")->conversion;
  Json simple = Json::parse(
      R"({"metadata":{"name":"h"},"spec":{"maxReplicas":3,"targetCPUUtilizationPercentage":50}})");
  const Json served = simple;
  conversion->to_storage(simple);
  CHECK(simple["spec"]["metrics"] ==
        Json::parse(R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization",
            "averageUtilization":50}}}])"));
  conversion->from_storage(simple);
  CHECK(simple == served);

  const Json stored = Json::parse(R"({"metadata":{"name":"h","annotations":{"a":"b"}},"spec":{"maxReplicas":3,
      "behavior":{"scaleDown":{"tolerance":"1"}},"metrics":[{"type":"Pods","pods":{"metric":{"name":"x"},
      "target":{"type":"AverageValue","averageValue":"5"}}}]},
      "status":{"currentReplicas":1,"conditions":[{"type":"AbleToScale","status":"True"}],
      "currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":7,"averageValue":"0"}}}]}})");
  Json tree = stored;
  conversion->from_storage(tree);
  CHECK(tree["status"]["currentCPUUtilizationPercentage"] == 7);
  CHECK_FALSE(tree["spec"].contains("metrics"));
  conversion->to_storage(tree);
  CHECK(tree == stored);
}
