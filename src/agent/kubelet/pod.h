// Reading a Pod's tree: the questions about a spec that several parts of the node ask. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cri/runtime.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::agent {

enum class ContainerKind : uint8_t { kInit, kRegular, kEphemeral };

/// A container of a pod's spec. The pointer lives as long as the pod's tree.
struct ContainerRef {
  const Json* spec = nullptr;
  ContainerKind kind = ContainerKind::kRegular;
  size_t index = 0;

  std::string_view name() const;
  /// An init container with restartPolicy Always.
  bool sidecar() const;
  /// "spec.initContainers{name}", as events name their field path.
  std::string field_path() const;
};

enum class RestartPolicy : uint8_t { kAlways, kOnFailure, kNever };
enum class QosClass : uint8_t { kGuaranteed, kBurstable, kBestEffort };

/// A view of one pod's tree; copying it copies a pointer.
class Pod {
 public:
  explicit Pod(const Json& tree) : tree_(&tree) {}
  const Json& tree() const { return *tree_; }
  const Json& spec() const;
  std::string_view name() const;
  std::string_view ns() const;
  std::string_view uid() const;
  /// "name_namespace(uid)": how the node's messages name a pod.
  std::string format() const;
  int64_t generation() const;
  bool deleting() const;
  /// Names a pod of static configuration (annotation kubernetes.io/config.source other than "api").
  bool is_static() const;
  RestartPolicy restart_policy() const;
  bool host_network() const;
  bool host_pid() const;
  bool host_ipc() const;
  bool share_process_namespace() const;
  /// status.phase is Succeeded or Failed.
  bool phase_is_terminal() const;
  /// Seconds to give containers: the deletion's, else the spec's, else 30.
  int64_t grace_seconds() const;
  /// One of the containers asks to be privileged.
  bool privileged() const;

  std::vector<ContainerRef> init_containers() const;
  std::vector<ContainerRef> containers() const;
  std::vector<ContainerRef> ephemeral_containers() const;
  /// All of them: init, regular, ephemeral.
  std::vector<ContainerRef> all_containers() const;
  /// A null spec when there is none.
  ContainerRef find_container(std::string_view name) const;

 private:
  std::vector<ContainerRef> list(const char* member, ContainerKind kind) const;
  const Json* tree_;
};

/// core/v1 PodQOSClass by the requests and limits of CPU and memory.
QosClass qos_class(const Pod& pod);
std::string_view qos_name(QosClass qos);

/// What decides whether a running container still is the one of the spec (name and image), as 8 hex digits.
std::string container_hash(const Json& container);

/// Whether a container that ended with `exit_code` runs again by its own restart policy and rules, else the
/// pod's (core/v1 ContainerRestartRule).
bool should_restart(const Pod& pod, const Json& container, int32_t exit_code);
/// The same for a container killed because a probe failed: rules on exit codes do not count.
bool restarts_after_failure(const Pod& pod, const ContainerRef& container);

/// What the runtime holds of one pod.
struct PodRuntime {
  std::vector<SandboxStatus> sandboxes;     // newest first
  std::vector<ContainerStatus> containers;  // newest first

  /// Restores the order.
  void sort();
  /// The newest container of this name, or null.
  const ContainerStatus* latest(std::string_view name) const;
  bool any_running() const;
};

/// Labels and annotations of sandboxes and containers that the kubelet and its tools agree on.
namespace label {
inline constexpr const char* kPodName = "io.kubernetes.pod.name";
inline constexpr const char* kPodNamespace = "io.kubernetes.pod.namespace";
inline constexpr const char* kPodUid = "io.kubernetes.pod.uid";
inline constexpr const char* kContainerName = "io.kubernetes.container.name";
inline constexpr const char* kHash = "io.kubernetes.container.hash";
inline constexpr const char* kRestartCount = "io.kubernetes.container.restartCount";
inline constexpr const char* kTerminationPath = "io.kubernetes.container.terminationMessagePath";
inline constexpr const char* kTerminationPolicy = "io.kubernetes.container.terminationMessagePolicy";
inline constexpr const char* kPreStop = "io.kubernetes.container.preStopHandler";
inline constexpr const char* kPodGrace = "io.kubernetes.pod.terminationGracePeriod";
inline constexpr const char* kPodDeletionGrace = "io.kubernetes.pod.deletionGracePeriod";
inline constexpr const char* kPorts = "io.kubernetes.container.ports";
/// What the container was made with: amounts_text() of resize.h.
inline constexpr const char* kAmounts = "orch.container.amounts";
}  // namespace label

/// A label of a status, "" when absent.
std::string_view label_of(const StringMap& labels, const char* key);
/// annotation io.kubernetes.container.restartCount.
int64_t restart_count(const ContainerStatus& status);

}  // namespace orch::agent
