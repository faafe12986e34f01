#include "server/scheduler/preemption.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/status.h"

namespace orch::server::scheduler {

namespace {

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

/// The least that has to go from one node; none with reasons when that does not help.
Extender::Victims victims_on(const PreemptionInput& in, const NodeInfo& node, Reasons& reasons) {
  Extender::Victims out;
  std::vector<PodPtr> lower;
  for (const auto& [uid, other] : node.pods) {
    if (other->priority < in.pod.priority) lower.push_back(other);
  }
  if (lower.empty()) {
    reasons.emplace_back("No preemption victims found for incoming pod");
    return out;
  }
  NodeInfo trial = node;
  Filters filters = in.filters.clone();
  auto remove = [&](const PodPtr& p) {
    trial.remove_pod(p->uid);
    filters.remove_pod(*p, node);
  };
  for (const PodPtr& p : lower) remove(p);
  if (filters.check(trial, in.nominated, reasons) != Verdict::kFits) return out;
  // Pods of equal rank in a fixed order, whatever the map's.
  std::sort(lower.begin(), lower.end(), [](const PodPtr& a, const PodPtr& b) { return a->uid < b->uid; });
  std::stable_sort(lower.begin(), lower.end(), more_important);
  std::vector<PodPtr> violating, others;
  split_by_budget(lower, in.budgets, violating, others);
  Reasons ignored;
  auto spare = [&](const PodPtr& p) {
    trial.add_pod(p);
    filters.add_pod(*p, node);
    if (filters.check(trial, in.nominated, ignored) == Verdict::kFits) return true;
    remove(p);
    out.pods.push_back(p);
    return false;
  };
  for (const PodPtr& p : violating) out.violations += spare(p) ? 0 : 1;
  for (const PodPtr& p : others) spare(p);
  std::stable_sort(out.pods.begin(), out.pods.end(), more_important);
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
auto damage(const Extender::Victims& c) {
  int64_t sum = 0;
  for (const PodPtr& p : c.pods) sum += p->priority + kAboveLowest;
  return std::make_tuple(c.violations, c.pods[0]->priority, sum, c.pods.size(),
                         -oldest_start(c.pods).time_since_epoch().count());
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

base::Status ask_extenders(const PreemptionInput& in, const std::vector<std::unique_ptr<Extender>>& extenders,
                           std::map<std::string, Extender::Victims>& found) {
  for (const auto& extender : extenders) {
    if (found.empty()) break;
    if (!extender->preempts() || !extender->interested(in.pod)) continue;
    auto left = found;
    base::Status s = extender->preempt(in.pod, in.cluster.nodes, left);
    if (s.ok()) {
      auto empty =
          std::find_if(left.begin(), left.end(), [](const auto& e) { return e.second.pods.empty(); });
      if (empty != left.end() && !extender->ignorable()) {
        s = base::Status(base::Code::kInternal,
                         base::cat("expected at least one victim pod on node \"", empty->first, "\""));
      }
    }
    if (!s.ok()) {
      if (extender->ignorable()) continue;
      return s;
    }
    std::erase_if(left, [](const auto& e) { return e.second.pods.empty(); });
    found = std::move(left);
  }
  return {};
}

}  // namespace

Candidates find_candidates(const PreemptionInput& in) {
  Candidates out;
  const size_t all = in.occupied.size();
  const auto share = static_cast<size_t>(static_cast<int64_t>(all) * in.profile.candidates_percent / 100);
  const size_t enough = std::min(all, std::max(static_cast<size_t>(in.profile.candidates_at_least), share));
  bool harmless = false;  // one that violates no budget is among them
  for (size_t i = 0; i < all && !(harmless && out.found.size() >= enough); ++i) {
    const NodeInfo& node = *in.occupied[(in.start + i) % all];
    Reasons why;
    Extender::Victims v = victims_on(in, node, why);
    for (const auto& reason : why) ++out.reasons[reason];
    if (v.pods.empty()) continue;
    harmless |= v.violations == 0;
    out.found[node.name] = std::move(v);
  }
  return out;
}

Preemption preempt(const PreemptionInput& in, const std::vector<std::unique_ptr<Extender>>& extenders) {
  Preemption out;
  if (std::string_view why = ineligible(in.pod, in.occupied); !why.empty()) {
    out.message = why;
    out.keep_nomination = true;
    return out;
  }
  Candidates candidates = find_candidates(in);
  if (candidates.found.empty()) {
    const size_t nodes = in.cluster.nodes.size();
    if (nodes > in.occupied.size())
      candidates.reasons["Preemption is not helpful for scheduling"] = nodes - in.occupied.size();
    out.message = fit_message(nodes, candidates.reasons);
    return out;
  }
  auto& found = candidates.found;
  if (base::Status s = ask_extenders(in, extenders, found); !s.ok()) {
    out.message = s.message();
    out.failed = out.keep_nomination = true;
    return out;
  }
  if (found.empty()) {
    out.message = "no candidate node for preemption";
    out.keep_nomination = true;
    return out;
  }
  auto best = std::min_element(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return damage(a.second) < damage(b.second);
  });
  out.node = best->first;
  out.victims = std::move(best->second.pods);
  return out;
}

}  // namespace orch::server::scheduler
