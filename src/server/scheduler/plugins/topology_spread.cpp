// PodTopologySpread: spec.topologySpreadConstraints, or the profile's default ones for pods that are part of
// a service or a controller: pods that match a selector lie evenly over the values of a node label.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

using Constraints = std::vector<SpreadConstraint>;
constexpr const char* kHostname = "kubernetes.io/hostname";

const std::string* label_of(const NodeInfo& node, const std::string& key) {
  auto it = node.labels.find(key);
  return it == node.labels.end() ? nullptr : &it->second;
}

bool has_all_keys(const NodeInfo& node, const Constraints& constraints) {
  return std::all_of(constraints.begin(), constraints.end(),
                     [&](const SpreadConstraint& c) { return label_of(node, c.topology_key) != nullptr; });
}

/// Whether pods of this node count, and its domain does.
bool counts(const SpreadConstraint& c, const PodInfo& pod, const NodeInfo& node) {
  if (c.honor_affinity && !api::affinity_allows(pod, node)) return false;
  return !c.honor_taints || std::none_of(node.taints.begin(), node.taints.end(), [&](const Taint& t) {
    return (t.effect == "NoSchedule" || t.effect == "NoExecute") && !pod.tolerates(t);
  });
}

/// Pods of the namespace that match and stay, by node.
std::unordered_map<const NodeInfo*, int64_t> matching_pods(const SpreadConstraint& c, const PodInfo& pod,
                                                           const Census& census) {
  std::unordered_map<const NodeInfo*, int64_t> out;
  if (c.selector.empty()) return out;
  census.each_group(pod.ns, [&](const Census::Group& group) {
    if (group.deleting || !c.selector.matches(*group.sample)) return;
    for (const auto& [node, n] : group.counts.by_node()) out[node] += n;
  });
  return out;
}

/// The hard ones or the soft ones that hold for the pod.
Constraints constraints_of(const PodInfo& pod, const SpreadArgs& args, const Owners& owners, bool hard) {
  Constraints out;
  const bool own = !pod.spread.empty();
  for (const SpreadConstraint& c : own ? pod.spread : args.defaults) {
    if (c.hard == hard) out.push_back(c);
  }
  if (own || out.empty()) return out;
  auto selector = owners.selector_of(pod);
  if (!selector || selector->empty()) return {};
  for (SpreadConstraint& c : out) c.selector = *selector;
  return out;
}

/// The two domains with the least pods: one stays known while the other changes.
class Lowest {
 public:
  void update(const std::string& value, int64_t n) {
    int i = value == paths_[0].value ? 0 : value == paths_[1].value ? 1 : -1;
    if (i >= 0) {
      paths_[i].pods = n;
      if (paths_[0].pods > paths_[1].pods) std::swap(paths_[0], paths_[1]);
    } else if (n < paths_[0].pods) {
      paths_[1] = paths_[0];
      paths_[0] = {value, n};
    } else if (n < paths_[1].pods) {
      paths_[1] = {value, n};
    }
  }
  int64_t pods() const { return paths_[0].pods; }

 private:
  struct Path {
    std::string value;
    int64_t pods = std::numeric_limits<int32_t>::max();
  };
  Path paths_[2];
};

