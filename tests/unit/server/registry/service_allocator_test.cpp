// Cluster IPs and node ports.
#include "server/registry/service_allocator.h"

#include <set>

#include "api/resources/kinds.h"
#include "tests/unit/server/registry/fixture.h"

namespace orch::testing {
namespace {

using base::Code;
using server::ServiceAllocator;
using server::ServiceRanges;

std::unique_ptr<ServiceAllocator> allocator(std::string cidr = "10.43.0.0/24", int first = 30000,
                                            int last = 30004) {
  auto made = ServiceAllocator::make({std::move(cidr), first, last});
  INFO(made.status().message());
  REQUIRE(made.ok());
  return std::move(*made);
}

Json service(const std::string& name, Json spec = Json::object()) {
  Json s = {{"metadata", {{"name", name}, {"uid", "uid-" + name}}}, {"spec", std::move(spec)}};
  if (!s["spec"].contains("type")) s["spec"]["type"] = "ClusterIP";
  if (!s["spec"].contains("ports")) s["spec"]["ports"] = json(R"([{"port":80,"protocol":"TCP"}])");
  if (s["spec"].contains("clusterIP")) s["spec"]["clusterIPs"] = Json::array({s["spec"]["clusterIP"]});
  return s;
}

/// As in an update of the registry.
base::Status change(ServiceAllocator& a, Json& next, const Json& old, bool dry_run = false) {
  api::service_strategy().prepare_update(next, old, {});
  return a.allocate(next, &old, dry_run);
}

TEST_CASE("ranges of services") {
  struct Case {
    const char* cidr;
    bool ok;
    const char* first;
    const char* tenth;
  };
  const std::vector<Case> cases = {
      {"10.43.0.0/16", true, "10.43.0.1", "10.43.0.10"},
      {"10.43.7.9/16", true, "10.43.0.1", "10.43.0.10"},
      {"10.0.0.0/8", true, "10.0.0.1", "10.0.0.10"},
      {"192.168.1.16/28", true, "192.168.1.17", "192.168.1.26"},
      {"fd00:43::/112", true, "fd00:43::1", "fd00:43::a"},
      {"fd00:43::/64", true, "fd00:43::1", "fd00:43::a"},
      {"10.43.0.0/30", true, "10.43.0.1", nullptr},
      {"10.43.0.0/31", false, nullptr, nullptr},
      {"10.43.0.0", false, nullptr, nullptr},
      {"10.43.0.0/x", false, nullptr, nullptr},
      {"10.43.0.0/33", false, nullptr, nullptr},
      {"10.43.0/16", false, nullptr, nullptr},
      {"", false, nullptr, nullptr},
      {"fd00::/127", false, nullptr, nullptr},
  };
  for (const auto& c : cases) {
    INFO(c.cidr);
    auto made = ServiceAllocator::make({c.cidr});
    REQUIRE(made.ok() == c.ok);
    if (!c.ok) {
      CHECK(made.error().code() == Code::kBadRequest);
      continue;
    }
    CHECK((*made)->address(1) == c.first);
    if (c.tenth != nullptr) CHECK((*made)->address(10) == c.tenth);
  }
}

TEST_CASE("every service gets an address of its own until there is none") {
  auto a = allocator("10.43.0.0/28");
  std::set<std::string> seen;
  std::vector<Json> all;
  for (int i = 0; i < 14; ++i) {
    Json s = service("s" + std::to_string(i));
    auto done = a->allocate(s, nullptr, false);
    INFO(done.message());
    REQUIRE(done.ok());
    CHECK(s["spec"]["clusterIPs"] == Json::array({s["spec"]["clusterIP"]}));
    CHECK(s["spec"]["ipFamilies"] == Json::array({"IPv4"}));
    CHECK(s["spec"]["ipFamilyPolicy"] == "SingleStack");
    CHECK(seen.insert(s["spec"]["clusterIP"]).second);
    all.push_back(s);
  }
  CHECK(seen.count("10.43.0.0") == 0);
  CHECK(seen.count("10.43.0.15") == 0);
  Json more = service("more");
  CHECK(a->allocate(more, nullptr, false).code() == Code::kInternal);
  a->settle(nullptr, &all[3]);
  REQUIRE(a->allocate(more, nullptr, false).ok());
  CHECK(more["spec"]["clusterIP"] == all[3]["spec"]["clusterIP"]);
}

TEST_CASE("addresses asked for") {
  auto a = allocator();
  Json s = service("s", {{"clusterIP", "10.43.0.10"}});
  REQUIRE(a->allocate(s, nullptr, false).ok());
  CHECK(s["spec"]["clusterIP"] == "10.43.0.10");
  Json again = service("t", {{"clusterIP", "10.43.0.10"}});
  auto refused = a->allocate(again, nullptr, false);
  CHECK(refused.code() == Code::kInvalid);
  CHECK(refused.message() ==
        "Service \"t\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.0.10\"]: failed to allocate IP "
        "10.43.0.10: provided IP is already allocated");
  Json outside = service("t", {{"clusterIP", "10.44.0.10"}});
  refused = a->allocate(outside, nullptr, false);
  CHECK(refused.message() ==
        "Service \"t\" is invalid: spec.clusterIPs: Invalid value: [\"10.44.0.10\"]: failed to allocate IP "
        "10.44.0.10: the provided network does not match the current range");
  for (const char* edge : {"10.43.0.0", "10.43.0.255"}) {
    Json e = service("t", {{"clusterIP", edge}});
    INFO(edge);
    CHECK(a->allocate(e, nullptr, false).code() == Code::kInvalid);
  }
  Json headless = service("h", {{"clusterIP", "None"}});
  REQUIRE(a->allocate(headless, nullptr, false).ok());
  CHECK(headless["spec"]["clusterIP"] == "None");
  Json another = service("h2", {{"clusterIP", "None"}});
  CHECK(a->allocate(another, nullptr, false).ok());
}

TEST_CASE("what a stored service holds is taken") {
  auto a = allocator();
  Json stored =
      service("s", {{"type", "NodePort"}, {"clusterIP", "10.43.0.20"}, {"clusterIPs", {"10.43.0.20"}}});
  stored["spec"]["ports"][0]["nodePort"] = 30001;
  a->adopt(stored);
  Json other = service("t", {{"clusterIP", "10.43.0.20"}});
  CHECK_FALSE(a->allocate(other, nullptr, false).ok());
  other = service("t", {{"type", "NodePort"}});
  other["spec"]["ports"][0]["nodePort"] = 30001;
  CHECK(a->allocate(other, nullptr, false).message() ==
        "Service \"t\" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already "
        "allocated");
  // An update of the same service keeps what it has.
  Json same = stored;
  CHECK(a->allocate(same, &stored, false).ok());
  CHECK(same == [&] {
    Json j = stored;
    j["spec"]["ipFamilies"] = {"IPv4"};
    j["spec"]["ipFamilyPolicy"] = "SingleStack";
    return j;
  }());
}

TEST_CASE("node ports") {
  auto a = allocator();
  Json s = service("s", {{"type", "NodePort"}});
  s["spec"]["ports"] =
      json(R"([{"name":"a","port":80},{"name":"b","port":81},{"name":"c","port":82,"nodePort":30004}])");
  auto done = a->allocate(s, nullptr, false);
  INFO(done.message());
  REQUIRE(done.ok());
  std::set<int> ports;
  for (const auto& p : s["spec"]["ports"]) ports.insert(p["nodePort"].get<int>());
  CHECK(ports.size() == 3);
  CHECK(*ports.rbegin() == 30004);
  Json outside = service("t", {{"type", "NodePort"}});
  outside["spec"]["ports"][0]["nodePort"] = 80;
  CHECK(a->allocate(outside, nullptr, false).message() ==
        "Service \"t\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the "
        "valid range. "
        "The range of valid ports is 30000-30004");
  // Nothing of a refused service stays taken: two are left, as before.
  Json two = service("u", {{"type", "NodePort"}});
  two["spec"]["ports"] = json(R"([{"name":"a","port":80},{"name":"b","port":81},{"name":"c","port":82}])");
  CHECK(a->allocate(two, nullptr, false).code() == Code::kInternal);
  two["spec"]["ports"].erase(2);
  for (auto& p : two["spec"]["ports"]) p.erase("nodePort");
  two["spec"].erase("clusterIP");
  two["spec"].erase("clusterIPs");
  CHECK(a->allocate(two, nullptr, false).ok());
}

TEST_CASE("a port asked for by number is not given to another port of the service") {
  for (int i = 0; i < 20; ++i) {
    auto a = allocator("10.43.0.0/24", 30000, 30001);
    Json s = service("s", {{"type", "NodePort"}});
    s["spec"]["ports"] = json(R"([{"name":"a","port":80},{"name":"b","port":81,"nodePort":30001}])");
    REQUIRE(a->allocate(s, nullptr, false).ok());
    CHECK(s["spec"]["ports"][0]["nodePort"] == 30000);
  }
}

TEST_CASE("one node port for the protocols of a port") {
  auto a = allocator("10.43.0.0/24", 30000, 30000);
  Json s = service("dns", {{"type", "NodePort"}});
  s["spec"]["ports"] =
      json(R"([{"name":"u","port":53,"protocol":"UDP"},{"name":"t","port":53,"protocol":"TCP"}])");
  REQUIRE(a->allocate(s, nullptr, false).ok());
  CHECK(s["spec"]["ports"][0]["nodePort"] == s["spec"]["ports"][1]["nodePort"]);
}

TEST_CASE("the same node port for two protocols of one service") {
  auto a = allocator();
  Json s = service("dns", {{"type", "NodePort"}});
  s["spec"]["ports"] = json(R"([{"name":"u","port":53,"protocol":"UDP","nodePort":30000},
                                {"name":"t","port":53,"protocol":"TCP","nodePort":30000}])");
  CHECK(a->allocate(s, nullptr, false).ok());
}

TEST_CASE("a service that is applied again keeps its address and ports") {
  auto a = allocator();
  Json stored = service("s", {{"type", "NodePort"}});
  REQUIRE(a->allocate(stored, nullptr, false).ok());
  Json next = service("s", {{"type", "NodePort"}});
  REQUIRE(change(*a, next, stored).ok());
  CHECK(next["spec"] == stored["spec"]);
}

TEST_CASE("a change of type gives back what is not needed") {
  auto a = allocator("10.43.0.0/24", 30000, 30000);
  Json stored = service("s", {{"type", "NodePort"}});
  REQUIRE(a->allocate(stored, nullptr, false).ok());
  SECTION("to ClusterIP") {
    Json next = stored;
    next["spec"]["type"] = "ClusterIP";
    REQUIRE(change(*a, next, stored).ok());
    CHECK_FALSE(next["spec"]["ports"][0].contains("nodePort"));
    CHECK(next["spec"]["clusterIP"] == stored["spec"]["clusterIP"]);
    a->settle(&next, &stored);
    Json other = service("t", {{"type", "NodePort"}});
    CHECK(a->allocate(other, nullptr, false).ok());
  }
  SECTION("to ExternalName") {
    Json next = stored;
    next["spec"]["type"] = "ExternalName";
    next["spec"]["externalName"] = "example.com";
    next["spec"].erase("ports");
    REQUIRE(change(*a, next, stored).ok());
    CHECK_FALSE(next["spec"].contains("clusterIP"));
    CHECK_FALSE(next["spec"].contains("ports"));
    a->settle(&next, &stored);
    Json other = service("t", {{"type", "NodePort"}, {"clusterIP", stored["spec"]["clusterIP"]}});
    CHECK(a->allocate(other, nullptr, false).ok());
  }
  SECTION("the write failed: nothing of what is in use is given back") {
    Json next = stored;
    next["spec"]["type"] = "ClusterIP";
    REQUIRE(change(*a, next, stored).ok());
    a->settle(&stored, &next);
    Json other = service("t", {{"type", "NodePort"}});
    CHECK_FALSE(a->allocate(other, nullptr, false).ok());
    other = service("t", {{"clusterIP", stored["spec"]["clusterIP"]}});
    CHECK_FALSE(a->allocate(other, nullptr, false).ok());
  }
}

TEST_CASE("load balancers") {
  auto a = allocator();
  Json s = service("lb", {{"type", "LoadBalancer"}, {"externalTrafficPolicy", "Local"}});
  REQUIRE(a->allocate(s, nullptr, false).ok());
  CHECK(s["spec"]["ports"][0]["nodePort"].is_number());
  CHECK(s["spec"]["healthCheckNodePort"].is_number());
  CHECK(s["spec"]["healthCheckNodePort"] != s["spec"]["ports"][0]["nodePort"]);
  Json without = service("lb2", {{"type", "LoadBalancer"}, {"allocateLoadBalancerNodePorts", false}});
  REQUIRE(a->allocate(without, nullptr, false).ok());
  CHECK_FALSE(without["spec"]["ports"][0].contains("nodePort"));
  // The health check port goes with the policy.
  Json next = s;
  next["spec"]["externalTrafficPolicy"] = "Cluster";
  REQUIRE(change(*a, next, s).ok());
  CHECK_FALSE(next["spec"].contains("healthCheckNodePort"));
}

TEST_CASE("a health check port of another service is refused") {
  auto a = allocator();
  // Node ports that are given out may be any: theirs are asked for.
  const auto local = [](const char* name, int port) {
    Json s = service(
        name, {{"type", "LoadBalancer"}, {"externalTrafficPolicy", "Local"}, {"healthCheckNodePort", 30002}});
    s["spec"]["ports"][0]["nodePort"] = port;
    return s;
  };
  Json s = local("a", 30000);
  REQUIRE(a->allocate(s, nullptr, false).ok());
  Json t = local("b", 30001);
  CHECK(a->allocate(t, nullptr, false).message() ==
        "failed to allocate requested HealthCheck NodePort 30002: provided port is already allocated");
}

TEST_CASE("a health check port is of the range") {
  auto a = allocator();
  Json s = service(
      "a", {{"type", "LoadBalancer"}, {"externalTrafficPolicy", "Local"}, {"healthCheckNodePort", 80}});
  CHECK(a->allocate(s, nullptr, false).message() ==
        "failed to allocate requested HealthCheck NodePort 80: provided port is not in the valid range. The "
        "range of valid ports is 30000-30004");
}

TEST_CASE("two ports of a service do not share a node port") {
  auto a = allocator();
  Json s = service("s", {{"type", "NodePort"}});
  s["spec"]["ports"] = json(R"([{"name":"a","port":80,"nodePort":30000,"protocol":"TCP"},
                                {"name":"b","port":81,"nodePort":30000,"protocol":"TCP"}])");
  CHECK(a->allocate(s, nullptr, false).message() ==
        "Service \"s\" is invalid: spec.ports[1].nodePort: Invalid value: 30000: provided port is already "
        "allocated");
  Json stored = service("s", {{"type", "NodePort"}});
  REQUIRE(a->allocate(stored, nullptr, false).ok());
  CHECK(change(*a, s, stored).message() == "duplicate nodePort: {TCP 30000}");
}

