// NodePorts: two pods cannot have the same host port of one node.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class Filter final : public NodeFilter {
 public:
  explicit Filter(const PodInfo& pod) : pod_(pod) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    if (api::ports_free(pod_, node)) return Verdict::kFits;
    reasons.emplace_back("node(s) didn't have free ports for the requested pod ports");
    return Verdict::kOccupied;
  }

 private:
  const PodInfo& pod_;
};

class NodePorts final : public Plugin {
 public:
  std::string_view name() const override { return "NodePorts"; }
  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    (void)cluster;
    Prepared out;
    if (!pod.ports.empty()) out.filter = std::make_unique<Filter>(pod);
    return out;
  }
  uint32_t helped_by() const override { return kNodeAdded | kPodGone; }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    (void)cluster;
    if ((event.kinds & kPodGone) == 0 || event.pod_before == nullptr) return true;
    NodeInfo just_that;
    just_that.ports.insert(event.pod_before->ports.begin(), event.pod_before->ports.end());
    return !api::ports_free(waiting, just_that);
  }
};

}  // namespace

PluginPtr make_node_ports() { return std::make_unique<NodePorts>(); }

}  // namespace orch::server::scheduler
