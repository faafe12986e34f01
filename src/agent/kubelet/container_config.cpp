#include "agent/kubelet/container_config.h"

#include <algorithm>
#include <array>

#include "agent/kubelet/resize.h"
#include "agent/kubelet/resources.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::bool_at;
using base::Code;
using base::find_path;
using base::int_at;
using base::object_at;
using base::Result;
using base::Status;
using base::string_at;

// What OCI runtimes hide of /proc and /sys unless procMount is Unmasked.
constexpr std::array<const char*, 12> kMaskedPaths{
    "/proc/asound",      "/proc/acpi",          "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap"};
constexpr std::array<const char*, 5> kReadonlyPaths{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                    "/proc/sysrq-trigger"};

std::vector<std::string> strings(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

/// "RuntimeDefault", "Unconfined" or "Localhost:<path>" of a seccompProfile or appArmorProfile.
std::string profile_text(const Json& profile, const std::string& folder) {
  const auto type = string_at(profile, {"type"});
  if (type != "Localhost") return std::string(type);
  const std::string file(string_at(profile, {"localhostProfile"}));
  return "Localhost:" + (folder.empty() ? file : folder + "/" + file);
}

std::vector<int64_t> supplemental_groups(const Pod& pod, const std::vector<int64_t>& extra) {
  std::vector<int64_t> out;
  const Json& security = object_at(pod.tree(), {"spec", "securityContext"});
  for (const Json& group : array_at(security, {"supplementalGroups"})) {
    if (group.is_number_integer()) out.push_back(group.get<int64_t>());
  }
  if (const auto group = fs_group(pod)) out.push_back(*group);
  out.insert(out.end(), extra.begin(), extra.end());
  return out;
}

void set_labels(const Pod& pod, StringMap& labels) {
  labels[label::kPodName] = pod.name();
  labels[label::kPodNamespace] = pod.ns();
  labels[label::kPodUid] = pod.uid();
}

void set_ports(const Pod& pod, SandboxConfig& out) {
  if (pod.host_network()) return;
  for (const ContainerRef& c : pod.all_containers()) {
    for (const Json& port : array_at(*c.spec, {"ports"})) {
      const auto host_port = static_cast<int32_t>(int_at(port, {"hostPort"}));
      if (host_port <= 0) continue;
      const auto protocol = string_at(port, {"protocol"}, "TCP");
      out.ports.push_back({protocol == "UDP"    ? 1
                           : protocol == "SCTP" ? 2
                                                : 0,
                           static_cast<int32_t>(int_at(port, {"containerPort"})), host_port,
                           std::string(string_at(port, {"hostIP"}))});
    }
  }
}

void set_container_annotations(const Pod& pod, const ContainerRef& container, const ContainerInput& input,
                               StringMap& out) {
  out[label::kHash] = container_hash(*container.spec);
  out[label::kRestartCount] = std::to_string(input.attempt);
  out[label::kAmounts] = amounts_text(amounts_of(object_at(*container.spec, {"resources"})));
  out[label::kTerminationPath] =
      string_at(*container.spec, {"terminationMessagePath"}, "/dev/termination-log");
  out[label::kTerminationPolicy] = string_at(*container.spec, {"terminationMessagePolicy"}, "File");
  if (find_path(pod.tree(), {"metadata", "deletionGracePeriodSeconds"}) != nullptr) {
    out[label::kPodDeletionGrace] =
        std::to_string(int_at(pod.tree(), {"metadata", "deletionGracePeriodSeconds"}));
  }
  out[label::kPodGrace] = std::to_string(int_at(pod.tree(), {"spec", "terminationGracePeriodSeconds"}, 30));
  if (const Json* hook = find_path(*container.spec, {"lifecycle", "preStop"})) {
    // Kept so that the hook runs even when orch starts again after the pod's object is gone.
    out[label::kPreStop] = base::dump_json(*hook);
  }
  const Json& ports = array_at(*container.spec, {"ports"});
  if (!ports.empty()) out[label::kPorts] = base::dump_json(ports);
}

Status set_security(const Pod& pod, const ContainerRef& container, const ContainerInput& input,
                    ContainerConfig& out) {
  const Json& own = object_at(*container.spec, {"securityContext"});
  out.privileged = bool_at(own, {"privileged"});
  out.readonly_rootfs = bool_at(own, {"readOnlyRootFilesystem"});
  if (const Json* escalate = find_path(own, {"allowPrivilegeEscalation"})) {
    out.no_new_privileges = escalate->is_boolean() && !escalate->get<bool>();
  }
  out.add_capabilities = strings(array_at(own, {"capabilities", "add"}));
  out.drop_capabilities = strings(array_at(own, {"capabilities", "drop"}));
  if (const std::string problem = root_problem(pod, container, input.image); !problem.empty()) {
    return {Code::kBadRequest, problem};
  }
  if (const Json* user = security_setting(pod, container, "runAsUser")) {
    out.has_run_as_user = true;
    out.run_as_user = user->get<int64_t>();
  } else if (input.image.has_uid) {
    out.has_run_as_user = true;
    out.run_as_user = input.image.uid;
  } else {
    out.run_as_username = input.image.username;
  }
  if (const Json* group = security_setting(pod, container, "runAsGroup")) {
    out.has_run_as_group = true;
    out.run_as_group = group->get<int64_t>();
    // CRI takes a group only beside a user.
    if (!out.has_run_as_user && out.run_as_username.empty()) out.has_run_as_user = true;
  }
  out.supplemental_groups = supplemental_groups(pod, input.extra_groups);
  const bool unmasked = string_at(own, {"procMount"}) == "Unmasked";
  if (!unmasked) {
    out.masked_paths.assign(kMaskedPaths.begin(), kMaskedPaths.end());
    out.readonly_paths.assign(kReadonlyPaths.begin(), kReadonlyPaths.end());
  }
  out.seccomp_profile = "Unconfined";
  if (const Json* profile = security_setting(pod, container, "seccompProfile"); profile != nullptr) {
    if (!out.privileged) out.seccomp_profile = profile_text(*profile, input.seccomp_dir);
  }
  if (const Json* profile = security_setting(pod, container, "appArmorProfile"); profile != nullptr) {
    if (!out.privileged) out.apparmor_profile = profile_text(*profile, {});
  }
  return {};
}

}  // namespace

