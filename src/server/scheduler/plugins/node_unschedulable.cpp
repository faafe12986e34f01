// NodeUnschedulable: cordoned nodes take only pods that tolerate it.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class NodeUnschedulable final : public Plugin {
 public:
  std::string_view name() const override { return "NodeUnschedulable"; }
  uint32_t helped_by() const override { return kNodeAdded | kNodeTaints | kPodChanged; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    static const Taint taint{"node.kubernetes.io/unschedulable", "", "NoSchedule"};
    if (!node.unschedulable || pod.tolerates(taint)) return Verdict::kFits;
    reasons.emplace_back("node(s) were unschedulable");
    return Verdict::kUnsuitable;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_unschedulable() { return std::make_unique<NodeUnschedulable>(); }

}  // namespace orch::server::scheduler
