// Volumes of the node's pods: made before containers start, kept current, removed after the pod.
//
// On disk: <root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>. Secrets, projected volumes and
// memory-backed emptyDirs are tmpfs mounts; subPaths are bind mounts below <root>/pods/<uid>/volume-subpaths.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/pod.h"
#include "agent/kubelet/volume_payload.h"

namespace orch::agent {

/// Where a pod's volumes are on the host.
struct PodVolumes {
  std::map<std::string, std::string> paths;  // by volume name
  std::optional<base::WallTime> refresh_at;
};

/// Thread-safe for different pods; calls for one pod come one at a time.
class VolumeManager {
 public:
  VolumeManager(std::string root_dir, const base::Clock& clock) : root_(std::move(root_dir)), clock_(clock) {}

  /// Makes or updates every volume of the pod; safe to repeat. The error names the volume:
  /// `MountVolume.SetUp failed for volume "x" : …`.
  base::Result<PodVolumes> set_up(const Pod& pod, const PayloadInput& input);

  /// The mounts of one container. `env` expands subPathExpr. Errors become CreateContainerConfigError.
  base::Result<std::vector<Mount>> container_mounts(
      const Pod& pod, const ContainerRef& container, const PodVolumes& volumes,
      const std::vector<std::pair<std::string, std::string>>& env);

  /// Unmounts and removes everything of the pod. Never follows into volumes that are still mounted.
  base::Status tear_down(std::string_view uid);

  /// Folder of the pod's own files (hosts, termination logs, volumes).
  std::string pod_dir(std::string_view uid) const { return base::cat(root_, "/pods/", uid); }
  /// Uids that have a folder.
  std::vector<std::string> pods_on_disk() const;

 private:
  base::Result<std::string> set_up_one(const Pod& pod, const Json& volume, const PayloadInput& input,
                                       PodVolumes& out);
  base::Status empty_dir(const Pod& pod, const Json& source, const std::string& path) const;
  base::Result<std::string> subpath_mount(const Pod& pod, const ContainerRef& container, size_t index,
                                          const std::string& volume_path, const std::string& volume_name,
                                          const std::string& subpath, bool readonly) const;

  const std::string root_;
  const base::Clock& clock_;
};

/// "" or what is wrong with a hostPath of this type; makes it for the …OrCreate types.
std::string check_host_path(const std::string& path, std::string_view type);

/// Whether a tmpfs is mounted on exactly this folder.
bool is_tmpfs_mount(const std::string& path);

/// Mounts a tmpfs on `path` unless one is there. `size_bytes` 0: the kernel's default.
base::Status mount_tmpfs(const std::string& path, int64_t size_bytes);

}  // namespace orch::agent
