#include "server/controllers/node_zones.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using server::EvictionOptions;
using server::NodeZones;
using server::ZoneState;

using Names = std::vector<std::string>;

TEST_CASE("the state of a zone") {
  struct Row {
    int64_t size, unhealthy;
    ZoneState state;
    double rate;
  };
  constexpr auto kNormal = ZoneState::kNormal, kPartial = ZoneState::kPartialDisruption,
                 kFull = ZoneState::kFullDisruption;
  for (const Row& r : {
           Row{0, 0, kNormal, 0.1},         // its nodes are gone
           Row{1, 0, kNormal, 0.1},         //
           Row{1, 1, kFull, 0.1},           // the only node
           Row{2, 1, kNormal, 0.1},         // one of two
           Row{3, 2, kNormal, 0.1},         // two never make a disruption
           Row{4, 3, kPartial, 0},          //
           Row{6, 3, kNormal, 0.1},         // a half
           Row{20, 10, kNormal, 0.1},       //
           Row{20, 11, kPartial, 0},        // 55 %
           Row{50, 28, kPartial, 0},        // small still
           Row{51, 29, kPartial, 0.01},     // large
           Row{1000, 549, kNormal, 0.1},    //
           Row{1000, 550, kPartial, 0.01},  //
           Row{1000, 1000, kFull, 0.1},     //
       }) {
    INFO(r.unhealthy << " of " << r.size);
    CHECK(server::zone_state(r.size, r.unhealthy, 0.55) == r.state);
    CHECK(server::zone_rate(r.size, r.unhealthy, {}) == r.rate);
  }
  CHECK(server::zone_state(10, 3, 0.3) == kPartial);
  CHECK(server::zone_rate(10, 3, {1, 0.5, 0.3, 9}) == 0.5);
  CHECK(server::zone_rate(9, 3, {1, 0.5, 0.3, 9}) == 0);
}

api::ObjectPtr node(const std::string& name, const char* ready, const Json& labels = Json::object(),
                    const Json& taints = Json::array()) {
  Json n = {{"apiVersion", "v1"},
            {"kind", "Node"},
            {"metadata", {{"name", name}, {"labels", labels}}},
            {"spec", {{"taints", taints}}},
            {"status", {{"conditions", Json::array({{{"type", "Ready"}, {"status", ready}}})}}}};
  auto made = api::Object::from_tree(n);
  REQUIRE(made.ok());
  return *made;
}

TEST_CASE("zones are told apart by region and zone") {
  constexpr const char *kZone = "topology.kubernetes.io/zone", *kRegion = "topology.kubernetes.io/region";
  const auto of = [](const Json& labels) { return server::zone_of(*node("n", "True", labels)); };
  CHECK(of(Json::object()).empty());
  CHECK(of({{kZone, "a"}}) == std::string(":\0:a", 4));
  CHECK(of({{kZone, "a"}, {kRegion, "r"}}) == std::string("r:\0:a", 5));
  CHECK(of({{kRegion, "r"}}) == std::string("r:\0:", 4));
  CHECK(of({{kZone, "a"}, {"failure-domain.beta.kubernetes.io/zone", "b"}}) == std::string(":\0:b", 4));
}

/// Zones whose time goes on as the test says.
struct Rig {
  explicit Rig(const EvictionOptions& options = {}) : zones(options, &metrics) {}

  Names tell(const std::string& name, const char* ready, const Json& labels = Json::object()) {
    return zones.note(name, node(name, ready, labels), clock.mono());
  }
  /// Nodes n0, n1, … of which the first `down` are not ready.
  void cluster(int size, int down) {
    for (int i = 0; i < size; ++i) tell(base::cat("n", i), i < down ? "Unknown" : "True");
  }
  /// -1: not now, and nobody knows when; 0: now; else in so many seconds.
  int64_t ask(const std::string& name, bool needed = true) {
    const NodeZones::Turn turn = zones.ask(name, needed, clock.mono());
    if (turn.now) return 0;
    return turn.wait.count() == 0 ? -1 : std::chrono::duration_cast<std::chrono::seconds>(turn.wait).count();
  }

  base::FakeClock clock{kNow};
  base::Metrics metrics;
  NodeZones zones;
};

TEST_CASE("the only node keeps its pods, whatever it says") {
  Rig rig;
  rig.tell("n", "True");
  rig.tell("n", "Unknown");
  CHECK(rig.ask("n") == -1);
  CHECK(rig.ask("n", false) == -1);  // it even loses a taint it has
  rig.clock.advance(1h);
  CHECK(rig.ask("n") == -1);
}

