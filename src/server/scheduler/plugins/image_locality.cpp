// ImageLocality: prefers nodes that have the pod's images already.
#include <algorithm>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

constexpr int64_t kSmall = 23LL << 20, kLargePerContainer = 1000LL << 20;

class ImageLocality final : public Plugin {
 public:
  std::string_view name() const override { return "ImageLocality"; }
  int64_t weight() const override { return 1; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    if (node.image_sizes.empty()) return 0;
    int64_t sum = 0;
    for (const auto& image : pod.images) {
      auto it = node.image_sizes.find(image);
      if (it != node.image_sizes.end()) sum += it->second;
    }
    const int64_t most = kLargePerContainer * static_cast<int64_t>(std::max<size_t>(1, pod.images.size()));
    return kMaxScore * (std::clamp(sum, kSmall, most) - kSmall) / (most - kSmall);
  }
};

}  // namespace

std::unique_ptr<Plugin> make_image_locality() { return std::make_unique<ImageLocality>(); }

}  // namespace orch::server::scheduler
