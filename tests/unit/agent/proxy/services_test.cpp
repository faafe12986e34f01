#include "agent/proxy/services.h"

#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::agent;

namespace {

Json parse(const char* text) {
  auto out = base::parse_json(text);
  REQUIRE(out.ok());
  return *out;
}

/// "node ready serving terminating zone nodeHint" per endpoint; "1" or "0" for the flags, "-" for none.
ProxyEndpoint endpoint(const char* ip, const char* node, bool ready, bool serving = true,
                       bool terminating = false, const char* zone = "", const char* hinted = "") {
  ProxyEndpoint e;
  e.ip = *parse_ip(ip);
  e.port = 80;
  e.node = node;
  e.ready = ready;
  e.serving = serving;
  e.terminating = terminating;
  if (*zone != '\0') e.hinted_zones.emplace_back(zone);
  if (*hinted != '\0') e.hinted_nodes.emplace_back(hinted);
  return e;
}

std::string names(const std::vector<ProxyEndpoint>& endpoints) {
  std::string out;
  for (const auto& e : endpoints) out += e.ip.address().substr(8) + " ";
  return out;
}

}  // namespace

TEST_CASE("A service as the proxy sees it") {
  const ProxyService s = read_service(parse(R"({
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5", "fd00::5"],
      "externalIPs": ["10.99.0.1", "rubbish"], "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
      "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
      "loadBalancerSourceRanges": ["192.168.1.7/24", "no"],
      "ports": [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "dns", "protocol": "UDP", "port": 53},
                {"name": "odd", "protocol": "ICMP", "port": 1}, {"name": "none"}]},
    "status": {"loadBalancer": {"ingress": [{"ip": "10.99.0.7"}, {"ip": "10.99.0.8", "ipMode": "Proxy"},
                                            {"hostname": "lb.example.org"}]}}})"));
  CHECK(s.key == "default/web");
  CHECK(s.cluster_ips.size() == 2);
  CHECK(s.external_ips.size() == 1);
  REQUIRE(s.load_balancer_ips.size() == 1);
  CHECK(s.load_balancer_ips[0].address() == "10.99.0.7");
  REQUIRE(s.source_ranges.size() == 1);
  CHECK(s.source_ranges[0].text() == "192.168.1.0/24");
  CHECK(s.affinity);
  CHECK(s.affinity_seconds == 60);
  CHECK(s.internal_local);
  CHECK(s.external_local);
  REQUIRE(s.ports.size() == 2);
  CHECK(s.ports[0].protocol == "tcp");
  CHECK(s.ports[0].node_port == 30080);
  CHECK(s.ports[1].protocol == "udp");
}

TEST_CASE("Services that are not for this proxy") {
  const std::vector<const char*> specs = {
      R"({"metadata": {}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}})",
      R"({"metadata": {}, "spec": {"ports": [{"port": 80}]}})",
      R"({"metadata": {}, "spec": {"type": "ExternalName", "clusterIP": "10.43.0.5", "ports": [{"port": 80}]}})",
      R"({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "other"}},
          "spec": {"clusterIP": "10.43.0.5", "ports": [{"port": 80}]}})",
      R"({})",
      R"({"spec": []})",
      R"({"spec": {"clusterIP": 7, "ports": {"a": 1}}})"};
  for (const char* text : specs) {
    CAPTURE(text);
    CHECK(read_service(parse(text)).ports.empty());
  }
}

TEST_CASE("Endpoints of one port, from several slices") {
  const Json first =
      parse(R"({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    "endpoints": [{"addresses": ["10.42.0.2"], "nodeName": "n1", "conditions": {"ready": false, "terminating": true}},
                  {"addresses": ["10.42.0.3"], "hints": {"forZones": [{"name": "a"}]}},
                  {"addresses": []}, {"addresses": ["x"]}, {}]})");
  const Json second = parse(R"({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
    "endpoints": [{"addresses": ["10.42.0.2"], "nodeName": "n1"}]})");
  const Json other = parse(R"({"addressType": "IPv6", "ports": [{"name": "http", "port": 8080}],
    "endpoints": [{"addresses": ["fd00::2"]}]})");
  const auto v4 = read_endpoints({first, second, other}, {"http", "tcp", 80, 0}, false);
  REQUIRE(v4.size() == 2);
  CHECK(v4[0].ip.address() == "10.42.0.2");
  CHECK(v4[0].ready);  // in one of both
  CHECK(v4[1].hinted_zones == std::vector<std::string>{"a"});
  CHECK(v4[1].port == 8080);
  CHECK(read_endpoints({first, second, other}, {"http", "tcp", 80, 0}, true).size() == 1);
  CHECK(read_endpoints({first, second, other}, {"http", "udp", 80, 0}, false).empty());
  CHECK(read_endpoints({first, second, other}, {"dns", "tcp", 80, 0}, false).empty());
}