TEST_CASE("of two nodes the one that died is tainted at once") {
  Rig rig;
  rig.cluster(2, 0);
  rig.clock.advance(1h);
  CHECK(rig.tell("n1", "Unknown").empty());
  CHECK(rig.ask("n1") == 0);
  CHECK(rig.ask("n1") == 0);  // should the write fail
  // The other one goes too, and the control plane stands alone; the first is to be looked at again.
  CHECK(rig.tell("n0", "Unknown") == Names{"n1"});
  CHECK(rig.ask("n1") == -1);
  CHECK(rig.ask("n0") == -1);
  // When one is back, the other has time to come too.
  rig.clock.advance(1h);
  CHECK(rig.tell("n0", "True") == Names{"n1"});
  CHECK(rig.ask("n1") == 10);
  rig.clock.advance(10s);
  CHECK(rig.ask("n1") == 0);
}

TEST_CASE("nodes that died follow one another") {
  Rig rig;
  rig.cluster(8, 4);  // as a server that starts finds them
  CHECK(rig.ask("n0") == 0);
  CHECK(rig.ask("n1") == 10);
  CHECK(rig.ask("n2") == 20);
  CHECK(rig.ask("n3") == 30);
  rig.clock.advance(9s);
  CHECK(rig.ask("n2") == 11);  // asking often does not help
  CHECK(rig.ask("n1") == 1);
  rig.clock.advance(1s);
  CHECK(rig.ask("n3") == 20);
  CHECK(rig.ask("n1") == 0);
  SECTION("one that comes back makes room") {
    CHECK(rig.tell("n2", "True") == Names{"n3"});
    CHECK(rig.ask("n3") == 10);
  }
  SECTION("as does one that is deleted") {
    CHECK(rig.zones.note("n2", nullptr, rig.clock.mono()) == Names{"n3"});
    CHECK(rig.ask("n3") == 10);
  }
  SECTION("or that somebody else has tainted") {
    CHECK(rig.ask("n2", false) == 0);
    CHECK(rig.ask("n3") == 10);
  }
  SECTION("turns that nobody uses are lost") {
    rig.clock.advance(1h);
    CHECK(rig.ask("n2") == 0);
    CHECK(rig.ask("n3") == 10);
  }
}

TEST_CASE("a small zone that is down for the most part keeps what it has") {
  Rig rig;
  rig.cluster(5, 2);
  CHECK(rig.ask("n0") == 0);
  CHECK(rig.ask("n1") == 10);
  CHECK(rig.tell("n2", "Unknown") == Names{"n0", "n1"});
  rig.clock.advance(1h);
  CHECK(rig.ask("n0") == 0);         // it was its turn before
  CHECK(rig.ask("n1") == -1);        // but nobody else's any more
  CHECK(rig.ask("n1", false) == 0);  // taints that are there stay
  CHECK(rig.ask("n2") == -1);
  // A fourth one changes nothing for the others; the fifth does for all.
  CHECK(rig.tell("n3", "False").empty());
  CHECK(rig.tell("n4", "False").size() == 4);
  CHECK(rig.ask("n0") == -1);
  CHECK(rig.tell("n4", "True").size() == 4);
  CHECK(rig.ask("n0", false) == 0);
  // It ends when fewer are down, also because some are deleted.
  CHECK(rig.tell("n3", "True").empty());
  CHECK(rig.zones.note("n2", nullptr, rig.clock.mono()) == Names{"n0", "n1"});
  CHECK(rig.ask("n1") == 10);
}

TEST_CASE("a large zone that is down for the most part goes slowly") {
  Rig rig;
  rig.cluster(100, 54);
  CHECK(rig.ask("n0") == 0);
  CHECK(rig.ask("n1") == 10);
  CHECK(rig.tell("n54", "Unknown").size() == 54);
  CHECK(rig.ask("n1") == 100);
  rig.clock.advance(99s);
  CHECK(rig.ask("n1") == 1);
  rig.clock.advance(1s);
  CHECK(rig.ask("n1") == 0);
  CHECK(rig.ask("n2") == 100);
  CHECK(rig.tell("n54", "True").size() == 54);
  CHECK(rig.ask("n2") == 10);
}

