#include "server/controllers/node.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::Controller;
using server::kLeases;
using server::kNodes;
using server::kPods;

Json node_with_ready(const std::string& name, const char* ready) {
  Json n = make_node(name);
  n["status"]["conditions"] = Json::array({{{"type", "Ready"},
                                            {"status", ready},
                                            {"lastHeartbeatTime", ago(10)},
                                            {"lastTransitionTime", ago(100)}}});
  return n;
}

std::string taints_of(const Json& node) {
  std::string out;
  for (const auto& t : base::array_at(node, {"spec", "taints"})) {
    out +=
        base::cat(out.empty() ? "" : " ", base::string_at(t, {"key"}), ":", base::string_at(t, {"effect"}));
  }
  return out;
}

/// A controller over a view and a clock, its plans applied (patches too).
struct Rig {
  base::FakeClock clock{kNow};
  MapView view;
  Controller controller;

  Plan run(const server::Key& key) {
    Plan p = controller.plan(view, key, clock.now());
    view.apply(p);
    for (const auto& w : p.writes) {
      if (w.verb != Verb::kPatch) continue;
      auto object = view.get(w.resource, w.ns, w.name);
      if (object == nullptr) continue;
      Json next = object->tree();
      Json patch = *w.body;
      if (patch.contains("status") && patch["status"].contains("conditions")) {
        for (const auto& c : patch["status"]["conditions"]) {
          if (const Json* had = api::find_condition(next, c["type"].get<std::string>()))
            next["status"]["conditions"].erase(
                std::find(next["status"]["conditions"].begin(), next["status"]["conditions"].end(), *had));
          next["status"]["conditions"].push_back(c);
        }
        patch["status"].erase("conditions");
      }
      next.merge_patch(patch);
      view.put(w.resource, next);
    }
    return p;
  }
  Json node(const std::string& name) { return view.get(kNodes, "", name)->tree(); }
};

struct Lifecycle : Rig {
  Lifecycle() { controller = server::make_node_lifecycle_controller(clock, std::chrono::seconds(40)); }
  Plan look(const std::string& name) {
    const auto before = view.get(kNodes, "", name);
    Plan p = run({"", name});
    const auto after = view.get(kNodes, "", name);
    if (before != after) controller.sources[0].keys(before, after, view);
    return p;
  }
  /// As the informer does it; whom the change wakes.
  server::Keys put(const Json& node) {
    const std::string name(base::string_at(node, {"metadata", "name"}));
    const auto before = view.get(kNodes, "", name);
    view.put(kNodes, node);
    return controller.sources[0].keys(before, view.get(kNodes, "", name), view);
  }
  void renew(const std::string& name) {
    view.put(kLeases, {{"metadata", {{"name", name}, {"namespace", "kube-node-lease"}}},
                       {"spec", {{"renewTime", base::format_micro_time(clock.now())}}}});
  }
};

