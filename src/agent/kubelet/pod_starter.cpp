#include "agent/kubelet/pod_starter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/kubelet/dns.h"
#include "agent/kubelet/env.h"
#include "agent/kubelet/hooks.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::Code;
using base::find_path;
using base::Result;
using base::Status;
using base::string_at;

constexpr std::chrono::seconds kPostStartTimeout{600};

/// The last restart a log folder knows, plus one: counts go on after the runtime forgot its containers.
uint32_t attempt_by_logs(const std::string& folder) {
  const auto names = base::list_dir(folder);
  if (!names.ok()) return 0;
  uint32_t next = 0;
  for (const std::string& name : *names) {
    char* end = nullptr;
    const unsigned long n = std::strtoul(name.c_str(), &end, 10);
    if (end != name.c_str() && std::string_view(end).substr(0, 4) == ".log") {
      next = std::max(next, static_cast<uint32_t>(n) + 1);
    }
  }
  return next;
}

}  // namespace

std::string termination_file(const std::string& pod_dir, std::string_view container, uint32_t attempt) {
  return base::cat(pod_dir, "/containers/", container, "/", attempt);
}

PayloadInput PodStarter::payload_input(ObjectSource& objects, const std::vector<std::string>& ips) {
  PayloadInput input{objects, node_.tokens, {}, node_.allocatable};
  input.addresses.pod_ips = ips;
  input.addresses.host_ips = node_.host_ips();
  return input;
}

Status PodStarter::prepare(const Pod& pod) {
  const EventObject about = event_object(pod);
  if (!state_.prepared) {
    Status dirs = base::make_dirs(node_.volumes.pod_dir(pod.uid()), 0750);
    if (!dirs.ok()) {
      node_.events.warning(about, "Failed", "error making pod data directories: " + dirs.message());
      return dirs;
    }
    // Also the folder that sandboxes log into, which the runtime expects to be there.
    ORCH_RETURN_IF_ERROR(base::make_dirs(pod_log_dir(pod, node_.config), 0755));
    Status cgroup = node_.cgroups.make_pod(pod, qos_class(pod));
    if (!cgroup.ok()) {
      node_.events.warning(about, "FailedCreatePodContainer",
                           "unable to ensure pod container exists: " + cgroup.message());
      return cgroup;
    }
    state_.prepared = true;
  }
  if (state_.volumes_current) return {};
  PodObjects objects(node_.objects, std::string(pod.uid()));
  const PodRuntime runtime = node_.cache.pod(pod.uid());
  const std::vector<std::string> ips =
      runtime.sandboxes.empty() ? std::vector<std::string>() : runtime.sandboxes.front().ips;
  auto volumes = node_.volumes.set_up(pod, payload_input(objects, ips));
  if (!volumes.ok()) {
    node_.events.warning(about, "FailedMount", volumes.error().message());
    return volumes.error();
  }
  state_.volumes = std::move(*volumes);
  state_.volumes_current = true;
  return {};
}

Result<std::string> PodStarter::runtime_handler(const Pod& pod) {
  const auto name = string_at(pod.tree(), {"spec", "runtimeClassName"});
  if (name.empty()) return std::string();
  auto object = node_.client.get({"node.k8s.io", "v1", "runtimeclasses"}, {}, name);
  if (!object.ok()) {
    return Status(object.error().code(), base::cat("failed to get sandbox runtime: RuntimeClass \"", name,
                                                   "\": ", object.error().message()));
  }
  return std::string(string_at((*object)->tree(), {"handler"}));
}

Status PodStarter::ensure_sandbox_config(const Pod& pod, const SandboxStatus& sandbox) {
  if (state_.sandbox_id == sandbox.id) return {};
  SandboxInput input;
  input.attempt = sandbox.attempt;
  input.cgroup_parent = node_.cgroups.parent_of(pod, qos_class(pod));
  input.runtime_handler = sandbox.runtime_handler;
  const auto host = base::read_file(node_.config.resolv_conf);
  bool falls_back = false;
  input.dns = pod_dns(pod, node_.config, parse_resolv_conf(host.ok() ? *host : std::string()), &falls_back);
  if (falls_back) {
    node_.events.warning(
        event_object(pod), "MissingClusterDNS",
        base::cat("pod: \"", pod.format(),
                  "\". kubelet does not have ClusterDNS IP configured and cannot create Pod using "
                  "\"ClusterFirst\" policy. Falling back to \"Default\" policy."));
  }
  auto config = sandbox_config(pod, node_.config, input);
  if (!config.ok()) return config.error();
  state_.sandbox = std::move(*config);
  state_.sandbox_id = sandbox.id;
  return {};
}

