// NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity, required and preferred.
#include <set>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

/// The names a term asks for: its requirements are and-ed.
std::optional<std::set<std::string>> names_of(const NodeTerm& term) {
  std::optional<std::set<std::string>> out;
  for (const NodeRequirement& r : term) {
    if (!r.on_name || r.op != NodeRequirement::Op::kIn) continue;
    std::set<std::string> named(r.values.begin(), r.values.end());
    if (out) std::erase_if(named, [&](const std::string& name) { return out->count(name) == 0; });
    out = std::move(named);
  }
  return out;
}

class NodeAffinity final : public Plugin {
 public:
  std::string_view name() const override { return "NodeAffinity"; }
  uint32_t helped_by() const override { return kNodeAdded | kNodeLabels | kPodChanged; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    if (api::affinity_allows(pod, node)) return Verdict::kFits;
    reasons.emplace_back("node(s) didn't match Pod's node affinity/selector");
    return Verdict::kUnsuitable;
  }
  /// Terms are or-ed: only when each of them names nodes is the pod bound to those.
  std::optional<std::vector<std::string>> only_nodes(const PodInfo& pod) const override {
    if (pod.required.empty()) return std::nullopt;
    std::set<std::string> names;
    for (const NodeTerm& term : pod.required) {
      auto of_term = names_of(term);
      if (!of_term) return std::nullopt;
      names.insert(of_term->begin(), of_term->end());
    }
    return std::vector<std::string>(names.begin(), names.end());
  }
  std::string_view contradiction() const override { return "pod affinity terms conflict"; }
  int64_t weight() const override { return 2; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    int64_t sum = 0;
    for (const auto& [weight, term] : pod.preferred) {
      if (matches(term, node)) sum += weight;
    }
    return sum;
  }
  Normalise normalise() const override { return Normalise::kHighest; }
};

}  // namespace

std::unique_ptr<Plugin> make_node_affinity() { return std::make_unique<NodeAffinity>(); }

}  // namespace orch::server::scheduler
