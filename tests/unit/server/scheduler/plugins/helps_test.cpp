// What wakes a pod, by the plugin that refused it. InterPodAffinity's cases stand with its other tests.
#include "server/scheduler/plugins/all.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

Event of_node(uint32_t kinds, const NodeInfo* before, const NodeInfo* after) {
  Event e{kinds};
  e.node_before = before;
  e.node = after;
  return e;
}

Event of_pod(uint32_t kinds, const PodPtr& before, const PodPtr& after) {
  Event e{kinds};
  e.pod_before = before.get();
  e.pod = after.get();
  return e;
}

TEST_CASE("events that could help, and those that could not") {
  const Json port = json(R"({"spec":{"containers":[{"name":"c","ports":[{"hostPort":80}]}]}})");
  const Json other_port = json(R"({"spec":{"containers":[{"name":"c","ports":[{"hostPort":81}]}]}})");
  const Json ssd = {{"metadata", {{"labels", {{"disk", "ssd"}}}}}};
  const Json zone1 = {{"metadata", {{"labels", {{"zone", "1"}}}}}},
             zone2 = {{"metadata", {{"labels", {{"zone", "2"}}}}}};
  const Json app = {{"metadata", {{"labels", {{"app", "x"}}}}}};
  const Json spreads = json(
      R"({"spec":{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule",
          "labelSelector":{"matchLabels":{"app":"x"}}}]}})");
  const NodeInfo plain = node("a"), large = node("a", {{"status", {{"allocatable", {{"cpu", "8"}}}}}}),
                 small = node("a", {{"status", {{"allocatable", {{"cpu", "1"}}}}}}),
                 with_ssd = node("a", ssd),
                 tainted = node("a", json(R"({"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]}})")),
                 cordoned = node("a", {{"spec", {{"unschedulable", true}}}}), first = node("a", zone1),
                 second = node("a", zone2);
  const PodPtr tolerant = pod("p", "", json(R"({"spec":{"tolerations":[{"operator":"Exists"}]}})"));
  struct Case {
    const char* plugin;
    const char* what;
    PodPtr waiting;
    Event event;
    bool helps;
  };
  const PodPtr three = pod("p", "3"),
               wants_ssd = pod("p", "", {{"spec", {{"nodeSelector", {{"disk", "ssd"}}}}}});
  const PodPtr big = pod("q", "2"), less = pod("q", "1"), at80 = pod("q", "", port),
               at81 = pod("q", "", other_port);
  const PodPtr wants80 = pod("p", "", port), spread = pod("p", "", spreads), x = pod("q", "", app),
               y = pod("q");
  const std::vector<Case> cases = {
      {"NodeResourcesFit", "a node it fits on", three, of_node(kNodeAdded, nullptr, &plain), true},
      {"NodeResourcesFit", "one it never will", three, of_node(kNodeAdded, nullptr, &small), false},
      {"NodeResourcesFit", "more room", three, of_node(kNodeAllocatable, &plain, &large), true},
      {"NodeResourcesFit", "still too small", three, of_node(kNodeAllocatable, &small, &small), false},
      {"NodeResourcesFit", "a pod goes", three, of_pod(kPodGone, big, nullptr), true},
      {"NodeResourcesFit", "a pod shrinks", three, of_pod(kPodShrank, big, less), true},
      {"NodeResourcesFit", "in what it does not want", pod("p"), of_pod(kPodShrank, big, less), false},
      {"NodePorts", "who has the port goes", wants80, of_pod(kPodGone, at80, nullptr), true},
      {"NodePorts", "somebody else goes", wants80, of_pod(kPodGone, at81, nullptr), false},
      {"TaintToleration", "a taint goes", pod("p"), of_node(kNodeTaints, &tainted, &plain), true},
      {"TaintToleration", "another taint", pod("p"), of_node(kNodeTaints, &plain, &tainted), false},
      {"TaintToleration", "a tainted node", pod("p"), of_node(kNodeAdded, nullptr, &tainted), false},
      {"TaintToleration", "it tolerates more", tolerant, of_pod(kOwnTolerations, pod("p"), tolerant), true},
      {"NodeUnschedulable", "a node is uncordoned", pod("p"), of_node(kNodeTaints, &cordoned, &plain), true},
      {"NodeUnschedulable", "it was not cordoned", pod("p"), of_node(kNodeTaints, &tainted, &plain), false},
      {"NodeUnschedulable", "it tolerates that now", tolerant, of_pod(kOwnTolerations, pod("p"), tolerant),
       true},
      {"NodeAffinity", "the label it wants", wants_ssd, of_node(kNodeLabels, &plain, &with_ssd), true},
      {"NodeAffinity", "it had that", wants_ssd, of_node(kNodeLabels, &with_ssd, &with_ssd), false},
      {"NodeAffinity", "another node without", wants_ssd, of_node(kNodeAdded, nullptr, &plain), false},
      {"PodTopologySpread", "its like goes", spread, of_pod(kPodGone, x, nullptr), true},
      {"PodTopologySpread", "somebody else goes", spread, of_pod(kPodGone, y, nullptr), false},
      {"PodTopologySpread", "its like comes", spread, of_pod(kPodAdded, nullptr, x), true},
      {"PodTopologySpread", "somebody is relabelled", spread, of_pod(kPodLabels, x, y), true},
      {"PodTopologySpread", "a node with a domain", spread, of_node(kNodeAdded, nullptr, &first), true},
      {"PodTopologySpread", "one without", spread, of_node(kNodeAdded, nullptr, &plain), false},
      {"PodTopologySpread", "a domain goes", spread, of_node(kNodeGone, &first, nullptr), true},
      {"PodTopologySpread", "a node moves", spread, of_node(kNodeLabels, &first, &second), true},
      {"PodTopologySpread", "tolerations do not matter", spread, of_pod(kOwnTolerations, spread, spread),
       false},
  };
  const World world({});
  for (const auto& c : cases) {
    INFO(c.plugin << ": " << c.what);
    const auto plugin = make_plugin(c.plugin, {});
    REQUIRE(plugin != nullptr);
    CHECK((plugin->helped_by() & c.event.kinds) != 0);
    CHECK(plugin->helps(c.event, *c.waiting, world.cluster()) == c.helps);
  }
}

}  // namespace
}  // namespace orch::testing