const Json* security_setting(const Pod& pod, const ContainerRef& container, std::string_view name) {
  if (const Json* own = find_path(*container.spec, {"securityContext", name});
      own != nullptr && !own->is_null()) {
    return own;
  }
  const Json* of_pod = find_path(pod.tree(), {"spec", "securityContext", name});
  return of_pod != nullptr && !of_pod->is_null() ? of_pod : nullptr;
}

std::optional<int64_t> fs_group(const Pod& pod) {
  const Json* group = find_path(pod.tree(), {"spec", "securityContext", "fsGroup"});
  if (group == nullptr || !group->is_number_integer()) return std::nullopt;
  return group->get<int64_t>();
}

std::string pod_log_dir(const Pod& pod, const KubeletConfig& config) {
  return base::cat(config.log_dir, "/", pod.ns(), "_", pod.name(), "_", pod.uid());
}

std::string container_log_path(std::string_view container, uint32_t attempt) {
  return base::cat(container, "/", attempt, ".log");
}

Result<SandboxConfig> sandbox_config(const Pod& pod, const KubeletConfig& config, const SandboxInput& input) {
  SandboxConfig out;
  out.name = pod.name();
  out.uid = pod.uid();
  out.ns = pod.ns();
  out.attempt = input.attempt;
  if (!pod.host_network()) {
    auto names = pod_hostname(pod, config.cluster_domain);
    if (!names.ok()) return names.error();
    out.hostname = names->hostname;
  }
  out.log_directory = pod_log_dir(pod, config);
  out.set_dns = true;
  out.dns = input.dns;
  set_ports(pod, out);
  const Json& metadata = object_at(pod.tree(), {"metadata"});
  for (const auto& [key, value] : object_at(metadata, {"labels"}).items()) out.labels[key] = value;
  for (const auto& [key, value] : object_at(metadata, {"annotations"}).items()) out.annotations[key] = value;
  set_labels(pod, out.labels);
  if (!pod.is_static()) out.annotations["kubernetes.io/config.source"] = "api";
  out.cgroup_parent = input.cgroup_parent;
  out.host_network = pod.host_network();
  out.host_pid = pod.host_pid();
  out.host_ipc = pod.host_ipc();
  out.share_pid = pod.share_process_namespace();
  out.privileged = pod.privileged();
  const Json& security = object_at(pod.tree(), {"spec", "securityContext"});
  if (const Json* user = find_path(security, {"runAsUser"}); user != nullptr && user->is_number_integer()) {
    out.has_run_as_user = true;
    out.run_as_user = user->get<int64_t>();
  }
  if (const Json* group = find_path(security, {"runAsGroup"});
      group != nullptr && group->is_number_integer()) {
    out.has_run_as_group = true;
    out.run_as_group = group->get<int64_t>();
    out.has_run_as_user = true;
  }
  out.supplemental_groups = supplemental_groups(pod, input.extra_groups);
  for (const Json& sysctl : array_at(security, {"sysctls"})) {
    out.sysctls[std::string(string_at(sysctl, {"name"}))] = string_at(sysctl, {"value"});
  }
  out.seccomp_profile = "RuntimeDefault";
  out.runtime_handler = input.runtime_handler;
  return out;
}

