// Runtime: the container runtime as the node uses it, CRI v1 (runtime.v1) in our own plain structs, so that
// gRPC and protobuf stay inside agent/cri and tests can play a runtime in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace orch::agent {

using StringMap = std::map<std::string, std::string>;

struct SandboxConfig {
  std::string name, uid, ns;
  uint32_t attempt = 0;
  std::string hostname;
  std::string log_directory;
  struct Dns {
    std::vector<std::string> servers, searches, options;
  };
  bool set_dns = false;
  Dns dns;
  struct PortMapping {
    int protocol = 0;  // 0 TCP, 1 UDP, 2 SCTP
    int32_t container_port = 0, host_port = 0;
    std::string host_ip;
  };
  std::vector<PortMapping> ports;
  StringMap labels, annotations;
  std::string cgroup_parent;
  bool host_network = false, host_pid = false, host_ipc = false, share_pid = false;
  bool privileged = false, readonly_rootfs = false;
  bool has_run_as_user = false, has_run_as_group = false;
  int64_t run_as_user = 0, run_as_group = 0;
  std::vector<int64_t> supplemental_groups;
  StringMap sysctls;
  std::string seccomp_profile;  // "", "RuntimeDefault", "Unconfined", "Localhost:<path>"
  std::string runtime_handler;
  int64_t cpu_shares = 0, cpu_quota = 0, cpu_period = 0, memory_limit = 0;  // overhead
};

struct Mount {
  std::string container_path, host_path;
  bool readonly = false, selinux_relabel = false;
  int propagation = 0;  // 0 private, 1 host-to-container, 2 bidirectional
};

struct ContainerConfig {
  std::string name;
  uint32_t attempt = 0;
  std::string image;       // id or reference to start from
  std::string user_image;  // as the pod names it
  std::vector<std::string> command, args;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<Mount> mounts;
  struct Device {
    std::string container_path, host_path, permissions;
  };
  std::vector<Device> devices;
  StringMap labels, annotations;
  std::string log_path;  // relative to the sandbox's log_directory
  bool use_stdin = false, stdin_once = false, tty = false;
  // Resources.
  int64_t cpu_period = 0, cpu_quota = 0, cpu_shares = 0, memory_limit = 0, oom_score_adj = 0;
  int64_t memory_swap_limit = 0;
  StringMap unified;  // cgroup v2
  // Security.
  bool privileged = false, readonly_rootfs = false, no_new_privileges = false;
  bool host_network = false, host_pid = false, host_ipc = false, share_pid = false;
  std::string pid_target;  // container id whose process namespace an ephemeral container joins
  std::vector<std::string> add_capabilities, drop_capabilities;
  bool has_run_as_user = false, has_run_as_group = false;
  int64_t run_as_user = 0, run_as_group = 0;
  std::string run_as_username;
  std::vector<int64_t> supplemental_groups;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string seccomp_profile, apparmor_profile;
};

struct SandboxStatus {
  std::string id, name, uid, ns;
  uint32_t attempt = 0;
  bool ready = false;
  int64_t created_at_ns = 0;
  std::vector<std::string> ips;
  StringMap labels, annotations;
  std::string runtime_handler;
};

enum class ContainerState : uint8_t { kCreated, kRunning, kExited, kUnknown };

struct ContainerStatus {
  std::string id, sandbox_id, name;
  uint32_t attempt = 0;
  ContainerState state = ContainerState::kUnknown;
  int64_t created_at_ns = 0, started_at_ns = 0, finished_at_ns = 0;
  int32_t exit_code = 0;
  std::string image, image_ref, image_id, reason, message, log_path;
  StringMap labels, annotations;
  /// What it runs with now; all 0 where the runtime does not say (containerd before 1.7).
  struct Resources {
    int64_t cpu_period = 0, cpu_quota = 0, cpu_shares = 0, memory_limit = 0;
    bool operator==(const Resources&) const = default;
  };
  Resources resources;
  bool has_user = false;  // of the container's first process, where the runtime says
  int64_t uid = 0, gid = 0;
  std::vector<int64_t> supplemental_groups;
};

struct ImageInfo {
  std::string id;
  std::vector<std::string> repo_tags, repo_digests;
  uint64_t size = 0;
  bool has_uid = false;
  int64_t uid = 0;
  std::string username;
  bool pinned = false;
};

struct ImageAuth {
  std::string username, password, auth, server_address, identity_token, registry_token;
};

struct ContainerStats {
  std::string container_id, sandbox_id, name;
  int64_t timestamp_ns = 0;
  uint64_t cpu_usage_core_ns = 0, memory_working_set = 0, memory_usage = 0, memory_rss = 0;
  uint64_t fs_used_bytes = 0, fs_inodes_used = 0;
};

