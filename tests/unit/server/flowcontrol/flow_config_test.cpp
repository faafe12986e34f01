// Which schema, which flow, which level, how many seats.
#include "server/flowcontrol/flow_config.h"

#include <set>

#include "api/resources/flow_objects.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;

namespace {

FlowPlan builtin() {
  std::vector<LevelConfig> levels;
  std::vector<FlowSchema> schemas;
  for (const auto* list :
       {&api::builtin_priority_levels().mandatory, &api::builtin_priority_levels().suggested}) {
    for (const Json& object : *list) levels.push_back(*parse_priority_level(object));
  }
  for (const auto* list : {&api::builtin_flow_schemas().suggested, &api::builtin_flow_schemas().mandatory}) {
    for (const Json& object : *list) schemas.push_back(parse_flow_schema(object));
  }
  return plan_flows(levels, schemas);
}

struct Asked {
  std::string user;
  std::vector<std::string> groups;
  std::string verb, group, resource, subresource, ns, path;
};

std::string schema_of(const FlowPlan& plan, const Asked& a) {
  UserInfo user;
  user.name = a.user;
  user.groups = a.groups;
  const FlowRequest request{&user,      !a.resource.empty(), a.verb, a.group,
                            a.resource, a.subresource,       a.ns,   a.path};
  for (const FlowSchema& schema : plan.schemas) {
    if (matches(schema, request)) return schema.name;
  }
  return "-";
}

}  // namespace

TEST_CASE("the built-in schemas sort requests as Kubernetes does") {
  const FlowPlan plan = builtin();
  const std::string in = "system:authenticated";
  const struct {
    Asked asked;
    std::string schema;
  } rows[] = {
      {{"admin", {"system:masters", in}, "list", "", "pods", "", "", ""}, "exempt"},
      {{"u", {in}, "get", "", "", "", "", "/healthz"}, "probes"},
      {{"u", {in}, "get", "", "", "", "", "/readyz/ping"}, "probes"},
      {{"u", {in}, "get", "", "", "", "", "/version"}, "global-default"},
      {{"system:kube-scheduler", {in}, "update", "coordination.k8s.io", "leases", "", "kube-system", ""},
       "system-leader-election"},
      {{"system:kube-scheduler", {in}, "list", "coordination.k8s.io", "leases", "", "kube-system", ""},
       "kube-scheduler"},
      {{"system:node:n", {"system:nodes", in}, "update", "", "nodes", "status", "", ""}, "system-node-high"},
      {{"system:node:n",
        {"system:nodes", in},
        "update",
        "coordination.k8s.io",
        "leases",
        "",
        "kube-node-lease",
        ""},
       "system-node-high"},
      {{"system:node:n", {"system:nodes", in}, "get", "", "nodes", "proxy", "", ""}, "system-nodes"},
      {{"system:serviceaccount:kube-system:x",
        {"system:serviceaccounts", in},
        "list",
        "",
        "pods",
        "",
        "",
        ""},
       "kube-system-service-accounts"},
      {{"system:serviceaccount:kube-systemx:x",
        {"system:serviceaccounts", in},
        "list",
        "",
        "pods",
        "",
        "",
        ""},
       "service-accounts"},
      {{"system:anonymous", {"system:unauthenticated"}, "get", "", "", "", "", "/apis"}, "global-default"},
      {{"nobody", {}, "get", "", "", "", "", "/apis"}, "-"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.asked.user, row.asked.verb, row.asked.resource, row.asked.path);
    CHECK(schema_of(plan, row.asked) == row.schema);
  }
}

TEST_CASE("what is mandatory is there, whatever the store holds") {
  const FlowPlan none = plan_flows({}, {});
  REQUIRE(none.schemas.size() == 2);
  CHECK(none.schemas[0].name == "exempt");
  CHECK(none.schemas[1].name == "catch-all");
  CHECK(none.levels.size() == 2);
  FlowSchema lost;
  lost.name = "lost";
  lost.level = "gone";
  CHECK(plan_flows({}, {lost}).schemas.size() == 2);
  FlowSchema first, second;
  first.name = "b";
  second.name = "a";
  first.level = second.level = "catch-all";
  first.precedence = second.precedence = 7;
  const FlowPlan two =
      plan_flows({*parse_priority_level(api::builtin_priority_levels().mandatory[1])}, {first, second});
  REQUIRE(two.schemas.size() == 4);
  CHECK(two.schemas[1].name == "a");
  CHECK(two.schemas[2].name == "b");
}

TEST_CASE("levels whose parts do not go together are not used") {
  const auto level = [](const char* text) { return parse_priority_level(*base::parse_json(text)); };
  CHECK(level(R"({"metadata":{"name":"x"},"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":3,
      "limitResponse":{"type":"Reject"}}}})")
            ->shares == 3);
  CHECK_FALSE(level(R"({"metadata":{"name":"x"},"spec":{"type":"Limited"}})"));
  CHECK_FALSE(level(R"({"metadata":{"name":"x"},"spec":{"type":"Exempt","exempt":{}}})"));
  CHECK_FALSE(level(R"({"metadata":{"name":"x"},"spec":{"type":"Limited","limited":{
      "limitResponse":{"type":"Queue"}}}})"));
  CHECK_FALSE(level(R"({"metadata":{"name":"x"},"spec":{"type":"Limited","limited":{
      "limitResponse":{"type":"Queue","queuing":{"queues":4,"handSize":5,"queueLengthLimit":1}}}}})"));
}

TEST_CASE("seats by shares, as kube-apiserver has them with 600") {
  const FlowPlan plan = builtin();
  const auto seats = divide_seats(plan.levels, 600);
  const std::map<std::string, std::array<int64_t, 3>> expected = {
      {"exempt", {0, 0, 600}},          {"catch-all", {13, 13, 613}},       {"system", {74, 50, 674}},
      {"node-high", {98, 73, 698}},     {"leader-election", {25, 25, 625}}, {"workload-high", {98, 49, 698}},
      {"workload-low", {245, 24, 845}}, {"global-default", {49, 24, 649}}};
  for (size_t i = 0; i < plan.levels.size(); ++i) {
    CAPTURE(plan.levels[i].name);
    const auto& [nominal, least, most] = expected.at(plan.levels[i].name);
    CHECK(seats[i].nominal == nominal);
    CHECK(seats[i].least == least);
    CHECK(seats[i].most == most);
  }
}

TEST_CASE("hands are dealt by the hash, without a card twice") {
  std::vector<int> hand;
  deal(1, 128, 6, hand);
  CHECK(hand == std::vector<int>{1, 0, 2, 3, 4, 5});
  deal(0, 8, 3, hand);
  CHECK(hand == std::vector<int>{0, 1, 2});
  for (uint64_t i = 0; i < 2000; ++i) {
    deal(flow_hash("global-default", std::to_string(i)), 128, 6, hand);
    CHECK(std::set<int>(hand.begin(), hand.end()).size() == 6);
    for (int card : hand) CHECK((card >= 0 && card < 128));
  }
}

TEST_CASE("how wide a request of a level may be") {
  const FlowPlan plan = builtin();
  for (const LevelConfig& level : plan.levels) {
    if (level.name == "workload-low") CHECK(widest_request(level, 245) == 37);
    if (level.name == "global-default") CHECK(widest_request(level, 49) == 8);
    if (level.name == "global-default") CHECK(widest_request(level, 5) == 1);
    if (level.name == "catch-all") CHECK(widest_request(level, 13) == 0);
  }
}