TEST_CASE("each zone goes for itself") {
  const Json a = {{"topology.kubernetes.io/zone", "a"}}, b = {{"topology.kubernetes.io/zone", "b"}};
  Rig rig;
  for (const char* name : {"a1", "a2", "a3", "a4"}) rig.tell(name, "True", a);
  for (const char* name : {"b1", "b2", "b3"}) rig.tell(name, "Unknown", b);
  // A zone that is down as a whole is emptied as long as there is another one.
  CHECK(rig.ask("b1") == 0);
  CHECK(rig.ask("b2") == 10);
  CHECK(rig.tell("a1", "Unknown", a).empty());
  CHECK(rig.ask("a1") == 0);
  // Most of the other is down as well: nothing goes on there.
  rig.tell("a2", "Unknown", a);
  CHECK(rig.tell("a3", "Unknown", a) == Names{"a1", "a2"});
  CHECK(rig.ask("a2") == -1);
  CHECK(rig.ask("b2") == 10);
  // And when nothing is left nothing goes on anywhere.
  CHECK(rig.tell("a4", "Unknown", a) == Names{"a1", "a2", "a3", "b1", "b2", "b3"});
  CHECK(rig.ask("b2") == -1);
  CHECK(rig.ask("b1", false) == -1);
  // A node that moves is counted where it is.
  CHECK(rig.tell("a4", "True", b).size() == 6);
  CHECK(rig.ask("a2") == 10);
  std::string text = rig.metrics.expose();
  const auto label = [](const char* zone) {
    return base::cat("{zone=\":", std::string(1, '\0'), ":", zone, "\"} ");
  };
  for (const auto& [name, in_a, in_b] : {std::tuple("node_collector_zone_size", "3", "4"),
                                         std::tuple("node_collector_unhealthy_nodes_in_zone", "3", "3"),
                                         std::tuple("node_collector_zone_health", "0", "25"),
                                         std::tuple("node_collector_evictions_total", "0", "0")}) {
    CHECK_THAT(text, contains(base::cat(name, label("a"), in_a, "\n")));
    CHECK_THAT(text, contains(base::cat(name, label("b"), in_b, "\n")));
  }
}

TEST_CASE("nodes that say so are not counted") {
  const Json apart = {{"node.kubernetes.io/exclude-disruption", ""}};
  Rig rig;
  rig.tell("n", "True", apart);
  rig.tell("m", "Unknown");
  CHECK(rig.ask("m") == -1);  // no other counts
  rig.tell("o", "True");
  CHECK(rig.ask("m") == 10);
  rig.clock.advance(10s);
  CHECK(rig.ask("m") == 0);
  for (const char* name : {"p", "q", "r"}) CHECK(rig.tell(name, "Unknown", apart).empty());
  CHECK(rig.ask("p") == 10);
  Rig alone;
  alone.tell("n", "Unknown", apart);
  CHECK(alone.ask("n") == 0);
}

TEST_CASE("evictions are counted by the taints that appear") {
  Rig rig;
  const auto tell = [&](const char* key, const char* effect) {
    rig.zones.note("n", node("n", "Unknown", {}, Json::array({{{"key", key}, {"effect", effect}}})),
                   rig.clock.mono());
    return rig.metrics.expose();
  };
  rig.cluster(2, 0);
  CHECK_THAT(tell("node.kubernetes.io/unreachable", "NoSchedule"),
             contains("evictions_total{zone=\"\"} 0\n"));
  CHECK_THAT(tell("node.kubernetes.io/unreachable", "NoExecute"), contains("evictions_total{zone=\"\"} 1\n"));
  CHECK_THAT(tell("node.kubernetes.io/not-ready", "NoExecute"), contains("evictions_total{zone=\"\"} 1\n"));
}

TEST_CASE("rates of 0 stop it, and others are kept") {
  Rig never({.rate = 0});
  never.cluster(4, 2);
  CHECK(never.ask("n0") == -1);
  Rig fast({.rate = 4});
  fast.cluster(9, 4);
  int tainted = 0;
  std::set<std::string> waiting = {"n0", "n1", "n2", "n3"};
  for (int tick = 0; tick < 8; ++tick) {
    for (const std::string& name : Names(waiting.begin(), waiting.end())) {
      if (fast.zones.ask(name, true, fast.clock.mono()).now) {
        waiting.erase(name);
        ++tainted;
      }
    }
    if (tick == 3) CHECK(tainted == 2);  // 375 ms
    fast.clock.advance(125ms);
  }
  CHECK(tainted == 4);
}

}  // namespace
}  // namespace orch::testing