struct RuntimeInfo {
  std::string name, version, api_version;
  bool runtime_ready = false, network_ready = false;
  std::string message;
  std::vector<std::string> handlers;
};

/// `sandbox_id` may be empty, and `container_id` may name a sandbox: runtimes report both alike.
struct ContainerEvent {
  enum class Type : uint8_t { kCreated, kStarted, kStopped, kDeleted };
  std::string container_id, sandbox_id;
  Type type = Type::kStopped;
};

/// Thread-safe. Errors carry the runtime's message; kNotFound for unknown ids, kServiceUnavailable when the
/// runtime cannot be reached.
class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual base::Result<RuntimeInfo> info() = 0;

  virtual base::Result<std::string> run_sandbox(const SandboxConfig& config) = 0;
  virtual base::Status stop_sandbox(const std::string& id) = 0;
  virtual base::Status remove_sandbox(const std::string& id) = 0;
  virtual base::Result<SandboxStatus> sandbox_status(const std::string& id) = 0;
  /// All of them; ips are filled only by sandbox_status.
  virtual base::Result<std::vector<SandboxStatus>> list_sandboxes() = 0;

  virtual base::Result<std::string> create_container(const std::string& sandbox_id,
                                                     const ContainerConfig& config,
                                                     const SandboxConfig& sandbox) = 0;
  virtual base::Status start_container(const std::string& id) = 0;
  /// Returns when it has ended: the stop signal, then SIGKILL after `grace_seconds`.
  virtual base::Status stop_container(const std::string& id, int64_t grace_seconds) = 0;
  virtual base::Status remove_container(const std::string& id) = 0;
  virtual base::Result<ContainerStatus> container_status(const std::string& id) = 0;
  virtual base::Result<std::vector<ContainerStatus>> list_containers() = 0;
  /// Changes a running container's resources; 0 leaves a limit as it is.
  virtual base::Status update_resources(const std::string& id, const ContainerConfig& resources) = 0;
  virtual base::Status reopen_log(const std::string& id) = 0;

  struct ExecResult {
    int exit_code = 0;
    std::string out, err;
  };
  /// kTimeout when it does not end in time.
  virtual base::Result<ExecResult> exec_sync(const std::string& id, const std::vector<std::string>& command,
                                             std::chrono::seconds timeout) = 0;
  struct StreamRequest {
    bool in = false, out = false, err = false, tty = false;
  };
  /// URLs of the runtime's own streaming server (SPDY or WebSocket), for one use.
  virtual base::Result<std::string> exec_url(const std::string& id, const std::vector<std::string>& command,
                                             const StreamRequest& request) = 0;
  virtual base::Result<std::string> attach_url(const std::string& id, const StreamRequest& request) = 0;
  virtual base::Result<std::string> port_forward_url(const std::string& sandbox_id,
                                                     const std::vector<int32_t>& ports) = 0;

  virtual base::Result<std::vector<ImageInfo>> list_images() = 0;
  /// kNotFound when absent.
  virtual base::Result<ImageInfo> image_status(const std::string& reference) = 0;
  /// The image's id.
  virtual base::Result<std::string> pull_image(const std::string& reference, const ImageAuth* auth) = 0;
  virtual base::Status remove_image(const std::string& id) = 0;

  /// Bytes used by images and layers and the folder they lie in ("" when the runtime does not say).
  struct ImageFs {
    std::string mountpoint;
    uint64_t used_bytes = 0, inodes_used = 0;
  };
  virtual base::Result<ImageFs> image_fs() = 0;

  virtual base::Result<std::vector<ContainerStats>> list_stats() = 0;
  virtual base::Status set_pod_cidr(const std::string& cidr) = 0;

  /// Streams events (on a thread of the implementation) until this is destroyed. Called once. After every
  /// (re)connection `on_resync` runs first, so that the caller lists what it may have missed; a runtime does
  /// not say when its subscription holds, so the caller lists once more a moment later.
  /// `on_unsupported` runs instead when the runtime has no event stream at all: the caller has to list.
  /// An event says that something happened, not that the runtime's listing shows it already.
  struct EventHandlers {
    std::function<void(const ContainerEvent&)> on_event;
    std::function<void()> on_resync, on_unsupported;
  };
  virtual void watch_events(EventHandlers handlers) = 0;

  /// Ends calls under way, and answers all later ones, with kCanceled: for a quick end of the process. What
  /// the runtime was asked to do may go on.
  virtual void cancel_calls() = 0;
};

/// gRPC client of a CRI socket such as "unix:///run/orch/containerd/containerd.sock". Connects lazily and
/// again after the runtime was away.
std::unique_ptr<Runtime> connect_runtime(const std::string& endpoint);

}  // namespace orch::agent
