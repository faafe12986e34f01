// Preemption (kube-scheduler's DefaultPreemption): which less important pods of which node have to go so that
// a pod fits. Pure; the scheduler deletes them.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "api/selector.h"
#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

/// What of a PodDisruptionBudget counts: one whose disruptions are used up is violated by a victim, which is
/// avoided where it can be.
struct Budget {
  std::string ns;
  api::LabelSelector selector;      // never empty: such a budget covers nothing
  int64_t allowed = 0;              // status.disruptionsAllowed
  std::set<std::string> disrupted;  // pods that it was charged for already (status.disruptedPods)
};

struct Preemption {
  std::string node;              // "": none helps
  std::vector<PodPtr> victims;   // of that node, the most important first
  std::string message;           // why none helps, as in the pod's PodScheduled condition
  bool keep_nomination = false;  // the pod goes on waiting for the room it was promised
};

/// Looks at `occupied` (Outcome::occupied) from node `start` on, at most a tenth of them but 100 when that is
/// less; `nodes` is the snapshot it is part of. Takes the node that hurts least: fewest violated budgets,
/// least important victims, fewest of them, those that started last.
Preemption preempt(const Plugins& plugins, const PodInfo& pod, const Snapshot& nodes,
                   const Nominated& nominated, const std::vector<const NodeInfo*>& occupied,
                   const std::vector<Budget>& budgets, size_t start);

}  // namespace orch::server::scheduler
