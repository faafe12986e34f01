// InterPodAffinity: spec.affinity.podAffinity and podAntiAffinity of the pod, and the anti-affinity and
// preferences of the pods that are there, which work both ways.
#include <algorithm>
#include <map>

#include "server/scheduler/plugins/plugins.h"

namespace orch::server::scheduler {

namespace {

using Tallies = std::map<std::string, Tally>;  // by topology key

/// The pod with its namespace, as other pods' terms see it.
struct Seen {
  const PodInfo& pod;
  api::ObjectPtr ns;  // null: not known, without labels then

  bool matches(const PodTerm& other) const {
    return other.in_namespace(pod.ns, ns.get()) && other.selector.matches(*pod.object);
  }
};

/// Whether one of the pod's own terms speaks of a namespace. One that selects namespaces by labels knows only
/// those that exist.
bool speaks_of(const PodTerm& term, std::string_view ns, const Objects& objects) {
  if (std::find(term.namespaces.begin(), term.namespaces.end(), ns) != term.namespaces.end()) return true;
  if (term.namespace_selector.empty()) return true;
  const api::ObjectPtr object = objects.get(Kind::kNamespace, "", ns);
  return object != nullptr && term.namespace_selector.matches(*object);
}

bool matches(const PodTerm& term, std::string_view ns, const api::Object& pod, const Objects& objects) {
  return speaks_of(term, ns, objects) && term.selector.matches(pod);
}

bool matches_all(const std::vector<PodTerm>& terms, std::string_view ns, const api::Object& pod,
                 const Objects& objects) {
  return !terms.empty() && std::all_of(terms.begin(), terms.end(),
                                       [&](const PodTerm& t) { return matches(t, ns, pod, objects); });
}

const std::vector<PodTerm>& near_of(const PodInfo& pod) {
  static const std::vector<PodTerm> none;
  return pod.terms == nullptr ? none : pod.terms->near;
}
const std::vector<PodTerm>& apart_of(const PodInfo& pod) {
  static const std::vector<PodTerm> none;
  return pod.terms == nullptr ? none : pod.terms->apart;
}

const std::string* label_of(const NodeInfo& node, const std::string& key) {
  auto it = node.labels.find(key);
  return it == node.labels.end() ? nullptr : &it->second;
}

bool counted(const Tallies& tallies, const std::string& key, const std::string& value) {
  auto it = tallies.find(key);
  return it != tallies.end() && it->second.at(value) > 0;
}

class Filter final : public NodeFilter {
 public:
  Filter(const PodInfo& pod, const Cluster& cluster)
      : seen_{pod, cluster.objects.get(Kind::kNamespace, "", pod.ns)}, objects_(cluster.objects) {
    for (const auto& [key, group] : cluster.census.term_groups()) {
      for (const PodTerm& t : group.terms->apart) {
        if (seen_.matches(t)) repelled_[t.topology_key].add(group.counts.by(t.topology_key));
      }
    }
    const auto &near = near_of(pod), &apart = apart_of(pod);
    if (near.empty() && apart.empty()) return;
    cluster.census.each_group([&](std::string_view ns, const Census::Group& group) {
      if (matches_all(near, ns, *group.sample, objects_)) {
        for (const PodTerm& t : near) near_[t.topology_key].add(group.counts.by(t.topology_key));
      }
      for (const PodTerm& t : apart) {
        if (matches(t, ns, *group.sample, objects_))
          apart_[t.topology_key].add(group.counts.by(t.topology_key));
      }
    });
  }

  bool anything_to_say() const {
    return !near_of(seen_.pod).empty() || !apart_of(seen_.pod).empty() ||
           std::any_of(repelled_.begin(), repelled_.end(),
                       [](const auto& t) { return t.second.total() != 0; });
  }

  Verdict filter(const NodeInfo& node, Reasons& reasons) override {
    if (!affinity_holds(node)) {
      reasons.emplace_back("node(s) didn't match pod affinity rules");
      return Verdict::kUnsuitable;
    }
    for (const PodTerm& t : apart_of(seen_.pod)) {
      const std::string* value = label_of(node, t.topology_key);
      if (value == nullptr || !counted(apart_, t.topology_key, *value)) continue;
      reasons.emplace_back("node(s) didn't match pod anti-affinity rules");
      return Verdict::kOccupied;
    }
    for (const auto& [key, tally] : repelled_) {
      const std::string* value = label_of(node, key);
      if (value == nullptr || tally.at(*value) <= 0) continue;
      reasons.emplace_back("node(s) didn't satisfy existing pods anti-affinity rules");
      return Verdict::kOccupied;
    }
    return Verdict::kFits;
  }