TEST_CASE("a silent node becomes unknown, its pods not ready, and it is tainted") {
  Lifecycle rig;
  rig.put(node_with_ready("n", "True"));
  rig.put(node_with_ready("other", "True"));
  rig.view.put(kPods, make_pod("p", 100, "n"));
  rig.renew("n");
  Plan p = rig.look("n");
  CHECK(noted(p, "RegisteredNode", "Node n event: Registered Node n in Controller"));
  CHECK(p.requeue == std::chrono::seconds(40));
  rig.clock.advance(std::chrono::seconds(30));
  rig.renew("n");
  CHECK(rig.look("n").notes.empty());
  rig.clock.advance(std::chrono::seconds(39));
  CHECK(rig.look("n").writes.empty());
  rig.clock.advance(std::chrono::seconds(1));
  p = rig.look("n");
  CHECK(noted(p, "NodeNotReady", "Node n status is now: NodeNotReady"));
  CHECK(noted(p, "NodeNotReady", "Node is not ready"));
  const Json n = rig.node("n");
  CHECK(condition(n, "Ready")["status"] == "Unknown");
  CHECK(condition(n, "Ready")["reason"] == "NodeStatusUnknown");
  CHECK(condition(n, "Ready")["lastHeartbeatTime"] == ago(10));
  CHECK(condition(n, "MemoryPressure")["reason"] == "NodeStatusNeverUpdated");
  CHECK(condition(rig.view.get(kPods, "ns", "p")->tree(), "Ready")["status"] == "False");
  // The write of its status brings it back to be tainted, on condition of the version that then is.
  CHECK(taints_of(n).empty());
  p = rig.look("n");
  REQUIRE(p.writes.size() == 1);
  CHECK(p.writes[0].verb == Verb::kUpdate);
  CHECK(p.writes[0].subresource.empty());
  CHECK(taints_of(rig.node("n")) ==
        "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute");
  p = rig.look("n");
  CHECK(p.writes.empty());
  CHECK(p.notes.empty());
  CHECK(p.requeue.count() == 0);

  // It comes back.
  rig.put([&] {
    Json back = rig.node("n");
    back["status"]["conditions"][0]["status"] = "True";
    back["status"]["conditions"][0]["lastHeartbeatTime"] = base::format_time(rig.clock.now());
    return back;
  }());
  rig.look("n");
  CHECK(taints_of(rig.node("n")).empty());
}

TEST_CASE("a clock that jumps makes no node silent") {
  Lifecycle rig;
  rig.view.put(kNodes, node_with_ready("n", "True"));
  rig.renew("n");
  rig.look("n");
  // From 1970 to now: only the wall clock moves.
  Plan p = rig.controller.plan(rig.view, {"", "n"}, kNow + std::chrono::hours(24 * 365 * 50));
  CHECK(p.writes.empty());
}

TEST_CASE("a node that never told its status has a minute") {
  Lifecycle rig;
  Json n = make_node("n");
  n["status"].erase("conditions");
  rig.view.put(kNodes, n);
  CHECK(rig.look("n").requeue == std::chrono::seconds(60));
  CHECK(taints_of(rig.node("n")) == "node.kubernetes.io/not-ready:NoSchedule");
  rig.clock.advance(std::chrono::seconds(60));
  CHECK_FALSE(noted(rig.look("n"), "NodeNotReady"));
  CHECK(condition(rig.node("n"), "Ready")["reason"] == "NodeStatusNeverUpdated");
}

TEST_CASE("while no node is ready nobody's pods are evicted") {
  Lifecycle rig;
  rig.put(node_with_ready("a", "False"));
  rig.put(node_with_ready("b", "True"));
  rig.look("a");
  CHECK(taints_of(rig.node("a")) ==
        "node.kubernetes.io/not-ready:NoSchedule node.kubernetes.io/not-ready:NoExecute");
  // The last ready one goes: its change wakes the other, whose eviction stops.
  CHECK(rig.put(node_with_ready("b", "False")) == server::Keys{{"", "b"}, {"", "a"}});
  rig.look("b");
  rig.look("a");
  CHECK(taints_of(rig.node("a")) == "node.kubernetes.io/not-ready:NoSchedule");
  CHECK(taints_of(rig.node("b")) == "node.kubernetes.io/not-ready:NoSchedule");
}

