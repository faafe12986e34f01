// TaintToleration: keeps pods off nodes whose taints they do not tolerate, and prefers nodes with few
// PreferNoSchedule taints they do not.
#include <algorithm>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

bool repels(const NodeInfo& node, const PodInfo& pod) {
  return std::any_of(node.taints.begin(), node.taints.end(), [&](const Taint& t) {
    return (t.effect == "NoSchedule" || t.effect == "NoExecute") && !pod.tolerates(t);
  });
}

class Filter final : public NodeFilter {
 public:
  explicit Filter(const PodInfo& pod) : pod_(pod) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    if (!repels(node, pod_)) return Verdict::kFits;
    reasons.emplace_back("node(s) had untolerated taint(s)");
    return Verdict::kUnsuitable;
  }

 private:
  const PodInfo& pod_;
};

class Scorer final : public NodeScorer {
 public:
  explicit Scorer(const PodInfo& pod) : pod_(pod) {}
  int64_t score(const NodeInfo& node) const override {
    return std::count_if(node.taints.begin(), node.taints.end(), [&](const Taint& t) {
      return t.effect == "PreferNoSchedule" && !pod_.tolerates(t);
    });
  }
  void normalise(std::vector<int64_t>& scores) const override { normalise_by_highest(scores, true); }

 private:
  const PodInfo& pod_;
};

class TaintToleration final : public Plugin {
 public:
  std::string_view name() const override { return "TaintToleration"; }
  bool scores() const override { return true; }
  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    (void)cluster;
    Prepared out;
    out.filter = std::make_unique<Filter>(pod);
    return out;
  }
  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    (void)cluster, (void)feasible;
    return std::make_unique<Scorer>(pod);
  }
  uint32_t helped_by() const override { return kNodeAdded | kNodeTaints | kOwnTolerations; }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    (void)cluster;
    if ((event.kinds & kOwnTolerations) != 0 || event.node == nullptr) return true;
    return !repels(*event.node, waiting) &&
           (event.node_before == nullptr || repels(*event.node_before, waiting));
  }
};

}  // namespace

PluginPtr make_taint_toleration() { return std::make_unique<TaintToleration>(); }

}  // namespace orch::server::scheduler
