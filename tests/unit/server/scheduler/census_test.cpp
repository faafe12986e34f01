#include "server/scheduler/census.h"

#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

Json labels(const char* app) { return {{"metadata", {{"labels", {{"app", app}}}}}}; }

NodeInfo in_zone(const std::string& name, const char* zone, const std::vector<PodPtr>& pods = {}) {
  return node(name, {{"metadata", {{"labels", {{"zone", zone}}}}}}, pods);
}

/// Groups of namespace "ns" as "app zone:pods zone:pods, …", by app.
std::string groups(const Census& census) {
  std::map<std::string, std::string> out;
  census.each_group("ns", [&](const Census::Group& g) {
    std::string& text = out[std::string(g.sample->label("app"))];
    const std::map<std::string, int64_t> sorted(g.counts.by("zone").of.begin(), g.counts.by("zone").of.end());
    for (const auto& [zone, n] : sorted) text += base::cat(" ", zone, ":", n);
  });
  std::string text;
  for (const auto& [app, counts] : out) text += base::cat(text.empty() ? "" : ", ", app, counts);
  return text;
}

TEST_CASE("pods with the same labels are counted together, by the values of a node label") {
  NodeInfo a = in_zone("a", "1", {pod("w1", "", labels("web")), pod("w2", "", labels("web"))});
  NodeInfo b = in_zone("b", "2", {pod("w3", "", labels("web")), pod("d", "", labels("db"))});
  Census census;
  census.add_node(a);
  census.add_node(b);
  CHECK(groups(census) == "db 2:1, web 1:2 2:1");
  const PodPtr more = pod("w4", "", labels("web"));
  census.add_pod(*more, b);
  CHECK(groups(census) == "db 2:1, web 1:2 2:2");
  census.remove_pod(*more, b);
  census.remove_node(a);
  CHECK(groups(census) == "db 2:1, web 2:1");
  census.remove_node(b);
  CHECK(groups(census).empty());
}

TEST_CASE("a node that moves takes its pods along") {
  NodeInfo a = in_zone("a", "1", {pod("w1", "", labels("web"))});
  Census census;
  census.add_node(a);
  CHECK(groups(census) == "web 1:1");
  census.remove_node(a);
  a.labels["zone"] = "2";
  census.add_node(a);
  CHECK(groups(census) == "web 2:1");
}

TEST_CASE("images and claims are counted") {
  const Json claim = json(R"({"spec":{"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}})");
  const Json image = json(R"({"status":{"images":[{"names":["i:1","i@sha256:x"],"sizeBytes":1}]}})");
  NodeInfo a = node("a", image, {pod("p", "", claim), pod("q", "", claim)}), b = node("b", image);
  Census census;
  census.add_node(a);
  census.add_node(b);
  CHECK(census.nodes_with_image("i:1") == 2);
  CHECK(census.nodes_with_image("i:2") == 0);
  CHECK(census.uses_of_claim("ns", "c") == 2);
  census.remove_node(a);
  CHECK(census.nodes_with_image("i:1") == 1);
  CHECK(census.uses_of_claim("ns", "c") == 0);
}

TEST_CASE("sums of counts, with large ones not copied") {
  Counts::ByValue many, few;
  for (int i = 0; i < 100; ++i) many.of[std::to_string(i)] = 1;
  many.total = 100;
  few.of["7"] = 3;
  few.total = 3;
  Tally t;
  t.add(many, 2);
  t.add(few, -1);
  CHECK(t.at("7") == -1);
  CHECK(t.at("8") == 2);
  CHECK(t.at("x") == 0);
  t.adjust("8", -1);
  CHECK(t.at("8") == 1);
  CHECK(t.total() == 102);
}

}  // namespace
}  // namespace orch::testing
