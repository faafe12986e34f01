// What a node is configured with. Plain values; set once before the node starts.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace orch::agent {

struct KubeletConfig {
  std::string node_name;              // also the hostname label's value unless given
  std::vector<std::string> node_ips;  // --node-ip; empty: the address of the default route's interface
  std::map<std::string, std::string> node_labels;
  /// "key=value:Effect", applied when the node registers.
  std::vector<std::string> node_taints;
  std::string provider_id;

  std::string root_dir;  // <data-dir>/agent/kubelet: pods/<uid>/volumes, …, state
  std::string log_dir = "/var/log/pods";
  /// Symbolic links <pod>_<namespace>_<container>-<id>.log for log collectors; "" for none.
  std::string container_log_dir = "/var/log/containers";

  std::vector<std::string> cluster_dns;
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";

  int64_t max_pods = 110;
  std::string cgroup_root;      // "" or a path such as "/orch-2"; kubepods lies below it
  bool systemd_cgroup = false;  // driver of the runtime
  bool cgroups_per_qos = true;
  bool restrict_oom_score = false;
  /// Quantities held back from pods: cpu, memory, ephemeral-storage, pid.
  std::map<std::string, std::string> reserved;

  int64_t log_max_bytes = 10 << 20;  // of one container's log before it is rotated
  int log_max_files = 5;

  std::chrono::seconds lease_duration{40};
  std::chrono::seconds lease_renew{10};
  std::chrono::seconds status_report{300};  // an unchanged node status is still written this often
  std::chrono::seconds image_gc_interval{300};
  std::chrono::seconds image_min_age{120};
  int image_gc_high_percent = 85, image_gc_low_percent = 80;
  /// Images that are never removed (the sandbox's).
  std::vector<std::string> pinned_images;

  uint16_t port = 10250;  // daemonEndpoints.kubeletEndpoint
  /// File name extension of volume plugins and such are not configurable; feature switches go here.
  bool register_node = true;
  bool fail_cgroups = true;  // a pod whose cgroup cannot be made is not started
};

}  // namespace orch::agent