Result<SandboxStatus> PodStarter::create_sandbox(const Pod& pod, uint32_t attempt) {
  const EventObject about = event_object(pod);
  const auto fail = [&](const Status& status) {
    node_.events.warning(about, "FailedCreatePodSandBox",
                         "Failed to create pod sandbox: " + status.message());
    return status;
  };
  SandboxStatus wanted;
  wanted.attempt = attempt;
  auto handler = runtime_handler(pod);
  if (!handler.ok()) return fail(handler.error());
  wanted.runtime_handler = *handler;
  state_.sandbox_id = "new";  // differs from "" so that the configuration is made again
  if (const Status status = ensure_sandbox_config(pod, wanted); !status.ok()) return fail(status);
  auto id = node_.runtime.run_sandbox(state_.sandbox);
  if (!id.ok()) {
    state_.sandbox_id.clear();
    return fail(id.error());
  }
  state_.sandbox_id = *id;
  auto status = node_.runtime.sandbox_status(*id);
  if (!status.ok()) {
    node_.events.warning(about, "FailedPodSandBoxStatus",
                         "Unable to get pod sandbox status: " + status.error().message());
    return status.error();
  }
  node_.cache.add_sandbox(*status);
  ::unlink((node_.volumes.pod_dir(pod.uid()) + "/etc-hosts").c_str());  // it names the old one's address
  return status;
}

std::vector<RegistryAuth> PodStarter::pull_auths(const Pod& pod) {
  std::vector<RegistryAuth> out;
  std::string missing;
  for (const Json& reference : array_at(pod.tree(), {"spec", "imagePullSecrets"})) {
    const auto name = string_at(reference, {"name"});
    auto secret = node_.objects.get(ObjectCache::Kind::kSecret, pod.ns(), name, std::string(pod.uid()));
    if (!secret.ok()) {
      if (!missing.empty()) missing += ", ";
      missing += name;
      continue;
    }
    for (RegistryAuth& auth : registry_auths((*secret)->tree())) out.push_back(std::move(auth));
  }
  if (!missing.empty()) {
    node_.events.warning(event_object(pod), "FailedToRetrieveImagePullSecret",
                         base::cat("Unable to retrieve some image pull secrets (", missing,
                                   "); attempting to pull the image may not succeed."));
  }
  return out;
}

Status PodStarter::add_own_mounts(const Pod& pod, const StartContainer& start,
                                  const std::vector<std::string>& ips, std::vector<Mount>& mounts) {
  const std::string pod_dir = node_.volumes.pod_dir(pod.uid());
  const auto mounted = [&](std::string_view path) {
    return std::any_of(mounts.begin(), mounts.end(),
                       [&](const Mount& m) { return m.container_path == path; });
  };
  if (!mounted("/etc/hosts")) {
    auto names = pod_hostname(pod, node_.config.cluster_domain);
    if (!names.ok()) return names.error();
    const auto node_hosts =
        pod.host_network() ? base::read_file("/etc/hosts") : Result<std::string>(std::string());
    const std::string text = hosts_file(pod, *names, ips, node_hosts.ok() ? *node_hosts : std::string());
    const std::string path = pod_dir + "/etc-hosts";
    // One for the life of the sandbox: containers may have written to it.
    if (!base::file_exists(path)) ORCH_RETURN_IF_ERROR(base::write_file_atomic(path, text, 0644));
    ::chmod(path.c_str(), 0644);
    mounts.push_back({"/etc/hosts", path, false, true, 0});
  }
  const std::string message_path(
      string_at(*start.container.spec, {"terminationMessagePath"}, "/dev/termination-log"));
  if (!message_path.empty() && !mounted(message_path)) {
    const std::string file = termination_file(pod_dir, start.container.name(), start.attempt);
    ORCH_RETURN_IF_ERROR(base::make_dirs(file.substr(0, file.rfind('/')), 0750));
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return {Code::kInternal, "cannot create " + file};
    ::fchmod(fd, 0666);  // the container's user writes to it, whoever that is
    ::close(fd);
    mounts.push_back({message_path, file, false, true, 0});
  }
  return {};
}

