// NodePorts: two pods cannot have the same host port of one node.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class NodePorts final : public Plugin {
 public:
  std::string_view name() const override { return "NodePorts"; }
  uint32_t helped_by() const override { return kNodeAdded | kPodGone | kPodChanged; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    if (api::ports_free(pod, node)) return Verdict::kFits;
    reasons.emplace_back("node(s) didn't have free ports for the requested pod ports");
    return Verdict::kOccupied;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_ports() { return std::make_unique<NodePorts>(); }

}  // namespace orch::server::scheduler