  void add_pod(const PodInfo& other, const NodeInfo& node) override { adjust(other, node, 1); }
  void remove_pod(const PodInfo& other, const NodeInfo& node) override { adjust(other, node, -1); }
  std::unique_ptr<NodeFilter> clone() const override { return std::make_unique<Filter>(*this); }

 private:
  /// A pod that is near to pods like itself may be the first of them.
  bool affinity_holds(const NodeInfo& node) const {
    const auto& near = near_of(seen_.pod);
    bool all = true;
    for (const PodTerm& t : near) {
      const std::string* value = label_of(node, t.topology_key);
      if (value == nullptr) return false;
      all = all && counted(near_, t.topology_key, *value);
    }
    if (all) return true;
    const bool nobody =
        std::all_of(near_.begin(), near_.end(), [](const auto& t) { return t.second.total() == 0; });
    return nobody && matches_all(near, seen_.pod.ns, *seen_.pod.object, objects_);
  }

  void adjust(const PodInfo& other, const NodeInfo& node, int64_t by) {
    auto change = [&](Tallies& tallies, const PodTerm& t) {
      if (const std::string* value = label_of(node, t.topology_key))
        tallies[t.topology_key].adjust(*value, by);
    };
    for (const PodTerm& t : apart_of(other)) {
      if (seen_.matches(t)) change(repelled_, t);
    }
    if (matches_all(near_of(seen_.pod), other.ns, *other.object, objects_)) {
      for (const PodTerm& t : near_of(seen_.pod)) change(near_, t);
    }
    for (const PodTerm& t : apart_of(seen_.pod)) {
      if (matches(t, other.ns, *other.object, objects_)) change(apart_, t);
    }
  }

  Seen seen_;
  const Objects& objects_;
  Tallies repelled_;  // pods there that want to be apart from this one
  Tallies near_;      // pods that match all terms
  Tallies apart_;     // pods that match one
};

class Scorer final : public NodeScorer {
 public:
  Scorer(const PodInfo& pod, const Cluster& cluster, const InterPodAffinityArgs& args) {
    const Seen seen{pod, cluster.objects.get(Kind::kNamespace, "", pod.ns)};
    for (const auto& entry : cluster.census.term_groups()) {
      const auto& group = entry.second;  // clang 14 cannot capture a structured binding
      auto add = [&](const PodTerm& t, int64_t weight) {
        if (weight != 0 && seen.matches(t)) add_pods(group.counts, t, weight);
      };
      for (const PodTerm& t : group.terms->near) add(t, args.hard_weight);
      for (const auto& [weight, t] : group.terms->prefers) add(t, weight);
      for (const auto& [weight, t] : group.terms->dislikes) add(t, -weight);
    }
    if (pod.terms == nullptr || (pod.terms->prefers.empty() && pod.terms->dislikes.empty())) return;
    cluster.census.each_group([&](std::string_view ns, const Census::Group& group) {
      auto add = [&](const PodTerm& t, int64_t weight) {
        if (matches(t, ns, *group.sample, cluster.objects)) add_pods(group.counts, t, weight);
      };
      for (const auto& [weight, t] : pod.terms->prefers) add(t, weight);
      for (const auto& [weight, t] : pod.terms->dislikes) add(t, -weight);
    });
  }

  bool anything_to_say() const { return !likings_.empty(); }

  int64_t score(const NodeInfo& node) const override {
    int64_t sum = 0;
    for (const auto& [key, tally] : likings_) {
      if (const std::string* value = label_of(node, key)) sum += tally.at(*value);
    }
    return sum;
  }

  /// The least becomes 0, the most kMaxScore.
  void normalise(std::vector<int64_t>& scores) const override {
    const auto [least, most] = std::minmax_element(scores.begin(), scores.end());
    const int64_t low = *least, range = *most - *least;
    for (int64_t& s : scores) {
      s = range == 0 ? 0
                     : static_cast<int64_t>(static_cast<double>(kMaxScore) *
                                            (static_cast<double>(s - low) / static_cast<double>(range)));
    }
  }

