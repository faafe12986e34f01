// From resource requests and limits to what the kernel is told. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "agent/kubelet/pod.h"

namespace orch::agent {

inline constexpr int64_t kCpuPeriod = 100000;  // microseconds

int64_t cpu_shares(int64_t milli_cpu);
/// 0 for no limit.
int64_t cpu_quota(int64_t milli_cpu);
/// cgroup v2 cpu.weight of cgroup v1 shares, as container runtimes convert them.
int64_t cpu_weight(int64_t shares);

/// -997 for guaranteed and critical pods, 1000 for best-effort ones, between for others by their share of the
/// machine's memory. A sidecar is not killed before the containers it serves.
int64_t oom_score(const Pod& pod, const ContainerRef& container, int64_t memory_capacity);

/// CPU (thousandths of a core) and memory (bytes) of one container; 0 is none.
struct Amounts {
  int64_t cpu_request = 0, cpu_limit = 0, memory_request = 0, memory_limit = 0;
  bool operator==(const Amounts&) const = default;
};
/// Of a core/v1 ResourceRequirements.
Amounts amounts_of(const Json& resources);

struct ContainerResources {
  int64_t shares = 2, quota = 0, memory_limit = 0;
};
ContainerResources container_resources(const Json& container);
ContainerResources container_resources(const Amounts& amounts);

/// What the whole pod may use: sums of its containers (the greatest of the init phase if that is more),
/// pod-level resources, overhead. A limit is 0 (none) unless every container has one.
struct PodResources {
  int64_t milli_cpu_request = 0, milli_cpu_limit = 0, memory_request = 0, memory_limit = 0;
};
PodResources pod_resources(const Pod& pod);

/// Limits of a pod's cgroup in the kernel's units. Shares are weights on cgroup v2; a quota or memory of 0 is
/// none.
struct PodLimits {
  int64_t shares = 0, quota = 0, memory = 0;
};
PodLimits pod_limits(const PodResources& resources, bool unified);

/// "/kubepods/burstable/pod<uid>" or, for systemd, "kubepods-burstable-pod<uid>.slice"; below `root`.
std::string pod_cgroup(const Pod& pod, QosClass qos, const std::string& root, bool systemd);

}  // namespace orch::agent
