// DynamicResources: a pod goes where its resource claims are or can be had, KEP-4381. Pods whose claims are
// still to be made wait outside the queue. Devices are searched node by node (device_allocator.h); what was
// found on the node that wins is written before the pod is bound.
#include <algorithm>

#include "api/resource_claims.h"
#include "api/scan.h"
#include "base/json.h"
#include "base/status.h"
#include "server/scheduler/device_allocator.h"
#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

/// resource.k8s.io/v1 FirstAvailableDeviceRequestMaxSize.
constexpr int64_t kMostAlternatives = 8;

/// The pod's claims; nothing, and `why`, when one of them cannot be used.
std::optional<std::vector<ResourceClaimPtr>> claims_of(const PodInfo& pod, const Devices& devices,
                                                       std::string& why) {
  std::vector<ResourceClaimPtr> out;
  const Json tree = pod.object->tree();
  for (const api::PodClaim& entry : api::pod_claims(tree)) {
    if (entry.waits) {
      why = api::claim_missing_problem(tree);
      return std::nullopt;
    }
    if (!entry.claim) continue;  // none is needed
    ResourceClaimPtr claim = devices.claim(pod.ns, *entry.claim);
    if (claim == nullptr) {
      why = base::cat("could not find ResourceClaim \"", pod.ns, "/", *entry.claim, "\"");
    } else if (claim->deleting) {
      why = base::cat("resourceclaim \"", claim->name, "\" is being deleted");
    } else if (!entry.from_template.empty() && claim->owner_uid != pod.uid) {
      why = base::cat("ResourceClaim ", claim->ns, "/", claim->name, " was not created for pod ", pod.ns, "/",
                      pod.name, " (pod is not owner)");
    } else {
      out.push_back(std::move(claim));
      continue;
    }
    return std::nullopt;
  }
  return out;
}

std::vector<ResourceClaimPtr> to_allocate(const std::vector<ResourceClaimPtr>& claims) {
  std::vector<ResourceClaimPtr> out;
  std::copy_if(claims.begin(), claims.end(), std::back_inserter(out),
               [](const ResourceClaimPtr& c) { return !c->allocated; });
  return out;
}

bool available_on(const ResourceClaim& claim, const NodeInfo& node) {
  return !claim.node_bound || std::any_of(claim.node_selector.begin(), claim.node_selector.end(),
                                          [&](const NodeTerm& t) { return api::matches(t, node); });
}

class Filter final : public NodeFilter {
 public:
  Filter(std::vector<ResourceClaimPtr> claims, const Cluster& cluster, base::Duration limit)
      : claims_(std::move(claims)), wanted_(to_allocate(claims_)) {
    if (!wanted_.empty()) allocator_.emplace(cluster.devices, limit);
  }

  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    bool available = true;
    for (const ResourceClaimPtr& claim : claims_) {
      if (available_on(*claim, node)) continue;
      available = false;
      if (std::find(unavailable_.begin(), unavailable_.end(), claim) == unavailable_.end())
        unavailable_.push_back(claim);
    }
    if (allocator_) {
      DeviceAnswer answer = allocator_->allocate(node, wanted_);
      switch (answer.kind) {
        case DeviceAnswer::Kind::kFound:
          break;
        case DeviceAnswer::Kind::kFailed:
          reasons.push_back(std::move(answer.message));
          return Verdict::kFailed;
        case DeviceAnswer::Kind::kTimedOut:
          reasons.emplace_back("timed out trying to allocate devices");
          return Verdict::kUnsuitable;
        case DeviceAnswer::Kind::kNone:
          reasons.push_back(answer.message.empty() ? "cannot allocate all claims" : answer.message);
          return Verdict::kUnsuitable;
      }
    }
    if (available) return Verdict::kFits;
    reasons.emplace_back("resourceclaim not available on the node");
    return Verdict::kUnsuitable;
  }
  const std::vector<ResourceClaimPtr>* unavailable_claims() const override { return &unavailable_; }

 private:
  const std::vector<ResourceClaimPtr> claims_, wanted_;
  std::optional<DeviceAllocator> allocator_;
  std::vector<ResourceClaimPtr> unavailable_;
};

/// The earlier an alternative stands among those of its request, the better.
class Scorer final : public NodeScorer {
 public:
  Scorer(std::vector<ResourceClaimPtr> wanted, const Cluster& cluster, base::Duration limit)
      : wanted_(std::move(wanted)), allocator_(cluster.devices, limit) {}

  int64_t score(const NodeInfo& node) const override {
    const DeviceAnswer answer = allocator_.allocate(node, wanted_);
    int64_t score = 0;
    for (size_t i = 0; i < answer.allocations.size(); ++i) {
      for (const ResourceClaim::Request& r : wanted_[i]->requests)
        score += score_of(r, answer.allocations[i]);
    }
    return score;
  }
  void normalise(std::vector<int64_t>& scores) const override { normalise_by_highest(scores, false); }

 private:
  static int64_t score_of(const ResourceClaim::Request& request, const Json& allocation) {
    const Json& results = base::array_at(allocation, {"devices", "results"});
    int64_t score = 0;
    for (size_t i = 0; i < request.first_available.size(); ++i) {
      const std::string name = base::cat(request.name, "/", request.first_available[i].name);
      const bool used = std::any_of(results.begin(), results.end(),
                                    [&](const Json& r) { return base::string_at(r, {"request"}) == name; });
      if (used) score += kMostAlternatives - static_cast<int64_t>(i);
    }
    return score;
  }

