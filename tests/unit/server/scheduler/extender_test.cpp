#include "server/scheduler/extender.h"

#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

/// An extender that gives fixed answers and keeps what it was asked.
struct Fake {
  std::string verb;
  Json asked;
  std::string answer;
  std::unique_ptr<Extender> make(ExtenderConfig config) {
    config.url = "http://x";
    return make_extender(std::move(config),
                         [this](const ExtenderConfig&, const std::string& v, std::string body) {
                           verb = v;
                           asked = json(body);
                           return base::Result<std::string>(answer);
                         });
  }
};

TEST_CASE("extenders filter by names or by nodes") {
  const NodeInfo a = node("a"), b = node("b");
  const PodPtr p = pod("p");
  struct Case {
    const char* what;
    bool names;
    const char* answer;
    const char* left;
    const char* error;
  };
  const std::vector<Case> cases = {
      {"names", true, R"({"nodenames":["b"],"failedNodes":{"a":"no"}})", "b", ""},
      {"nodes", false,
       R"({"nodes":{"items":[{"metadata":{"name":"a"}}]},"failedAndUnresolvableNodes":{"b":"no"}})", "a", ""},
      {"none", true, R"({"nodenames":[],"failedNodes":{"a":"no","b":"no"}})", "", ""},
      {"an error", true, R"({"error":"broken"})", "", "broken"},
      {"a node it was not asked about", true, R"({"nodenames":["c"]})", "",
       "extender \"http://x\" claims a filtered node \"c\" which is not found in the input node list"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    Fake fake;
    fake.answer = c.answer;
    ExtenderConfig config;
    config.filter_verb = "filter";
    config.node_cache_capable = c.names;
    auto extender = fake.make(config);
    Snapshot nodes = {&a, &b};
    std::vector<Extender::Refused> refused;
    const base::Status s = extender->filter(*p, nodes, refused);
    CHECK(s.message() == c.error);
    CHECK(fake.verb == "filter");
    CHECK(base::string_at(fake.asked, {"pod", "metadata", "name"}) == "p");
    CHECK(fake.asked.contains("nodenames") == c.names);
    if (!s.ok()) continue;
    std::string left;
    for (const NodeInfo* n : nodes) left += n->name;
    CHECK(left == c.left);
    CHECK(refused.size() == 2 - left.size());
  }
}

TEST_CASE("extenders score with their weight") {
  const NodeInfo a = node("a"), b = node("b");
  Fake fake;
  fake.answer = R"([{"host":"b","score":10},{"host":"a","score":2}])";
  ExtenderConfig config;
  config.prioritize_verb = "rank";
  config.weight = 3;
  auto extender = fake.make(config);
  std::vector<int64_t> scores = {1, 1};
  REQUIRE(extender->prioritize(*pod("p"), {&a, &b}, scores).ok());
  CHECK(scores == std::vector<int64_t>{61, 301});
}

TEST_CASE("extenders bind, and are asked about pods that want their resources only") {
  Fake fake;
  fake.answer = R"({"error":"not today"})";
  ExtenderConfig config;
  config.bind_verb = "bind";
  config.managed_resources = {"example.com/a"};
  auto extender = fake.make(config);
  CHECK_FALSE(extender->interested(*pod("p", "1")));
  const PodPtr p =
      pod("p", "",
          json(R"({"spec":{"containers":[{"name":"c","resources":{"limits":{"example.com/a":"1"}}}]}})"));
  CHECK(extender->interested(*p));
  CHECK(extender->bind(*p, "a").message() == "not today");
  CHECK(fake.asked == Json{{"podName", "p"}, {"podNamespace", "ns"}, {"podUID", "uid-p"}, {"node", "a"}});
}

TEST_CASE("extenders choose among victims") {
  const PodPtr v1 = pod("v1"), v2 = pod("v2");
  const NodeInfo a = node("a", Json::object(), {v1, v2});
  Fake fake;
  fake.answer = R"({"nodeNameToMetaVictims":{"a":{"pods":[{"uid":"uid-v2"}],"numPDBViolations":1}}})";
  ExtenderConfig config;
  config.preempt_verb = "preempt";
  config.node_cache_capable = true;
  auto extender = fake.make(config);
  std::map<std::string, Extender::Victims> victims;
  victims["a"].pods = {v1, v2};
  REQUIRE(extender->preempt(*pod("p"), {&a}, victims).ok());
  REQUIRE(victims.size() == 1);
  CHECK(victims["a"].pods == std::vector<PodPtr>{v2});
  CHECK(victims["a"].violations == 1);
  CHECK(fake.asked["nodeNameToMetaVictims"]["a"]["pods"].size() == 2);
}

}  // namespace
}  // namespace orch::testing