class Filter final : public NodeFilter {
 public:
  Filter(const PodInfo& pod, const Cluster& cluster, Constraints constraints) : pod_(pod) {
    for (SpreadConstraint& c : constraints) {
      Domains d;
      d.self = c.selector.matches(*pod.object) ? 1 : 0;
      d.constraint = std::move(c);
      domains_.push_back(std::move(d));
    }
    for (Domains& d : domains_) {
      const auto pods = matching_pods(d.constraint, pod, cluster.census);
      for (const NodeInfo* node : cluster.nodes) {
        if (!has_keys(*node) || !counts(d.constraint, pod, *node)) continue;
        auto it = pods.find(node);
        d.pods[*label_of(*node, d.constraint.topology_key)] += it == pods.end() ? 0 : it->second;
      }
      for (const auto& [value, n] : d.pods) d.lowest.update(value, n);
    }
  }

  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    for (const Domains& d : domains_) {
      const SpreadConstraint& c = d.constraint;
      const std::string* value = label_of(node, c.topology_key);
      if (value == nullptr) {
        reasons.emplace_back("node(s) didn't match pod topology spread constraints (missing required label)");
        return Verdict::kUnsuitable;
      }
      const bool too_few = static_cast<int64_t>(d.pods.size()) < c.min_domains;
      auto it = d.pods.find(*value);
      const int64_t there = it == d.pods.end() ? 0 : it->second;
      if (there + d.self - (too_few ? 0 : d.lowest.pods()) <= c.max_skew) continue;
      reasons.emplace_back("node(s) didn't match pod topology spread constraints");
      return Verdict::kOccupied;
    }
    return Verdict::kFits;
  }

  void add_pod(const PodInfo& other, const NodeInfo& node) override { adjust(other, node, 1); }
  void remove_pod(const PodInfo& other, const NodeInfo& node) override { adjust(other, node, -1); }
  std::unique_ptr<NodeFilter> clone() const override { return std::make_unique<Filter>(*this); }

 private:
  struct Domains {
    SpreadConstraint constraint;
    int64_t self = 0;  // 1: the pod itself counts
    std::unordered_map<std::string, int64_t> pods;
    Lowest lowest;
  };
  bool has_keys(const NodeInfo& node) const {
    return std::all_of(domains_.begin(), domains_.end(), [&](const Domains& d) {
      return label_of(node, d.constraint.topology_key) != nullptr;
    });
  }
  void adjust(const PodInfo& other, const NodeInfo& node, int64_t by) {
    if (other.ns != pod_.ns || !has_keys(node)) return;
    for (Domains& d : domains_) {
      if (!d.constraint.selector.matches(*other.object) || !counts(d.constraint, pod_, node)) continue;
      const std::string& value = *label_of(node, d.constraint.topology_key);
      d.lowest.update(value, d.pods[value] += by);
    }
  }

  const PodInfo& pod_;
  std::vector<Domains> domains_;
};

class Scorer final : public NodeScorer {
 public:
  /// `all_keys`: nodes without one of the labels are left out.
  Scorer(const PodInfo& pod, const Cluster& cluster, const Snapshot& feasible, const Constraints& constraints,
         bool all_keys) {
    if (all_keys) {
      for (const NodeInfo* node : feasible) {
        if (!has_all_keys(*node, constraints)) left_out_.insert(node);
      }
    }
    order_ = feasible;
    for (const SpreadConstraint& c : constraints) {
      Domains d;
      d.key = c.topology_key;
      d.by_node = c.topology_key == kHostname;
      d.max_skew = c.max_skew;
      d.on = matching_pods(c, pod, cluster.census);
      size_t domains = feasible.size() - left_out_.size();
      if (!d.by_node) {
        for (const NodeInfo* node : feasible) {
          if (left_out_.count(node) != 0) continue;
          const std::string* value = label_of(*node, c.topology_key);
          d.pods.try_emplace(value == nullptr ? "" : *value, 0);
        }
        domains = d.pods.size();
        for (const auto& [node, n] : d.on) {
          if ((all_keys && !has_all_keys(*node, constraints)) || !counts(c, pod, *node)) continue;
          const std::string* value = label_of(*node, c.topology_key);
          auto it = d.pods.find(value == nullptr ? "" : *value);
          if (it != d.pods.end()) it->second += n;
        }
      }
      // The more domains there are, the less pods each of them has.
      d.weight = std::log(static_cast<double>(domains + 2));
      domains_.push_back(std::move(d));
    }
  }

  /// Fewer is better: normalise() turns it around.
  int64_t score(const NodeInfo& node) const override {
    if (left_out_.count(&node) != 0) return 0;
    double sum = 0;
    for (const Domains& d : domains_) {
      const std::string* value = label_of(node, d.key);
      if (value == nullptr) continue;
      int64_t n = 0;
      if (d.by_node) {
        auto it = d.on.find(&node);
        n = it == d.on.end() ? 0 : it->second;
      } else if (auto it = d.pods.find(*value); it != d.pods.end()) {
        n = it->second;
      }
      sum += static_cast<double>(n) * d.weight + static_cast<double>(d.max_skew - 1);
    }
    return std::llround(sum);
  }

