#include "server/scheduler/plugins/all.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

api::ObjectPtr claim(const char* name, const Json& more = Json::object()) {
  Json tree = json(R"({"metadata":{"namespace":"ns"},"spec":{"devices":{"requests":[
      {"name":"r","exactly":{"deviceClassName":"gpu","allocationMode":"ExactCount","count":1}}]}}})");
  tree.merge_patch(more);
  return object("ResourceClaim", name, tree);
}

Json allocated(const char* node, const char* device, std::initializer_list<const char*> users = {}) {
  Json status = {
      {"allocation",
       {{"devices",
         {{"results",
           Json::array(
               {{{"request", "r"}, {"driver", "d.example.com"}, {"pool", node}, {"device", device}}})}}},
        {"nodeSelector",
         {{"nodeSelectorTerms", Json::array({{{"matchFields", Json::array({{{"key", "metadata.name"},
                                                                            {"operator", "In"},
                                                                            {"values", {node}}}})}}})}}}}}};
  for (const char* user : users) {
    status["reservedFor"].push_back(
        {{"resource", "pods"}, {"name", user}, {"uid", std::string("uid-") + user}});
  }
  return {{"status", std::move(status)}};
}

api::ObjectPtr slice(const char* node, int devices) {
  Json tree = {{"spec",
                {{"driver", "d.example.com"},
                 {"nodeName", node},
                 {"pool", {{"name", node}, {"generation", 1}, {"resourceSliceCount", 1}}},
                 {"devices", Json::array()}}}};
  for (int i = 0; i < devices; ++i) tree["spec"]["devices"].push_back({{"name", "d" + std::to_string(i)}});
  return object("ResourceSlice", std::string("slice-") + node, tree);
}

PodPtr claiming(const char* name, std::initializer_list<const char*> claims) {
  Json list = Json::array();
  for (const char* c : claims) list.push_back({{"name", c}, {"resourceClaimName", c}});
  return pod(name, "", {{"spec", {{"resourceClaims", list}}}});
}

/// Nodes n1 with two devices and n2 with one, class gpu, and these claims.
World world(std::initializer_list<api::ObjectPtr> claims) {
  FakeObjects objects;
  objects.add(Kind::kDeviceClass, object("DeviceClass", "gpu", Json::object()));
  objects.add(Kind::kResourceSlice, slice("n1", 2));
  objects.add(Kind::kResourceSlice, slice("n2", 1));
  for (const auto& c : claims) objects.add(Kind::kResourceClaim, c);
  return World({node("n1"), node("n2")}, objects);
}

Outcome place(const World& w, const PodPtr& p) {
  static const Profile profile = default_profile();
  static const std::vector<std::unique_ptr<Extender>> none;
  return decide(profile, none, *p, w.cluster(), {}, 0);
}

TEST_CASE("why a pod cannot have its claims") {
  const Json other_class = json(R"({"spec":{"devices":{"requests":[
      {"name":"r","exactly":{"deviceClassName":"tpu","allocationMode":"ExactCount","count":1}}]}}})");
  const Json two = json(R"({"spec":{"devices":{"requests":[
      {"name":"r","exactly":{"deviceClassName":"gpu","allocationMode":"ExactCount","count":3}}]}}})");
  const Json broken = json(R"({"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"gpu",
      "allocationMode":"ExactCount","count":1,"selectors":[{"cel":{"expression":"device.driver"}}]}}]}}})");
  struct Case {
    const char* what;
    api::ObjectPtr claim;
    bool failed;
    const char* message;
  };
  const Case cases[] = {
      {"no claim", claim("other"), false, "0/2 nodes are available: could not find ResourceClaim \"ns/c\"."},
      {"going", claim("c", {{"metadata", {{"deletionTimestamp", "2026-01-01T00:00:00Z"}}}}), false,
       "0/2 nodes are available: resourceclaim \"c\" is being deleted."},
      {"no class", claim("c", other_class), false,
       "0/2 nodes are available: request r: device class tpu does not exist."},
      {"not so many", claim("c", two), false, "0/2 nodes are available: 2 cannot allocate all claims."},
      {"on a node that is gone", claim("c", allocated("n3", "d0")), false,
       "0/2 nodes are available: 2 resourceclaim not available on the node."},
      {"a broken selector", claim("c", broken), true,
       "running \"DynamicResources\" filter plugin: claim ns/c: selector #0: CEL compile error: must "
       "evaluate "
       "to bool or the unknown type, not string"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    const World w = world({c.claim});
    const Outcome outcome = place(w, claiming("p", {"c"}));
    CHECK(outcome.node == nullptr);
    CHECK(outcome.failed == c.failed);
    CHECK(outcome.message == c.message);
  }
}

