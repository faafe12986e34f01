// Cgroups of pods and quality-of-service classes, on cgroup v1 and v2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kubelet/pod.h"
#include "agent/kubelet/resources.h"
#include "base/status.h"

namespace orch::agent {

/// Bytes in use by the text of /proc/meminfo: the root of cgroup v2 keeps no count of its own.
uint64_t memory_in_use(std::string_view meminfo);

/// Thread-safe (all state is the kernel's).
class Cgroups {
 public:
  /// `root`: KubeletConfig::cgroup_root. With `systemd` the runtime's driver makes slices itself, and only
  /// their names are ours.
  Cgroups(std::string root, bool systemd, std::string mount = "/sys/fs/cgroup");

  bool unified() const { return unified_; }
  /// Makes kubepods and its classes.
  base::Status prepare();
  /// Makes the pod's cgroup with its shares and limits; the runtime puts containers below it.
  base::Status make_pod(const Pod& pod, QosClass qos);
  /// Ends what is left in it and removes it.
  base::Status remove_pod(std::string_view uid);
  /// What the pod's cgroup allows now; nothing when there is none of ours.
  std::optional<PodLimits> limits(const Pod& pod, QosClass qos) const;
  base::Status set_shares(const Pod& pod, QosClass qos, int64_t shares);
  base::Status set_quota(const Pod& pod, QosClass qos, int64_t quota);
  base::Status set_memory(const Pod& pod, QosClass qos, int64_t bytes);
  std::string parent_of(const Pod& pod, QosClass qos) const;
  /// Uids that have a cgroup, whatever their class.
  std::vector<std::string> pods() const;
  /// Sum of CPU time (ns) and memory working set (bytes) of a pod; zeros when it has none.
  struct Usage {
    uint64_t cpu_ns = 0, memory_usage = 0, memory_working_set = 0, memory_rss = 0;
  };
  /// `path` as from parent_of(), or "/" for the machine.
  Usage usage(const std::string& path) const;

 private:
  base::Status make(const std::string& path);
  /// Folders of a cgroup: one on v2, one for each controller on v1.
  std::vector<std::string> folders(const std::string& path) const;
  std::string folder(const std::string& controller, const std::string& path) const;

  const std::string root_;
  const bool systemd_;
  const std::string mount_;
  bool unified_ = false;
  std::vector<std::string> controllers_;  // v1
};

}  // namespace orch::agent