TEST_CASE("nodes are tainted one after the other, and not while most are down") {
  Lifecycle rig;
  for (const char* name : {"a", "b", "c", "d", "e"}) rig.put(node_with_ready(name, "True"));
  constexpr const char *kBoth =
                           "node.kubernetes.io/not-ready:NoSchedule node.kubernetes.io/not-ready:NoExecute",
                       *kNoPods = "node.kubernetes.io/not-ready:NoSchedule";
  for (const char* name : {"a", "b"}) rig.put(node_with_ready(name, "False"));
  rig.look("a");
  CHECK(taints_of(rig.node("a")) == kBoth);
  CHECK(rig.look("b").requeue == std::chrono::seconds(10));
  CHECK(taints_of(rig.node("b")) == kNoPods);
  CHECK(rig.put(node_with_ready("c", "False")) == server::Keys{{"", "c"}, {"", "a"}, {"", "b"}});
  rig.clock.advance(std::chrono::seconds(10));
  CHECK(rig.look("b").requeue == std::chrono::seconds(30));  // its next heartbeat
  rig.look("a");
  CHECK(taints_of(rig.node("b")) == kNoPods);
  CHECK(taints_of(rig.node("a")) == kBoth);
  // A taint changes its name at once.
  Json silent = rig.node("a");
  silent["status"]["conditions"][0]["status"] = "Unknown";
  rig.put(silent);
  rig.look("a");
  CHECK(taints_of(rig.node("a")) ==
        "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute");
  CHECK(rig.put(node_with_ready("c", "True")) == server::Keys{{"", "c"}, {"", "a"}, {"", "b"}});
  CHECK(rig.look("b").requeue == std::chrono::seconds(10));
  rig.clock.advance(std::chrono::seconds(10));
  rig.look("b");
  CHECK(taints_of(rig.node("b")) == kBoth);
}

TEST_CASE("taints follow conditions, those of users stay") {
  struct Case {
    const char* what;
    const char* node;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"ready", R"({"status":{"conditions":[{"type":"Ready","status":"True"}]}})", ""},
      {"pressure",
       R"({"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"DiskPressure","status":"True"},
           {"type":"PIDPressure","status":"True"},{"type":"MemoryPressure","status":"True"}]}})",
       "node.kubernetes.io/memory-pressure:NoSchedule node.kubernetes.io/disk-pressure:NoSchedule "
       "node.kubernetes.io/pid-pressure:NoSchedule"},
      {"no network",
       R"({"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"NetworkUnavailable","status":"True"}]}})",
       "node.kubernetes.io/network-unavailable:NoSchedule"},
      {"cordoned",
       R"({"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}]}})",
       "node.kubernetes.io/unschedulable:NoSchedule"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Json n = {{"spec", {{"taints", server::condition_taints(json(c.node), true)}}}};
    CHECK(taints_of(n) == c.expect);
  }
  Lifecycle rig;
  Json n = node_with_ready("n", "True");
  n["spec"]["taints"] = json(
      R"([{"key":"mine","effect":"NoExecute"},{"key":"node.kubernetes.io/disk-pressure","effect":"NoSchedule"}])");
  rig.view.put(kNodes, n);
  rig.look("n");
  CHECK(taints_of(rig.node("n")) == "mine:NoExecute");
}

TEST_CASE("a node that goes is told of") {
  Lifecycle rig;
  rig.view.put(kNodes, node_with_ready("n", "True"));
  rig.look("n");
  rig.view.drop(kNodes, "", "n");
  CHECK(noted(rig.look("n"), "RemovingNode", "Node n event: Removing Node n from Controller"));
  CHECK(rig.look("n").notes.empty());
}

TEST_CASE("how long a pod may stay") {
  const std::vector<Json> taints = {json(R"({"key":"a","value":"v","effect":"NoExecute"})")};
  struct Case {
    const char* what;
    const char* tolerations;
    int64_t seconds;  // -1: for ever
  };
  const std::vector<Case> cases = {
      {"none", "[]", 0},
      {"another key", R"([{"key":"b","operator":"Exists"}])", 0},
      {"another value", R"([{"key":"a","value":"w"}])", 0},
      {"another effect", R"([{"key":"a","operator":"Exists","effect":"NoSchedule"}])", 0},
      {"for ever", R"([{"key":"a","operator":"Exists"}])", -1},
      {"everything", R"([{"operator":"Exists"}])", -1},
      {"for a time", R"([{"key":"a","value":"v","effect":"NoExecute","tolerationSeconds":300}])", 300},
      {"the shortest time",
       R"([{"key":"a","operator":"Exists","tolerationSeconds":300},{"operator":"Exists","tolerationSeconds":20}])",
       20},
      {"a time beside for ever",
       R"([{"operator":"Exists"},{"key":"a","operator":"Exists","tolerationSeconds":20}])", 20},
      {"a negative time", R"([{"operator":"Exists","tolerationSeconds":-5}])", 0},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    const auto stay = server::toleration_time({{"spec", {{"tolerations", json(c.tolerations)}}}}, taints);
    if (c.seconds < 0) {
      CHECK_FALSE(stay);
    } else {
      REQUIRE(stay);
      CHECK(*stay == std::chrono::seconds(c.seconds));
    }
  }
}

