#include "server/scheduler/preemption.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/status.h"

namespace orch::server::scheduler {

namespace {

constexpr size_t kCandidatesAtLeast = 100, kCandidatesPercent = 10;
/// Makes every priority a positive number: many unimportant victims weigh more than few of them.
constexpr int64_t kAboveLowest = int64_t{1} << 31;

bool more_important(const PodPtr& a, const PodPtr& b) {
  if (a->priority != b->priority) return a->priority > b->priority;
  return a->started < b->started;
}

/// Splits victims into those whose budget has no disruption left, and the rest; order is kept.
void split_by_budget(const std::vector<PodPtr>& pods, const std::vector<Budget>& budgets,
                     std::vector<PodPtr>& violating, std::vector<PodPtr>& others) {
  std::vector<int64_t> left;
  left.reserve(budgets.size());
  for (const Budget& b : budgets) left.push_back(b.allowed);
  for (const PodPtr& pod : pods) {
    bool violated = false;
    for (size_t i = 0; i < budgets.size() && pod->object->label_count() > 0; ++i) {
      const Budget& b = budgets[i];
      if (b.ns != pod->ns || !b.selector.matches(*pod->object) || b.disrupted.count(pod->name) != 0) continue;
      violated |= --left[i] < 0;
    }
    (violated ? violating : others).push_back(pod);
  }
}

struct Candidate {
  const NodeInfo* node = nullptr;
  std::vector<PodPtr> victims;
  int64_t violations = 0;
};

/// The least that has to go from one node; an empty list with reasons when that does not help.
Candidate victims_on(const Plugins& plugins, const PodInfo& pod, const NodeInfo& node,
                     const Nominated& nominated, const std::vector<Budget>& budgets,
                     std::vector<std::string>& reasons) {
  Candidate out;
  out.node = &node;
  std::vector<PodPtr> lower;
  for (const auto& [uid, other] : node.pods) {
    if (other->priority < pod.priority) lower.push_back(other);
  }
  if (lower.empty()) {
    reasons.emplace_back("No preemption victims found for incoming pod");
    return out;
  }
  NodeInfo trial = node;
  for (const PodPtr& p : lower) trial.remove_pod(p->uid);
  if (check(plugins, pod, trial, nominated, reasons, nullptr) != Verdict::kFits) return out;
  // Pods of equal rank in a fixed order, whatever the map's.
  std::sort(lower.begin(), lower.end(), [](const PodPtr& a, const PodPtr& b) { return a->uid < b->uid; });
  std::stable_sort(lower.begin(), lower.end(), more_important);
  std::vector<PodPtr> violating, others;
  split_by_budget(lower, budgets, violating, others);
  std::vector<std::string> ignored;
  auto spare = [&](const PodPtr& p) {
    trial.add_pod(p);
    if (check(plugins, pod, trial, nominated, ignored, nullptr) == Verdict::kFits) return true;
    trial.remove_pod(p->uid);
    out.victims.push_back(p);
    return false;
  };
  for (const PodPtr& p : violating) out.violations += spare(p) ? 0 : 1;
  for (const PodPtr& p : others) spare(p);
  std::stable_sort(out.victims.begin(), out.victims.end(), more_important);
  return out;
}

/// Start of the longest-running one among the most important victims.
base::WallTime oldest_start(const std::vector<PodPtr>& victims) {
  base::WallTime oldest = victims[0]->started;
  for (const PodPtr& p : victims) {
    if (p->priority == victims[0]->priority) oldest = std::min(oldest, p->started);
  }
  return oldest;
}

/// Smaller hurts less.
auto damage(const Candidate& c) {
  int64_t sum = 0;
  for (const PodPtr& p : c.victims) sum += p->priority + kAboveLowest;
  return std::make_tuple(c.violations, c.victims[0]->priority, sum, c.victims.size(),
                         -oldest_start(c.victims).time_since_epoch().count());
}

/// Why the pod may not preempt now, or nothing.
std::string_view ineligible(const PodInfo& pod, const std::vector<const NodeInfo*>& occupied) {
  if (pod.preempts_never) return "not eligible due to preemptionPolicy=Never.";
  if (pod.nominated_node.empty()) return {};
  // Where it was promised room: victims may still be on their way out. A node that would not do even without
  // them is no reason to wait.
  for (const NodeInfo* node : occupied) {
    if (node->name != pod.nominated_node) continue;
    for (const auto& [uid, other] : node->pods) {
      if (other->preempted && other->priority < pod.priority)
        return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return {};
}

}  // namespace

Preemption preempt(const Plugins& plugins, const PodInfo& pod, const Snapshot& nodes,
                   const Nominated& nominated, const std::vector<const NodeInfo*>& occupied,
                   const std::vector<Budget>& budgets, size_t start) {
  Preemption out;
  if (std::string_view why = ineligible(pod, occupied); !why.empty()) {
    out.message = why;
    out.keep_nomination = true;
    return out;
  }
  const size_t enough =
      std::min(occupied.size(), std::max(kCandidatesAtLeast, occupied.size() * kCandidatesPercent / 100));
  std::vector<Candidate> found;
  std::map<std::string, size_t> reasons;
  bool harmless = false;  // one that violates no budget is among them
  for (size_t i = 0; i < occupied.size() && !(harmless && found.size() >= enough); ++i) {
    std::vector<std::string> why;
    Candidate c = victims_on(plugins, pod, *occupied[(start + i) % occupied.size()], nominated, budgets, why);
    for (const auto& reason : why) ++reasons[reason];
    if (c.victims.empty()) continue;
    harmless |= c.violations == 0;
    found.push_back(std::move(c));
  }
  if (found.empty()) {
    if (nodes.size() > occupied.size())
      reasons["Preemption is not helpful for scheduling"] = nodes.size() - occupied.size();
    out.message = fit_message(nodes.size(), reasons);
    return out;
  }
  auto best = std::min_element(found.begin(), found.end(),
                               [](const Candidate& a, const Candidate& b) { return damage(a) < damage(b); });
  out.node = best->node->name;
  out.victims = std::move(best->victims);
  return out;
}

}  // namespace orch::server::scheduler
