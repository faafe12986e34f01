#include "server/scheduler/framework.h"

#include <algorithm>

#include "server/scheduler/plugins/all.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

/// A cluster and what would become of a pod in it.
struct Place {
  std::vector<NodeInfo> nodes;
  Nominated nominated;
  Profile profile = default_profile();
  std::vector<std::unique_ptr<Extender>> extenders = {};

  Outcome decide(const PodPtr& p, size_t start = 0) const {
    const World world(nodes);
    Outcome out = server::scheduler::decide(profile, extenders, *p, world.cluster(), nominated, start);
    out.filters = {};  // of a world that is gone
    auto own = [&](const NodeInfo* n) {
      const auto& all = world.nodes();
      return &nodes[static_cast<size_t>(std::find(all.begin(), all.end(), n) - all.begin())];
    };
    if (out.node != nullptr) out.node = own(out.node);
    for (auto& n : out.occupied) n = own(n);
    return out;
  }
  std::string place(const PodPtr& p, size_t start = 0) const {
    Outcome out = decide(p, start);
    return out.node != nullptr ? out.node->name : out.message;
  }
};

Json taint(const char* key, const char* effect) {
  return {{"spec", {{"taints", Json::array({{{"key", key}, {"effect", effect}}})}}}};
}

Json required_name(std::vector<std::string> names) {
  Json field = {{"key", "metadata.name"}, {"operator", "In"}, {"values", std::move(names)}};
  return {{"spec",
           {{"affinity",
             {{"nodeAffinity",
               {{"requiredDuringSchedulingIgnoredDuringExecution",
                 {{"nodeSelectorTerms", Json::array({{{"matchFields", Json::array({field})}}})}}}}}}}}}};
}

TEST_CASE("why a pod fits nowhere, in the words of kube-scheduler") {
  struct Case {
    const char* what;
    PodPtr pod;
    std::vector<NodeInfo> nodes;
    const char* expect;
  };
  const Json label = {{"spec", {{"nodeSelector", {{"disk", "ssd"}}}}}};
  const Json port = {
      {"spec",
       {{"containers", Json::array({{{"name", "c"}, {"ports", Json::array({{{"hostPort", 80}}})}}})}}}};
  const std::vector<Case> cases = {
      {"no node at all", pod("p"), {}, "no nodes available to schedule pods"},
      {"CPU", pod("p", "5"), {node("a")}, "0/1 nodes are available: 1 Insufficient cpu."},
      {"CPU and memory",
       pod("p", "5",
           json(
               R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"5","memory":"9Gi"}}}]}})")),
       {node("a"), node("b")},
       "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory."},
      {"an extended resource",
       pod("p", "",
           json(
               R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"example.com/gpu":"1"}}}]}})")),
       {node("a")},
       "0/1 nodes are available: 1 Insufficient example.com/gpu."},
      {"room for pods",
       pod("p"),
       {node("a", {{"status", {{"allocatable", {{"pods", "0"}}}}}})},
       "0/1 nodes are available: 1 Too many pods."},
      {"a selector",
       pod("p", "", label),
       {node("a")},
       "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."},
      {"a taint",
       pod("p"),
       {node("a", taint("k", "NoSchedule"))},
       "0/1 nodes are available: 1 node(s) had untolerated taint(s)."},
      {"a cordoned node",
       pod("p"),
       {node("a", {{"spec", {{"unschedulable", true}}}})},
       "0/1 nodes are available: 1 node(s) were unschedulable."},
      {"a taken port",
       pod("p", "", port),
       {node("a", Json::object(), {pod("q", "", port)})},
       "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."},
      {"a node by name that is not there",
       pod("p", "", required_name({"x"})),
       {node("a"), node("b")},
       "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."},
      {"a node by name that is full",
       pod("p", "5", required_name({"a"})),
       {node("a"), node("b"), node("c")},
       "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."},
      {"no name at all",
       pod("p", "", required_name({})),
       {node("a")},
       "0/1 nodes are available: pod affinity terms conflict."},
      {"each node for its own reason",
       pod("p", "5", label),
       {node("a"), node("b", taint("k", "NoExecute")),
        node("c", {{"metadata", {{"labels", {{"disk", "ssd"}}}}}})},
       "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 "
       "node(s) had untolerated taint(s)."},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Place cluster;
    cluster.nodes = c.nodes;
    CHECK(cluster.place(c.pod) == c.expect);
  }
}

TEST_CASE("where a pod goes") {
  struct Case {
    const char* what;
    PodPtr pod;
    std::vector<NodeInfo> nodes;
    const char* expect;
  };
  const Json tolerant = json(R"({"spec":{"tolerations":[{"key":"k","operator":"Exists"}]}})");
  const Json prefers = json(
      R"({"spec":{"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[
          {"weight":10,"preference":{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]}]}}]}}}})");
  const std::vector<Case> cases = {
      {"the emptier node", pod("p", "1"), {node("a", Json::object(), {pod("q", "2")}), node("b")}, "b"},
      {"pods without requests count too",
       pod("p"),
       {node("a", Json::object(), {pod("q"), pod("r")}), node("b", Json::object(), {pod("s")})},
       "b"},
      {"a tolerated taint", pod("p", "", tolerant), {node("a", taint("k", "NoSchedule"))}, "a"},
      {"away from a soft taint", pod("p"), {node("a", taint("k", "PreferNoSchedule")), node("b")}, "b"},
      {"where it prefers to be",
       pod("p", "", prefers),
       {node("a"), node("b", {{"metadata", {{"labels", {{"disk", "ssd"}}}}}})},
       "b"},
      {"by name", pod("p", "", required_name({"b"})), {node("a"), node("b")}, "b"},
      {"where its image is",
       pod("p"),
       {node("a"),
        node("b", json(R"({"status":{"images":[{"names":["i:latest"],"sizeBytes":900000000}]}})"))},
       "b"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Place cluster;
    cluster.nodes = c.nodes;
    CHECK(cluster.place(c.pod) == c.expect);
  }
}

