// From a pod's spec to what the container runtime is asked for. Pure: files and addresses come as arguments.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/config.h"
#include "agent/kubelet/dns.h"
#include "agent/kubelet/env.h"
#include "agent/kubelet/pod.h"
#include "base/status.h"

namespace orch::agent {

struct SandboxInput {
  uint32_t attempt = 0;
  std::string cgroup_parent;
  std::string runtime_handler;
  std::vector<int64_t> extra_groups;  // that volumes ask for
  DnsConfig dns;
};
base::Result<SandboxConfig> sandbox_config(const Pod& pod, const KubeletConfig& config,
                                           const SandboxInput& input);

/// "<log_dir>/<namespace>_<name>_<uid>"
std::string pod_log_dir(const Pod& pod, const KubeletConfig& config);
/// "<container>/<attempt>.log", below that.
std::string container_log_path(std::string_view container, uint32_t attempt);

struct ContainerInput {
  uint32_t attempt = 0;
  ImageInfo image;        // as the runtime knows it
  std::string image_ref;  // to start from
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<Mount> mounts;  // of volumes, hosts file and termination log
  std::vector<ContainerConfig::Device> devices;
  std::vector<int64_t> extra_groups;
  int64_t memory_capacity = 0;
  std::string pid_target;   // runtime id, of an ephemeral container's target
  std::string seccomp_dir;  // where Localhost profiles lie
};
/// Errors become CreateContainerConfigError.
base::Result<ContainerConfig> container_config(const Pod& pod, const ContainerRef& container,
                                               const ContainerInput& input);

/// "" when the image's and the contexts' users satisfy runAsNonRoot, else what is wrong.
std::string root_problem(const Pod& pod, const ContainerRef& container, const ImageInfo& image);

/// A member of the container's securityContext, else of the pod's; null when neither has it.
const Json* security_setting(const Pod& pod, const ContainerRef& container, std::string_view name);

/// fsGroup, or nothing.
std::optional<int64_t> fs_group(const Pod& pod);

}  // namespace orch::agent
