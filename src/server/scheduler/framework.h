// The scheduling framework: plugins, and the pure decision which node a pod goes to.
//
// A plugin is a name and a few pure functions over one pod and one node. The reasons it refuses nodes for
// are part of its answer; FailedScheduling messages are made of nothing else. To add one: a file in plugins/
// and a line in plugins/all.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// What happened in the cluster that may let a waiting pod fit; bits.
enum Event : uint32_t {
  kNodeAdded = 1U << 0,
  kNodeAllocatable = 1U << 1,
  kNodeLabels = 1U << 2,
  kNodeTaints = 1U << 3,  // and spec.unschedulable
  kPodGone = 1U << 4,     // an assigned pod was deleted, finished or shrank
  kPodChanged = 1U << 5,  // the waiting pod itself
  kEverything = ~0U,
};

inline constexpr int64_t kMaxScore = 100;

/// What a filter says of one node.
enum class Verdict : uint8_t {
  kFits,
  kOccupied,    // refused because of pods that are there: removing some might help
  kUnsuitable,  // refused whatever runs there
};

/// Stateless, so thread-safe.
class Plugin {
 public:
  virtual ~Plugin() = default;
  virtual std::string_view name() const = 0;
  /// Events after which a pod this plugin refused is worth another try.
  virtual uint32_t helped_by() const { return kEverything; }
  /// The names of the only nodes this pod can go to; nothing = any. None at all: its demands contradict each
  /// other, as contradiction() says.
  virtual std::optional<std::vector<std::string>> only_nodes(const PodInfo& pod) const {
    (void)pod;
    return std::nullopt;
  }
  virtual std::string_view contradiction() const { return {}; }
  /// Appends reasons when the node does not do.
  virtual Verdict filter(const PodInfo& pod, const NodeInfo& node, std::vector<std::string>& reasons) const {
    (void)pod, (void)node, (void)reasons;
    return Verdict::kFits;
  }
  /// 0 = does not score; otherwise its weight in the sum.
  virtual int64_t weight() const { return 0; }
  /// Any range when normalised() says so, else 0..kMaxScore.
  virtual int64_t score(const PodInfo& pod, const NodeInfo& node) const {
    (void)pod, (void)node;
    return 0;
  }
  enum class Normalise : uint8_t { kNone, kHighest, kLowest };
  /// kHighest scales the largest raw score to kMaxScore, kLowest turns that around.
  virtual Normalise normalise() const { return Normalise::kNone; }
};

using Plugins = std::vector<std::unique_ptr<Plugin>>;

/// How NodeResourcesFit scores: spread over the nodes, or fill one after the other.
enum class FitStrategy : uint8_t { kLeastAllocated, kMostAllocated };
/// The default set, in kube-scheduler's order.
Plugins default_plugins(FitStrategy strategy = FitStrategy::kLeastAllocated);

/// Nodes of the cluster as one decision sees them, by name; pointers live through it.
using Snapshot = std::vector<const NodeInfo*>;

/// Pods that were promised room on a node and wait for it (status.nominatedNodeName), by node. They count as
/// being there for every pod that is not more important.
using Nominated = std::unordered_map<std::string, std::vector<PodPtr>>;

/// Runs the filters on one node, nominated pods counted, until one refuses. `reasons` and `helped_by` (may
/// be null) are added to then.
Verdict check(const Plugins& plugins, const PodInfo& pod, const NodeInfo& node, const Nominated& nominated,
              std::vector<std::string>& reasons, uint32_t* helped_by);

struct Outcome {
  const NodeInfo* node = nullptr;         // null: does not fit
  std::string message;                    // then: "0/3 nodes are available: 1 Insufficient cpu, …."
  uint32_t helped_by = 0;                 // then: events worth a new try
  std::vector<const NodeInfo*> occupied;  // then: nodes where removing pods might help
  size_t looked_at = 0;                   // nodes filtered, for where the next decision starts
};

/// Tries the node the pod was nominated for; else filters from node `start` on, until enough feasible ones
/// are found (all below 100 nodes, a share of large clusters as kube-scheduler's adaptive percentage), scores
/// those and picks the best; equal ones by turns.
Outcome decide(const Plugins& plugins, const PodInfo& pod, const Snapshot& nodes, const Nominated& nominated,
               size_t start);

/// How many feasible nodes are enough in a cluster of `nodes`.
size_t feasible_enough(size_t nodes);

/// Reasons with the number of nodes each holds for, worded as kube-scheduler's FitError: "0/3 nodes are
/// available: 2 Insufficient cpu, 1 node(s) were unschedulable."
std::string fit_message(size_t nodes, const std::map<std::string, size_t>& reasons);

}  // namespace orch::server::scheduler
