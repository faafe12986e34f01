#include "server/scheduler/plugins/config.h"

#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

std::string file(const std::string& rest) {
  return "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n" + rest;
}

std::string filters(const Profile& p) {
  std::string out;
  for (const auto& e : p.filters) out += base::cat(out.empty() ? "" : " ", e.plugin->name());
  return out;
}

std::string scorers(const Profile& p) {
  std::string out;
  for (const auto& [plugin, weight] : p.scorers)
    out += base::cat(out.empty() ? "" : " ", plugin->name(), "=", weight);
  return out;
}

constexpr const char* kFilters =
    "NodeUnschedulable NodeName TaintToleration NodeAffinity NodePorts NodeResourcesFit VolumeRestrictions "
    "NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread InterPodAffinity DynamicResources";
constexpr const char* kScorers =
    "TaintToleration=3 NodeAffinity=2 NodeResourcesFit=1 PodTopologySpread=2 InterPodAffinity=2 "
    "DynamicResources=2 "
    "NodeResourcesBalancedAllocation=1 ImageLocality=1";

TEST_CASE("a file that says nothing is the default profile") {
  auto config = read_config(file(""));
  REQUIRE(config.ok());
  REQUIRE(config->profiles.size() == 1);
  const SchedulerConfig without_file = default_config();
  const Profile* both[] = {&config->profiles[0], &without_file.profiles[0]};
  for (const Profile* p : both) {
    CHECK(p->scheduler_name == "default-scheduler");
    CHECK(p->preempts);
    CHECK(filters(*p) == kFilters);
    CHECK(scorers(*p) == kScorers);
  }
}

TEST_CASE("profiles change the default plugins") {
  struct Case {
    const char* what;
    const char* plugins;
    std::string filters, scorers;
  };
  const std::vector<Case> cases = {
      {"off everywhere", "{multiPoint: {disabled: [{name: ImageLocality}, {name: NodePorts}]}}",
       "NodeUnschedulable NodeName TaintToleration NodeAffinity NodeResourcesFit VolumeRestrictions "
       "NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread InterPodAffinity DynamicResources",
       "TaintToleration=3 NodeAffinity=2 NodeResourcesFit=1 PodTopologySpread=2 InterPodAffinity=2 "
       "DynamicResources=2 "
       "NodeResourcesBalancedAllocation=1"},
      {"off at one point", "{score: {disabled: [{name: TaintToleration}]}}", kFilters,
       "NodeAffinity=2 NodeResourcesFit=1 PodTopologySpread=2 InterPodAffinity=2 DynamicResources=2 "
       "NodeResourcesBalancedAllocation=1 ImageLocality=1"},
      {"all off but one", "{score: {disabled: [{name: '*'}], enabled: [{name: NodeAffinity}]}}", kFilters,
       "NodeAffinity=1"},
      {"another weight goes first", "{score: {enabled: [{name: ImageLocality, weight: 9}]}}", kFilters,
       "ImageLocality=9 TaintToleration=3 NodeAffinity=2 NodeResourcesFit=1 PodTopologySpread=2 "
       "InterPodAffinity=2 DynamicResources=2 NodeResourcesBalancedAllocation=1"},
      {"another weight everywhere stays in its place",
       "{multiPoint: {enabled: [{name: NodeAffinity, weight: 9}]}}", kFilters,
       "TaintToleration=3 NodeAffinity=9 NodeResourcesFit=1 PodTopologySpread=2 InterPodAffinity=2 "
       "DynamicResources=2 "
       "NodeResourcesBalancedAllocation=1 ImageLocality=1"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    auto config = read_config(file(base::cat("profiles: [{schedulerName: s, plugins: ", c.plugins, "}]")));
    if (!config.ok()) FAIL(config.error().message());
    CHECK(config->profiles[0].scheduler_name == "s");
    CHECK(filters(config->profiles[0]) == c.filters);
    CHECK(scorers(config->profiles[0]) == c.scorers);
  }
}

TEST_CASE("what else a file can say") {
  auto config = read_config(file(R"(
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
percentageOfNodesToScore: 30
profiles:
- schedulerName: one
  pluginConfig:
  - {name: DefaultPreemption, args: {minCandidateNodesPercentage: 5, minCandidateNodesAbsolute: 7}}
- schedulerName: two
  percentageOfNodesToScore: 40
  plugins: {postFilter: {disabled: [{name: DefaultPreemption}]}}
extenders:
- {urlPrefix: http://x/, filterVerb: filter, weight: 3, prioritizeVerb: rank, httpTimeout: 250ms,
   managedResources: [{name: example.com/a, ignoredByScheduler: true}]}
)"));
  if (!config.ok()) FAIL(config.error().message());
  CHECK(config->first_backoff == std::chrono::seconds(2));
  CHECK(config->last_backoff == std::chrono::seconds(20));
  REQUIRE(config->profiles.size() == 2);
  CHECK(config->profiles[0].candidates_percent == 5);
  CHECK(config->profiles[0].candidates_at_least == 7);
  CHECK(config->profiles[0].percentage_of_nodes == 30);
  CHECK(config->profiles[1].percentage_of_nodes == 40);
  CHECK(config->profiles[0].preempts);
  CHECK_FALSE(config->profiles[1].preempts);
  REQUIRE(config->extenders.size() == 1);
  CHECK(config->extenders[0].timeout == std::chrono::milliseconds(250));
  CHECK(config->extenders[0].managed_resources == std::vector<std::string>{"example.com/a"});
}

TEST_CASE("files that are refused") {
  struct Case {
    const char* what;
    std::string text;
    const char* why;
  };
  const std::vector<Case> cases = {
      {"another kind", "apiVersion: v1\nkind: Pod\n",
       "no kind \"Pod\" is registered for version \"v1\" in scheme"},
      {"a member nobody knows", file("profiles: [{name: x}]"),
       "strict decoding error: unknown field \"profiles[0].name\""},
      {"two of one name", file("profiles: [{schedulerName: a}, {schedulerName: a}]"),
       "profiles[1].schedulerName: Duplicate value: \"profiles[0].schedulerName\""},
      {"a plugin nobody knows", file("profiles: [{plugins: {filter: {enabled: [{name: Nope}]}}}]"),
       "initializing profiles: plugin \"Nope\" does not exist"},
      {"no binder", file("profiles: [{plugins: {multiPoint: {disabled: [{name: DefaultBinder}]}}}]"),
       "initializing profiles: at least one bind plugin is needed for profile with scheduler name "
       "\"default-scheduler\""},
      {"a weight",
       file("profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]"),
       "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, "
       "100]"},
      {"a strategy",
       file("profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]}]"),
       "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Best\": supported "
       "values: "
       "\"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\""},
      {"constraints beside the system's",
       file("profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 1, "
            "topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]}]"),
       "profiles[0].pluginConfig[0].args.defaultingType: Invalid value: \"System\": when .defaultConstraints "
       "are "
       "not empty"},
      {"back-off", file("podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 2"),
       "podMaxBackoffSeconds: Invalid value: 2: must be greater than or equal to PodInitialBackoffSeconds"},
      {"an extender's weight", file("extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]"),
       "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    auto config = read_config(c.text);
    REQUIRE_FALSE(config.ok());
    CHECK(config.error().message() == c.why);
  }
}

}  // namespace
}  // namespace orch::testing