TEST_CASE("node ports of a dry run are made up") {
  struct Row {
    const char *ports, *given;
    int health;
    const char* error;
  };
  const Row rows[] = {
      {R"([{"port":1}])", "32769", 32770, ""},
      {R"([{"port":1,"nodePort":1}])", "1", 2, ""},
      {R"([{"port":1,"nodePort":40000},{"port":2}])", "40000 40001", 40002, ""},
      {R"([{"port":1},{"port":2,"nodePort":7}])", "32769 7", 32770, ""},
      {R"([{"port":1},{"port":1,"protocol":"UDP"}])", "32769 32769", 32770, ""},
      {R"([{"port":1,"nodePort":30000}])", "", 0,
       "Service \"s\" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already "
       "allocated"},
  };
  auto a = allocator();
  Json other = service("other", {{"type", "NodePort"}});
  other["spec"]["ports"][0]["nodePort"] = 30000;
  REQUIRE(a->allocate(other, nullptr, false).ok());
  for (const Row& row : rows) {
    INFO(row.ports);
    Json s = service("s", {{"type", "LoadBalancer"}, {"externalTrafficPolicy", "Local"}});
    s["spec"]["ports"] = json(row.ports);
    CHECK(a->allocate(s, nullptr, true).message() == row.error);
    if (*row.error != '\0') continue;
    std::string given;
    for (const Json& port : s["spec"]["ports"]) given += (given.empty() ? "" : " ") + port["nodePort"].dump();
    CHECK(given == row.given);
    CHECK(s["spec"]["healthCheckNodePort"] == row.health);
    a->settle(nullptr, &s);
  }
  CHECK_FALSE(a->allocate(other = service("more", other["spec"]), nullptr, false).ok());  // still taken
}

