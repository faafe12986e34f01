#include "server/scheduler/framework.h"

#include <algorithm>
#include <map>

#include "base/status.h"

namespace orch::server::scheduler {

namespace {

/// Counts the reasons over all nodes and words them as kube-scheduler's FitError.
class Reasons {
 public:
  void add(const std::vector<std::string>& reasons) {
    for (const auto& r : reasons) counts_[r]++;
  }
  std::string message(size_t nodes) const {
    std::vector<std::string> parts;
    parts.reserve(counts_.size());
    for (const auto& [reason, n] : counts_) parts.push_back(base::cat(n, " ", reason));
    std::sort(parts.begin(), parts.end());
    std::string text = base::cat("0/", nodes, " nodes are available:");
    for (size_t i = 0; i < parts.size(); ++i) text += base::cat(i == 0 ? " " : ", ", parts[i]);
    return parts.empty() ? text : text + ".";
  }

 private:
  std::map<std::string, size_t> counts_;
};

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

Outcome decide(const Plugins& plugins, const PodInfo& pod, const Snapshot& nodes, size_t start) {
  Outcome out;
  if (nodes.empty()) {
    out.message = "no nodes available to schedule pods";
    out.helped_by = kNodeAdded | kPodChanged;
    return out;
  }
  const size_t enough = feasible_enough(nodes.size());
  Snapshot feasible;
  Reasons reasons;
  std::vector<std::string> why;
  for (size_t i = 0; i < nodes.size() && feasible.size() < enough; ++i) {
    const NodeInfo& node = *nodes[(start + i) % nodes.size()];
    ++out.looked_at;
    why.clear();
    for (const auto& plugin : plugins) {
      plugin->filter(pod, node, why);
      if (why.empty()) continue;
      out.helped_by |= plugin->helped_by();
      break;
    }
    if (why.empty()) {
      feasible.push_back(&node);
    } else {
      reasons.add(why);
    }
  }
  if (feasible.empty()) {
    out.helped_by |= kNodeAdded | kPodChanged;
    out.message = reasons.message(nodes.size());
    return out;
  }
  size_t best = 0;
  if (feasible.size() > 1) {
    std::vector<int64_t> total(feasible.size(), 0);
    for (const auto& plugin : plugins) {
      if (plugin->weight() != 0) add_scores(*plugin, pod, feasible, total);
    }
    // The rotating start makes equal nodes take turns.
    best = static_cast<size_t>(std::max_element(total.begin(), total.end()) - total.begin());
  }
  out.node = feasible[best];
  return out;
}

}  // namespace orch::server::scheduler
