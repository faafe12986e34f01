// The scheduling framework: plugins, and the pure decision which node a pod goes to.
//
// A plugin judges in two steps, as kube-scheduler's do: it looks at the pod and the cluster once and may find
// that it has nothing to say (Skip); otherwise it gives an object that judges nodes. The reasons it refuses
// nodes for are part of its answer; FailedScheduling messages are made of nothing else. To add one: a file in
// plugins/ and a line in plugins/all.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "server/scheduler/census.h"
#include "server/scheduler/devices.h"
#include "server/scheduler/event.h"
#include "server/scheduler/objects.h"
#include "server/scheduler/owners.h"
#include "server/scheduler/storage.h"
#include "server/scheduler/types.h"

namespace orch::server::scheduler {

inline constexpr int64_t kMaxScore = 100;

/// What a decision looks at; it lives through it.
struct Cluster {
  const Snapshot& nodes;
  const Census& census;
  const Objects& objects;
  const Storage& storage;
  const Owners& owners;
  const Devices& devices;
};

/// What a filter says of one node.
enum class Verdict : uint8_t {
  kFits,
  kOccupied,    // refused because of pods that are there: removing some might help
  kUnsuitable,  // refused whatever runs there
  kFailed,      // cannot say: the pod is tried again later
};
using Reasons = std::vector<std::string>;

/// One plugin's judgement of nodes for one pod.
class NodeFilter {
 public:
  virtual ~NodeFilter() = default;
  /// Appends reasons when the node does not do.
  virtual Verdict filter(const NodeInfo& node, Reasons& reasons) = 0;
  /// The same as if `other` were on the node too, or no longer; only called on clones.
  virtual void add_pod(const PodInfo& other, const NodeInfo& node) { (void)other, (void)node; }
  virtual void remove_pod(const PodInfo& other, const NodeInfo& node) { (void)other, (void)node; }
  /// Null: does not depend on pods but those of the node it is asked about.
  virtual std::unique_ptr<NodeFilter> clone() const { return nullptr; }
  /// Of the pod's claims of devices those that are allocated and were not to be had on some node so far.
  /// Null: it is not about claims.
  virtual const std::vector<ResourceClaimPtr>* unavailable_claims() const { return nullptr; }
};

/// One plugin's liking of nodes for one pod.
class NodeScorer {
 public:
  virtual ~NodeScorer() = default;
  /// Any range when normalise() makes it 0..kMaxScore.
  virtual int64_t score(const NodeInfo& node) const = 0;
  /// All scores together, in the order of the nodes they are of.
  virtual void normalise(std::vector<int64_t>& scores) const { (void)scores; }
};
/// The largest becomes kMaxScore, the others in proportion; `reverse` turns that around.
void normalise_by_highest(std::vector<int64_t>& scores, bool reverse);

/// What a plugin says of a pod before it looks at nodes.
struct Prepared {
  std::unique_ptr<NodeFilter> filter;  // null: all nodes do
  /// Not kFits: no node does, for `reason`.
  Verdict verdict = Verdict::kFits;
  std::string reason;
  /// The names of the only nodes this pod can go to; nothing = any.
  std::optional<std::vector<std::string>> only_nodes;
};

/// What a decision has to be followed by before the pod is bound (VolumeBinding): volumes promised to claims,
/// and claims that are to get one on the node.
struct VolumePlan {
  struct Match {
    std::string volume, claim_ns, claim;
  };
  std::vector<Match> matches;
  std::vector<std::string> provisions;  // names of claims in the pod's namespace
  bool empty() const { return matches.empty() && provisions.empty(); }
};

/// The pod's claims of devices, as they are to be before it is bound (DynamicResources).
using ClaimPlan = std::vector<ClaimAllocation>;

/// Immutable, so thread-safe; its filters and scorers belong to one decision.
class Plugin {
 public:
  virtual ~Plugin() = default;
  virtual std::string_view name() const = 0;
  virtual bool filters() const { return true; }
  virtual bool scores() const { return false; }
  virtual Prepared prepare(const PodInfo& pod, const Cluster& cluster) const {
    (void)pod, (void)cluster;
    return {};
  }
  /// Null: all nodes are alike. `feasible` has two nodes at least.
  virtual std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                             const Snapshot& feasible) const {
    (void)pod, (void)cluster, (void)feasible;
    return nullptr;
  }
  /// Why the pod is not to be tried at all yet; "" when it may be (PreEnqueue).
  virtual std::string not_ready(const PodInfo& pod, const Cluster& cluster) const {
    (void)pod, (void)cluster;
    return {};
  }
  /// Events after which a pod this plugin refused may be worth another try; EventKind bits.
  virtual uint32_t helped_by() const { return kEverything; }
  /// Whether this one is, for this pod: one of its kinds is in helped_by().
  virtual bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const {
    (void)event, (void)waiting, (void)cluster;
    return true;
  }
  /// Whether what it says of a node depends on that node and its pods alone.
  virtual bool local() const { return true; }
  /// What has to be done before the pod is bound to the node it was found to fit.
  virtual VolumePlan volumes(const PodInfo& pod, const NodeInfo& node, const Cluster& cluster) const {
    (void)pod, (void)node, (void)cluster;
    return {};
  }
  /// The same for claims of devices. An error: they cannot be had there after all.
  virtual base::Result<ClaimPlan> claims(const PodInfo& pod, const NodeInfo& node,
                                         const Cluster& cluster) const {
    (void)pod, (void)node, (void)cluster;
    return ClaimPlan();
  }
  /// Its filters have unavailable_claims().
  virtual bool frees_claims() const { return false; }
};

