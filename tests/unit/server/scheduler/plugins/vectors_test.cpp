// What the plugins of kube-scheduler v1.35.4 answered about pods of random clusters (tools/schedulervectors),
// and what Orch's do: feasible nodes, who refuses the others and why, scores by plugin, messages, victims.
#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "server/scheduler/plugins/config.h"
#include "server/scheduler/preemption.h"
#include "tests/gunzip.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> known = {{"Namespace", Kind::kNamespace},
                                                    {"Service", Kind::kService},
                                                    {"ReplicaSet", Kind::kReplicaSet},
                                                    {"PersistentVolumeClaim", Kind::kClaim},
                                                    {"PersistentVolume", Kind::kVolume},
                                                    {"StorageClass", Kind::kStorageClass},
                                                    {"CSINode", Kind::kCsiNode},
                                                    {"CSIDriver", Kind::kCsiDriver},
                                                    {"CSIStorageCapacity", Kind::kCsiCapacity},
                                                    {"VolumeAttachment", Kind::kAttachment},
                                                    {"PodDisruptionBudget", Kind::kBudget}};
  return known;
}

api::ObjectPtr object_of(Json tree) {
  tree["apiVersion"] = "v1";
  tree["metadata"]["resourceVersion"] = "1";
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  return *made;
}

struct Case {
  std::vector<NodeInfo> nodes;
  FakeObjects objects;
  Nominated nominated;
  std::vector<Budget> budgets;
};

void add_budget(const Json& tree, std::vector<Budget>& out) {
  auto selector = api::LabelSelector::from_tree(base::object_at(tree, {"spec", "selector"}));
  if (!tree["spec"].contains("selector") || !selector.ok() || selector->empty()) return;
  out.push_back({std::string(base::string_at(tree, {"metadata", "namespace"})),
                 *selector,
                 base::int_at(tree, {"status", "disruptionsAllowed"}),
                 {}});
}

Case read_case(const Json& vector) {
  Case c;
  std::vector<PodPtr> pods;
  for (const auto& tree : vector["objects"]) {
    const std::string kind = tree["kind"];
    if (kind == "Node") {
      c.nodes.emplace_back().set_node(object_of(tree));
    } else if (kind == "Pod") {
      pods.push_back(read_pod(object_of(tree)));
    } else {
      if (kind == "PodDisruptionBudget") add_budget(tree, c.budgets);
      c.objects.add(kinds().at(kind), object_of(tree));
    }
  }
  for (const auto& answer : vector["answers"]) {
    const PodPtr p = read_pod(object_of(answer["pod"]));
    if (!p->nominated_node.empty()) c.nominated[p->nominated_node].push_back(p);
  }
  std::sort(c.nodes.begin(), c.nodes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const PodPtr& p : pods) {
    if (p->node_name.empty()) {
      c.nominated[p->nominated_node].push_back(p);
      continue;
    }
    for (auto& n : c.nodes) {
      if (n.name == p->node_name) n.add_pod(p);
    }
  }
  return c;
}

std::string text(Verdict v) {
  return v == Verdict::kOccupied     ? "Unschedulable"
         : v == Verdict::kUnsuitable ? "UnschedulableAndUnresolvable"
                                     : "Error";
}