TEST_CASE("pods leave a tainted node when their time is over") {
  Rig rig;
  rig.controller = server::make_taint_eviction_controller(rig.clock);
  Json n = make_node("n");
  n["spec"]["taints"] = json(R"([{"key":"node.kubernetes.io/unreachable","effect":"NoExecute"}])");
  rig.view.put(kNodes, n);
  Json patient = make_pod("patient", 10, "n");
  patient["spec"]["tolerations"] = json(
      R"([{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}])");
  rig.view.put(kPods, patient);
  rig.view.put(kPods, make_pod("delicate", 10, "n"));
  Plan p = rig.run({"", "n"});
  CHECK(removed(p, "pods") == std::vector<std::string>{"delicate"});
  CHECK(noted(p, "TaintManagerEviction", "Marking for deletion Pod ns/delicate"));
  auto told = writes(p, Verb::kPatch, "pods", "status");
  REQUIRE(told.size() == 1);
  CHECK((*told[0].body)["status"]["conditions"][0]["reason"] == "DeletionByTaintManager");
  CHECK(p.requeue == std::chrono::seconds(300));
  rig.clock.advance(std::chrono::seconds(299));
  p = rig.run({"", "n"});
  CHECK(p.writes.empty());
  CHECK(p.requeue == std::chrono::seconds(1));

  SECTION("then it goes") {
    rig.clock.advance(std::chrono::seconds(1));
    CHECK(removed(rig.run({"", "n"}), "pods") == std::vector<std::string>{"patient"});
  }
  SECTION("unless the node comes back") {
    rig.view.put(kNodes, make_node("n"));
    p = rig.run({"", "n"});
    CHECK(p.writes.empty());
    CHECK(noted(p, "TaintManagerEviction", "Cancelling deletion of Pod ns/patient"));
    rig.view.put(kNodes, n);
    CHECK(rig.run({"", "n"}).requeue == std::chrono::seconds(300));
  }
  SECTION("whatever the wall clock does") {
    p = rig.controller.plan(rig.view, {"", "n"}, kNow + std::chrono::hours(24 * 365 * 50));
    CHECK(p.writes.empty());
  }
}

TEST_CASE("a pod is a reason to look at its node while that drives pods out") {
  Rig rig;
  rig.controller = server::make_taint_eviction_controller(rig.clock);
  const auto keys = [&](const char* node) {
    rig.view.put(kPods, make_pod("p", 10, node));
    return rig.controller.sources[1].keys(nullptr, rig.view.get(kPods, "ns", "p"), rig.view);
  };
  CHECK(keys("").empty());
  CHECK(keys("n").empty());  // it is not there: nothing is known of its taints
  Json n = make_node("n");
  rig.view.put(kNodes, n);
  CHECK(keys("n").empty());
  n["spec"]["taints"] = json(R"([{"key":"k","effect":"NoSchedule"}])");
  rig.view.put(kNodes, n);
  CHECK(keys("n").empty());
  n["spec"]["taints"] = json(R"([{"key":"k","effect":"NoExecute"}])");
  rig.view.put(kNodes, n);
  CHECK(keys("n") == server::Keys{server::Key{"", "n"}});
}

