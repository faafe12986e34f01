// Names and conditions of CustomResourceDefinitions.
#include "server/registry/crd_plan.h"

#include "api/meta.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::server {
namespace {

Json definition(const std::string& plural, const std::string& kind) {
  return {{"metadata", {{"name", plural + ".example.com"}}},
          {"spec",
           {{"group", "example.com"},
            {"names",
             {{"plural", plural}, {"singular", plural + "x"}, {"kind", kind}, {"listKind", kind + "List"}}},
            {"versions", {{{"name", "v1"}, {"schema", {{"openAPIV3Schema", {{"type", "object"}}}}}}}}}}};
}

std::string condition(const Json& crd, const char* type) {
  const Json* found = api::find_condition(crd, type);
  if (found == nullptr) return {};
  return base::cat(base::string_at(*found, {"status"}), " ", base::string_at(*found, {"reason"}), ": ",
                   base::string_at(*found, {"message"}));
}

TEST_CASE("a definition whose names are free is established") {
  const Json next = plan_crd_status(definition("as", "A"), {}, {});
  CHECK(next["status"]["acceptedNames"] == next["spec"]["names"]);
  CHECK(condition(next, "NamesAccepted") == "True NoConflicts: no conflicts found");
  CHECK(condition(next, "Established") == "True InitialNamesAccepted: the initial names have been accepted");
  CHECK(condition(next, "NonStructuralSchema").empty());
  CHECK(plan_crd_status(next, {}, {}) == next);
}

TEST_CASE("a definition waits for names that others have") {
  const Json first = plan_crd_status(definition("as", "A"), {}, {});
  Json second = definition("bs", "A");
  second["spec"]["names"]["shortNames"] = {"as", "b"};
  const Json next = plan_crd_status(second, {&first}, {});
  CHECK(condition(next, "NamesAccepted") == "False ListKindConflict: \"AList\" is already in use");
  CHECK(condition(next, "Established") == "False NotAccepted: not all names are accepted");
  CHECK(next["status"]["acceptedNames"]["plural"] == "bs");
  CHECK_FALSE(next["status"]["acceptedNames"].contains("shortNames"));
  CHECK(condition(plan_crd_status(next, {}, {}), "Established") ==
        "True InitialNamesAccepted: the initial names have been accepted");
}

TEST_CASE("schemas that are not structural are told of") {
  Json crd = definition("as", "A");
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"] = Json::object();
  CHECK(condition(plan_crd_status(crd, {}, {}), "NonStructuralSchema") ==
        "True Violations: spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must "
        "not be "
        "empty for specified object fields");
}

TEST_CASE("instances go first") {
  Json crd = plan_crd_status(definition("as", "A"), {}, {});
  CHECK(plan_crd_cleanup(crd, 3) == CrdCleanup::kNone);
  crd["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  crd["metadata"]["finalizers"] = {std::string(kCleanupFinalizer)};
  CHECK(plan_crd_cleanup(crd, 3) == CrdCleanup::kInstances);
  CHECK(condition(with_cleanup_condition(crd, CrdCleanup::kInstances, {}), "Terminating") ==
        "True InstanceDeletionInProgress: CustomResource deletion is in progress");
  CHECK(plan_crd_cleanup(crd, 0) == CrdCleanup::kFinalizer);
  CHECK(condition(with_cleanup_condition(crd, CrdCleanup::kFinalizer, {}), "Terminating") ==
        "False InstanceDeletionCompleted: removed all instances");
}

}  // namespace
}  // namespace orch::server