/// Somebody outside who has a say (extender/v1); calls may block.
class Extender {
 public:
  virtual ~Extender() = default;
  virtual std::string_view name() const = 0;
  virtual bool interested(const PodInfo& pod) const = 0;
  virtual bool ignorable() const = 0;
  virtual bool filters() const = 0;
  virtual bool prioritizes() const = 0;
  virtual bool binds() const = 0;
  virtual bool preempts() const = 0;
  struct Refused {
    std::string node, reason;
    bool unresolvable = false;
  };
  /// Leaves those that do in `nodes`.
  virtual base::Status filter(const PodInfo& pod, Snapshot& nodes, std::vector<Refused>& refused) = 0;
  /// Adds its scores, times their weight, to those of the nodes.
  virtual base::Status prioritize(const PodInfo& pod, const Snapshot& nodes,
                                  std::vector<int64_t>& scores) = 0;
  virtual base::Status bind(const PodInfo& pod, const std::string& node) = 0;
  struct Victims {
    std::vector<PodPtr> pods;
    int64_t violations = 0;
  };
  /// Leaves the nodes, with the victims, that preemption may choose from.
  virtual base::Status preempt(const PodInfo& pod, const Snapshot& nodes,
                               std::map<std::string, Victims>& victims) = 0;
};

/// Plugins as one schedulerName uses them. Plugins belong to it.
struct Profile {
  struct Entry {
    const Plugin* plugin;
    bool prepares = true, filters = true;
  };
  std::string scheduler_name = "default-scheduler";
  std::vector<std::unique_ptr<const Plugin>> plugins;
  std::vector<Entry> filters;                              // at most 64
  std::vector<std::pair<const Plugin*, int64_t>> scorers;  // with weights
  bool preempts = true;                                    // DefaultPreemption
  bool deallocates = true;                                 // DynamicResources at PostFilter
  std::vector<const Plugin*> gates;                        // whose not_ready() is asked
  int64_t candidates_percent = 10, candidates_at_least = 100;
  int64_t percentage_of_nodes = 0;  // 0: adaptive
};

