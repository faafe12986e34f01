// NodeResourcesBalancedAllocation: prefers nodes whose resources fill up evenly.
#include <algorithm>
#include <cmath>

#include "server/scheduler/plugins/plugins.h"
#include "server/scheduler/plugins/resources.h"

namespace orch::server::scheduler {

namespace {

class Scorer final : public NodeScorer {
 public:
  Scorer(const std::vector<ResourceName>& resources, std::vector<int64_t> requests)
      : resources_(resources), requests_(std::move(requests)) {}
  int64_t score(const NodeInfo& node) const override {
    double sum = 0, first = 0, second = 0;
    size_t n = 0;
    shares_.clear();
    for (size_t i = 0; i < resources_.size(); ++i) {
      const Use u = use_of(resources_[i], requests_[i], node, true);
      if (u.capacity == 0) continue;
      const double share = std::fmin(1.0, static_cast<double>(u.requested) / static_cast<double>(u.capacity));
      (n == 0 ? first : second) = share;
      sum += share;
      ++n;
      shares_.push_back(share);
    }
    double deviation = 0;
    if (n == 2) {
      deviation = std::fabs((first - second) / 2);
    } else if (n > 2) {
      const double mean = sum / static_cast<double>(n);
      double squares = 0;
      for (double s : shares_) squares += (s - mean) * (s - mean);
      deviation = std::sqrt(squares / static_cast<double>(n));
    }
    return static_cast<int64_t>((1 - deviation) * static_cast<double>(kMaxScore));
  }

 private:
  const std::vector<ResourceName>& resources_;
  const std::vector<int64_t> requests_;
  mutable std::vector<double> shares_;
};

class BalancedAllocation final : public Plugin {
 public:
  explicit BalancedAllocation(const BalancedArgs& args) {
    for (const auto& name : args.resources) resources_.emplace_back(name);
  }
  std::string_view name() const override { return "NodeResourcesBalancedAllocation"; }
  bool filters() const override { return false; }
  bool scores() const override { return true; }
  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    (void)cluster, (void)feasible;
    std::vector<int64_t> requests;
    for (const auto& r : resources_) requests.push_back(r.of(pod.requests));
    // A pod that asks for nothing does not unbalance anything.
    if (std::all_of(requests.begin(), requests.end(), [](int64_t n) { return n == 0; })) return nullptr;
    return std::make_unique<Scorer>(resources_, std::move(requests));
  }

 private:
  std::vector<ResourceName> resources_;
};

}  // namespace

PluginPtr make_balanced_allocation(const BalancedArgs& args) {
  return std::make_unique<BalancedAllocation>(args);
}

}  // namespace orch::server::scheduler