/// The same as the tool writes for one pod.
Json answer_of(const Profile& profile, const World& world, const Case& c, const PodPtr& pod) {
  Json out = Json::object();
  const Cluster cluster = world.cluster();
  Filters filters(profile, *pod, cluster);
  if (filters.refused() == Verdict::kFailed) {
    out["message"] = "error: " + filters.message();
    return out;
  }
  if (filters.refused() != Verdict::kFits) {
    out["message"] = base::cat("0/", world.nodes().size(), " nodes are available: ", filters.message(), ".");
    return out;
  }
  Snapshot feasible;
  std::map<std::string, size_t> reasons;
  std::vector<const NodeInfo*> occupied;
  size_t looked_at = 0;
  for (const NodeInfo* node : world.nodes()) {
    const auto& only = filters.only_nodes();
    if (only && std::find(only->begin(), only->end(), node->name) == only->end()) continue;
    ++looked_at;
    Reasons why;
    const Verdict verdict = filters.check(*node, c.nominated, why);
    if (verdict == Verdict::kFits) {
      feasible.push_back(node);
      out["feasible"].push_back(node->name);
      continue;
    }
    if (verdict == Verdict::kFailed) return {{"message", "error: " + why.back()}};
    if (verdict == Verdict::kOccupied) occupied.push_back(node);
    std::sort(why.begin(), why.end());
    Json& refused = out["refused"][node->name] =
        Json::array({text(verdict), profile.filters[filters.last_rejector()].plugin->name()});
    for (const auto& w : why) refused.push_back(w), ++reasons[w];
  }
  if (!feasible.empty()) {
    if (feasible.size() < 2) return out;
    for (const auto& [plugin, scores] : score_nodes(profile, *pod, cluster, feasible)) {
      for (size_t i = 0; i < scores.size(); ++i)
        out["scores"][std::string(plugin)][feasible[i]->name] = scores[i];
    }
    return out;
  }
  std::vector<std::unique_ptr<Extender>> none;
  Outcome outcome = decide(profile, none, *pod, cluster, c.nominated, 0);
  out["message"] = outcome.message;
  CHECK(outcome.occupied == occupied);
  const PreemptionInput in{profile,          *pod,      cluster, c.nominated, outcome.filters,
                           outcome.occupied, c.budgets, 0};
  Preemption found = preempt(in, none);
  if (found.node.empty()) {
    out["preempt"] = found.message;
    return out;
  }
  for (const auto& [node, victims] : find_candidates(in).found) {
    Json& v = out["victims"][node] = {{"pods", Json::array()}};
    for (const auto& p : victims.pods) v["pods"].push_back(p->name);
    if (victims.violations != 0) v["violations"] = victims.violations;
  }
  return out;
}

bool all_zero(const Json& scores) {
  return std::all_of(scores.begin(), scores.end(), [](const Json& s) { return s == 0; });
}

/// What both may leave out: scores of plugins that like all nodes equally little, victims of equal rank in
/// another order.
Json comparable(Json answer) {
  answer.erase("pod");
  if (answer.contains("refused") && (answer["refused"].empty() || answer.contains("error")))
    answer.erase("refused");
  if (answer.contains("feasible") && answer["feasible"].size() < 2) answer.erase("scores");
  if (answer.contains("scores")) {
    for (auto it = answer["scores"].begin(); it != answer["scores"].end();)
      it = all_zero(*it) ? answer["scores"].erase(it) : std::next(it);
    if (answer["scores"].empty()) answer.erase("scores");
  }
  if (base::string_at(answer, {"message"}).starts_with("error: ")) answer = {{"message", answer["message"]}};
  for (auto& [node, v] : base::object_at(answer, {"victims"}).items())
    std::sort(answer["victims"][node]["pods"].begin(), answer["victims"][node]["pods"].end());
  return answer;
}

TEST_CASE("the plugins decide as kube-scheduler's") {
  std::ifstream file("tests/unit/server/scheduler/plugins/vectors.jsonl.gz", std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  std::istringstream lines(gunzip(bytes.str(), 64U << 20));
  size_t asked = 0, differ = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json vector = json(line);
    auto config = vector.contains("config") ? read_config(vector["config"].get<std::string>())
                                            : base::Result<SchedulerConfig>(default_config());
    INFO(vector["seed"]);
    if (!config.ok()) FAIL(config.error().message());
    Case c = read_case(vector);
    World world(c.nodes, c.objects);
    for (const auto& expected : vector["answers"]) {
      const PodPtr pod = read_pod(object_of(expected["pod"]));
      const Json got = comparable(answer_of(config->profiles[0], world, c, pod)), want = comparable(expected);
      ++asked;
      if (got == want) continue;
      // A few are enough to see what is wrong.
      if (++differ <= 20) {
        INFO("seed " << vector["seed"] << " pod " << pod->name << "\ngot  " << got.dump() << "\nwant "
                     << want.dump());
        CHECK(false);
      }
    }
  }
  INFO(differ << " of " << asked << " answers differ");
  CHECK(asked == 6000);
  CHECK(differ == 0);
}

}  // namespace
}  // namespace orch::testing
