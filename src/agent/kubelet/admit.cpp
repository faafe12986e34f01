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

}  // namespace

std::optional<Waiting> rejection(const Pod& pod, const api::PodInfo& wants, const api::NodeInfo& node) {
  if (auto why = wrong_system(pod, node)) return why;
  for (const api::Shortage& s : api::shortages(wants, node)) {
    if (is_unknown_extended(s.resource, node)) continue;
    return Waiting{base::cat("OutOf", s.resource),
                   base::cat("Node didn't have enough resource: ", s.resource, ", requested: ", s.requested,
                             ", used: ", s.used, ", capacity: ", s.capacity)};
  }
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

}  // namespace orch::agent
