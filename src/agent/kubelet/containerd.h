// Containerd: starts containerd with a configuration of Orch's own, keeps it running, and leaves it (and so
// every container) running when Orch ends or is killed. The next start adopts it.
//
// Root folder, state folder and socket lie under folders derived from the data folder, so several Orchs and a
// distribution's own containerd run side by side.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "base/clock.h"
#include "base/status.h"

namespace orch::agent {

/// The sandbox image that is part of the executable.
inline constexpr const char* kSandboxImage = "registry.k8s.io/pause:3.10.1";

struct ContainerdOptions {
  std::string data_dir;  // <data-dir>/agent: holds containerd/, containerd.log and images/
  std::string run_dir;   // socket, pid file and state; see default_run_dir()
  std::string binary = "containerd";
  std::string ctr_binary = "ctr";
  std::string cni_bin_dir = "/usr/lib/cni";
  std::string cni_conf_dir;
  std::string sandbox_image = kSandboxImage;
  std::string registry_config_dir;  // hosts.toml files per registry; "" for none
  std::string snapshotter;          // "": overlayfs where a test mount works, else native
  bool systemd_cgroup = false;
  /// Set when root lacks CAP_SYS_RESOURCE and so cannot lower OOM scores: see lacks_sys_resource().
  bool restrict_oom_score = false;
  std::vector<std::string> environment;  // of the containerd process
};

/// "/run/orch-<8 hex digits of the folder's path>".
std::string default_run_dir(const std::string& data_dir);
/// True when this process may not lower OOM scores (CAP_SYS_RESOURCE not effective).
bool lacks_sys_resource();
/// Puts the archive of kSandboxImage into a folder of images to import, unless it is there.
base::Status install_sandbox_image(const std::string& folder);
/// The text of config.toml; pure. Configuration version 2, which containerd 1.6, 1.7 and 2.x read.
std::string containerd_config(const ContainerdOptions& options);

/// Thread-safe after start().
class Containerd {
 public:
  /// Writes the configuration and starts containerd, or adopts the one that runs with the same configuration
  /// (one with another configuration is ended first; containers survive that). Returns when the socket
  /// accepts connections. kNotFound when the program is not installed; kTimeout with the end of its log when
  /// it does not come up.
  static base::Result<std::unique_ptr<Containerd>> start(ContainerdOptions options);
  /// Ends the supervision; containerd goes on.
  ~Containerd();
  /// "unix:///run/orch-…/containerd.sock"
  const std::string& endpoint() const;
  pid_t pid() const;
  /// Imports each *.tar (OCI or docker archive) of `folder` that this containerd does not hold yet, and waits
  /// until `runtime` lists the images. Returns the references imported now; an archive that fails is logged
  /// and does not stop the others.
  std::vector<std::string> import_images(const std::string& folder, Runtime& runtime);
  /// Ends containerd too (uninstall, tests). Containers' shims go on.
  void stop_daemon();

 private:
  struct Rep;
  explicit Containerd(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::agent
