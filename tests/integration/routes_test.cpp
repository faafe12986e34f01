// Routes between nodes with real interfaces: a neighbour by a direct route, a node behind a router by VXLAN.
#include "agent/network/routes.h"

#include "tests/catch.h"
#include "tests/fake_api.h"
#include "tests/integration/net_space.h"

using namespace orch;
using namespace orch::agent;
using tests::FakeApi;
using tests::NetSpace;

namespace {

const client::ResourceRef kNodes{"", "v1", "nodes"};

Json node(const std::string& name, const std::string& ip, const std::string& range) {
  return {{"kind", "Node"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", name}}},
          {"spec", {{"podCIDR", range}, {"podCIDRs", {range}}}},
          {"status", {{"addresses", {{{"type", "InternalIP"}, {"address", ip}}}}}}};
}

/// A node with one address in a subnet and one address of a pod on its loopback.
struct Machine {
  NetSpace space;
  FakeApi& api;
  std::unique_ptr<base::Timers> timers = base::make_timers();
  client::InformerFactory informers{api, *timers};
  std::unique_ptr<Routes> routes;

  Machine(FakeApi& api, const std::string& pod) : api(api) {
    space.sh("sysctl -q -w net.ipv4.ip_forward=1; ip addr add " + pod + "/32 dev lo");
    space.serve(SOCK_STREAM, 8080, pod);
  }
  void start(const std::string& name, OverlayMode mode = OverlayMode::kAuto) {
    RoutesConfig config;
    config.node_name = name;
    config.mode = mode;
    routes = std::make_unique<Routes>(informers, config);
    informers.start();
    REQUIRE(informers.wait_synced(std::chrono::seconds(5)));
    space.run([this] { routes->start(); });
  }
  bool reaches(const std::string& pod) const {
    for (int i = 0; i < 50; ++i) {
      if (space.call(pod, 8080, 100).find(pod) == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  std::string routes_text() const { return space.sh("ip route show proto 79"); }
};

/// Two nodes in one subnet, a third in another behind a router.
struct World {
  FakeApi api;
  NetSpace router;
  Machine a{api, "10.42.0.5"}, b{api, "10.42.1.5"}, c{api, "10.42.2.5"};
  World() {
    router.sh(
        "sysctl -q -w net.ipv4.ip_forward=1; ip link add lan type bridge; ip addr add 192.168.1.1/24 dev "
        "lan; "
        "ip link set lan up");
    plug(a, "port-a", "192.168.1.11/24", "192.168.1.1", true);
    plug(b, "port-b", "192.168.1.12/24", "192.168.1.1", true);
    plug(c, "port-c", "192.168.2.13/24", "192.168.2.1", false);
    router.sh("ip addr add 192.168.2.1/24 dev port-c");
    api.put(kNodes, node("a", "192.168.1.11", "10.42.0.0/24"));
    api.put(kNodes, node("b", "192.168.1.12", "10.42.1.0/24"));
    api.put(kNodes, node("c", "192.168.2.13", "10.42.2.0/24"));
  }
  void plug(Machine& m, const std::string& name, const std::string& ip, const std::string& gateway,
            bool bridged) {
    router.sh("ip link add dev " + name + " type veth peer name eth0 netns " + m.space.path() +
              "; ip link set dev " + name + (bridged ? " master lan" : "") + " up");
    m.space.sh("ip addr add " + ip + " dev eth0; ip link set eth0 up; ip route add default via " + gateway);
  }
};

}  // namespace

TEST_CASE("Pods of all nodes reach each other") {
  NEEDS_ROOT();
  World w;
  w.a.start("a");
  w.b.start("b");
  w.c.start("c");
  CHECK(w.a.reaches("10.42.1.5"));
  CHECK(w.a.reaches("10.42.2.5"));
  CHECK(w.c.reaches("10.42.0.5"));
  CHECK(w.c.reaches("10.42.1.5"));
  INFO(w.a.routes_text());
  CHECK(w.a.routes_text().find("10.42.1.0/24 via 192.168.1.12 dev eth0") != std::string::npos);
  CHECK(w.a.routes_text().find("10.42.2.0/24 via 10.42.2.0 dev orch.vxlan onlink") != std::string::npos);
  CHECK(w.a.routes->status().ok());

  SECTION("a node that goes takes its routes along, one that comes back gets them again") {
    w.api.erase(kNodes, "", "c");
    for (int i = 0; i < 100 && w.a.routes_text().find("10.42.2.0") != std::string::npos; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    CHECK(w.a.routes_text().find("10.42.2.0") == std::string::npos);
    CHECK(w.a.space.sh("ip neigh show dev orch.vxlan nud permanent").empty());
    w.api.put(kNodes, node("c", "192.168.2.13", "10.42.2.0/24"));
    CHECK(w.a.reaches("10.42.2.5"));
  }
  SECTION("a restart changes nothing, and removes what has become wrong meanwhile") {
    w.a.routes.reset();
    const std::string before = w.a.routes_text();
    CHECK_FALSE(before.empty());
    w.a.space.sh("ip route add 10.42.77.0/24 via 192.168.1.12 proto 79");
    Machine again(w.api, "10.42.0.6");
    RoutesConfig config;
    config.node_name = "a";
    again.routes = std::make_unique<Routes>(again.informers, config);
    again.informers.start();
    w.a.space.run([&again] { again.routes->start(); });
    for (int i = 0; i < 100 && w.a.routes_text() != before; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(w.a.routes_text() == before);
    CHECK(w.a.reaches("10.42.2.5"));
    CHECK(again.routes->status().ok());
  }
}
