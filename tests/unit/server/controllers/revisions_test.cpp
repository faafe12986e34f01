#include "server/controllers/revisions.h"

#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using server::kRevisions;
using server::kStatefulSets;

// Values as k8s.io/kubernetes' controller/history gives them for the same data.
TEST_CASE("a revision's hash is the one Kubernetes gives") {
  const Json plain = json(
      R"({"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}})");
  CHECK(server::revision_hash(plain, 0) == "74989c9496");
  CHECK(server::revision_hash(plain, 1) == "74989c9497");
  const Json escaped = json(
      "{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{\"annotations\":{\"a\":\"<b>&"
      "c\\u2028d\"}},"
      "\"spec\":{\"terminationGracePeriodSeconds\":1000000}}}}");
  CHECK(server::revision_hash(escaped, 0) == "769cb4f57");
  CHECK(server::revision_hash(escaped, 1) == "769cb4f56");
}

TEST_CASE("a revision keeps the template and gives it back") {
  const Json set = {{"spec", {{"template", template_x()}}}};
  const Json patch = server::template_patch(set);
  CHECK(patch["spec"]["template"]["$patch"] == "replace");
  CHECK(server::template_of({{"data", patch}}) == template_x());
}

TEST_CASE("a revision's name fits") {
  CHECK(server::revision_name("web", "abc") == "web-abc");
  CHECK(server::revision_name(std::string(250, 'a'), "abc").size() == 227);
}

TEST_CASE("revisions come oldest first; orphans that match are adopted") {
  MapView view;
  auto revision = [&](const std::string& name, int number, const char* app, bool owned) {
    Json r = {{"metadata", {{"name", name}, {"labels", {{"app", app}}}}},
              {"data", Json::object()},
              {"revision", number}};
    view.put(kRevisions, owned ? owned_by(r, "apps/v1", "StatefulSet", "web") : r);
  };
  view.put(kStatefulSets, {{"metadata", {{"name", "web"}}}});
  revision("c", 3, "x", true);
  revision("a", 1, "x", true);
  revision("b", 2, "x", false);
  revision("d", 4, "other", false);
  const auto selector = api::LabelSelector::from_map({{"app", "x"}});
  Plan plan;
  const auto set = view.get(kStatefulSets, "ns", "web");
  std::string names;
  for (const auto& r : server::claim_revisions(view, *set, selector, plan)) names += r.name();
  CHECK(names == "abc");
  const auto adopted = writes(plan, Verb::kPatch, "controllerrevisions");
  REQUIRE(adopted.size() == 1);
  CHECK(adopted[0].name == "b");
  CHECK((*adopted[0].body)["metadata"]["ownerReferences"][0]["uid"] == "uid-web");
}

}  // namespace
}  // namespace orch::testing
