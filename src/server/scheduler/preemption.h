// Preemption (kube-scheduler's DefaultPreemption): which less important pods of which node have to go so that
// a pod fits. Pure; the scheduler deletes them.
#pragma once

#include <cstddef>
#include <map>
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
  bool failed = false;           // could not be decided, for `message`
};

/// What would have to go from each node that a pod could get to so, and why it could not to the others.
struct Candidates {
  std::map<std::string, Extender::Victims> found;
  std::map<std::string, size_t> reasons;  // with the number of nodes
};

/// What of the decision that found no node preemption goes on from: its filters and occupied nodes, of which
/// those from `start` on are looked at, at most a tenth of them but 100 when that is less.
struct PreemptionInput {
  const Profile& profile;
  const PodInfo& pod;
  const Cluster& cluster;
  const Nominated& nominated;
  const Filters& filters;
  const std::vector<const NodeInfo*>& occupied;
  const std::vector<Budget>& budgets;
  size_t start = 0;
};

Candidates find_candidates(const PreemptionInput& in);
/// Takes the node that hurts least: fewest violated budgets, least important victims, fewest of them, those
/// that started last. Extenders may take nodes and victims out before.
Preemption preempt(const PreemptionInput& in, const std::vector<std::unique_ptr<Extender>>& extenders);

}  // namespace orch::server::scheduler
