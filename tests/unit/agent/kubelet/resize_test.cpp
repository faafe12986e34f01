#include "agent/kubelet/resize.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

using std::chrono::seconds;

const base::WallTime kNow{seconds(1'800'000'000)};
constexpr int64_t kMi = 1 << 20;

Json container(const char* name, const Json& requests, const Json& limits = Json::object()) {
  Json resources = Json::object();
  if (!requests.empty()) resources["requests"] = requests;
  if (!limits.empty()) resources["limits"] = limits;
  return {{"name", name}, {"image", "i"}, {"resources", resources}};
}

Json pod_of(const std::vector<Json>& containers, const std::vector<Json>& init = {}) {
  Json tree{{"kind", "Pod"},
            {"apiVersion", "v1"},
            {"metadata", {{"name", "p"}, {"namespace", "n"}, {"uid", "u"}, {"generation", 2}}},
            {"spec", {{"containers", containers}}}};
  if (!init.empty()) tree["spec"]["initContainers"] = init;
  return tree;
}

TEST_CASE("an allocation is of containers and sidecars, and keeps what says the same") {
  Json side = container("side", {{"cpu", "10m"}});
  side["restartPolicy"] = "Always";
  const Json tree = pod_of({container("a", {{"cpu", "0.1"}, {"memory", "1Gi"}, {"ephemeral-storage", "1"}},
                                      {{"memory", "2000M"}})},
                           {container("init", {{"cpu", "1"}}), side});
  const Allocation asked = allocation_of(Pod(tree));
  CHECK(asked.size() == 2);
  CHECK(asked.at("a") == Amounts{100, 0, 1 << 30, 2'000'000'000});
  CHECK(asked.at("side") == Amounts{10, 0, 0, 0});
  Json same = tree;
  CHECK_FALSE(apply_allocation(same, asked));
  CHECK(same == tree);
  Json other = tree;
  CHECK(apply_allocation(other, {{"a", {200, 500, 1 << 30, 1'000'000'000}}, {"side", {0, 0, 0, 0}}}));
  const Json a = other["spec"]["containers"][0]["resources"];
  CHECK(a["requests"] == Json{{"cpu", "200m"}, {"memory", "1Gi"}, {"ephemeral-storage", "1"}});
  CHECK(a["limits"] == Json{{"cpu", "500m"}, {"memory", "1G"}});
  CHECK(other["spec"]["initContainers"][1]["resources"] == Json::object());
}

TEST_CASE("what a container runs with is kept as text") {
  const Amounts amounts{20, 30, 5 * kMi, int64_t{1} << 40};
  CHECK(parse_amounts(amounts_text(amounts)) == amounts);
  CHECK_FALSE(parse_amounts("20 30 5"));
  CHECK_FALSE(parse_amounts(""));
}

api::ObjectPtr object(const Json& tree) {
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  return *made;
}

api::NodeInfo node() {
  api::NodeInfo out;
  out.set_node(object({{"kind", "Node"},
                       {"apiVersion", "v1"},
                       {"metadata", {{"name", "n1"}, {"uid", "n1"}}},
                       {"status", {{"allocatable", {{"cpu", "2"}, {"memory", "1Gi"}, {"pods", "10"}}}}}}));
  Json there = pod_of({container("b", {{"cpu", "1500m"}})});
  there["metadata"]["uid"] = "other";
  out.add_pod(api::read_pod(object(there)));
  return out;
}

TEST_CASE("a node says whether it has room for a resize") {
  const auto verdict = [](const Json& requests, bool is_static = false) {
    Json tree = pod_of({container("a", requests)});
    if (is_static) tree["metadata"]["annotations"]["kubernetes.io/config.source"] = "file";
    const ResizeVerdict v = judge_resize(Pod(tree), *api::read_pod(object(tree)), node());
    return v.reason + (v.message.empty() ? "" : ": " + v.message);
  };
  CHECK(verdict({{"cpu", "500m"}}).empty());
  CHECK(verdict({{"cpu", "501m"}}) ==
        "Deferred: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000");
  CHECK(verdict({{"cpu", "2001m"}}) ==
        "Infeasible: Node didn't have enough capacity: cpu, requested: 2001, capacity: 2000");
  CHECK(verdict({{"cpu", "3"}, {"memory", "2Gi"}}) ==
        "Infeasible: Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824");
  CHECK(verdict({{"cpu", "1m"}}, true) == "Infeasible: In-place resize of static-pods is not supported");
}

TEST_CASE("resizes that wait are tried in order") {
  const auto at = [](int s) { return kNow + seconds(s); };
  const WaitingResize shrinks{false, 0, QosClass::kBurstable, at(9)};
  const WaitingResize important{true, 10, QosClass::kBurstable, at(8)};
  const WaitingResize guaranteed{true, 0, QosClass::kGuaranteed, at(7)};
  const WaitingResize early{true, 0, QosClass::kBurstable, at(1)}, late{true, 0, QosClass::kBurstable, at(2)};
  const std::vector<WaitingResize> order{shrinks, important, guaranteed, early, late};
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    INFO(i);
    CHECK(tried_before(order[i], order[i + 1]));
    CHECK_FALSE(tried_before(order[i + 1], order[i]));
  }
}

TEST_CASE("conditions of a resize") {
  ResizeState state;
  CHECK(state.set_pending({"Deferred", "no room"}, 2, kNow));
  CHECK_FALSE(state.set_pending({"Deferred", "no room at all"}, 2, kNow + seconds(5)));
  CHECK(state.pending->message == "no room at all");
  CHECK(state.pending->since == kNow);
  CHECK(state.set_pending({"Infeasible", "never"}, 2, kNow + seconds(6)));
  CHECK(state.pending->since == kNow + seconds(6));
  CHECK(state.set_pending({"Infeasible", "never"}, 3, kNow + seconds(7)));

  CHECK(state.set_in_progress("", "", 3, kNow));
  CHECK_FALSE(state.set_in_progress("", "", 4, kNow));
  CHECK(state.set_in_progress("Error", "cannot", 4, kNow + seconds(1)));
  CHECK_FALSE(state.set_in_progress("Error", "cannot", 4, kNow + seconds(2)));
  CHECK_FALSE(state.set_in_progress("", "", 4, kNow + seconds(3)));
  CHECK(state.in_progress->generation == 3);
  CHECK(state.in_progress->reason == "Error");

  const std::vector<Json> shown = resize_conditions(state);
  REQUIRE(shown.size() == 2);
  CHECK(shown[0] == Json{{"type", "PodResizePending"},
                         {"status", "True"},
                         {"lastProbeTime", nullptr},
                         {"lastTransitionTime", "2027-01-15T08:00:06Z"},
                         {"reason", "Infeasible"},
                         {"message", "never"},
                         {"observedGeneration", 3}});
  CHECK(shown[1]["type"] == "PodResizeInProgress");
  const ResizeState again = resize_state_of({{"conditions", shown}});
  CHECK(resize_conditions(again) == shown);
  CHECK(resize_conditions(ResizeState()).empty());
}

TEST_CASE("events of a resize tell the resources") {
  Json side = container("c0", {{"cpu", "100m"}}, {{"cpu", "200m"}});
  side["restartPolicy"] = "Always";
  const Json tree =
      pod_of({container("c1", {{"memory", "100"}}, {{"memory", "200"}}), container("c2", {})}, {side});
  CHECK(resize_message("Deferred", Pod(tree), 2, "no \"room\"") ==
        R"(Pod resize Deferred: {"initContainers":[{"name":"c0","resources":{"limits":{"cpu":"200m"},)"
        R"("requests":{"cpu":"100m"}}}],"containers":[{"name":"c1","resources":{"limits":{"memory":"200"},)"
        R"("requests":{"memory":"100"}}},{"name":"c2","resources":{}}],"generation":2,)"
        R"("error":"no \"room\""})");
  CHECK(resize_message("completed", Pod(pod_of({container("c0", {})})), 3) ==
        R"(Pod resize completed: {"containers":[{"name":"c0","resources":{}}],"generation":3})");
}

TEST_CASE("a running container's resources are those it has") {
  const Json allocated{{"requests", {{"cpu", "20m"}, {"memory", "20Mi"}}},
                       {"limits", {{"cpu", "30m"}, {"memory", "30Mi"}}}};
  ContainerStatus silent;
  CHECK(actual_resources(allocated, silent, nullptr) == allocated);
  const Amounts before{10, 40, 10 * kMi, 15 * kMi};
  CHECK(actual_resources(allocated, silent, &before) ==
        Json{{"requests", {{"cpu", "10m"}, {"memory", "10Mi"}}},
             {"limits", {{"cpu", "40m"}, {"memory", "15Mi"}}}});
  ContainerStatus told;
  told.resources = {100000, 2500, 15, 25 * kMi};
  CHECK(actual_resources(allocated, told, &before) == Json{{"requests", {{"cpu", "15m"}, {"memory", "10Mi"}}},
                                                           {"limits", {{"cpu", "25m"}, {"memory", "25Mi"}}}});
  // Where the kernel knows no difference, the API shows what was asked for.
  const Json tiny{{"requests", {{"cpu", "1m"}}}, {"limits", {{"cpu", "5m"}}}};
  told.resources = {100000, 1000, 2, 0};
  CHECK(actual_resources(tiny, told, nullptr) == tiny);
}

std::string text(const std::vector<ResizeStep>& steps) {
  std::string out;
  for (const ResizeStep& s : steps) {
    out += out.empty() ? "" : "; ";
    switch (s.what) {
      case ResizeStep::What::kPodShares:
        out += base::cat("shares ", s.value);
        break;
      case ResizeStep::What::kPodQuota:
        out += base::cat("quota ", s.value);
        break;
      case ResizeStep::What::kPodMemory:
        out += base::cat("memory ", s.value);
        break;
      case ResizeStep::What::kContainer:
        out += base::cat(s.name, " ", amounts_text(s.amounts));
    }
  }
  return out;
}

TEST_CASE("steps of a resize never exceed what the pod may use") {
  struct Case {
    const char* what;
    std::vector<ResizeContainer> containers;
    PodLimits now, wanted;
    const char* steps;
  };
  const Case cases[] = {
      {"nothing", {}, {20, 3000, 100}, {20, 3000, 100}, ""},
      {"everything grows: the pod first",
       {{"1", "a", {10, 20, 1, 100}, {20, 30, 2, 200}}},
       {10, 2000, 100},
       {20, 3000, 200},
       "memory 200; a 10 20 2 200; quota 3000; shares 20; a 20 30 2 200"},
      {"everything shrinks: the pod last",
       {{"1", "a", {20, 30, 2, 200}, {10, 20, 1, 100}}},
       {20, 3000, 200},
       {10, 2000, 100},
       "a 20 30 1 100; memory 100; a 10 20 1 100; shares 10; quota 2000"},
      {"one shrinks before the other grows",
       {{"1", "a", {0, 0, 0, 100}, {0, 0, 0, 150}}, {"2", "b", {0, 0, 0, 100}, {0, 0, 0, 50}}},
       {2, 0, 200},
       {2, 0, 200},
       "b 0 0 0 50; a 0 0 0 150"},
      {"a limit where there was none",
       {{"1", "a", {0, 0, 0, 0}, {0, 50, 0, 10}}},
       {2, 0, 0},
       {2, 5000, 10},
       "a 0 0 0 10; memory 10; a 0 50 0 10; quota 5000"},
      {"only a request of memory",
       {{"1", "a", {5, 0, 1, 0}, {5, 0, 2, 0}}},
       {5, 0, 0},
       {5, 0, 0},
       "a 5 0 2 0"},
      {"only the pod: a container starts again with more",
       {},
       {10, 2000, 100},
       {20, 3000, 200},
       "memory 200; quota 3000; shares 20"},
      {"no limit is wanted: what is there stays", {}, {10, 2000, 100}, {10, 0, 0}, ""},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(text(resize_steps(c.containers, c.now, c.wanted)) == c.steps);
  }
}

TEST_CASE("memory limits do not fall below what is in use") {
  const std::vector<ResizeContainer> falls{{"1", "a", {0, 0, 0, 200}, {0, 0, 0, 100}}};
  const std::vector<ResizeContainer> grows{{"1", "a", {0, 0, 0, 100}, {0, 0, 0, 200}}};
  CHECK(memory_falls(falls, {2, 0, 200}, {2, 0, 100}));
  CHECK(memory_falls({}, {2, 0, 0}, {2, 0, 100}));
  CHECK_FALSE(memory_falls(grows, {2, 0, 100}, {2, 0, 200}));
  CHECK_FALSE(memory_falls(grows, {2, 0, 100}, {2, 0, 0}));
  CHECK(memory_problem(falls, {2, 0, 200}, {2, 0, 100}, {99, {{"1", 99}}}).empty());
  CHECK(memory_problem(falls, {2, 0, 200}, {2, 0, 200}, {150, {{"1", 100}}}) ==
        "cannot decrease memory limits: attempting to set container \"a\" memory limit (100) below current "
        "usage (100)");
  CHECK(memory_problem(falls, {2, 0, 200}, {2, 0, 100}, {150, {}}) ==
        "cannot decrease memory limits: [attempting to set pod memory limit (100) below current usage (150), "
        "missing container \"a\" memory usage]");
}

}  // namespace
}  // namespace orch::agent
