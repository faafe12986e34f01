// A node's object (core/v1 Node): what the machine is and how it does. collect() reads the machine; the rest
// is pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/config.h"
#include "agent/kubelet/downward.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::agent {

/// What does not change while the machine runs.
struct MachineInfo {
  int64_t cpus = 0, memory_bytes = 0, disk_bytes = 0, disk_inodes = 0, max_pids = 0;
  std::string machine_id, system_uuid, boot_id, kernel, os_image, architecture, hostname;
  std::vector<std::string> hugepage_sizes;  // "2Mi"
};
/// `root`: the folder whose file system pods use. `etc` and `sys`… are the machine's own.
MachineInfo machine_info(const std::string& root);

/// What the eviction thresholds look at.
struct Pressure {
  int64_t memory_available = 0, disk_available = 0, inodes_available = 0, pids = 0;
};
Pressure machine_pressure(const std::string& root);

/// Addresses of the interface that the default route uses (IPv4 first), else of any but loopback.
std::vector<std::string> default_addresses();

/// "4", "1024Ki", … as node capacity gives them.
Json capacity_of(const MachineInfo& machine, int64_t max_pods);
/// Capacity less what is reserved.
Json allocatable_of(const Json& capacity, const KubeletConfig& config);

struct NodeStatusInput {
  base::WallTime now;
  MachineInfo machine;
  Pressure pressure;
  RuntimeInfo runtime;
  std::string runtime_error;   // why info() failed
  std::string services_error;  // why the service proxy could not do its work
  std::vector<std::string> addresses;
  std::vector<ImageInfo> images;  // the 50 largest are shown
  std::string orch_version;
};

/// The status to report. `previous` keeps transition times, and addresses and conditions set by others.
Json node_status(const Json& previous, const KubeletConfig& config, const NodeStatusInput& input);

/// The object to register with.
Json new_node(const KubeletConfig& config, const MachineInfo& machine, const Json& status);

/// Labels every node of this machine has.
std::map<std::string, std::string> default_labels(const KubeletConfig& config, const MachineInfo& machine);

/// Whether the two differ in more than heartbeat times.
bool node_status_changed(const Json& before, const Json& after);

/// "v1.35.4+orch" with the build's version when there is one.
std::string kubelet_version(std::string_view orch_version);

}  // namespace orch::agent
