// NodePorts: two pods cannot have the same host port of one node.
#include <algorithm>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

/// The unspecified address stands for every address.
bool clash(const HostPort& a, const HostPort& b) {
  const auto& [ip_a, protocol_a, port_a] = a;
  const auto& [ip_b, protocol_b, port_b] = b;
  return port_a == port_b && protocol_a == protocol_b &&
         (ip_a == ip_b || ip_a == "0.0.0.0" || ip_b == "0.0.0.0");
}

class NodePorts final : public Plugin {
 public:
  std::string_view name() const override { return "NodePorts"; }
  uint32_t helped_by() const override { return kNodeAdded | kPodGone | kPodChanged; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    for (const auto& wanted : pod.ports) {
      const bool taken = std::any_of(node.ports.begin(), node.ports.end(),
                                     [&](const HostPort& used) { return clash(wanted, used); });
      if (!taken) continue;
      reasons.emplace_back("node(s) didn't have free ports for the requested pod ports");
      return Verdict::kOccupied;
    }
    return Verdict::kFits;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_ports() { return std::make_unique<NodePorts>(); }

}  // namespace orch::server::scheduler
