#include "api/effective_resources.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

Json pod(const Json& status, const char* pending = nullptr) {
  Json tree{
      {"spec",
       {{"containers",
         Json::array({{{"name", "a"},
                       {"resources", {{"requests", {{"cpu", "200m"}}}, {"limits", {{"cpu", "1"}}}}}}})}}},
      {"status", {{"containerStatuses", Json::array({status})}}}};
  if (pending != nullptr) {
    tree["status"]["conditions"] =
        Json::array({{{"type", "PodResizePending"}, {"status", "True"}, {"reason", pending}}});
  }
  return tree;
}

Json effective(const Json& tree, const char* kind = "requests") {
  return effective_resources(tree, tree["spec"]["containers"][0], kind);
}

TEST_CASE("a container counts with the most it has, gets or wants") {
  const Json nothing{{"name", "a"}};
  CHECK(effective(pod(nothing)) == Json{{"cpu", "200m"}});
  const Json smaller{{"name", "a"},
                     {"allocatedResources", {{"cpu", "100m"}}},
                     {"resources", {{"requests", {{"cpu", "100m"}}}, {"limits", {{"cpu", "500m"}}}}}};
  CHECK(effective(pod(smaller)) == Json{{"cpu", "200m"}});
  CHECK(effective(pod(smaller, "Deferred")) == Json{{"cpu", "200m"}});
  CHECK(effective(pod(smaller, "Infeasible")) == Json{{"cpu", "100m"}});
  CHECK(effective(pod(smaller), "limits") == Json{{"cpu", "1"}});
  CHECK(effective(pod(smaller, "Infeasible"), "limits") == Json{{"cpu", "500m"}});
  const Json larger{{"name", "a"},
                    {"allocatedResources", {{"cpu", "300m"}}},
                    {"resources", {{"requests", {{"cpu", "0.4"}}}}}};
  CHECK(effective(pod(larger)) == Json{{"cpu", "0.4"}});
  const Json other{{"name", "b"}, {"resources", {{"requests", {{"cpu", "9"}}}}}};
  CHECK(effective(pod(other)) == Json{{"cpu", "200m"}});
}

}  // namespace
}  // namespace orch::api
