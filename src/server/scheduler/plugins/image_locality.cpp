// ImageLocality: prefers nodes that have the pod's images already, those more that are spread over many
// nodes: else pods would heap up on the few that have a rare one.
#include <algorithm>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

constexpr int64_t kSmall = 23LL << 20, kLargePerContainer = 1000LL << 20;

class Scorer final : public NodeScorer {
 public:
  Scorer(const PodInfo& pod, const Cluster& cluster) : pod_(pod) {
    const auto all = static_cast<double>(cluster.nodes.size());
    for (const auto& image : pod.images)
      spread_.push_back(static_cast<double>(cluster.census.nodes_with_image(image)) / all);
  }
  bool any() const {
    return std::any_of(spread_.begin(), spread_.end(), [](double s) { return s > 0; });
  }
  int64_t score(const NodeInfo& node) const override {
    int64_t sum = 0;
    for (size_t i = 0; i < spread_.size(); ++i) {
      if (spread_[i] == 0) continue;
      auto it = node.image_sizes.find(pod_.images[i]);
      if (it != node.image_sizes.end())
        sum += static_cast<int64_t>(static_cast<double>(it->second) * spread_[i]);
    }
    const int64_t most = kLargePerContainer * static_cast<int64_t>(pod_.images.size());
    return kMaxScore * (std::clamp(sum, kSmall, most) - kSmall) / (most - kSmall);
  }

 private:
  const PodInfo& pod_;
  std::vector<double> spread_;  // share of the nodes that have the image
};

class ImageLocality final : public Plugin {
 public:
  std::string_view name() const override { return "ImageLocality"; }
  bool filters() const override { return false; }
  bool scores() const override { return true; }
  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    (void)feasible;
    auto out = std::make_unique<Scorer>(pod, cluster);
    return out->any() ? std::move(out) : nullptr;
  }
};

}  // namespace

PluginPtr make_image_locality() { return std::make_unique<ImageLocality>(); }

}  // namespace orch::server::scheduler
