// NodeName: a pod that names its node goes there or nowhere.
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class Filter final : public NodeFilter {
 public:
  explicit Filter(const PodInfo& pod) : pod_(pod) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    if (pod_.node_name == node.name) return Verdict::kFits;
    reasons.emplace_back("node(s) didn't match the requested node name");
    return Verdict::kUnsuitable;
  }

 private:
  const PodInfo& pod_;
};

class NodeName final : public Plugin {
 public:
  std::string_view name() const override { return "NodeName"; }
  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    (void)cluster;
    Prepared out;
    if (!pod.node_name.empty()) out.filter = std::make_unique<Filter>(pod);
    return out;
  }
  uint32_t helped_by() const override { return kNodeAdded; }
};

}  // namespace

PluginPtr make_node_name() { return std::make_unique<NodeName>(); }

}  // namespace orch::server::scheduler