TEST_CASE("pods of nodes that do not exist are collected, not at once") {
  Rig rig;
  rig.controller = server::make_pod_gc_controller(rig.clock);
  rig.view.put(kPods, make_pod("p", 10, "gone"));
  Json done = make_pod("done", -1, "gone");
  done["status"]["phase"] = "Succeeded";
  rig.view.put(kPods, done);
  CHECK(rig.run({"", "gone"}).requeue == std::chrono::seconds(40));
  rig.clock.advance(std::chrono::seconds(20));
  SECTION("a node that is back in time keeps them, and has its time again") {
    rig.view.put(kNodes, make_node("gone"));
    CHECK(rig.run({"", "gone"}).writes.empty());
    rig.view.drop(kNodes, "", "gone");
    rig.clock.advance(std::chrono::seconds(60));
    CHECK(rig.run({"", "gone"}).requeue == std::chrono::seconds(40));
  }
  SECTION("then by force") {
    rig.clock.advance(std::chrono::seconds(20));
    Plan p = rig.run({"", "gone"});
    CHECK(removed(p, "pods") == std::vector<std::string>{"done", "p"});
    for (const auto& w : writes(p, Verb::kDelete, "pods")) CHECK(w.remove.grace_seconds == 0);
    auto told = writes(p, Verb::kPatch, "pods", "status");
    REQUIRE(told.size() == 1);
    CHECK(told[0].name == "p");
    CHECK((*told[0].body)["status"]["phase"] == "Failed");
    CHECK((*told[0].body)["status"]["conditions"][0]["message"] == "PodGC: node no longer exists");
  }
}

TEST_CASE("pods that cannot end by themselves") {
  Rig rig;
  rig.controller = server::make_pod_gc_controller(rig.clock, 2);
  auto deleting = [](Json pod) {
    pod["metadata"]["deletionTimestamp"] = ago(1);
    return pod;
  };
  SECTION("deleted before they got a node") {
    rig.view.put(kPods, deleting(make_pod("lost", -1, "")));
    CHECK(rig.controller.sources[1].keys(nullptr, rig.view.get(kPods, "ns", "lost"), rig.view) ==
          server::Keys{{"ns", "lost"}});
    CHECK(removed(rig.run({"ns", "lost"}), "pods") == std::vector<std::string>{"lost"});
  }
  SECTION("terminating on a node out of service") {
    rig.view.put(kPods, deleting(make_pod("stuck", -1, "n")));
    rig.view.put(kPods, make_pod("fine", 10, "n"));
    Json n = node_with_ready("n", "True");
    n["spec"]["taints"] = json(R"([{"key":"node.kubernetes.io/out-of-service","effect":"NoExecute"}])");
    rig.view.put(kNodes, n);
    CHECK(rig.run({"", "n"}).writes.empty());
    n["status"]["conditions"][0]["status"] = "Unknown";
    rig.view.put(kNodes, n);
    CHECK(removed(rig.run({"", "n"}), "pods") == std::vector<std::string>{"stuck"});
  }
  SECTION("the oldest of too many that ended, evicted ones first") {
    auto ended = [&](const std::string& name, int64_t age, const char* reason) {
      Json p = make_pod(name, -1, "n");
      p["metadata"]["creationTimestamp"] = ago(age);
      p["status"]["phase"] = "Failed";
      p["status"]["reason"] = reason;
      rig.view.put(kPods, p);
    };
    ended("a", 100, "Error");
    ended("b", 90, "Error");
    rig.view.put(kPods, make_pod("running", 10, "n"));
    CHECK(rig.run({}).writes.empty());
    ended("c", 10, "Evicted");
    ended("d", 20, "Error");
    CHECK(rig.controller.sources[1].keys(nullptr, rig.view.get(kPods, "ns", "c"), rig.view).front() ==
          server::Key{});
    CHECK(removed(rig.run({}), "pods") == std::vector<std::string>{"a", "c"});
  }
}

