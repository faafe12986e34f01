// NodeUnschedulable: cordoned nodes take only pods that tolerate it.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

const Taint& cordoned() {
  static const Taint taint{"node.kubernetes.io/unschedulable", "", "NoSchedule"};
  return taint;
}

class Filter final : public NodeFilter {
 public:
  explicit Filter(const PodInfo& pod) : pod_(pod) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    if (!node.unschedulable || pod_.tolerates(cordoned())) return Verdict::kFits;
    reasons.emplace_back("node(s) were unschedulable");
    return Verdict::kUnsuitable;
  }

 private:
  const PodInfo& pod_;
};

class NodeUnschedulable final : public Plugin {
 public:
  std::string_view name() const override { return "NodeUnschedulable"; }
  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    (void)cluster;
    Prepared out;
    out.filter = std::make_unique<Filter>(pod);
    return out;
  }
  uint32_t helped_by() const override { return kNodeAdded | kNodeTaints | kOwnTolerations; }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    (void)cluster;
    if ((event.kinds & kOwnTolerations) != 0) return waiting.tolerates(cordoned());
    if (event.node == nullptr) return true;
    return !event.node->unschedulable && (event.node_before == nullptr || event.node_before->unschedulable);
  }
};

}  // namespace

PluginPtr make_node_unschedulable() { return std::make_unique<NodeUnschedulable>(); }

}  // namespace orch::server::scheduler