TEST_CASE("bin packing fills the fuller node") {
  Place cluster;
  cluster.nodes = {node("a", Json::object(), {pod("q", "2")}), node("b")};
  PluginArgs args;
  args.fit.strategy = FitArgs::Strategy::kMostAllocated;
  cluster.profile = default_profile(args);
  // Scored by this plugin alone: balance would outvote it on machines this small.
  std::erase_if(cluster.profile.scorers, [](const auto& s) { return s.first->name() != "NodeResourcesFit"; });
  CHECK(cluster.place(pod("p", "1")) == "a");
  CHECK(cluster.place(pod("p", "3")) == "b");
}

TEST_CASE("equal nodes take turns") {
  Place cluster;
  cluster.nodes = {node("a"), node("b"), node("c")};
  CHECK(cluster.place(pod("p"), 0) == "a");
  CHECK(cluster.place(pod("p"), 1) == "b");
  CHECK(cluster.place(pod("p"), 2) == "c");
}

TEST_CASE("in large clusters enough nodes are enough") {
  struct Case {
    size_t nodes, enough;
  };
  for (const auto& c :
       std::vector<Case>{{1, 1}, {100, 100}, {101, 100}, {1000, 420}, {5000, 500}, {7000, 350}}) {
    INFO(c.nodes);
    CHECK(feasible_enough(c.nodes) == c.enough);
  }
}

TEST_CASE("room that was promised counts as taken, but not for its owner nor for more important pods") {
  Place cluster;
  cluster.nodes = {node("a")};
  cluster.nominated["a"] = {pod("promised", "3", {{"spec", {{"priority", 10}}}})};
  CHECK(cluster.place(pod("p", "2")) == "0/1 nodes are available: 1 Insufficient cpu.");
  CHECK(cluster.place(pod("p", "1")) == "a");
  CHECK(cluster.place(pod("p", "2", {{"spec", {{"priority", 10}}}})) ==
        "0/1 nodes are available: 1 Insufficient cpu.");
  CHECK(cluster.place(pod("p", "2", {{"spec", {{"priority", 11}}}})) == "a");
  CHECK(cluster.place(cluster.nominated["a"][0]) == "a");
}

TEST_CASE("a pod goes where it was promised room, if it fits there") {
  Place cluster;
  cluster.nodes = {node("a"), node("b", Json::object(), {pod("q", "3")})};
  const Json promised = {{"status", {{"nominatedNodeName", "b"}}}};
  CHECK(cluster.place(pod("p", "1")) == "a");
  CHECK(cluster.place(pod("p", "1", promised)) == "b");
  CHECK(cluster.place(pod("p", "2", promised)) == "a");
}

TEST_CASE("who refuses a pod, and whether its pods could go") {
  struct Case {
    const char* what;
    PodPtr pod;
    NodeInfo node;
    const char* by;
    bool occupied;
  };
  const std::vector<Case> cases = {
      {"taken CPU", pod("p", "2"), node("a", Json::object(), {pod("q", "3")}), "NodeResourcesFit", true},
      {"more CPU than there is", pod("p", "5"), node("a"), "NodeResourcesFit", false},
      {"a taint", pod("p"), node("a", taint("k", "NoSchedule")), "TaintToleration", false},
      {"a label", pod("p", "", {{"spec", {{"nodeSelector", {{"x", "y"}}}}}}), node("a"), "NodeAffinity",
       false},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Place cluster;
    cluster.nodes = {c.node};
    Outcome out = cluster.decide(c.pod);
    CHECK(out.node == nullptr);
    std::string by;
    for (size_t i = 0; i < cluster.profile.filters.size(); ++i) {
      if ((out.rejectors >> i & 1U) != 0) by += cluster.profile.filters[i].plugin->name();
    }
    CHECK(by == c.by);
    CHECK(out.occupied.size() == (c.occupied ? 1 : 0));
  }
}

TEST_CASE("what a pod requests") {
  struct Case {
    const char* what;
    const char* spec;
    int64_t milli_cpu;
  };
  const std::vector<Case> cases = {
      {"the sum of its containers",
       R"({"containers":[{"resources":{"requests":{"cpu":"1"}}},{"resources":{"requests":{"cpu":"500m"}}}]})",
       1500},
      {"or its largest init container",
       R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
           "initContainers":[{"resources":{"requests":{"cpu":"3"}}},{"resources":{"requests":{"cpu":"2"}}}]})",
       3000},
      {"sidecars beside both",
       R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
           "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"2"}}},
                             {"resources":{"requests":{"cpu":"2"}}}]})",
       4000},
      {"overhead on top",
       R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],"overhead":{"cpu":"250m"}})", 1250},
      {"what the pod as a whole asks for",
       R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],"resources":{"requests":{"cpu":"2"}}})",
       2000},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Json tree = {{"metadata", {{"namespace", "ns"}}}, {"spec", json(c.spec)}};
    CHECK(read_pod(object("Pod", "p", tree))->requests.milli_cpu == c.milli_cpu);
  }
}

}  // namespace
}  // namespace orch::testing