TEST_CASE("a service that is refused after it was given something gives it back") {
  RegistryFixture f;
  auto a = allocator("10.43.0.0/28", 30000, 30000);
  f.services_hook = a->hook();
  f.reopen();
  Json wrong = {{"metadata", {{"name", "s"}}},
                {"spec", {{"type", "NodePort"}, {"ports", json(R"([{"port":80},{"port":80}])")}}}};
  const auto refused = f.try_create("services", wrong);
  // Its ports are judged with the node port they were given.
  CHECK_THAT(refused.status().message(), contains("spec.ports[1].nodePort: Duplicate value: 30000"));
  wrong["spec"]["ports"].erase(1);
  Json stored = f.create("services", wrong);
  Json next = stored;
  next["spec"]["sessionAffinity"] = "Nonsense";
  CHECK_FALSE(f.try_update("services", next).ok());
  CHECK(f.get("services", "s") == stored);
  // Wrong addresses are all that is heard of.
  next["spec"]["clusterIPs"] = {"10.1.2.3"};
  CHECK(f.try_update("services", next).status().message() ==
        "Service \"s\" is invalid: spec.clusterIPs: Invalid value: [\"10.1.2.3\"]: first value must match "
        "`clusterIP`");
}

TEST_CASE("the registry allocates in its writes") {
  RegistryFixture f;
  auto a = allocator("10.43.0.0/28");
  f.services_hook = a->hook();
  f.reopen();
  auto make = [&](const std::string& name, const std::string& ip = "") {
    Json s = {{"metadata", {{"name", name}}}, {"spec", {{"ports", json(R"([{"port":80}])")}}}};
    if (!ip.empty()) s["spec"]["clusterIP"] = ip;
    return f.try_create("services", s);
  };
  auto first = make("a");
  INFO(first.status().message());
  REQUIRE(first.ok());
  const std::string ip = (*first)->tree()["spec"]["clusterIP"];
  CHECK_FALSE(make("b", ip).ok());
  // A refused create of a name in use gives its address back.
  for (int i = 0; i < 40; ++i) CHECK(make("a").error().code() == Code::kAlreadyExists);
  auto dry = f.registry().create(f.row("services"), "ns",
                                 json(R"({"kind":"Service","apiVersion":"v1","metadata":{"name":"dry"},
                                          "spec":{"ports":[{"port":80}],"clusterIP":"10.43.0.9"}})"),
                                 f.dry());
  CHECK(dry.ok());
  const auto dry_create = [&](const char* members) {
    Json s = json(R"({"kind":"Service","apiVersion":"v1","metadata":{"name":"dry"}})");
    s["spec"] = json(members);
    s["spec"]["ports"] = json(R"([{"port":80}])");
    return f.registry().create(f.row("services"), "ns", s, f.dry()).status().message();
  };
  // Whether somebody else has the address is not asked; it stays theirs.
  CHECK(dry_create(base::cat(R"({"clusterIP":")", ip, R"("})").c_str()).empty());
  CHECK_FALSE(make("b", ip).ok());
  CHECK_THAT(dry_create(R"({"clusterIP":"10.9.9.9"})"),
             contains("failed to allocate IP 10.9.9.9: the provided IP (10.9.9.9) is not in the valid range. "
                      "The range of valid IPs is 10.43.0.0/28"));
  CHECK_THAT(
      dry_create(R"({"ipFamilyPolicy":"RequireDualStack"})"),
      contains("spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured "
               "for dual-stack services"));
  REQUIRE(f.remove("services", "a").ok());
  CHECK(make("b", ip).ok());
}

TEST_CASE("more ranges, and others") {
  auto a = allocator("10.43.0.0/29");  // room for six
  const auto give = [&](const char* name) {
    Json s = service(name);
    const auto done = a->allocate(s, nullptr, false);
    return done.ok() ? s["spec"]["clusterIP"].get<std::string>() : done.message();
  };
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) CHECK(give(name).starts_with("10.43.0."));
  CHECK(give("g") == "failed to allocate a serviceIP: range is full");
  a->use_ranges({"10.43.0.0/29", "10.99.0.0/30", "none", "fd00::/112"});
  CHECK(give("g").starts_with("10.99.0."));
  a->use_ranges({"10.98.0.0/24"});
  CHECK(give("h").starts_with("10.98.0."));
  Json outside = service("t", {{"clusterIP", "10.43.0.1"}});
  CHECK(a->allocate(outside, nullptr, false).code() == Code::kInvalid);
  a->use_ranges({});
  CHECK(give("i") == "failed to allocate a serviceIP: range is full");
}

}  // namespace
}  // namespace orch::testing
