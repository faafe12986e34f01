#include "server/scheduler/pod_reader.h"

#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using server::scheduler::read_pod;
using server::scheduler::reread_pod;

TEST_CASE("labels that a binding adds are no reason to read a pod anew") {
  const auto pod = [](const char* labels) {
    return object("Pod", "p",
                  json(base::cat(R"({"metadata":{"generation":1,"uid":"u","labels":)", labels, "}}")));
  };
  const auto waiting = std::make_shared<api::PodInfo>(*read_pod(pod(R"({"app":"x"})")));
  waiting->priority = 7;  // nothing the object says
  const auto bound = pod(R"({"app":"x","topology.kubernetes.io/zone":"z"})");
  CHECK(reread_pod(waiting, bound)->priority == 7);
  CHECK(reread_pod(waiting, bound)->object == bound);
}

TEST_CASE("a pod read again is as if it was read anew") {
  const Json base_tree = json(
      R"({"metadata":{"namespace":"ns","generation":1,"labels":{"app":"x"}},
          "spec":{"priority":7,"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}],
                  "tolerations":[{"operator":"Exists"}],
                  "topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule",
                                                "labelSelector":{},"matchLabelKeys":["app"]}]},
          "status":{"phase":"Pending"}})");
  struct Case {
    const char* what;
    const char* change;
  };
  const std::vector<Case> cases = {
      {"nothing", "{}"},
      {"a node", R"({"spec":{"nodeName":"n"}})"},
      {"it started", R"({"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z"}})"},
      {"it finished", R"({"status":{"phase":"Failed"}})"},
      {"a promise", R"({"status":{"nominatedNodeName":"n"}})"},
      {"labels", R"({"metadata":{"labels":{"app":"y"}}})"},
      {"the spec", R"({"metadata":{"generation":2},"spec":{"priority":8}})"},
      {"its end", R"({"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}})"},
      {"what it has while it is resized",
       R"({"status":{"containerStatuses":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}})"},
  };
  const auto before = read_pod(object("Pod", "p", base_tree));
  for (const auto& c : cases) {
    INFO(c.what);
    Json tree = base_tree;
    tree.merge_patch(json(c.change));
    const auto after = object("Pod", "p", tree);
    const auto got = reread_pod(before, after), want = read_pod(after);
    CHECK(got->object == after);
    CHECK(got->node_name == want->node_name);
    CHECK(got->nominated_node == want->nominated_node);
    CHECK(got->priority == want->priority);
    CHECK(got->finished == want->finished);
    CHECK(got->deleting == want->deleting);
    CHECK(got->started == want->started);
    CHECK(got->requests.milli_cpu == want->requests.milli_cpu);
    CHECK(got->tolerations.size() == want->tolerations.size());
    REQUIRE(got->spread.size() == 1);
    CHECK(got->spread[0].selector.matches(*after) == want->spread[0].selector.matches(*after));
    CHECK(got->spread[0].selector.matches(*before->object) ==
          want->spread[0].selector.matches(*before->object));
  }
}

}  // namespace
}  // namespace orch::testing