/// Pods that were promised room on a node and wait for it (status.nominatedNodeName), by node. They count as
/// being there for every pod that is not more important.
using Nominated = std::unordered_map<std::string, std::vector<PodPtr>>;

/// The filters that have something to say about a pod.
class Filters {
 public:
  Filters() = default;
  /// Asks all plugins about the pod.
  Filters(const Profile& profile, const PodInfo& pod, const Cluster& cluster);
  /// A copy that pods can be added to and removed from.
  Filters clone() const;

  Verdict refused() const { return verdict_; }             // before any node: not kFits
  const std::string& message() const { return message_; }  // and why
  const std::optional<std::vector<std::string>>& only_nodes() const { return only_; }
  const std::vector<std::string>& restricting() const { return restricting_; }  // names of plugins

  /// Runs the filters on one node, nominated pods counted, until one refuses; its reasons are added.
  Verdict check(const NodeInfo& node, const Nominated& nominated, Reasons& reasons);
  /// On clones.
  void add_pod(const PodInfo& other, const NodeInfo& node);
  void remove_pod(const PodInfo& other, const NodeInfo& node);
  /// Bits, by position in Profile::filters, of plugins that refused the pod or a node so far.
  uint64_t rejectors() const { return rejectors_; }
  /// The position of the plugin that refused last.
  size_t last_rejector() const { return last_; }
  /// Of the filter that has any.
  const std::vector<ResourceClaimPtr>* unavailable_claims() const;

 private:
  Verdict run(const NodeInfo& node, Reasons& reasons);

  struct Active {
    size_t position;
    std::shared_ptr<NodeFilter> filter;
  };
  const Profile* profile_ = nullptr;
  const PodInfo* pod_ = nullptr;
  std::vector<Active> active_;
  Verdict verdict_ = Verdict::kFits;
  std::string message_;
  std::optional<std::vector<std::string>> only_;
  std::vector<std::string> restricting_;
  uint64_t rejectors_ = 0;
  size_t last_ = 0;
};

inline constexpr uint64_t kExtenderBit = uint64_t{1} << 63;

struct Outcome {
  const NodeInfo* node = nullptr;         // null: does not fit
  std::string message;                    // then: "0/3 nodes are available: 1 Insufficient cpu, …."
  bool failed = false;                    // then: could not be decided
  uint64_t rejectors = 0;                 // then: as Filters::rejectors(), and kExtenderBit
  std::vector<const NodeInfo*> occupied;  // then: nodes where removing pods might help
  size_t looked_at = 0;                   // nodes filtered, for where the next decision starts
  Filters filters;                        // for preemption
};

/// Tries the node the pod was nominated for; else filters from node `start` on, until enough feasible ones
/// are found (all below 100 nodes, a share of large clusters as kube-scheduler's adaptive percentage), scores
/// those and picks the best; equal ones by turns.
Outcome decide(const Profile& profile, const std::vector<std::unique_ptr<Extender>>& extenders,
               const PodInfo& pod, const Cluster& cluster, const Nominated& nominated, size_t start);

/// Scores by plugin, times their weight, of nodes that all do; plugins with nothing to say are left out.
std::vector<std::pair<std::string_view, std::vector<int64_t>>> score_nodes(const Profile& profile,
                                                                           const PodInfo& pod,
                                                                           const Cluster& cluster,
                                                                           const Snapshot& feasible);

/// How many feasible nodes are enough in a cluster of `nodes`; `percentage` 0 = adaptive.
size_t feasible_enough(size_t nodes, int64_t percentage = 0);

/// Reasons with the number of nodes each holds for, worded as kube-scheduler's FitError: "0/3 nodes are
/// available: 2 Insufficient cpu, 1 node(s) were unschedulable."
std::string fit_message(size_t nodes, const std::map<std::string, size_t>& reasons);

/// The node of this name, or null; `nodes` are in order.
const NodeInfo* find_node(const Snapshot& nodes, std::string_view name);

}  // namespace orch::server::scheduler