std::string root_problem(const Pod& pod, const ContainerRef& container, const ImageInfo& image) {
  const Json* non_root = security_setting(pod, container, "runAsNonRoot");
  if (non_root == nullptr || !non_root->is_boolean() || !non_root->get<bool>()) return {};
  const std::string where = base::cat(" (pod: \"", pod.format(), "\", container: ", container.name(), ")");
  if (const Json* user = security_setting(pod, container, "runAsUser")) {
    if (user->get<int64_t>() == 0) {
      return "container's runAsUser breaks non-root policy" + where;
    }
    return {};
  }
  if (image.has_uid) {
    if (image.uid == 0) {
      return "container has runAsNonRoot and image will run as root" + where;
    }
    return {};
  }
  if (!image.username.empty()) {
    return base::cat("container has runAsNonRoot and image has non-numeric user (", image.username,
                     "), cannot verify user is non-root", where);
  }
  return "container has runAsNonRoot and image will run as root" + where;
}

Result<ContainerConfig> container_config(const Pod& pod, const ContainerRef& container,
                                         const ContainerInput& input) {
  ContainerConfig out;
  const Json& spec = *container.spec;
  out.name = container.name();
  out.attempt = input.attempt;
  out.image = input.image_ref;
  out.user_image = string_at(spec, {"image"});
  out.env = input.env;
  std::map<std::string, std::string> values(input.env.begin(), input.env.end());
  for (const std::string& word : strings(array_at(spec, {"command"})))
    out.command.push_back(expand(word, values));
  for (const std::string& word : strings(array_at(spec, {"args"}))) out.args.push_back(expand(word, values));
  out.working_dir = string_at(spec, {"workingDir"});
  out.mounts = input.mounts;
  out.devices = input.devices;
  set_labels(pod, out.labels);
  out.labels[label::kContainerName] = container.name();
  set_container_annotations(pod, container, input, out.annotations);
  out.log_path = container_log_path(container.name(), input.attempt);
  out.use_stdin = bool_at(spec, {"stdin"});
  out.stdin_once = bool_at(spec, {"stdinOnce"});
  out.tty = bool_at(spec, {"tty"});
  const ContainerResources resources = container_resources(spec);
  out.cpu_shares = resources.shares;
  out.cpu_quota = resources.quota;
  out.cpu_period = kCpuPeriod;
  out.memory_limit = resources.memory_limit;
  out.memory_swap_limit = resources.memory_limit;  // no swap beyond the memory limit
  out.oom_score_adj = oom_score(pod, container, input.memory_capacity);
  out.host_network = pod.host_network();
  out.host_pid = pod.host_pid();
  out.host_ipc = pod.host_ipc();
  out.share_pid = pod.share_process_namespace();
  out.pid_target = input.pid_target;
  ORCH_RETURN_IF_ERROR(set_security(pod, container, input, out));
  return out;
}

}  // namespace orch::agent
