#include "agent/network/routes_plan.h"

#include "tests/catch.h"

using namespace orch::agent;

namespace {

IpRange ip(const char* text) { return *parse_ip(text); }
IpRange cidr(const char* text) { return *parse_cidr(text); }

const std::vector<HostAddress> kHost = {{"lo", cidr("127.0.0.1/8")},
                                        {"eth0", cidr("10.0.0.1/24")},
                                        {"eth0", cidr("fd00::1/64")},
                                        {"lo", cidr("10.43.0.10/32")}};
const std::vector<NodeNet> kNodes = {
    {"here", {ip("10.0.0.1"), ip("fd00::1")}, {cidr("10.42.0.0/24"), cidr("fd42:0::/64")}},
    {"near", {ip("10.0.0.2"), ip("fd00::2")}, {cidr("10.42.1.0/24"), cidr("fd42:1::/64")}},
    {"far", {ip("192.168.1.3")}, {cidr("10.42.2.0/24")}},
    {"new", {ip("10.0.0.4")}, {}},
    {"bare", {}, {cidr("10.42.5.0/24")}},
};

}  // namespace

TEST_CASE("Nodes in the subnet get direct routes, others the tunnel") {
  const RoutePlan plan = plan_routes(kNodes, "here", kHost, OverlayMode::kAuto, {});
  CHECK(plan.routes == std::set<std::string>{"10.42.1.0/24 via 10.0.0.2 dev eth0",
                                             "fd42:1::/64 via fd00::2 dev eth0",
                                             "10.42.2.0/24 via 10.42.2.0 dev orch.vxlan onlink"});
  const std::string mac = vtep_mac(ip("192.168.1.3"));
  CHECK(plan.neighbors == std::set<std::string>{"10.42.2.0 lladdr " + mac + " dev orch.vxlan nud permanent"});
  CHECK(plan.fdb == std::set<std::string>{mac + " dev orch.vxlan dst 192.168.1.3 self permanent"});
  CHECK(plan.vxlan);
  CHECK(plan.vxlan_local == "10.0.0.1");
  CHECK(plan.vxlan_device == "eth0");
  CHECK(plan.vxlan_addresses == std::vector<std::string>{"10.42.0.0/32", "fd42::/128"});
  CHECK(plan.vxlan_mac == vtep_mac(ip("10.0.0.1")));
}

TEST_CASE("Modes") {
  const RoutePlan direct = plan_routes(kNodes, "here", kHost, OverlayMode::kDirect, {});
  CHECK(direct.routes.size() == 2);
  CHECK_FALSE(direct.vxlan);
  const RoutePlan tunnel = plan_routes(kNodes, "here", kHost, OverlayMode::kVxlan, {});
  CHECK(tunnel.routes.size() == 3);
  CHECK(tunnel.fdb.size() == 2);
  CHECK(pod_mtu(1500, OverlayMode::kDirect, false) == 1500);
  CHECK(pod_mtu(1500, OverlayMode::kAuto, false) == 1450);
  CHECK(pod_mtu(1500, OverlayMode::kVxlan, true) == 1430);
}

TEST_CASE("Without an own node or address there is nothing to do yet") {
  CHECK(plan_routes(kNodes, "unknown", kHost, OverlayMode::kAuto, {}) == RoutePlan{});
  CHECK(plan_routes(kNodes, "bare", kHost, OverlayMode::kAuto, {}) == RoutePlan{});
  CHECK(plan_routes({}, "here", kHost, OverlayMode::kAuto, {}) == RoutePlan{});
}

TEST_CASE("Addresses and ranges") {
  CHECK_FALSE(parse_ip("10.0.0"));
  CHECK_FALSE(parse_ip("10.0.0.1/24"));
  CHECK_FALSE(parse_ip(std::string("10.0.0.1\0x", 10)));
  CHECK_FALSE(parse_ip(""));
  CHECK_FALSE(parse_cidr("10.0.0.1/33"));
  CHECK_FALSE(parse_cidr("10.0.0.1/"));
  CHECK_FALSE(parse_cidr("10.0.0.1/-1"));
  CHECK(cidr("10.1.2.3/12").masked().text() == "10.0.0.0/12");
  CHECK(cidr("fd00:1:2::3/33").masked().text() == "fd00:1::/33");
  CHECK(cidr("10.0.0.0/8").contains(ip("10.255.0.1")));
  CHECK_FALSE(cidr("10.0.0.0/8").contains(ip("11.0.0.1")));
  CHECK_FALSE(cidr("10.0.0.0/8").contains(ip("fd00::1")));
  CHECK(cidr("10.43.0.0/16").plus(10).address() == "10.43.0.10");
  CHECK(cidr("10.43.0.255/16").plus(1).address() == "10.43.1.0");
  CHECK(cidr("fd00::/64").plus(1).text() == "fd00::1/128");
}
