// NodeResourcesFit: requests fit into what is allocatable; prefers the node with the most left over
// (LeastAllocated, kube-scheduler's default strategy). NodeResourcesBalancedAllocation: prefers nodes whose
// CPU and memory fill up evenly.
#include <cmath>

#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class ResourcesFit final : public Plugin {
 public:
  std::string_view name() const override { return "NodeResourcesFit"; }
  uint32_t helped_by() const override { return kNodeAdded | kNodeAllocatable | kPodGone | kPodChanged; }
  void filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    for (const api::Shortage& s : api::shortages(pod, node)) {
      reasons.push_back(s.resource == "pods" ? "Too many pods" : base::cat("Insufficient ", s.resource));
    }
  }
  int64_t weight() const override { return 1; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    auto free = [](int64_t capacity, int64_t used) {
      return capacity == 0 || used > capacity ? int64_t{0} : (capacity - used) * kMaxScore / capacity;
    };
    return (free(node.allocatable.milli_cpu, node.weighed_cpu + pod.weighed_cpu) +
            free(node.allocatable.memory, node.weighed_memory + pod.weighed_memory)) /
           2;
  }
};

class BalancedAllocation final : public Plugin {
 public:
  std::string_view name() const override { return "NodeResourcesBalancedAllocation"; }
  int64_t weight() const override { return 1; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    // A pod that asks for nothing does not unbalance anything.
    if (pod.requests.milli_cpu == 0 && pod.requests.memory == 0) return 0;
    auto share = [](int64_t used, int64_t capacity) {
      return capacity == 0 ? 1.0 : std::fmin(1.0, static_cast<double>(used) / static_cast<double>(capacity));
    };
    const double cpu = share(node.requested.milli_cpu + pod.requests.milli_cpu, node.allocatable.milli_cpu);
    const double memory = share(node.requested.memory + pod.requests.memory, node.allocatable.memory);
    return static_cast<int64_t>((1 - std::fabs(cpu - memory) / 2) * static_cast<double>(kMaxScore));
  }
};

}  // namespace

std::unique_ptr<Plugin> make_resources_fit() { return std::make_unique<ResourcesFit>(); }
std::unique_ptr<Plugin> make_balanced_allocation() { return std::make_unique<BalancedAllocation>(); }

}  // namespace orch::server::scheduler
