// TaintToleration: keeps pods off nodes whose taints they do not tolerate, and prefers nodes with few
// PreferNoSchedule taints they do not.
#include <algorithm>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class TaintToleration final : public Plugin {
 public:
  std::string_view name() const override { return "TaintToleration"; }
  uint32_t helped_by() const override { return kNodeAdded | kNodeTaints | kPodChanged; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    const bool repelled = std::any_of(node.taints.begin(), node.taints.end(), [&](const Taint& t) {
      return (t.effect == "NoSchedule" || t.effect == "NoExecute") && !pod.tolerates(t);
    });
    if (!repelled) return Verdict::kFits;
    reasons.emplace_back("node(s) had untolerated taint(s)");
    return Verdict::kUnsuitable;
  }
  int64_t weight() const override { return 3; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    return std::count_if(node.taints.begin(), node.taints.end(),
                         [&](const Taint& t) { return t.effect == "PreferNoSchedule" && !pod.tolerates(t); });
  }
  Normalise normalise() const override { return Normalise::kLowest; }
};

}  // namespace

std::unique_ptr<Plugin> make_taint_toleration() { return std::make_unique<TaintToleration>(); }

}  // namespace orch::server::scheduler