TEST_CASE("devices are given but once") {
  World w = world({claim("a", allocated("n1", "d0", {"q"})), claim("b"), claim("c"), claim("e")});
  const Profile profile = default_profile();
  const Plugin& plugin = *profile.gates.at(0);
  const auto give = [&](const char* name, const char* where) {
    const PodPtr p = claiming(name, {name});
    const Outcome outcome = place(w, p);
    REQUIRE(outcome.node != nullptr);
    auto plan = plugin.claims(*p, *find_node(w.nodes(), where), w.cluster());
    REQUIRE(plan.ok());
    w.devices().assume(*plan);
    const Json& result = (*plan)[0].allocation->at("devices").at("results")[0];
    return std::string(base::string_at(result, {"device"}));
  };
  CHECK(give("b", "n1") == "d1");
  CHECK(give("c", "n2") == "d0");
  CHECK(place(w, claiming("x", {"e"})).message == "0/2 nodes are available: 2 cannot allocate all claims.");
  // Whoever shares a claim waits until it is written.
  CHECK(place(w, claiming("y", {"b"})).message ==
        "0/2 nodes are available: resource claim ns/b is in the process of being allocated.");
  w.devices().forget("uid-b");
  CHECK(place(w, claiming("x", {"e"})).node == find_node(w.nodes(), "n1"));
}

TEST_CASE("a pod goes where its claim is, shared or not") {
  const World w = world({claim("a", allocated("n2", "d0", {"q"})), claim("b", allocated("n1", "d0", {}))});
  const Outcome shared = place(w, claiming("p", {"a"}));
  REQUIRE(shared.node != nullptr);
  CHECK(shared.node->name == "n2");
  const Outcome apart = place(w, claiming("p", {"a", "b"}));
  CHECK(apart.node == nullptr);
  CHECK(apart.message == "0/2 nodes are available: 2 resourceclaim not available on the node.");
  REQUIRE(apart.filters.unavailable_claims() != nullptr);
  CHECK(apart.filters.unavailable_claims()->size() == 2);
}

TEST_CASE("the alternative that is named first is liked best") {
  FakeObjects objects;
  objects.add(Kind::kDeviceClass, object("DeviceClass", "gpu", Json::object()));
  objects.add(Kind::kResourceSlice, slice("n1", 1));
  objects.add(Kind::kResourceSlice, slice("n2", 2));
  objects.add(Kind::kResourceClaim,
              claim("c", {{"spec", {{"devices", {{"requests", json(R"([{"name":"r","firstAvailable":[
    {"name":"two","deviceClassName":"gpu","allocationMode":"ExactCount","count":2},
    {"name":"one","deviceClassName":"gpu","allocationMode":"ExactCount","count":1}]}])")}}}}}}));
  const World w({node("n1"), node("n2")}, objects);
  const Outcome outcome = place(w, claiming("p", {"c"}));
  REQUIRE(outcome.node != nullptr);
  CHECK(outcome.node->name == "n2");
}

TEST_CASE("what wakes a pod that waits for devices") {
  const api::ObjectPtr mine = claim("c"), other = claim("o"), held = claim("o", allocated("n1", "d0")),
                       noted = claim("c", {{"metadata", {{"labels", {{"a", "b"}}}}}}),
                       given = claim("c", allocated("n1", "d0"));
  struct Case {
    const char* what;
    uint32_t kinds;
    api::ObjectPtr before, after;
    bool helps;
  };
  const Case cases[] = {
      {"its claim was made", kResourceClaimChanged, nullptr, mine, true},
      {"another's was made", kResourceClaimChanged, nullptr, other, false},
      {"another's was freed", kResourceClaimChanged, held, other, true},
      {"another's was allocated", kResourceClaimChanged, other, held, false},
      {"its claim was labelled", kResourceClaimChanged, mine, noted, false},
      {"its claim was allocated", kResourceClaimChanged, mine, given, true},
      {"a slice", kSliceChanged, nullptr, slice("n1", 1), true},
  };
  const World w = world({mine});
  const PodPtr p = claiming("p", {"c"}), lost = claiming("q", {"absent"});
  const Profile profile = default_profile();
  const Plugin& plugin = *profile.gates.at(0);
  for (const Case& c : cases) {
    INFO(c.what);
    Event event{c.kinds};
    event.before = c.before;
    event.after = c.after;
    CHECK(plugin.helps(event, *p, w.cluster()) == c.helps);
    if ((c.kinds & kResourceClaimChanged) != 0) CHECK_FALSE(plugin.helps(event, *lost, w.cluster()));
  }
  CHECK(plugin.not_ready(*p, w.cluster()).empty());
  CHECK(plugin.not_ready(*lost, w.cluster()) == "could not find ResourceClaim \"ns/absent\"");
  const PodPtr waits = pod("w", "", {{"spec", {{"resourceClaims", json(R"([{"name":"a",
      "resourceClaimTemplateName":"t"}])")}}}});
  CHECK(plugin.not_ready(*waits, w.cluster()) == "pod \"ns/w\": ResourceClaim not created yet");
}

}  // namespace
}  // namespace orch::testing
