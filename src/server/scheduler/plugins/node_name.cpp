// NodeName: a pod that names its node goes there or nowhere.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class NodeName final : public Plugin {
 public:
  std::string_view name() const override { return "NodeName"; }
  uint32_t helped_by() const override { return kNodeAdded; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    if (pod.node_name.empty() || pod.node_name == node.name) return Verdict::kFits;
    reasons.emplace_back("node(s) didn't match the requested node name");
    return Verdict::kUnsuitable;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_name() { return std::make_unique<NodeName>(); }

}  // namespace orch::server::scheduler
