#include "server/scheduler/plugins/plugins.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

Json labels(const char* app) { return {{"metadata", {{"labels", {{"app", app}}}}}}; }

/// "near", "apart", "prefers" or "dislikes" pods of this app in the same zone; `more` is merged into the
/// term.
Json wants(const char* what, const char* app, const Json& more = Json::object()) {
  Json term = {{"topologyKey", "zone"}, {"labelSelector", {{"matchLabels", {{"app", app}}}}}};
  term.merge_patch(more);
  const bool required = what == std::string("near") || what == std::string("apart");
  const bool affinity = what == std::string("near") || what == std::string("prefers");
  const Json item = required ? term : Json{{"weight", 10}, {"podAffinityTerm", term}};
  return {{"spec",
           {{"affinity",
             {{affinity ? "podAffinity" : "podAntiAffinity",
               {{required ? "requiredDuringSchedulingIgnoredDuringExecution"
                          : "preferredDuringSchedulingIgnoredDuringExecution",
                 Json::array({item})}}}}}}}};
}

Json both(Json a, const Json& b) {
  a.merge_patch(b);
  return a;
}

NodeInfo in_zone(const std::string& name, const char* zone, const std::vector<PodPtr>& pods = {}) {
  Json more = Json::object();
  if (zone != nullptr) more = {{"metadata", {{"labels", {{"zone", zone}}}}}};
  return node(name, more, pods);
}

FakeObjects with_namespaces() {
  FakeObjects out;
  for (const char* name : {"ns", "other"}) {
    Json tree = {{"metadata", {{"labels", {{"team", name}}}}}};
    out.add(Kind::kNamespace, object("Namespace", name, tree));
  }
  return out;
}

/// The reason that each node is refused for, "" when it fits.
std::vector<std::string> refusals(const PodPtr& p, const World& world) {
  const auto plugin = make_inter_pod_affinity();
  Prepared prepared = plugin->prepare(*p, world.cluster());
  std::vector<std::string> out;
  for (const NodeInfo* n : world.nodes()) {
    Reasons why;
    if (prepared.filter != nullptr) prepared.filter->filter(*n, why);
    out.push_back(why.empty() ? "" : why[0]);
  }
  return out;
}

constexpr const char* kNotNear = "node(s) didn't match pod affinity rules";
constexpr const char* kTooNear = "node(s) didn't match pod anti-affinity rules";
constexpr const char* kRepelled = "node(s) didn't satisfy existing pods anti-affinity rules";

TEST_CASE("where pods that need or shun others fit") {
  struct Case {
    const char* what;
    PodPtr pod;
    std::vector<PodPtr> on_a;  // zone 1, as b; c is in zone 2, d in none
    std::vector<std::string> expect;
  };
  const PodPtr web = pod("web", "", labels("web"));
  const PodPtr elsewhere = pod("w2", "", both(labels("web"), {{"metadata", {{"namespace", "other"}}}}));
  const std::vector<Case> cases = {
      {"nothing wanted", pod("p"), {web}, {"", "", "", ""}},
      {"near: the whole zone", pod("p", "", wants("near", "web")), {web}, {"", "", kNotNear, kNotNear}},
      {"near somebody who is nowhere",
       pod("p", "", wants("near", "db")),
       {web},
       {kNotNear, kNotNear, kNotNear, kNotNear}},
      {"near its like, the first of them",
       pod("p", "", both(labels("db"), wants("near", "db"))),
       {web},
       {"", "", "", kNotNear}},
      {"near its like, the second",
       pod("p", "", both(labels("web"), wants("near", "web"))),
       {web},
       {"", "", kNotNear, kNotNear}},
      {"apart", pod("p", "", wants("apart", "web")), {web}, {kTooNear, kTooNear, "", ""}},
      {"who is there wants to be apart",
       pod("p", "", labels("db")),
       {pod("q", "", wants("apart", "db"))},
       {kRepelled, kRepelled, "", ""}},
      {"of another namespace",
       pod("p", "", wants("near", "web")),
       {elsewhere},
       {kNotNear, kNotNear, kNotNear, kNotNear}},
      {"by the namespace's name",
       pod("p", "", wants("near", "web", {{"namespaces", {"other"}}})),
       {elsewhere},
       {"", "", kNotNear, kNotNear}},
      {"by the namespace's labels",
       pod("p", "", wants("near", "web", {{"namespaceSelector", {{"matchLabels", {{"team", "other"}}}}}})),
       {elsewhere},
       {"", "", kNotNear, kNotNear}},
      {"by the labels of its own namespace, seen from there",
       pod("p", "", labels("db")),
       {pod("q", "",
            both(wants("apart", "db", {{"namespaceSelector", {{"matchLabels", {{"team", "ns"}}}}}}),
                 {{"metadata", {{"namespace", "other"}}}}))},
       {kRepelled, kRepelled, "", ""}},
      {"in all namespaces",
       pod("p", "", wants("near", "web", {{"namespaceSelector", Json::object()}})),
       {elsewhere},
       {"", "", kNotNear, kNotNear}},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    World world({in_zone("a", "1", c.on_a), in_zone("b", "1"), in_zone("c", "2"), in_zone("d", nullptr)},
                with_namespaces());
    CHECK(refusals(c.pod, world) == c.expect);
  }
}

