#include "server/scheduler/framework.h"

#include <algorithm>
#include <map>

#include "base/status.h"

namespace orch::server::scheduler {

namespace {

void add_scores(const Plugin& plugin, const PodInfo& pod, const Snapshot& feasible,
                std::vector<int64_t>& total) {
  std::vector<int64_t> raw(feasible.size());
  int64_t highest = 0;
  for (size_t i = 0; i < feasible.size(); ++i) {
    raw[i] = plugin.score(pod, *feasible[i]);
    highest = std::max(highest, raw[i]);
  }
  const auto normalise = plugin.normalise();
  for (size_t i = 0; i < feasible.size(); ++i) {
    int64_t s = raw[i];
    if (normalise != Plugin::Normalise::kNone) {
      s = highest == 0 ? 0 : s * kMaxScore / highest;
      if (normalise == Plugin::Normalise::kLowest) s = kMaxScore - s;
    }
    total[i] += plugin.weight() * s;
  }
}

}  // namespace

size_t feasible_enough(size_t nodes) {
  constexpr size_t kAtLeast = 100, kLeastPercent = 5;
  if (nodes <= kAtLeast) return nodes;
  const size_t percent = std::max(kLeastPercent, 50 - std::min<size_t>(50, nodes / 125));
  return std::max(kAtLeast, nodes * percent / 100);
}

std::string fit_message(size_t nodes, const std::map<std::string, size_t>& reasons) {
  std::vector<std::string> parts;
  parts.reserve(reasons.size());
  for (const auto& [reason, n] : reasons) parts.push_back(base::cat(n, " ", reason));
  std::sort(parts.begin(), parts.end());
  std::string text = base::cat("0/", nodes, " nodes are available:");
  for (size_t i = 0; i < parts.size(); ++i) text += base::cat(i == 0 ? " " : ", ", parts[i]);
  return parts.empty() ? text : text + ".";
}

namespace {

Verdict run_filters(const Plugins& plugins, const PodInfo& pod, const NodeInfo& node,
                    std::vector<std::string>& reasons, uint32_t* helped_by) {
  for (const auto& plugin : plugins) {
    const Verdict verdict = plugin->filter(pod, node, reasons);
    if (verdict == Verdict::kFits) continue;
    if (helped_by != nullptr) *helped_by |= plugin->helped_by();
    return verdict;
  }
  return Verdict::kFits;
}

const NodeInfo* find_node(const Snapshot& nodes, std::string_view name) {
  auto it = std::lower_bound(nodes.begin(), nodes.end(), name,
                             [](const NodeInfo* n, std::string_view wanted) { return n->name < wanted; });
  return it != nodes.end() && (*it)->name == name ? *it : nullptr;
}

/// The nodes the pod may go to at all, and why not to the others.
struct Candidates {
  Snapshot some;
  const Snapshot* nodes;  // `some`, or all
  std::string excluded;   // reason of the nodes left out
  std::string conflict;   // of all nodes: nowhere to look
};

Candidates candidates_of(const Plugins& plugins, const PodInfo& pod, const Snapshot& all) {
  Candidates out;
  out.nodes = &all;
  for (const auto& plugin : plugins) {
    auto names = plugin->only_nodes(pod);
    if (!names) continue;
    if (names->empty()) {
      out.conflict = plugin->contradiction();
      return out;
    }
    for (const auto& name : *names) {
      if (const NodeInfo* node = find_node(all, name)) out.some.push_back(node);
    }
    out.excluded = base::cat("node(s) didn't satisfy plugin(s) [", plugin->name(), "]");
    break;  // one plugin of the default set restricts by name
  }
  return out;
}

const NodeInfo* best_of(const Plugins& plugins, const PodInfo& pod, const Snapshot& feasible) {
  if (feasible.size() == 1) return feasible[0];
  std::vector<int64_t> total(feasible.size(), 0);
  for (const auto& plugin : plugins) {
    if (plugin->weight() != 0) add_scores(*plugin, pod, feasible, total);
  }
  // The rotating start makes equal nodes take turns.
  return feasible[static_cast<size_t>(std::max_element(total.begin(), total.end()) - total.begin())];
}

}  // namespace

Verdict check(const Plugins& plugins, const PodInfo& pod, const NodeInfo& node, const Nominated& nominated,
              std::vector<std::string>& reasons, uint32_t* helped_by) {
  auto it = nominated.find(node.name);
  if (it == nominated.end()) return run_filters(plugins, pod, node, reasons, helped_by);
  std::optional<NodeInfo> with;
  for (const PodPtr& other : it->second) {
    if (other->uid == pod.uid || other->priority < pod.priority) continue;
    if (!with) with = node;
    with->add_pod(other);
  }
  return run_filters(plugins, pod, with ? *with : node, reasons, helped_by);
}

Outcome decide(const Plugins& plugins, const PodInfo& pod, const Snapshot& nodes, const Nominated& nominated,
               size_t start) {
  Outcome out;
  if (nodes.empty()) {
    out.message = "no nodes available to schedule pods";
    out.helped_by = kNodeAdded | kPodChanged;
    return out;
  }
  Candidates candidates = candidates_of(plugins, pod, nodes);
  if (!candidates.excluded.empty()) candidates.nodes = &candidates.some;
  if (!candidates.conflict.empty()) {
    out.message = base::cat("0/", nodes.size(), " nodes are available: ", candidates.conflict, ".");
    out.helped_by = kPodChanged;
    return out;
  }
  std::vector<std::string> why;
  if (!pod.nominated_node.empty()) {
    const NodeInfo* promised = find_node(nodes, pod.nominated_node);
    if (promised != nullptr && check(plugins, pod, *promised, nominated, why, nullptr) == Verdict::kFits) {
      out.node = promised;
      return out;
    }
  }
  const Snapshot& among = *candidates.nodes;
  const size_t enough = feasible_enough(among.size());
  Snapshot feasible;
  std::map<std::string, size_t> reasons;
  for (size_t i = 0; i < among.size() && feasible.size() < enough; ++i) {
    const NodeInfo& node = *among[(start + i) % among.size()];
    ++out.looked_at;
    why.clear();
    const Verdict verdict = check(plugins, pod, node, nominated, why, &out.helped_by);
    if (verdict == Verdict::kFits) {
      feasible.push_back(&node);
      continue;
    }
    if (verdict == Verdict::kOccupied) out.occupied.push_back(&node);
    for (const auto& reason : why) ++reasons[reason];
  }
  if (!feasible.empty()) {
    out.node = best_of(plugins, pod, feasible);
    return out;
  }
  if (!candidates.excluded.empty() && among.size() < nodes.size())
    reasons[candidates.excluded] = nodes.size() - among.size();
  out.helped_by |= kNodeAdded | kPodChanged;
  out.message = fit_message(nodes.size(), reasons);
  return out;
}

}  // namespace orch::server::scheduler
