// NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity, required and preferred, and the affinity
// that the profile adds to all pods.
#include <algorithm>
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

/// Terms are or-ed: only when each of them names nodes is the pod bound to those.
std::optional<std::set<std::string>> names_of(const PodInfo& pod) {
  if (pod.required.empty()) return std::nullopt;
  std::set<std::string> names;
  for (const NodeTerm& term : pod.required) {
    auto of_term = names_of(term);
    if (!of_term) return std::nullopt;
    names.insert(of_term->begin(), of_term->end());
  }
  return names;
}

bool any_matches(const std::vector<NodeTerm>& terms, const NodeInfo& node) {
  return std::any_of(terms.begin(), terms.end(), [&](const NodeTerm& t) { return api::matches(t, node); });
}

class Filter final : public NodeFilter {
 public:
  Filter(const PodInfo& pod, const NodeAffinityArgs& added) : pod_(pod), added_(added) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    if (added_.has_required && !any_matches(added_.required, node)) {
      reasons.emplace_back("node(s) didn't match scheduler-enforced node affinity");
      return Verdict::kUnsuitable;
    }
    if (api::affinity_allows(pod_, node)) return Verdict::kFits;
    reasons.emplace_back("node(s) didn't match Pod's node affinity/selector");
    return Verdict::kUnsuitable;
  }

 private:
  const PodInfo& pod_;
  const NodeAffinityArgs& added_;
};

class Scorer final : public NodeScorer {
 public:
  Scorer(const PodInfo& pod, const NodeAffinityArgs& added) : pod_(pod), added_(added) {}
  int64_t score(const NodeInfo& node) const override {
    int64_t sum = 0;
    for (const auto* terms : {&added_.preferred, &pod_.preferred}) {
      for (const auto& [weight, term] : *terms) {
        if (api::matches(term, node)) sum += weight;
      }
    }
    return sum;
  }
  void normalise(std::vector<int64_t>& scores) const override { normalise_by_highest(scores, false); }

 private:
  const PodInfo& pod_;
  const NodeAffinityArgs& added_;
};

class NodeAffinity final : public Plugin {
 public:
  explicit NodeAffinity(NodeAffinityArgs args) : args_(std::move(args)) {}
  std::string_view name() const override { return "NodeAffinity"; }
  bool scores() const override { return true; }
  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    (void)cluster;
    Prepared out;
    if (!pod.has_required_affinity && pod.node_selector.empty() && !args_.has_required) return out;
    if (auto names = names_of(pod)) {
      if (names->empty()) {
        out.verdict = Verdict::kUnsuitable;
        out.reason = "pod affinity terms conflict";
        return out;
      }
      out.only_nodes.emplace(names->begin(), names->end());
    }
    out.filter = std::make_unique<Filter>(pod, args_);
    return out;
  }
  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    (void)cluster, (void)feasible;
    if (pod.preferred.empty() && args_.preferred.empty()) return nullptr;
    return std::make_unique<Scorer>(pod, args_);
  }
  uint32_t helped_by() const override { return kNodeAdded | kNodeLabels | kOwnSpec; }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    (void)cluster;
    if (event.node == nullptr) return true;
    if (args_.has_required && !any_matches(args_.required, *event.node)) return false;
    if (!api::affinity_allows(waiting, *event.node)) return false;
    return event.node_before == nullptr || !api::affinity_allows(waiting, *event.node_before);
  }

 private:
  const NodeAffinityArgs args_;
};

}  // namespace

PluginPtr make_node_affinity(NodeAffinityArgs args) {
  return std::make_unique<NodeAffinity>(std::move(args));
}

}  // namespace orch::server::scheduler