TEST_CASE("a filter follows pods that are put there and taken away on trial") {
  const PodPtr web = pod("web", "", labels("web"));
  World world({in_zone("a", "1", {web}), in_zone("b", "2")});
  const PodPtr p = pod("p", "", wants("apart", "web"));
  const auto plugin = make_inter_pod_affinity();
  Prepared prepared = plugin->prepare(*p, world.cluster());
  REQUIRE(prepared.filter != nullptr);
  auto trial = prepared.filter->clone();
  Reasons why;
  trial->remove_pod(*web, *world.nodes()[0]);
  CHECK(trial->filter(*world.nodes()[0], why) == Verdict::kFits);
  trial->add_pod(*web, *world.nodes()[1]);
  CHECK(trial->filter(*world.nodes()[1], why) == Verdict::kOccupied);
  // The original knows nothing of it.
  CHECK(prepared.filter->filter(*world.nodes()[0], why) == Verdict::kOccupied);
  CHECK(prepared.filter->filter(*world.nodes()[1], why) == Verdict::kFits);
}

TEST_CASE("what pods would rather be near to") {
  struct Case {
    const char* what;
    PodPtr pod;
    std::vector<PodPtr> on_a;
    std::vector<int64_t> expect;  // of a, b, c, d; empty: all alike
  };
  const PodPtr web = pod("web", "", labels("web"));
  const std::vector<Case> cases = {
      {"nothing", pod("p"), {web}, {}},
      {"near", pod("p", "", wants("prefers", "web")), {web}, {100, 100, 0, 0}},
      {"away", pod("p", "", wants("dislikes", "web")), {web}, {0, 0, 100, 100}},
      {"liked by who is there",
       pod("p", "", labels("db")),
       {pod("q", "", wants("prefers", "db"))},
       {100, 100, 0, 0}},
      {"disliked", pod("p", "", labels("db")), {pod("q", "", wants("dislikes", "db"))}, {0, 0, 100, 100}},
      {"who needed one like this would like another",
       pod("p", "", labels("db")),
       {pod("q", "", wants("near", "db"))},
       {100, 100, 0, 0}},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    World world({in_zone("a", "1", c.on_a), in_zone("b", "1"), in_zone("c", "2"), in_zone("d", nullptr)});
    const auto plugin = make_inter_pod_affinity();
    auto scorer = plugin->scorer(*c.pod, world.cluster(), world.nodes());
    std::vector<int64_t> scores;
    if (scorer != nullptr) {
      for (const NodeInfo* n : world.nodes()) scores.push_back(scorer->score(*n));
      scorer->normalise(scores);
    }
    CHECK(scores == c.expect);
  }
}

TEST_CASE("what wakes a pod that pods were in the way of, or missing") {
  const PodPtr web = pod("web", "", labels("web")), db = pod("db", "", labels("db"));
  const NodeInfo zone1 = in_zone("a", "1"), zone2 = in_zone("a", "2"), nowhere = in_zone("a", nullptr);
  struct Case {
    const char* what;
    PodPtr waiting;
    Event event;
    bool helps;
  };
  auto pod_event = [](uint32_t kinds, const PodPtr& before, const PodPtr& after) {
    Event e{kinds};
    e.pod_before = before.get();
    e.pod = after.get();
    return e;
  };
  auto node_event = [](uint32_t kinds, const NodeInfo* before, const NodeInfo* after) {
    Event e{kinds};
    e.node_before = before;
    e.node = after;
    return e;
  };
  const PodPtr near = pod("p", "", wants("near", "web")), apart = pod("p", "", wants("apart", "web"));
  const PodPtr shunned = pod("p", "", labels("db")), shuns = pod("q", "", wants("apart", "db"));
  const std::vector<Case> cases = {
      {"its like comes", near, pod_event(kPodAdded, nullptr, web), true},
      {"somebody else comes", near, pod_event(kPodAdded, nullptr, db), false},
      {"its like goes", near, pod_event(kPodGone, web, nullptr), false},
      {"who is in the way goes", apart, pod_event(kPodGone, web, nullptr), true},
      {"somebody else goes", apart, pod_event(kPodGone, db, nullptr), false},
      {"who shuns it goes", shunned, pod_event(kPodGone, shuns, nullptr), true},
      {"who is in the way is relabelled", apart, pod_event(kPodLabels, web, db), true},
      {"somebody becomes its like", near, pod_event(kPodLabels, db, web), true},
      {"a node of some zone", near, node_event(kNodeAdded, nullptr, &zone1), true},
      {"a node without one", near, node_event(kNodeAdded, nullptr, &nowhere), false},
      {"a node without one is a way out", apart, node_event(kNodeAdded, nullptr, &nowhere), true},
      {"a node moves", near, node_event(kNodeLabels, &zone1, &zone2), true},
      {"a node stays", near, node_event(kNodeLabels, &zone1, &zone1), false},
  };
  World world({});
  const auto plugin = make_inter_pod_affinity();
  for (const auto& c : cases) {
    INFO(c.what);
    CHECK(plugin->helps(c.event, *c.waiting, world.cluster()) == c.helps);
  }
}

}  // namespace
}  // namespace orch::testing