TEST_CASE("Which endpoints traffic may go to") {
  struct Case {
    const char* what;
    std::vector<ProxyEndpoint> endpoints;
    bool internal_local, node_port, external_local;
    const char *cluster, *local;
    bool any;
  };
  const auto ready = [](const char* ip, const char* node) { return endpoint(ip, node, true); };
  const auto leaving = [](const char* ip, const char* node) { return endpoint(ip, node, false, true, true); };
  const auto dead = [](const char* ip, const char* node) { return endpoint(ip, node, false, false, true); };
  const std::vector<Case> cases = {
      {"ready ones",
       {ready("10.42.0.2", "n1"), ready("10.42.0.3", "n2"), dead("10.42.0.4", "n1")},
       false,
       false,
       false,
       "2 3 ",
       "",
       true},
      {"leaving ones are left out while one is ready",
       {ready("10.42.0.2", "n1"), leaving("10.42.0.3", "n2")},
       false,
       false,
       false,
       "2 ",
       "",
       true},
      {"else they serve",
       {dead("10.42.0.2", "n1"), leaving("10.42.0.3", "n2")},
       false,
       false,
       false,
       "3 ",
       "",
       true},
      {"none", {dead("10.42.0.2", "n1")}, false, true, true, "", "", false},
      {"internal policy",
       {ready("10.42.0.2", "n1"), ready("10.42.0.3", "n2")},
       true,
       false,
       false,
       "",
       "2 ",
       true},
      {"internal policy without any here", {ready("10.42.0.3", "n2")}, true, false, false, "", "", true},
      {"external policy",
       {ready("10.42.0.2", "n1"), ready("10.42.0.3", "n2")},
       false,
       true,
       true,
       "2 3 ",
       "2 ",
       true},
      {"leaving here, ready elsewhere",
       {leaving("10.42.0.2", "n1"), ready("10.42.0.3", "n2")},
       false,
       true,
       true,
       "3 ",
       "2 ",
       true},
      {"external wants cluster",
       {ready("10.42.0.2", "n1"), ready("10.42.0.3", "n2")},
       true,
       true,
       false,
       "2 3 ",
       "2 ",
       true},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    ProxyService s;
    s.internal_local = c.internal_local;
    s.external_local = c.external_local;
    s.ports.push_back({"p", "tcp", 80, static_cast<uint16_t>(c.node_port ? 30000 : 0)});
    const EndpointChoice choice = choose_endpoints(c.endpoints, s, {"n1", ""});
    CHECK(names(choice.cluster) == c.cluster);
    CHECK(names(choice.local) == c.local);
    CHECK(choice.any == c.any);
  }
}

TEST_CASE("Hints narrow the choice only when all have them and one is for here") {
  const ProxyService s;
  const std::vector<ProxyEndpoint> zones = {endpoint("10.42.0.2", "n1", true, true, false, "a"),
                                            endpoint("10.42.0.3", "n2", true, true, false, "b")};
  CHECK(names(choose_endpoints(zones, s, {"n1", "b"}).cluster) == "3 ");
  CHECK(names(choose_endpoints(zones, s, {"n1", "c"}).cluster) == "2 3 ");
  CHECK(names(choose_endpoints(zones, s, {"n1", ""}).cluster) == "2 3 ");
  auto some = zones;
  some.push_back(endpoint("10.42.0.4", "n3", true));
  CHECK(names(choose_endpoints(some, s, {"n1", "b"}).cluster) == "2 3 4 ");
  const std::vector<ProxyEndpoint> nodes = {endpoint("10.42.0.2", "n1", true, true, false, "a", "n1"),
                                            endpoint("10.42.0.3", "n2", true, true, false, "a", "n2")};
  CHECK(names(choose_endpoints(nodes, s, {"n1", "a"}).cluster) == "2 ");
  CHECK(names(choose_endpoints(nodes, s, {"n9", "a"}).cluster) == "2 3 ");
}
