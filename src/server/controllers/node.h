// Node controllers: health by heartbeats, taints, eviction by NoExecute taints, pod address ranges, and pods
// that nobody else ends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/metrics.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// Watches heartbeats (leases in kube-node-lease): a node silent for `grace` of `clock`'s monotonic time,
/// which no clock jump can fake, becomes Unknown and is tainted unreachable, and its pods are not ready any
/// more. Keeps the taints that follow from conditions and spec.unschedulable; those that drive pods out come
/// one node after the other, and not at all while too much is down at once (see node_zones.h). Nodes must be
/// told of in order: the key function of kNodes counts them. `metrics` may be null.
Controller make_node_lifecycle_controller(const base::Clock& clock, base::Duration grace,
                                          const EvictionOptions& eviction = {},
                                          base::Metrics* metrics = nullptr);
/// Deletes pods that do not tolerate a NoExecute taint of their node, when their toleration has lasted long
/// enough on `clock`'s monotonic time.
Controller make_taint_eviction_controller(const base::Clock& clock);
/// Notes on every node for how many seconds it may keep what it reads, the more the larger the cluster is
/// (annotation node.alpha.kubernetes.io/ttl).
Controller make_node_ttl_controller();
/// Gives every node a part of the cluster's address range (spec.podCIDR): /24 for IPv4, /64 for IPv6.
Controller make_node_ipam_controller(std::string cluster_cidr);
/// Removes pods bound to nodes that have not existed for 40 seconds, pods deleted before they got a node,
/// pods terminating on a node that is not ready and tainted out-of-service, and the oldest ones that ended
/// when there are more than `terminated` of those (0: 12500).
Controller make_pod_gc_controller(const base::Clock& clock, size_t terminated = 0);

/// The conditions-to-taints rule: the taints a node should have beside those of users. NoExecute ones only if
/// `evict`.
std::vector<Json> condition_taints(const Json& node, bool evict);
/// How long a pod may stay on a node with these NoExecute taints; nothing = for ever.
std::optional<base::Duration> toleration_time(const Json& pod, const std::vector<Json>& taints);
/// The n-th part of `length` bits of a CIDR, "" when there is none.
std::string nth_subnet(const std::string& cidr, int length, uint32_t n);

/// Index of pods by the node they are bound to.
inline constexpr const char* kPodsOnNode = "node";
client::IndexFunction pods_on_node_index();

}  // namespace orch::server