  void normalise(std::vector<int64_t>& scores) const override {
    int64_t least = std::numeric_limits<int64_t>::max(), most = 0;
    auto out = [&](size_t i) { return left_out_.count(order_[i]) != 0; };
    for (size_t i = 0; i < scores.size(); ++i) {
      if (out(i)) continue;
      least = std::min(least, scores[i]);
      most = std::max(most, scores[i]);
    }
    for (size_t i = 0; i < scores.size(); ++i) {
      if (out(i)) {
        scores[i] = 0;
      } else {
        scores[i] = most == 0 ? kMaxScore : kMaxScore * (most + least - scores[i]) / most;
      }
    }
  }

 private:
  struct Domains {
    std::string key;
    bool by_node = false;
    int64_t max_skew = 1;
    double weight = 0;
    std::unordered_map<const NodeInfo*, int64_t> on;
    std::unordered_map<std::string, int64_t> pods;
  };
  Snapshot order_;
  std::set<const NodeInfo*> left_out_;
  std::vector<Domains> domains_;
};

class TopologySpread final : public Plugin {
 public:
  explicit TopologySpread(SpreadArgs args) : args_(std::move(args)) {}
  std::string_view name() const override { return "PodTopologySpread"; }
  bool scores() const override { return true; }
  bool local() const override { return false; }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    Constraints hard = constraints_of(pod, args_, cluster.owners, true);
    if (!hard.empty()) out.filter = std::make_unique<Filter>(pod, cluster, std::move(hard));
    return out;
  }

  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    const Constraints soft = constraints_of(pod, args_, cluster.owners, false);
    if (soft.empty()) return nullptr;
    // By Kubernetes' own defaults nodes without a zone are spread over too.
    const bool all_keys = !pod.spread.empty() || !args_.system;
    return std::make_unique<Scorer>(pod, cluster, feasible, soft, all_keys);
  }

  uint32_t helped_by() const override {
    return kNodeAdded | kNodeGone | kNodeLabels | kNodeTaints | kPodAdded | kPodLabels | kPodGone |
           kOwnLabels | kOwnTolerations;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    const Constraints hard = constraints_of(waiting, args_, cluster.owners, true);
    if ((event.kinds & kOwnLabels) != 0) return true;
    if ((event.kinds & kOwnTolerations) != 0) {
      return std::any_of(hard.begin(), hard.end(), [](const SpreadConstraint& c) { return c.honor_taints; });
    }
    if ((event.kinds & (kNodeAdded | kNodeGone | kNodeLabels | kNodeTaints)) != 0)
      return node_helps(event, hard);
    return std::any_of(hard.begin(), hard.end(), [&](const SpreadConstraint& c) {
      auto involved = [&](const PodInfo* p) {
        return p != nullptr && p->ns == waiting.ns && c.selector.matches(*p->object);
      };
      return involved(event.pod_before) != involved(event.pod);
    });
  }

 private:
  static bool node_helps(const Event& event, const Constraints& hard) {
    const bool before = event.node_before != nullptr && has_all_keys(*event.node_before, hard);
    const bool now = event.node != nullptr && has_all_keys(*event.node, hard);
    if (event.node_before == nullptr || event.node == nullptr || before != now) return before || now;
    if (!now) return false;
    return (event.kinds & kNodeTaints) != 0 ||
           std::any_of(hard.begin(), hard.end(), [&](const SpreadConstraint& c) {
             return *label_of(*event.node_before, c.topology_key) != *label_of(*event.node, c.topology_key);
           });
  }

  const SpreadArgs args_;
};

}  // namespace

SpreadArgs SpreadArgs::system_defaults() {
  SpreadArgs args;
  auto add = [&](const char* key, int64_t skew) {
    SpreadConstraint c;
    c.topology_key = key;
    c.max_skew = skew;
    c.hard = false;
    args.defaults.push_back(std::move(c));
  };
  add(kHostname, 3);
  add("topology.kubernetes.io/zone", 5);
  return args;
}

PluginPtr make_topology_spread(SpreadArgs args) { return std::make_unique<TopologySpread>(std::move(args)); }

}  // namespace orch::server::scheduler
