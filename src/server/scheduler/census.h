// Census: the pods on nodes, counted by what selectors and affinity terms can tell apart, so that a decision
// costs what differs in the cluster and not what there is in it. A Deployment's pods are one group; where
// they are, by node and by the values of any node label that was asked for, is kept up with every change.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// Where the pods of a group are. Nodes are known by their address, which must not change.
class Counts {
 public:
  /// Pods by value of one node label; nodes without it do not count.
  struct ByValue {
    std::unordered_map<std::string, int64_t> of;
    int64_t total = 0;
  };

  void add(const NodeInfo& node, int64_t n);
  bool empty() const { return on_.empty(); }
  /// Pods by node; none is 0.
  const std::unordered_map<const NodeInfo*, int64_t>& by_node() const { return on_; }
  /// Kept up to date from the first call on.
  const ByValue& by(const std::string& topology_key) const;

 private:
  std::unordered_map<const NodeInfo*, int64_t> on_;
  mutable std::map<std::string, ByValue> topologies_;
};

/// A sum of counts, by value of one node label. Borrows what it is made of from the census, so it lives as
/// long as one decision.
class Tally {
 public:
  void add(const Counts::ByValue& values, int64_t times = 1);
  /// A pod more or less that the census does not know of.
  void adjust(const std::string& value, int64_t by);
  int64_t at(const std::string& value) const;
  /// Of the counts, times aside: 0 = nobody was counted.
  int64_t total() const { return total_; }

 private:
  std::vector<std::pair<const Counts::ByValue*, int64_t>> large_;
  std::unordered_map<std::string, int64_t> small_;
  int64_t total_ = 0;
};

/// Not thread-safe.
class Census {
 public:
  /// Pods of one namespace with the same labels that are on their way out, or not.
  struct Group {
    api::ObjectPtr sample;  // one of them: has the labels
    bool deleting = false;
    Counts counts;
  };
  /// Pods of one namespace with the same affinity terms.
  struct TermGroup {
    std::shared_ptr<const PodTerms> terms;
    Counts counts;
  };

  /// A node with the pods it has, and without them again; before and after a change of its labels or images.
  void add_node(const NodeInfo& node);
  void remove_node(const NodeInfo& node);
  /// A pod of a node that is counted.
  void add_pod(const PodInfo& pod, const NodeInfo& node) { count(pod, node, 1); }
  void remove_pod(const PodInfo& pod, const NodeInfo& node) { count(pod, node, -1); }

  void each_group(const std::function<void(std::string_view ns, const Group&)>& visit) const;
  void each_group(std::string_view ns, const std::function<void(const Group&)>& visit) const;
  const std::unordered_map<std::string, TermGroup>& term_groups() const { return term_groups_; }
  /// How many nodes have the image.
  int64_t nodes_with_image(const std::string& name) const;
  /// Uses of a claim by pods on nodes.
  int64_t uses_of_claim(std::string_view ns, std::string_view claim) const;

 private:
  void count(const PodInfo& pod, const NodeInfo& node, int64_t n);

  std::map<std::string, std::unordered_map<std::string, Group>, std::less<>> groups_;  // by namespace, labels
  std::unordered_map<std::string, TermGroup> term_groups_;                             // by PodTerms::key
  std::unordered_map<std::string, int64_t> images_;
  std::unordered_map<std::string, int64_t> claims_;  // by namespace/name
};

}  // namespace orch::server::scheduler
