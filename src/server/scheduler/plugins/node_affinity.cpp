// NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity, required and preferred.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class NodeAffinity final : public Plugin {
 public:
  std::string_view name() const override { return "NodeAffinity"; }
  uint32_t helped_by() const override { return kNodeAdded | kNodeLabels | kPodChanged; }
  void filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    if (!api::affinity_allows(pod, node))
      reasons.emplace_back("node(s) didn't match Pod's node affinity/selector");
  }
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
