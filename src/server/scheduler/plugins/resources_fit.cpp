// NodeResourcesFit: requests fit into what is allocatable; prefers the node with the most left over
// (LeastAllocated, kube-scheduler's default strategy) or the least (MostAllocated: bin packing).
// NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory fill up evenly.
#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

class ResourcesFit final : public Plugin {
 public:
  explicit ResourcesFit(FitStrategy strategy) : strategy_(strategy) {}
  std::string_view name() const override { return "NodeResourcesFit"; }
  uint32_t helped_by() const override { return kNodeAdded | kNodeAllocatable | kPodGone | kPodChanged; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const override {
    Verdict verdict = Verdict::kFits;
    for (const api::Shortage& s : api::shortages(pod, node)) {
      reasons.push_back(s.resource == "pods" ? "Too many pods" : base::cat("Insufficient ", s.resource));
      // More than the whole node: no pod needs to go for that.
      if (s.requested > s.capacity && s.resource != "pods") {
        verdict = Verdict::kUnsuitable;
      } else if (verdict == Verdict::kFits) {
        verdict = Verdict::kOccupied;
      }
    }
    return verdict;
  }
  int64_t weight() const override { return 1; }
  /// Mean over CPU and memory, of what the node has, of the share that is free or taken.
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    int64_t sum = 0, counted = 0;
    auto add = [&](int64_t capacity, int64_t used) {
      if (capacity == 0) return;
      ++counted;
      if (strategy_ == FitStrategy::kMostAllocated) {
        sum += std::min(used, capacity) * kMaxScore / capacity;
      } else if (used <= capacity) {
        sum += (capacity - used) * kMaxScore / capacity;
      }
    };
    add(node.allocatable.milli_cpu, node.weighed_cpu + pod.weighed_cpu);
    add(node.allocatable.memory, node.weighed_memory + pod.weighed_memory);
    return counted == 0 ? 0 : sum / counted;
  }

 private:
  const FitStrategy strategy_;
};

class BalancedAllocation final : public Plugin {
 public:
  std::string_view name() const override { return "NodeResourcesBalancedAllocation"; }
  int64_t weight() const override { return 1; }
  int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
    // A pod that asks for nothing does not unbalance anything.
    if (pod.requests.milli_cpu == 0 && pod.requests.memory == 0) return 0;
    if (node.allocatable.milli_cpu == 0 || node.allocatable.memory == 0) return kMaxScore;
    auto share = [](int64_t used, int64_t capacity) {
      return std::fmin(1.0, static_cast<double>(used) / static_cast<double>(capacity));
    };
    const double cpu = share(node.requested.milli_cpu + pod.requests.milli_cpu, node.allocatable.milli_cpu);
    const double memory = share(node.requested.memory + pod.requests.memory, node.allocatable.memory);
    return static_cast<int64_t>((1 - std::fabs(cpu - memory) / 2) * static_cast<double>(kMaxScore));
  }
};

}  // namespace

std::unique_ptr<Plugin> make_resources_fit(FitStrategy strategy) {
  return std::make_unique<ResourcesFit>(strategy);
}
std::unique_ptr<Plugin> make_balanced_allocation() { return std::make_unique<BalancedAllocation>(); }

}  // namespace orch::server::scheduler
