// NodeResourcesFit: requests fit into what is allocatable; prefers nodes by a strategy: those with the most
// left over (LeastAllocated), the least (MostAllocated: bin packing), or by any function of how full they
// would be (RequestedToCapacityRatio).
#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "server/scheduler/plugins/plugins.h"
#include "server/scheduler/plugins/resources.h"

namespace orch::server::scheduler {

namespace {

bool listed(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

/// Names with a domain that is not Kubernetes' own (IsExtendedResourceName).
bool is_extended(const std::string& name) {
  return name.find('/') != std::string::npos && name.find("kubernetes.io/") == std::string::npos &&
         !name.starts_with("requests.");
}

bool ignored(const FitArgs& args, const std::string& resource) {
  if (args.ignored_resources.empty() && args.ignored_groups.empty()) return false;
  return is_extended(resource) && (listed(args.ignored_resources, resource) ||
                                   listed(args.ignored_groups, resource.substr(0, resource.find('/'))));
}

class Filter final : public NodeFilter {
 public:
  Filter(const PodInfo& pod, const FitArgs& args) : pod_(pod), args_(args) {}
  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    Verdict verdict = Verdict::kFits;
    for (const api::Shortage& s : api::shortages(pod_, node)) {
      if (ignored(args_, s.resource)) continue;
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

 private:
  const PodInfo& pod_;
  const FitArgs& args_;
};

/// 0 when it would be full.
int64_t least_requested(const Use& u) {
  return u.requested > u.capacity ? 0 : (u.capacity - u.requested) * kMaxScore / u.capacity;
}

int64_t most_requested(const Use& u) { return std::min(u.requested, u.capacity) * kMaxScore / u.capacity; }

/// The shape's line between its points; level before the first and after the last.
int64_t by_shape(const std::vector<std::pair<int64_t, int64_t>>& shape, const Use& u) {
  constexpr int64_t kFull = 100, kScale = kMaxScore / 10;
  const int64_t p = u.requested > u.capacity ? kFull : u.requested * kFull / u.capacity;
  for (size_t i = 0; i < shape.size(); ++i) {
    const auto& [utilization, score] = shape[i];
    if (p > utilization) continue;
    if (i == 0) return score * kScale;
    const auto& [from, low] = shape[i - 1];
    return low * kScale + (score - low) * kScale * (p - from) / (utilization - from);
  }
  return shape.empty() ? 0 : shape.back().second * kScale;
}

struct Weighed {
  ResourceName resource;
  int64_t weight;
};

class Scorer final : public NodeScorer {
 public:
  Scorer(const PodInfo& pod, const FitArgs& args, const std::vector<Weighed>& resources)
      : args_(args), resources_(resources) {
    for (const auto& r : resources) requests_.push_back(r.resource.of(pod.scored));
  }
  int64_t score(const NodeInfo& node) const override {
    const bool ratio = args_.strategy == FitArgs::Strategy::kRequestedToCapacityRatio;
    int64_t sum = 0, weights = 0;
    for (size_t i = 0; i < resources_.size(); ++i) {
      const Use u = use_of(resources_[i].resource, requests_[i], node, false);
      if (u.capacity == 0) continue;
      const int64_t s = ratio                                                 ? by_shape(args_.shape, u)
                        : args_.strategy == FitArgs::Strategy::kMostAllocated ? most_requested(u)
                                                                              : least_requested(u);
      if (ratio && s <= 0) continue;
      sum += s * resources_[i].weight;
      weights += resources_[i].weight;
    }
    if (weights == 0) return 0;
    return ratio ? std::llround(static_cast<double>(sum) / static_cast<double>(weights)) : sum / weights;
  }

 private:
  const FitArgs& args_;
  const std::vector<Weighed>& resources_;
  std::vector<int64_t> requests_;
};

class ResourcesFit final : public Plugin {
 public:
  explicit ResourcesFit(FitArgs args) : args_(std::move(args)) {
    for (const auto& [name, weight] : args_.resources) resources_.push_back({ResourceName(name), weight});
  }
  std::string_view name() const override { return "NodeResourcesFit"; }
  bool scores() const override { return true; }
  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    (void)cluster;
    Prepared out;
    out.filter = std::make_unique<Filter>(pod, args_);
    return out;
  }
  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    (void)cluster, (void)feasible;
    return std::make_unique<Scorer>(pod, args_, resources_);
  }
  uint32_t helped_by() const override {
    return kNodeAdded | kNodeAllocatable | kPodGone | kPodShrank | kOwnShrank;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    (void)cluster;
    if ((event.kinds & (kNodeAdded | kNodeAllocatable)) != 0) return node_helps(event, waiting);
    if ((event.kinds & kPodShrank) != 0) return shrinking_helps(event, waiting);
    return true;
  }

 private:
  /// An empty node like this would do, and it has more than before of something the pod wants.
  static bool node_helps(const Event& event, const PodInfo& waiting) {
    NodeInfo empty;
    empty.allocatable = event.node->allocatable;
    empty.allowed_pods = event.node->allowed_pods;
    if (!api::shortages(waiting, empty).empty()) return false;
    if (event.node_before == nullptr) return true;
    if (event.node->allowed_pods > event.node_before->allowed_pods) return true;
    return more(waiting.requests, event.node_before->allocatable, event.node->allocatable);
  }
  static bool shrinking_helps(const Event& event, const PodInfo& waiting) {
    return event.pod == nullptr || event.pod_before == nullptr ||
           more(waiting.requests, event.pod->requests, event.pod_before->requests);
  }
  /// Whether `b` is more than `a` in anything of `wanted`.
  static bool more(const Resources& wanted, const Resources& a, const Resources& b) {
    if ((wanted.milli_cpu > 0 && b.milli_cpu > a.milli_cpu) || (wanted.memory > 0 && b.memory > a.memory) ||
        (wanted.ephemeral_storage > 0 && b.ephemeral_storage > a.ephemeral_storage))
      return true;
    return std::any_of(wanted.scalars.begin(), wanted.scalars.end(), [&](const auto& entry) {
      const ResourceName resource(entry.first);
      return entry.second > 0 && resource.of(b) > resource.of(a);
    });
  }

  const FitArgs args_;
  std::vector<Weighed> resources_;
};

}  // namespace

PluginPtr make_resources_fit(FitArgs args) { return std::make_unique<ResourcesFit>(std::move(args)); }

}  // namespace orch::server::scheduler
