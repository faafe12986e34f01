// Node controllers: health by heartbeats, taints, eviction by NoExecute taints, pod address ranges, and the
// pods of nodes that are gone.
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// Watches heartbeats (leases in kube-node-lease): a node silent for `grace` of `clock`'s monotonic time,
/// which no clock jump can fake, becomes Unknown and is tainted unreachable. Keeps the taints that follow
/// from conditions and spec.unschedulable.
Controller make_node_lifecycle_controller(const base::Clock& clock, base::Duration grace);
/// Deletes pods that do not tolerate a NoExecute taint of their node, at the time their toleration ends.
Controller make_taint_eviction_controller();
/// Gives every node a part of the cluster's address range (spec.podCIDR): /24 for IPv4, /64 for IPv6.
Controller make_node_ipam_controller(std::string cluster_cidr);
/// Removes pods that are bound to nodes which do not exist.
Controller make_pod_gc_controller();

/// The conditions-to-taints rule, for tests: the taints a node should have beside those of users.
std::vector<Json> condition_taints(const Json& node);
/// The n-th part of `length` bits of a CIDR, "" when there is none.
std::string nth_subnet(const std::string& cidr, int length, uint32_t n);

}  // namespace orch::server