Result<ContainerConfig> PodStarter::config_of(const Pod& pod, const StartContainer& start,
                                              const SandboxStatus& sandbox, const ImageOutcome& image) {
  const std::vector<std::string> host_ips = node_.host_ips();
  const std::vector<std::string>& ips = pod.host_network() ? host_ips : sandbox.ips;
  PodObjects objects(node_.objects, std::string(pod.uid()));
  EnvInput env;
  env.addresses = {ips, host_ips};
  env.node = node_.allocatable;
  auto services = node_.services.variables(pod);
  if (!services.ok()) return services.error();
  env.services = std::move(*services);
  auto variables = container_env(pod, start.container, objects, env);
  if (!variables.ok()) return variables.error();
  ContainerInput input;
  input.attempt = start.attempt;
  input.image = image.image;
  input.image_ref = image.ref;
  input.memory_capacity = node_.memory_capacity;
  input.seccomp_dir = node_.config.root_dir + "/seccomp";
  auto mounts = node_.volumes.container_mounts(pod, start.container, state_.volumes, *variables);
  if (!mounts.ok()) return mounts.error();
  ORCH_RETURN_IF_ERROR(add_own_mounts(pod, start, ips, *mounts));
  input.env = std::move(*variables);
  input.mounts = std::move(*mounts);
  if (const auto target = string_at(*start.container.spec, {"targetContainerName"}); !target.empty()) {
    const PodRuntime runtime = node_.cache.pod(pod.uid());
    const ContainerStatus* status = runtime.latest(target);
    if (status == nullptr || status->state != ContainerState::kRunning) {
      return Status(Code::kNotFound, base::cat("unable to find target container ", target));
    }
    input.pid_target = status->id;
  }
  return container_config(pod, start.container, input);
}

void PodStarter::link_log(const Pod& pod, const std::string& container, const std::string& id,
                          const std::string& log_path) {
  if (node_.config.container_log_dir.empty()) return;
  if (!base::make_dirs(node_.config.container_log_dir, 0755).ok()) return;
  const std::string link = base::cat(node_.config.container_log_dir, "/", pod.name(), "_", pod.ns(), "_",
                                     container, "-", id, ".log");
  (void)!::symlink(log_path.c_str(), link.c_str());
}

PodStarter::Started PodStarter::start_container(const Pod& pod, const StartContainer& wanted,
                                                const SandboxStatus& sandbox) {
  Started out;
  StartContainer start = wanted;
  const ContainerRef& container = start.container;
  const std::string name(container.name());
  const EventObject about = event_object(pod, container.field_path());
  const auto fail = [&](const char* reason, const Status& status) {
    node_.events.warning(about, "Failed", "Error: " + runtime_message(status));
    out.state = Started::State::kFailed;
    out.waiting = {reason, runtime_message(status)};
    return out;
  };
  const std::string uid(pod.uid());
  const ImageOutcome image = node_.images.ensure(pod, container, pull_auths(pod),
                                                 [this_notify = node_.notify, uid] { this_notify(uid); });
  if (image.state != ImageOutcome::State::kReady) {
    out.state = Started::State::kLater;
    out.waiting = image.waiting;
    out.retry_at = image.retry_at;
    if (!image.waiting.reason.empty() && image.waiting.reason != "ErrImagePull") {
      node_.events.warning(about, "Failed", "Error: " + image.waiting.reason);
    }
    return out;
  }
  const std::string log_dir = base::cat(pod_log_dir(pod, node_.config), "/", name);
  if (start.attempt == 0) start.attempt = attempt_by_logs(log_dir);
  // Ephemeral containers never restart, and have no log folder of their own yet either.
  if (const Status made = base::make_dirs(log_dir, 0755); !made.ok())
    return fail("CreateContainerConfigError", made);
  if (const Status status = ensure_sandbox_config(pod, sandbox); !status.ok()) {
    return fail("CreateContainerConfigError", status);
  }
  auto config = config_of(pod, start, sandbox, image);
  if (!config.ok()) return fail("CreateContainerConfigError", config.error());
  auto id = node_.runtime.create_container(sandbox.id, *config, state_.sandbox);
  if (!id.ok()) return fail("CreateContainerError", id.error());
  out.id = *id;
  node_.events.normal(about, "Created", "Container created");
  // Known before it starts, so that the news of its end finds it.
  ContainerStatus status;
  status.id = *id;
  status.sandbox_id = sandbox.id;
  status.name = name;
  status.attempt = start.attempt;
  status.state = ContainerState::kCreated;
  status.created_at_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(node_.clock.now().time_since_epoch()).count();
  status.image = config->user_image;
  status.labels = config->labels;
  status.annotations = config->annotations;
  node_.cache.add_container(status);
  const Status started = node_.runtime.start_container(*id);
  bool changed = false;
  node_.cache.refresh(*id, &changed);
  if (!started.ok()) return fail("RunContainerError", started);
  node_.events.normal(about, "Started", "Container started");
  link_log(pod, name, *id, state_.sandbox.log_directory + "/" + config->log_path);
  out.state = Started::State::kStarted;
  if (const Json* hook = find_path(*container.spec, {"lifecycle", "postStart"})) {
    const std::string ip = sandbox.ips.empty() ? std::string() : sandbox.ips.front();
    const Status result = run_hook(node_.runtime, *id, container, *hook, ip, kPostStartTimeout);
    if (!result.ok()) {
      node_.events.warning(about, "FailedPostStartHook", "PostStartHook failed");
      out.state = Started::State::kFailed;
      out.hook_failed = true;
      out.waiting = {"PostStartHookError", result.message()};
    }
  }
  return out;
}

}  // namespace orch::agent
