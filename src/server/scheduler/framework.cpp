#include "server/scheduler/framework.h"

#include <algorithm>
#include <map>

#include "base/status.h"

namespace orch::server::scheduler {

size_t feasible_enough(size_t nodes, int64_t percentage) {
  constexpr int64_t kAtLeast = 100, kLeastPercent = 5;
  const auto all = static_cast<int64_t>(nodes);
  if (all < kAtLeast) return nodes;
  if (percentage == 0) percentage = std::max(kLeastPercent, 50 - all / 125);
  return static_cast<size_t>(std::max(kAtLeast, all * percentage / 100));
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

const NodeInfo* find_node(const Snapshot& nodes, std::string_view name) {
  auto it = std::lower_bound(nodes.begin(), nodes.end(), name,
                             [](const NodeInfo* n, std::string_view wanted) { return n->name < wanted; });
  return it != nodes.end() && (*it)->name == name ? *it : nullptr;
}

void normalise_by_highest(std::vector<int64_t>& scores, bool reverse) {
  const int64_t highest = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
  for (int64_t& s : scores) {
    s = highest <= 0 ? 0 : s * kMaxScore / highest;
    if (reverse) s = kMaxScore - s;
  }
}

namespace {

/// What stands in both; nothing = any.
std::vector<std::string> common(std::vector<std::string> a, const std::vector<std::string>& b) {
  std::erase_if(a, [&](const std::string& name) { return std::find(b.begin(), b.end(), name) == b.end(); });
  return a;
}

std::string joined(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

}  // namespace

Filters::Filters(const Profile& profile, const PodInfo& pod, const Cluster& cluster)
    : profile_(&profile), pod_(&pod) {
  for (size_t i = 0; i < profile.filters.size(); ++i) {
    const Profile::Entry& entry = profile.filters[i];
    Prepared p = entry.plugin->prepare(pod, cluster);
    if (p.verdict != Verdict::kFits && entry.prepares) {
      verdict_ = p.verdict;
      message_ = p.verdict == Verdict::kFailed
                     ? base::cat("running PreFilter plugin \"", entry.plugin->name(), "\": ", p.reason)
                     : std::move(p.reason);
      rejectors_ |= uint64_t{1} << i;
      last_ = i;
      return;
    }
    if (p.only_nodes && entry.prepares) {
      restricting_.emplace_back(entry.plugin->name());
      only_ = only_ ? common(std::move(*only_), *p.only_nodes) : std::move(*p.only_nodes);
      rejectors_ |= uint64_t{1} << i;
      if (only_->empty()) {
        verdict_ = Verdict::kUnsuitable;
        message_ = restricting_.size() == 1 ? base::cat("node(s) didn't satisfy plugin ", restricting_[0])
                                            : base::cat("node(s) didn't satisfy plugin(s) [",
                                                        joined(restricting_), "] simultaneously");
        return;
      }
    }
    if (p.filter != nullptr && entry.filters) active_.push_back({i, std::move(p.filter)});
  }
}

Filters Filters::clone() const {
  Filters out = *this;
  for (Active& a : out.active_) {
    if (auto own = a.filter->clone()) a.filter = std::move(own);
  }
  return out;
}

Verdict Filters::run(const NodeInfo& node, Reasons& reasons) {
  for (const Active& a : active_) {
    const Verdict verdict = a.filter->filter(node, reasons);
    if (verdict == Verdict::kFits) continue;
    rejectors_ |= uint64_t{1} << a.position;
    last_ = a.position;
    if (verdict == Verdict::kFailed && !reasons.empty()) {
      reasons.back() = base::cat("running \"", profile_->filters[a.position].plugin->name(),
                                 "\" filter plugin: ", reasons.back());
    }
    return verdict;
  }
  return Verdict::kFits;
}

Verdict Filters::check(const NodeInfo& node, const Nominated& nominated, Reasons& reasons) {
  if (auto it = nominated.empty() ? nominated.end() : nominated.find(node.name); it != nominated.end()) {
    std::optional<NodeInfo> with;
    Filters trial;
    for (const PodPtr& other : it->second) {
      if (other->uid == pod_->uid || other->priority < pod_->priority) continue;
      if (!with) {
        with = node;
        trial = clone();
      }
      with->add_pod(other);
      trial.add_pod(*other, node);
    }
    // Whoever fits beside them must fit without them too: they are not there yet, and may never be.
    if (with) {
      const Verdict verdict = trial.run(*with, reasons);
      rejectors_ |= trial.rejectors_;
      last_ = trial.last_;
      if (verdict != Verdict::kFits) return verdict;
    }
  }
  return run(node, reasons);
}

const std::vector<ResourceClaimPtr>* Filters::unavailable_claims() const {
  for (const Active& a : active_) {
    if (const auto* claims = a.filter->unavailable_claims()) return claims;
  }
  return nullptr;
}

void Filters::add_pod(const PodInfo& other, const NodeInfo& node) {
  for (const Active& a : active_) a.filter->add_pod(other, node);
}

void Filters::remove_pod(const PodInfo& other, const NodeInfo& node) {
  for (const Active& a : active_) a.filter->remove_pod(other, node);
}

std::vector<std::pair<std::string_view, std::vector<int64_t>>> score_nodes(const Profile& profile,
                                                                           const PodInfo& pod,
                                                                           const Cluster& cluster,
                                                                           const Snapshot& feasible) {
  std::vector<std::pair<std::string_view, std::vector<int64_t>>> out;
  for (const auto& [plugin, weight] : profile.scorers) {
    auto scorer = plugin->scorer(pod, cluster, feasible);
    if (scorer == nullptr) continue;
    std::vector<int64_t> scores;
    scores.reserve(feasible.size());
    for (const NodeInfo* node : feasible) scores.push_back(scorer->score(*node));
    scorer->normalise(scores);
    for (int64_t& s : scores) s *= weight;
    out.emplace_back(plugin->name(), std::move(scores));
  }
  return out;
}

namespace {

using Extenders = std::vector<std::unique_ptr<Extender>>;

const NodeInfo* best_of(const Profile& profile, const Extenders& extenders, const PodInfo& pod,
                        const Cluster& cluster, const Snapshot& feasible) {
  if (feasible.size() == 1) return feasible[0];
  std::vector<int64_t> total(feasible.size(), 0);
  for (const auto& [name, scores] : score_nodes(profile, pod, cluster, feasible)) {
    for (size_t i = 0; i < scores.size(); ++i) total[i] += scores[i];
  }
  for (const auto& extender : extenders) {
    // One that does not answer has no say.
    if (extender->interested(pod) && extender->prioritizes())
      (void)extender->prioritize(pod, feasible, total);
  }
  // The rotating start makes equal nodes take turns.
  return feasible[static_cast<size_t>(std::max_element(total.begin(), total.end()) - total.begin())];
}

/// Why nodes do not do, collected.
struct Refusals {
  std::map<std::string, size_t> reasons;
  std::map<const NodeInfo*, std::pair<Verdict, Reasons>> by_extender;
  std::string failure;
};

bool ask_extenders(const Extenders& extenders, const PodInfo& pod, Snapshot& feasible, Refusals& refusals,
                   const Snapshot& all) {
  for (const auto& extender : extenders) {
    if (feasible.empty()) return true;
    if (!extender->filters() || !extender->interested(pod)) continue;
    std::vector<Extender::Refused> refused;
    Snapshot left = feasible;
    if (base::Status s = extender->filter(pod, left, refused); !s.ok()) {
      if (extender->ignorable()) continue;
      refusals.failure = s.message();
      return false;
    }
    for (const auto& r : refused) {
      const NodeInfo* node = find_node(all, r.node);
      if (node == nullptr) continue;
      auto& entry = refusals.by_extender[node];
      if (entry.first == Verdict::kUnsuitable) continue;
      entry = {r.unresolvable ? Verdict::kUnsuitable : Verdict::kOccupied, {r.reason}};
    }
    feasible = std::move(left);
  }
  return true;
}

}  // namespace

Outcome decide(const Profile& profile, const Extenders& extenders, const PodInfo& pod, const Cluster& cluster,
               const Nominated& nominated, size_t start) {
  Outcome out;
  const Snapshot& all = cluster.nodes;
  if (all.empty()) {
    out.message = "no nodes available to schedule pods";
    out.rejectors = ~uint64_t{0};
    return out;
  }
  out.filters = Filters(profile, pod, cluster);
  Filters& filters = out.filters;
  if (filters.refused() != Verdict::kFits) {
    out.failed = filters.refused() == Verdict::kFailed;
    out.rejectors = filters.rejectors();
    out.message = out.failed ? filters.message()
                             : base::cat("0/", all.size(), " nodes are available: ", filters.message(), ".");
    return out;
  }
  Snapshot some;
  if (filters.only_nodes()) {
    for (const auto& name : *filters.only_nodes()) {
      if (const NodeInfo* node = find_node(all, name)) some.push_back(node);
    }
  }
  Reasons why;
  Refusals refusals;
  Snapshot feasible;
  if (!pod.nominated_node.empty()) {
    const NodeInfo* promised = find_node(all, pod.nominated_node);
    if (promised != nullptr && filters.check(*promised, nominated, why) == Verdict::kFits) {
      feasible = {promised};
      if (ask_extenders(extenders, pod, feasible, refusals, all) && !feasible.empty()) {
        out.node = promised;
        return out;
      }
      feasible.clear();
      refusals = {};
    }
  }
  const Snapshot& among = filters.only_nodes() ? some : all;
  const size_t enough = feasible_enough(among.size(), profile.percentage_of_nodes);
  for (size_t i = 0; i < among.size() && feasible.size() < enough; ++i) {
    const NodeInfo& node = *among[(start + i) % among.size()];
    ++out.looked_at;
    why.clear();
    const Verdict verdict = filters.check(node, nominated, why);
    if (verdict == Verdict::kFits) {
      feasible.push_back(&node);
      continue;
    }
    if (verdict == Verdict::kFailed) {
      out.failed = true;
      out.message = why.empty() ? "" : why.back();
      return out;
    }
    if (verdict == Verdict::kOccupied) out.occupied.push_back(&node);
    for (const auto& reason : why) ++refusals.reasons[reason];
  }
  const size_t fitting = feasible.size();
  if (!ask_extenders(extenders, pod, feasible, refusals, all)) {
    out.failed = true;
    out.message = refusals.failure;
    return out;
  }
  if (!feasible.empty()) {
    out.node = best_of(profile, extenders, pod, cluster, feasible);
    return out;
  }
  out.rejectors = filters.rejectors() | (fitting != 0 ? kExtenderBit : 0);
  for (const auto& [node, refusal] : refusals.by_extender) {
    if (refusal.first == Verdict::kOccupied) out.occupied.push_back(node);
    for (const auto& reason : refusal.second) ++refusals.reasons[reason];
  }
  if (filters.only_nodes() && among.size() < all.size()) {
    refusals.reasons[base::cat("node(s) didn't satisfy plugin(s) [", joined(filters.restricting()), "]")] =
        all.size() - among.size();
  }
  out.message = fit_message(all.size(), refusals.reasons);
  return out;
}

}  // namespace orch::server::scheduler