TEST_CASE("nodes of a large cluster may keep what they read for longer") {
  struct Row {
    size_t nodes;
    const char *has, *wanted;
  };
  const Controller c = server::make_node_ttl_controller();
  for (const Row& r : {Row{1, "", "0"}, Row{100, "0", "0"}, Row{101, "0", "15"}, Row{95, "15", "15"},
                       Row{95, "", "0"}, Row{89, "15", "0"}, Row{501, "15", "30"}, Row{1001, "30", "60"},
                       Row{2001, "60", "300"}, Row{1799, "300", "60"}, Row{10, "soon", "0"}}) {
    INFO(r.nodes << " nodes, " << r.has);
    Rig rig;
    rig.controller = c;
    for (size_t i = 0; i < r.nodes; ++i) {
      Json node = {{"metadata", {{"name", base::cat("n", i)}}}};
      if (*r.has != 0) node["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"] = r.has;
      rig.view.put(kNodes, node);
    }
    CHECK(rig.run({"", "n0"}).writes.empty() == (std::string_view(r.has) == r.wanted));
    CHECK(api::annotation(rig.node("n0"), "node.alpha.kubernetes.io/ttl") == r.wanted);
  }
}

TEST_CASE("nodes are told when a cluster grows or shrinks beyond a size") {
  const Controller c = server::make_node_ttl_controller();
  MapView view;
  const auto node = [&](size_t i) { return view.get(kNodes, "", base::cat("n", i)); };
  for (size_t i = 0; i < 100; ++i) view.put(kNodes, {{"metadata", {{"name", base::cat("n", i)}}}});
  CHECK(c.sources[0].keys(nullptr, node(99), view) == server::Keys{{"", "n99"}});
  CHECK(c.sources[0].keys(node(1), node(1), view) == server::Keys{{"", "n1"}});  // has none yet
  CHECK(c.sources[0].keys(node(99), nullptr, view).empty());
  view.put(kNodes, {{"metadata", {{"name", "n100"}}}});
  CHECK(c.sources[0].keys(nullptr, node(100), view).size() == 102);
  for (size_t i = 89; i < 101; ++i) view.drop(kNodes, "", base::cat("n", i));
  CHECK(c.sources[0].keys(node(1), nullptr, view).size() == 89);
}

TEST_CASE("parts of an address range") {
  struct Case {
    const char* cidr;
    int length;
    uint32_t n;
    const char* expect;
  };
  for (const auto& c : std::vector<Case>{{"10.42.0.0/16", 24, 0, "10.42.0.0/24"},
                                         {"10.42.0.0/16", 24, 255, "10.42.255.0/24"},
                                         {"10.42.0.0/16", 24, 256, ""},
                                         {"10.42.7.9/16", 24, 1, "10.42.1.0/24"},
                                         {"fd00:1::/48", 64, 17, "fd00:1:0:11::/64"},
                                         {"10.42.0.0/25", 24, 0, ""},
                                         {"nonsense", 24, 0, ""}}) {
    INFO(c.cidr << " " << c.n);
    CHECK(server::nth_subnet(c.cidr, c.length, c.n) == c.expect);
  }
}

TEST_CASE("every node gets a range of its own, once") {
  Rig rig;
  rig.controller = server::make_node_ipam_controller("10.42.0.0/30");
  // Too small for /24: parts of two bits.
  for (const char* name : {"a", "b"}) rig.view.put(kNodes, make_node(name));
  rig.run({});
  CHECK(base::string_at(rig.node("a"), {"spec", "podCIDR"}) == "10.42.0.0/32");
  CHECK(base::string_at(rig.node("b"), {"spec", "podCIDR"}) == "10.42.0.1/32");
  rig.view.drop(kNodes, "", "a");
  rig.view.put(kNodes, make_node("c"));
  rig.run({});
  CHECK(base::string_at(rig.node("c"), {"spec", "podCIDR"}) == "10.42.0.0/32");
  for (const char* name : {"d", "e", "f"}) rig.view.put(kNodes, make_node(name));
  CHECK(noted(rig.run({}), "CIDRNotAvailable", "Node f status is now: CIDRNotAvailable"));
}

}  // namespace
}  // namespace orch::testing
