#include "agent/kubelet/admit.h"

#include <algorithm>

#include "base/json.h"

namespace orch::agent {
namespace {

using base::string_at;

constexpr const char* kOs = "linux";
constexpr const char* kOsLabel = "kubernetes.io/os";

std::optional<Waiting> wrong_system(const Pod& pod, const api::NodeInfo& node) {
  const auto label = string_at(pod.tree(), {"metadata", "labels", kOsLabel});
  if (base::find_path(pod.tree(), {"metadata", "labels", kOsLabel}) != nullptr && label != kOs) {
    return Waiting{"PodOSSelectorNodeLabelDoesNotMatch",
                   "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"};
  }
  const auto os = string_at(pod.spec(), {"os", "name"});
  if (!os.empty() && os != kOs) {
    return Waiting{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"};
  }
  const bool strict = string_at(pod.spec(), {"securityContext", "supplementalGroupsPolicy"}) == "Strict";
  if (strict && !base::bool_at(node.object->tree(), {"status", "features", "supplementalGroupsPolicy"})) {
    return Waiting{"SupplementalGroupsPolicyNotSupported",
                   "SupplementalGroupsPolicy=Strict is not supported in this node"};
  }
  return std::nullopt;
}

Waiting failed_predicate(const char* name, const char* why) {
  return {name, base::cat("Predicate ", name, " failed: ", why)};
}

/// An extended resource that no node-level plugin announces is one of the cluster: not the node's to judge.
bool is_unknown_extended(const std::string& resource, const api::NodeInfo& node) {
  return resource.find('/') != std::string::npos && node.allocatable.scalars.count(resource) == 0;
}

/// What speaks against a pod besides a lack of room.
std::optional<Waiting> misplaced(const Pod& pod, const api::PodInfo& wants, const api::NodeInfo& node) {
  if (!api::affinity_allows(wants, node))
    return failed_predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  if (!api::ports_free(wants, node))
    return failed_predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  if (pod.is_static()) return std::nullopt;
  const bool repelled = std::any_of(node.taints.begin(), node.taints.end(), [&](const api::Taint& t) {
    return t.effect == "NoExecute" && !wants.tolerates(t);
  });
  if (repelled) return failed_predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  return std::nullopt;
}

std::vector<api::Shortage> lacking(const api::PodInfo& wants, const api::NodeInfo& node) {
  std::vector<api::Shortage> out = api::shortages(wants, node);
  std::erase_if(out, [&](const api::Shortage& s) { return is_unknown_extended(s.resource, node); });
  return out;
}

}  // namespace

std::optional<Waiting> rejection(const Pod& pod, const api::PodInfo& wants, const api::NodeInfo& node) {
  if (auto why = wrong_system(pod, node)) return why;
  if (const auto lacks = lacking(wants, node); !lacks.empty()) {
    // Of a critical pod what cannot be mended by sending others away counts first.
    if (auto why = is_critical(pod) ? misplaced(pod, wants, node) : std::nullopt) return why;
    const api::Shortage& s = lacks.front();
    return Waiting{base::cat("OutOf", s.resource),
                   base::cat("Node didn't have enough resource: ", s.resource, ", requested: ", s.requested,
                             ", used: ", s.used, ", capacity: ", s.capacity)};
  }
  return misplaced(pod, wants, node);
}

std::vector<api::Shortage> only_short_of(const Pod& pod, const api::PodInfo& wants,
                                         const api::NodeInfo& node) {
  if (wrong_system(pod, node) || misplaced(pod, wants, node)) return {};
  return lacking(wants, node);
}

// --- Critical pods ----------------------------------------------------------------------------------

namespace {

constexpr int64_t kSystemCriticalPriority = 2000000000;

int64_t request_of(const api::PodInfo& pod, const std::string& resource) {
  if (resource == "pods") return 1;
  const api::Resources& r = pod.requests;
  if (resource == "cpu") return r.milli_cpu;
  if (resource == "memory") return r.memory;
  if (resource == "ephemeral-storage") return r.ephemeral_storage;
  const auto it = r.scalars.find(resource);
  return it == r.scalars.end() ? 0 : it->second;
}

/// Amounts still missing, by resource.
using Missing = std::vector<std::pair<std::string, int64_t>>;
using Pods = std::vector<const Preemptible*>;

Missing without(const Missing& missing, const Pods& gone) {
  Missing out;
  for (auto [resource, amount] : missing) {
    for (const Preemptible* p : gone) amount -= request_of(*p->wants, resource);
    if (amount > 0) out.emplace_back(resource, amount);
  }
  return out;
}

/// How far from enough the pod alone would be: the sum of the squares of the parts that stay missing.
double distance(const Missing& missing, const Preemptible& pod) {
  double sum = 0;
  for (const auto& [resource, amount] : missing) {
    const auto left = static_cast<double>(amount - request_of(*pod.wants, resource));
    if (left > 0) sum += (left / static_cast<double>(amount)) * (left / static_cast<double>(amount));
  }
  return sum;
}

bool asks_less(const Preemptible& a, const Preemptible& b) {
  const api::Resources &x = a.wants->requests, &y = b.wants->requests;
  if (x.memory != y.memory) return x.memory < y.memory;
  return x.milli_cpu <= y.milli_cpu;
}

/// The nearest pod again and again, until nothing is missing.
Pods nearest(Pods pods, Missing missing) {
  Pods out;
  while (!missing.empty() && !pods.empty()) {
    auto best = pods.begin();
    for (auto it = pods.begin(); it != pods.end(); ++it) {
      const double d = distance(missing, **it), least = distance(missing, **best);
      if (d < least || (d == least && asks_less(**it, **best))) best = it;
    }
    missing = without(missing, {*best});
    out.push_back(*best);
    pods.erase(best);
  }
  return out;
}

Pods joined(Pods a, const Pods& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string text(const Missing& missing) {
  std::string out = "[";
  for (const auto& [resource, amount] : missing) out += base::cat("(res: ", resource, ", q: ", amount, "), ");
  return out + "]";
}

}  // namespace

bool is_critical(const Pod& pod) {
  return pod.is_static() ||
         base::find_path(pod.tree(), {"metadata", "annotations", "kubernetes.io/config.mirror"}) != nullptr ||
         base::int_at(pod.tree(), {"spec", "priority"}) >= kSystemCriticalPriority;
}

base::Result<std::vector<std::string>> pods_to_preempt(const Pod& pod, const std::vector<Preemptible>& others,
                                                       const std::vector<api::Shortage>& missing) {
  const int64_t priority = base::int_at(pod.tree(), {"spec", "priority"});
  Pods best_effort, burstable, guaranteed;
  for (const Preemptible& p : others) {
    if (p.critical && priority <= p.priority) continue;
    (p.qos == QosClass::kBestEffort  ? best_effort
     : p.qos == QosClass::kBurstable ? burstable
                                     : guaranteed)
        .push_back(&p);
  }
  Missing lacks;
  for (const api::Shortage& s : missing) lacks.emplace_back(s.resource, s.requested - (s.capacity - s.used));
  const Missing never = without(lacks, joined(joined(best_effort, burstable), guaranteed));
  if (!never.empty()) {
    return base::Status(base::Code::kConflict,
                        "preemption: error finding a set of pods to preempt: no set of running pods found to "
                        "reclaim resources: " +
                            text(never));
  }
  // Each class as if all of the less important ones went too, and then no more of those than needed.
  const Pods third = nearest(guaranteed, without(lacks, joined(best_effort, burstable)));
  const Pods second = nearest(burstable, without(lacks, joined(best_effort, third)));
  const Pods first = nearest(best_effort, without(lacks, joined(second, third)));
  std::vector<std::string> out;
  for (const Preemptible* p : joined(joined(first, second), third)) out.push_back(p->uid);
  return out;
}

}  // namespace orch::agent
