#include "agent/proxy/rules.h"

#include <algorithm>

#include "agent/proxy/conntrack.h"
#include "tests/catch.h"

using namespace orch::agent;

namespace {

ProxyService web() {
  ProxyService s;
  s.key = "default/web";
  s.cluster_ips = {*parse_ip("10.43.0.5")};
  s.ports = {{"http", "tcp", 80, 0}};
  return s;
}

std::vector<ProxyEndpoint> endpoints(const std::vector<const char*>& ips, const char* node = "n1") {
  std::vector<ProxyEndpoint> out;
  for (const char* ip : ips) {
    ProxyEndpoint e;
    e.ip = *parse_ip(ip);
    e.port = 8080;
    e.node = node;
    out.push_back(e);
  }
  return out;
}

const NftSet& slots_of(const NftPiece& piece) {
  REQUIRE(piece.sets.size() == 1);
  return piece.sets.begin()->second;
}

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("A service without endpoints is refused, one with endpoints translated") {
  const NftPiece none = service_rules(web(), {{}}, {"n1", ""}, {}, nullptr);
  CHECK(none.chains.empty());
  CHECK(none.shared.at("no-endpoint-services").at("tcp . 10.43.0.5 . 80") == "goto reject-service");
  const NftPiece some =
      service_rules(web(), {endpoints({"10.42.0.2", "10.42.0.3"})}, {"n1", ""}, {}, nullptr);
  CHECK(some.shared.count("no-endpoint-services") == 0);
  CHECK(some.shared.at("hairpin").count("10.42.0.2 . 10.42.0.2") == 1);
  REQUIRE(some.chains.size() == 1);
  const std::string chain = some.chains.begin()->first;
  CHECK(some.shared.at("service-ips").at("tcp . 10.43.0.5 . 80") == "goto " + chain);
  CHECK(slots_of(some).elements == NftElements{{"0", "10.42.0.2 . 8080"}, {"1", "10.42.0.3 . 8080"}});
}

TEST_CASE("Endpoints keep their slots") {
  const NftPiece before =
      service_rules(web(), {endpoints({"10.42.0.2", "10.42.0.3", "10.42.0.4"})}, {"n1", ""}, {}, nullptr);
  const NftPiece replaced =
      service_rules(web(), {endpoints({"10.42.0.2", "10.42.0.9", "10.42.0.4"})}, {"n1", ""}, {}, &before);
  CHECK(slots_of(replaced).elements ==
        NftElements{{"0", "10.42.0.2 . 8080"}, {"1", "10.42.0.9 . 8080"}, {"2", "10.42.0.4 . 8080"}});
  CHECK(replaced.chains == before.chains);
  const NftPiece fewer =
      service_rules(web(), {endpoints({"10.42.0.3", "10.42.0.4"})}, {"n1", ""}, {}, &before);
  CHECK(slots_of(fewer).elements == NftElements{{"0", "10.42.0.4 . 8080"}, {"1", "10.42.0.3 . 8080"}});
}

TEST_CASE("A changed endpoint is a few commands, however many services there are") {
  NftTable table("ip", "t", proxy_skeleton({}));
  for (int i = 0; i < 500; ++i) {
    ProxyService s = web();
    s.key += std::to_string(i);
    s.cluster_ips = {parse_cidr("10.43.0.0/16")->plus(static_cast<uint32_t>(i))};
    table.set(s.key, service_rules(s, {endpoints({"10.42.0.2", "10.42.0.3"})}, {"n1", ""}, {}, nullptr));
  }
  (void)table.full();
  CHECK(table.take().empty());
  ProxyService s = web();
  s.key += "7";
  s.cluster_ips = {parse_cidr("10.43.0.0/16")->plus(7)};
  table.set(s.key,
            service_rules(s, {endpoints({"10.42.0.2", "10.42.0.9"})}, {"n1", ""}, {}, table.find(s.key)));
  const NftChange change = table.take();
  CHECK(lines(change.apply) == 3);  // slot out and in, address of the new endpoint
  CHECK(change.cleanup.empty());
  // The other services keep the old endpoint's address in the common set.
  CHECK(change.apply.find("delete element ip t hairpin") == std::string::npos);
  table.set(s.key, {});
  CHECK(lines(table.take().cleanup) == 2);  // chain and map
}

TEST_CASE("Of two services with one address the first by name has it, then the other") {
  NftTable table("ip", "t", "");
  NftPiece a;
  a.shared["m"]["k"] = "goto a";
  NftPiece b;
  b.shared["m"]["k"] = "goto b";
  table.set("b", b);
  CHECK(table.take().apply == "add element ip t m { k : goto b }\n");
  table.set("a", a);
  CHECK(table.take().apply == "delete element ip t m { k }\nadd element ip t m { k : goto a }\n");
  table.set("b", {});
  CHECK(table.take().empty());
  table.set("b", b);
  table.set("a", {});
  CHECK(table.take().apply == "delete element ip t m { k }\nadd element ip t m { k : goto b }\n");
  // There and back again is nothing.
  table.set("b", {});
  table.set("b", b);
  CHECK(table.take().empty());
}

TEST_CASE("The node's own addresses have no rules") {
  RulesConfig config;
  config.own_ips = {*parse_ip("10.43.0.5")};
  const NftPiece piece = service_rules(web(), {{}}, {"n1", ""}, config, nullptr);
  CHECK(piece.empty());
}

TEST_CASE("Text from the API does not get out of its place") {
  ProxyService s = web();
  s.key = "default/\"; } flush ruleset; #";
  const NftPiece piece = service_rules(s, {endpoints({"10.42.0.2"})}, {"n1", ""}, {}, nullptr);
  for (const auto& [name, chain] : piece.chains)
    CHECK(chain.comment.find_first_of("\"{};# ") == std::string::npos);
}

TEST_CASE("Stale UDP connections") {
  const auto flow = [](const char* to, uint16_t port, const char* from, uint16_t from_port) {
    return UdpFlow{*parse_ip(to), *parse_ip(from), port, from_port};
  };
  std::vector<ServiceTarget> targets;
  ProxyService s = web();
  s.ports = {{"dns", "udp", 53, 30053}};
  EndpointChoice choice;
  choice.cluster = endpoints({"10.42.0.2"});
  add_targets(targets, s, s.ports[0], choice, {});
  REQUIRE(targets.size() == 2);
  const std::set<std::string> local = {"192.168.1.1"};
  CHECK_FALSE(is_stale(flow("10.43.0.5", 53, "10.42.0.2", 8080), targets, local));
  CHECK(is_stale(flow("10.43.0.5", 53, "10.42.0.3", 8080), targets, local));
  CHECK(is_stale(flow("10.43.0.5", 53, "10.43.0.5", 53), targets, local));
  CHECK_FALSE(is_stale(flow("10.43.0.6", 53, "10.42.0.3", 8080), targets, local));
  CHECK_FALSE(is_stale(flow("10.43.0.5", 54, "10.42.0.3", 8080), targets, local));
  CHECK(is_stale(flow("192.168.1.1", 30053, "10.42.0.3", 8080), targets, local));
  CHECK_FALSE(is_stale(flow("192.168.1.2", 30053, "10.42.0.3", 8080), targets, local));
  // Without endpoints: what was translated is stale, what never was has nowhere to go.
  targets.clear();
  add_targets(targets, s, s.ports[0], {}, {});
  CHECK(is_stale(flow("10.43.0.5", 53, "10.42.0.2", 8080), targets, local));
  CHECK_FALSE(is_stale(flow("10.43.0.5", 53, "10.43.0.5", 53), targets, local));
}
