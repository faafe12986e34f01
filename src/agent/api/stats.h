// What a node and its pods use, as /stats/summary and /metrics/resource give it. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/kubelet/kubelet.h"
#include "base/json_fwd.h"

namespace orch::agent {

struct UsageReport {
  Kubelet::PodUsage node;
  std::vector<Kubelet::PodUsage> pods;
  std::vector<ContainerStats> containers;
  /// container id -> {namespace, pod, container name}
  struct Name {
    std::string ns, pod, container;
  };
  std::map<std::string, Name> names;
  base::WallTime now, boot;
};

/// stats/v1alpha1 Summary.
Json stats_summary(const UsageReport& report);
/// Prometheus text of the resource metrics that metrics-server and the horizontal autoscaler read.
std::string resource_metrics(const UsageReport& report);

}  // namespace orch::agent