 private:
  void add_pods(const Counts& counts, const PodTerm& t, int64_t weight) {
    const Counts::ByValue& values = counts.by(t.topology_key);
    if (values.total != 0) likings_[t.topology_key].add(values, weight);
  }

  Tallies likings_;
};

class InterPodAffinity final : public Plugin {
 public:
  explicit InterPodAffinity(InterPodAffinityArgs args) : args_(args) {}
  std::string_view name() const override { return "InterPodAffinity"; }
  bool scores() const override { return true; }
  bool local() const override { return false; }

  Prepared prepare(const PodInfo& pod, const Cluster& cluster) const override {
    Prepared out;
    if (pod.terms == nullptr && cluster.census.term_groups().empty()) return out;
    auto filter = std::make_unique<Filter>(pod, cluster);
    if (filter->anything_to_say()) out.filter = std::move(filter);
    return out;
  }

  std::unique_ptr<NodeScorer> scorer(const PodInfo& pod, const Cluster& cluster,
                                     const Snapshot& feasible) const override {
    (void)feasible;
    const bool prefers =
        pod.terms != nullptr && (!pod.terms->prefers.empty() || !pod.terms->dislikes.empty());
    if (!prefers && (args_.ignore_preferred_of_others || cluster.census.term_groups().empty()))
      return nullptr;
    auto out = std::make_unique<Scorer>(pod, cluster, args_);
    return out->anything_to_say() ? std::move(out) : nullptr;
  }

  uint32_t helped_by() const override {
    return kNodeAdded | kNodeLabels | kPodAdded | kPodLabels | kPodGone | kOwnLabels;
  }
  bool helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) const override {
    if ((event.kinds & kOwnLabels) != 0) return true;
    if ((event.kinds & (kNodeAdded | kNodeLabels)) != 0) return node_helps(event, waiting);
    return pod_helps(event, waiting, cluster);
  }

 private:
  static bool node_helps(const Event& event, const PodInfo& waiting) {
    auto moved = [&](const PodTerm& t, bool wants_key) {
      const std::string* now = label_of(*event.node, t.topology_key);
      if (event.node_before == nullptr) return !wants_key || now != nullptr;
      const std::string* before = label_of(*event.node_before, t.topology_key);
      if (before != nullptr && now != nullptr) return *before != *now;
      return wants_key ? now != nullptr && before == nullptr : before != nullptr && now == nullptr;
    };
    const auto &near = near_of(waiting), &apart = apart_of(waiting);
    return std::any_of(near.begin(), near.end(), [&](const PodTerm& t) { return moved(t, true); }) ||
           std::any_of(apart.begin(), apart.end(), [&](const PodTerm& t) { return moved(t, false); }) ||
           (near.empty() && apart.empty());
  }

  /// One that goes and that the pod wants to be apart from, or that wants to be apart from it; one that comes
  /// and that it wants to be near to.
  static bool pod_helps(const Event& event, const PodInfo& waiting, const Cluster& cluster) {
    const Seen seen{waiting, cluster.objects.get(Kind::kNamespace, "", waiting.ns)};
    auto near = [&](const PodInfo* p) {
      return p != nullptr && matches_all(near_of(waiting), p->ns, *p->object, cluster.objects);
    };
    auto in_the_way = [&](const PodInfo* p) {
      if (p == nullptr) return false;
      const auto &own = apart_of(waiting), &others = apart_of(*p);
      return std::any_of(own.begin(), own.end(),
                         [&](const PodTerm& t) { return matches(t, p->ns, *p->object, cluster.objects); }) ||
             std::any_of(others.begin(), others.end(), [&](const PodTerm& t) { return seen.matches(t); });
    };
    return (near(event.pod) && !near(event.pod_before)) ||
           (in_the_way(event.pod_before) && !in_the_way(event.pod));
  }

  const InterPodAffinityArgs args_;
};

}  // namespace

PluginPtr make_inter_pod_affinity(InterPodAffinityArgs args) {
  return std::make_unique<InterPodAffinity>(args);
}

}  // namespace orch::server::scheduler
