#include "server/scheduler/plugins/plugins.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

Json labels(const char* app) { return {{"metadata", {{"labels", {{"app", app}}}}}}; }

/// Spreads pods of app x over zones, itself one of them; `more` is merged into the constraint.
PodPtr spreads(const Json& more = Json::object(), const Json& rest = Json::object()) {
  Json constraint = {{"maxSkew", 1},
                     {"topologyKey", "zone"},
                     {"whenUnsatisfiable", "DoNotSchedule"},
                     {"labelSelector", {{"matchLabels", {{"app", "x"}}}}}};
  constraint.merge_patch(more);
  Json tree = labels("x");
  tree["spec"]["topologySpreadConstraints"] = Json::array({constraint});
  tree.merge_patch(rest);
  return pod("p", "", tree);
}

NodeInfo in_zone(const std::string& name, const char* zone, int pods, const Json& more = Json::object()) {
  Json tree = more;
  if (zone != nullptr) tree["metadata"]["labels"]["zone"] = zone;
  std::vector<PodPtr> there;
  for (int i = 0; i < pods; ++i) there.push_back(pod(base::cat(name, "-", i), "", labels("x")));
  return node(name, tree, there);
}

std::string fitting(const PodPtr& p, const World& world) {
  const auto plugin = make_topology_spread();
  Prepared prepared = plugin->prepare(*p, world.cluster());
  std::string out;
  for (const NodeInfo* n : world.nodes()) {
    Reasons why;
    if (prepared.filter == nullptr || prepared.filter->filter(*n, why) == Verdict::kFits) out += n->name;
  }
  return out;
}

TEST_CASE("where a pod does not tilt the balance") {
  const Json on_ssd = {{"spec", {{"nodeSelector", {{"disk", "ssd"}}}}}};
  const Json ssd = {{"metadata", {{"labels", {{"disk", "ssd"}}}}}};
  const Json tainted = json(R"({"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]}})");
  struct Case {
    const char* what;
    PodPtr pod;
    std::vector<NodeInfo> nodes;
    const char* expect;
  };
  const std::vector<Case> cases = {
      {"the emptier zone", spreads(), {in_zone("a", "1", 1), in_zone("b", "2", 0)}, "b"},
      {"as many", spreads(), {in_zone("a", "1", 1), in_zone("b", "2", 1)}, "ab"},
      {"zones, not nodes",
       spreads(),
       {in_zone("a", "1", 0), in_zone("b", "1", 1), in_zone("c", "2", 0)},
       "c"},
      {"a larger skew", spreads({{"maxSkew", 2}}), {in_zone("a", "1", 1), in_zone("b", "2", 0)}, "ab"},
      {"a node without the label", spreads(), {in_zone("a", "1", 0), in_zone("b", nullptr, 0)}, "a"},
      {"one that is not counted itself",
       spreads(Json::object(), labels("y")),
       {in_zone("a", "1", 1), in_zone("b", "2", 0)},
       "ab"},
      {"fewer domains than asked for count as empty ones",
       spreads({{"minDomains", 3}}),
       {in_zone("a", "1", 1), in_zone("b", "2", 0)},
       "b"},
      {"as many as asked for",
       spreads({{"minDomains", 2}}),
       {in_zone("a", "1", 1), in_zone("b", "2", 1)},
       "ab"},
      {"nodes it cannot go to do not count",
       spreads(Json::object(), on_ssd),
       {in_zone("a", "1", 1, ssd), in_zone("b", "2", 0)},
       "ab"},
      {"unless they shall",
       spreads({{"nodeAffinityPolicy", "Ignore"}}, on_ssd),
       {in_zone("a", "1", 1, ssd), in_zone("b", "2", 0)},
       "b"},
      {"tainted nodes count", spreads(), {in_zone("a", "1", 1), in_zone("b", "2", 0, tainted)}, "b"},
      {"unless they shall not",
       spreads({{"nodeTaintsPolicy", "Honor"}}),
       {in_zone("a", "1", 1), in_zone("b", "2", 0, tainted)},
       "ab"},
      {"of one version only",
       spreads({{"matchLabelKeys", {"version"}}}, {{"metadata", {{"labels", {{"version", "2"}}}}}}),
       {in_zone("a", "1", 1), in_zone("b", "2", 0)},
       "ab"},
      {"soft ones refuse nobody",
       spreads({{"whenUnsatisfiable", "ScheduleAnyway"}}),
       {in_zone("a", "1", 1), in_zone("b", "2", 0)},
       "ab"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    World world(c.nodes);
    CHECK(fitting(c.pod, world) == c.expect);
  }
}

TEST_CASE("the lowest domain is right after pods went and came on trial") {
  World world({in_zone("a", "1", 1), in_zone("b", "2", 2), in_zone("c", "3", 3)});
  const auto plugin = make_topology_spread();
  const PodPtr p = spreads();
  Prepared prepared = plugin->prepare(*p, world.cluster());
  auto trial = prepared.filter->clone();
  Reasons why;
  const NodeInfo& c = *world.nodes()[2];
  for (const auto& [uid, there] : c.pods) trial->remove_pod(*there, c);
  CHECK(trial->filter(c, why) == Verdict::kFits);                      // 0 + 1 - 0
  CHECK(trial->filter(*world.nodes()[0], why) == Verdict::kOccupied);  // 1 + 1 - 0
  for (const auto& [uid, there] : c.pods) trial->add_pod(*there, c);
  CHECK(trial->filter(c, why) == Verdict::kOccupied);
  CHECK(trial->filter(*world.nodes()[0], why) == Verdict::kFits);
}

std::vector<int64_t> scores(const PodPtr& p, const World& world,
                            SpreadArgs args = SpreadArgs::system_defaults()) {
  const auto plugin = make_topology_spread(std::move(args));
  auto scorer = plugin->scorer(*p, world.cluster(), world.nodes());
  std::vector<int64_t> out;
  if (scorer == nullptr) return out;
  for (const NodeInfo* n : world.nodes()) out.push_back(scorer->score(*n));
  scorer->normalise(out);
  return out;
}

TEST_CASE("soft constraints prefer emptier domains, and nodes that have one") {
  const PodPtr p = spreads({{"whenUnsatisfiable", "ScheduleAnyway"}});
  World world({in_zone("a", "1", 2), in_zone("b", "2", 0), in_zone("c", nullptr, 0)});
  CHECK(scores(p, world) == std::vector<int64_t>{0, 100, 0});
}

TEST_CASE("pods of a service or a controller are spread without being told") {
  FakeObjects objects;
  objects.add(Kind::kService,
              object("Service", "s",
                     {{"metadata", {{"namespace", "ns"}}}, {"spec", {{"selector", {{"app", "x"}}}}}}));
  objects.add(Kind::kReplicaSet, object("ReplicaSet", "rs",
                                        {{"metadata", {{"namespace", "ns"}}},
                                         {"spec", {{"selector", {{"matchLabels", {{"app", "y"}}}}}}}}));
  World world({in_zone("a", "1", 4), in_zone("b", "2", 0)}, objects);
  const auto by_service = scores(pod("p", "", labels("x")), world);
  REQUIRE(by_service.size() == 2);
  CHECK(by_service[0] < by_service[1]);
  CHECK(scores(pod("p", "", labels("z")), world).empty());
  const Json owned = json(
      R"({"metadata":{"labels":{"app":"y"},"ownerReferences":[
          {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"1","controller":true}]}})");
  CHECK(scores(pod("p", "", owned), world) == std::vector<int64_t>{100, 100});
}

}  // namespace
}  // namespace orch::testing
