// The downward API: fields and resources of a pod as text, for variables and files. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/kubelet/pod.h"
#include "base/status.h"

namespace orch::agent {

/// Addresses that only the node knows when a container is made.
struct PodAddresses {
  std::vector<std::string> pod_ips, host_ips;
};

/// Node allocatable in place of limits that a container does not have: quantities as text.
struct NodeResources {
  std::string cpu = "0", memory = "0", ephemeral_storage = "0";
};

/// fieldRef: metadata.name, metadata.labels['x'], spec.nodeName, status.podIP, … For files also the whole
/// metadata.labels and metadata.annotations (one `key="value"` a line).
base::Result<std::string> field_value(const Pod& pod, std::string_view field_path,
                                      const PodAddresses& addresses);

/// resourceFieldRef: limits.cpu and so on, divided by the divisor and rounded up.
base::Result<std::string> resource_value(const Pod& pod, const Json& reference,
                                         std::string_view own_container, const NodeResources& node);

}  // namespace orch::agent