  const std::vector<ResourceClaimPtr> wanted_;
  const DeviceAllocator allocator_;
};

std::string_view status_of(const api::Object& claim) { return api::raw_value(claim.bytes(), {"status"}); }

class DynamicResources final : public Plugin {
 public:
  explicit DynamicResources(const DynamicResourcesArgs& args) : limit_(args.filter_timeout) {}
  std::string_view name() const override { return "DynamicResources"; }
  bool scores() const override { return true; }
  bool local() const override { return false; }
  bool frees_claims() const override { return true; }

  std::string not_ready(const PodInfo& pod, const Cluster& cluster) const override {
    std::string why;
    if (pod.claims_devices) (void)claims_of(pod, cluster.devices, why);
    return why;
  }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    if (!pod.claims_devices) return out;
    auto claims = claims_of(pod, cluster.devices, out.reason);
    if (!claims) {
      out.verdict = Verdict::kUnsuitable;
      return out;
    }
    for (const ResourceClaimPtr& claim : *claims) {
      if (!check(*claim, cluster.devices, out)) return out;
    }
    if (!claims->empty()) out.filter = std::make_unique<Filter>(std::move(*claims), cluster, limit_);
    return out;
  }

  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot&) const override {
    if (!pod.claims_devices) return nullptr;
    std::string why;
    const auto claims = claims_of(pod, cluster.devices, why);
    if (!claims) return nullptr;
    std::vector<ResourceClaimPtr> wanted = to_allocate(*claims);
    const bool choice = std::any_of(wanted.begin(), wanted.end(), [](const ResourceClaimPtr& c) {
      return std::any_of(c->requests.begin(), c->requests.end(),
                         [](const auto& r) { return !r.first_available.empty(); });
    });
    return choice ? std::make_unique<Scorer>(std::move(wanted), cluster, limit_) : nullptr;
  }

  base::Result<ClaimPlan> claims(const PodInfo& pod, const NodeInfo& node,
                                 const Cluster& cluster) const override {
    ClaimPlan out;
    if (!pod.claims_devices) return out;
    std::string why;
    const auto claims = claims_of(pod, cluster.devices, why);
    if (!claims) return base::Status(base::Code::kInternal, why);
    DeviceAnswer answer{DeviceAnswer::Kind::kFound, {}, {}};
    const std::vector<ResourceClaimPtr> wanted = to_allocate(*claims);
    if (!wanted.empty()) answer = DeviceAllocator(cluster.devices, limit_).allocate(node, wanted);
    if (answer.kind != DeviceAnswer::Kind::kFound)
      return base::Status(base::Code::kInternal, "claim allocation not found for node");
    size_t next = 0;
    for (const ResourceClaimPtr& claim : *claims) {
      std::shared_ptr<const Json> allocation;
      if (!claim->allocated) allocation = std::make_shared<const Json>(std::move(answer.allocations[next++]));
      out.push_back({claim, std::move(allocation)});
    }
    return out;
  }

  uint32_t helped_by() const override {
    return kNodeAdded | kNodeLabels | kNodeAllocatable | kResourceClaimChanged | kOwnClaims |
           kDeviceClassChanged | kSliceChanged;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    if ((event.kinds & kOwnClaims) != 0) return not_ready(*event.pod, cluster).empty();
    if ((event.kinds & kResourceClaimChanged) == 0) return true;
    std::string why;
    const auto claims = claims_of(waiting, cluster.devices, why);
    if (!claims) return false;
    const bool was = event.before != nullptr && cluster.devices.read(event.before)->allocated;
    // Devices became free.
    if (was && !cluster.devices.read(event.after)->allocated) return true;
    const bool uses = std::any_of(claims->begin(), claims->end(),
                                  [&](const ResourceClaimPtr& c) { return c->uid == event.after->uid(); });
    return uses && (event.before == nullptr || status_of(*event.before) != status_of(*event.after));
  }

 private:
  /// False: the pod has to wait, or cannot be judged, for what `out` says.
  static bool check(const ResourceClaim& claim, const Devices& devices, Prepared& out) {
    const auto refuse = [&](Verdict verdict, std::string reason) {
      out.verdict = verdict;
      out.reason = std::move(reason);
      return false;
    };
    if (claim.allocated) return true;
    const std::string name = base::cat("resource claim ", claim.ns, "/", claim.name);
    if (devices.is_assumed(claim.uid))
      return refuse(Verdict::kUnsuitable, name + " is in the process of being allocated");
    const auto check_class = [&](const DeviceRequest& r, const std::string& request) {
      if (r.device_class.empty())
        return refuse(Verdict::kFailed, base::cat("request ", request, ": unsupported request type"));
      if (devices.device_class(r.device_class) != nullptr) return true;
      return refuse(Verdict::kUnsuitable,
                    base::cat("request ", request, ": device class ", r.device_class, " does not exist"));
    };
    for (const ResourceClaim::Request& r : claim.requests) {
      if (r.exactly) {
        if (!check_class(*r.exactly, r.name)) return false;
        continue;
      }
      if (r.first_available.empty())
        return refuse(Verdict::kUnsuitable, base::cat(name, ", request ", r.name, ": unknown request type"));
      for (const DeviceRequest& sub : r.first_available) {
        if (!check_class(sub, base::cat(r.name, "/", sub.name))) return false;
      }
    }
    return true;
  }

  const base::Duration limit_;
};

}  // namespace

PluginPtr make_dynamic_resources(const DynamicResourcesArgs& args) {
  return std::make_unique<DynamicResources>(args);
}

}  // namespace orch::server::scheduler
