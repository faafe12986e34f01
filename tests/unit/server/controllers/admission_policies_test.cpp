// status.typeChecking of admission policies.
#include "server/controllers/admission_policies.h"

#include "api/schema/schema.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::server {
namespace {

using testing::json;

struct Kinds {
  std::unique_ptr<const api::Schema> schema = api::Schema::builtin();
  std::unique_ptr<api::ResourceTable> table = api::ResourceTable::builtin(*schema);
};

const api::ResourceTable& table() {
  static const Kinds kinds;
  return *kinds.table;
}

std::string names(const char* rules) {
  Json spec;
  spec["matchConstraints"]["resourceRules"] = json(rules);
  std::string out;
  for (const auto& row : rows_to_check(spec, table())) out += row->api_version() + " " + row->kind + "; ";
  return out;
}

TEST_CASE("kinds to check are those that rules name") {
  CHECK(names(R"([{"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments","replicasets"]}])") ==
        "apps/v1 Deployment; apps/v1 ReplicaSet; ");
  CHECK(names(R"([{"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments","*"]}])") ==
        "apps/v1 Deployment; ");
  CHECK(names(R"([{"apiGroups":["*"],"apiVersions":["v1"],"resources":["deployments"]}])").empty());
  CHECK(names(R"([{"apiGroups":["apps"],"apiVersions":["*"],"resources":["deployments"]}])").empty());
  CHECK(names(R"([{"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments/scale"]}])").empty());
  CHECK(names(R"([{"apiGroups":["none"],"apiVersions":["v1"],"resources":["deployments"]}])").empty());
  // The core group is no group to a REST mapper.
  CHECK(names(R"([{"apiGroups":[""],"apiVersions":["v1"],"resources":["deployments","pods"]}])") ==
        "v1 Pod; apps/v1 Deployment; ");
  CHECK(names(R"([{"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments"]},
                  {"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments","daemonsets"]}])") ==
        "apps/v1 DaemonSet; apps/v1 Deployment; ");
}

Json policy(const char* expression, int64_t observed) {
  Json tree = json(R"({"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy",
    "metadata":{"name":"p","generation":3,"resourceVersion":"5"},"spec":{"matchConstraints":{"resourceRules":[
    {"apiGroups":["apps"],"apiVersions":["v1"],"operations":["*"],"resources":["deployments"]}]}}})");
  tree["spec"]["validations"] = {{{"expression", expression}}};
  if (observed > 0) tree["status"]["observedGeneration"] = observed;
  return tree;
}

Plan plan_of(const char* expression, int64_t observed = 0) {
  return plan_policy_status(**api::Object::from_tree(policy(expression, observed)), table());
}

TEST_CASE("warnings of a policy's types go to its status, once per generation") {
  Plan plan = plan_of("object.spec.replicas > 1", 2);
  REQUIRE(plan.writes.size() == 1);
  CHECK(plan.writes[0].subresource == "status");
  CHECK((*plan.writes[0].body)["status"] == json(R"({"observedGeneration":3,"typeChecking":{}})"));
  CHECK((*plan.writes[0].body)["metadata"]["resourceVersion"] == "5");

  plan = plan_of("object.spec.replicas > '1'");
  REQUIRE(plan.writes.size() == 1);
  const Json warnings = (*plan.writes[0].body)["status"]["typeChecking"]["expressionWarnings"];
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0]["fieldRef"] == "spec.validations[0].expression");
  const std::string warning(warnings[0]["warning"].get<std::string>());
  CHECK(
      warning.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no "
                          "matching overload for '_>_' applied to '(int, string)'"));
  CHECK(plan_of("object.spec.replicas > '1'", 3).writes.empty());
}

}  // namespace
}  // namespace orch::server
