#include "server/controllers/manager_options.h"

#include <algorithm>

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::ManagerOptions;

TEST_CASE("which controllers run") {
  struct Row {
    std::vector<std::string> list;
    const char* name;
    bool runs;
  };
  const std::vector<Row> rows = {
      {{"*"}, "job-controller", true},
      {{"*", "-job-controller"}, "job-controller", false},
      {{"*", "-job"}, "job-controller", false},
      {{"-job", "*"}, "job-controller", false},
      {{"*", "-job"}, "cronjob-controller", true},
      {{"deployment"}, "deployment-controller", true},
      {{"deployment"}, "job-controller", false},
      {{"job", "-job"}, "job-controller", true},
      {{}, "job-controller", false},
      {{"*", "-podgc"}, "pod-garbage-collector-controller", false},
  };
  for (const auto& r : rows) {
    ManagerOptions o;
    o.controllers = r.list;
    INFO(r.name);
    CHECK(o.enabled(r.name) == r.runs);
  }
}

TEST_CASE("controllers that are switched off are not made, and limits reach the others") {
  base::FakeClock clock(kNow);
  server::ControllerOptions options;
  options.manager.controllers = {"*", "-statefulset", "-disruption"};
  options.manager.concurrent["deployment-controller"] = 3;
  const auto all = server::all_controllers(options, clock);
  const auto find = [&](const char* name) {
    return std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.name == name; });
  };
  CHECK(find("statefulset-controller") == all.end());
  CHECK(find("stale-pod-disruption") == all.end());
  CHECK(find("horizontal-pod-autoscaler") == all.end());  // nobody to ask
  REQUIRE(find("deployment-controller") != all.end());
  CHECK(find("deployment-controller")->at_once == 3);
  CHECK(find("replicaset-controller")->at_once == 0);
}

}  // namespace
}  // namespace orch::testing
