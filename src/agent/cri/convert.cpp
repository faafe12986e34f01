#include "agent/cri/convert.h"

namespace orch::agent::cri {
namespace pb = ::runtime::v1;

namespace {

template <typename Map>
void copy_map(const StringMap& in, Map* out) {
  for (const auto& [key, value] : in) (*out)[key] = value;
}

template <typename Map>
StringMap to_map(const Map& in) {
  StringMap out;
  for (const auto& [key, value] : in) out.emplace(key, value);
  return out;
}

void set_namespaces(bool network, bool pid, bool ipc, bool share_pid, pb::NamespaceOption* out) {
  out->set_network(network ? pb::NODE : pb::POD);
  out->set_pid(pid ? pb::NODE : share_pid ? pb::POD : pb::CONTAINER);
  out->set_ipc(ipc ? pb::NODE : pb::POD);
}

/// "", "RuntimeDefault", "Unconfined" or "Localhost:<reference>".
void set_profile(const std::string& text, pb::SecurityProfile* out) {
  constexpr std::string_view kLocal = "Localhost:";
  if (text == "RuntimeDefault") {
    out->set_profile_type(pb::SecurityProfile::RuntimeDefault);
  } else if (text.rfind(kLocal, 0) == 0) {
    out->set_profile_type(pb::SecurityProfile::Localhost);
    out->set_localhost_ref(text.substr(kLocal.size()));
  } else {
    out->set_profile_type(pb::SecurityProfile::Unconfined);
  }
}

void set_sandbox_security(const SandboxConfig& config, pb::LinuxSandboxSecurityContext* out) {
  set_namespaces(config.host_network, config.host_pid, config.host_ipc, config.share_pid,
                 out->mutable_namespace_options());
  out->set_privileged(config.privileged);
  out->set_readonly_rootfs(config.readonly_rootfs);
  if (config.has_run_as_user) out->mutable_run_as_user()->set_value(config.run_as_user);
  if (config.has_run_as_group) out->mutable_run_as_group()->set_value(config.run_as_group);
  for (int64_t group : config.supplemental_groups) out->add_supplemental_groups(group);
  if (!config.seccomp_profile.empty()) set_profile(config.seccomp_profile, out->mutable_seccomp());
}

void set_security(const ContainerConfig& config, pb::LinuxContainerSecurityContext* out) {
  set_namespaces(config.host_network, config.host_pid, config.host_ipc, config.share_pid,
                 out->mutable_namespace_options());
  if (!config.pid_target.empty()) {
    out->mutable_namespace_options()->set_pid(pb::TARGET);
    out->mutable_namespace_options()->set_target_id(config.pid_target);
  }
  out->set_privileged(config.privileged);
  out->set_readonly_rootfs(config.readonly_rootfs);
  out->set_no_new_privs(config.no_new_privileges);
  for (const std::string& c : config.add_capabilities) out->mutable_capabilities()->add_add_capabilities(c);
  for (const std::string& c : config.drop_capabilities) out->mutable_capabilities()->add_drop_capabilities(c);
  if (config.has_run_as_user) out->mutable_run_as_user()->set_value(config.run_as_user);
  if (config.has_run_as_group) out->mutable_run_as_group()->set_value(config.run_as_group);
  out->set_run_as_username(config.run_as_username);
  for (int64_t group : config.supplemental_groups) out->add_supplemental_groups(group);
  for (const std::string& path : config.masked_paths) out->add_masked_paths(path);
  for (const std::string& path : config.readonly_paths) out->add_readonly_paths(path);
  if (!config.seccomp_profile.empty()) set_profile(config.seccomp_profile, out->mutable_seccomp());
  if (!config.apparmor_profile.empty()) set_profile(config.apparmor_profile, out->mutable_apparmor());
}

ContainerState to_state(pb::ContainerState state) {
  switch (state) {
    case pb::CONTAINER_CREATED:
      return ContainerState::kCreated;
    case pb::CONTAINER_RUNNING:
      return ContainerState::kRunning;
    case pb::CONTAINER_EXITED:
      return ContainerState::kExited;
    default:
      return ContainerState::kUnknown;
  }
}

template <typename Message>
void fill_sandbox(const Message& m, SandboxStatus& out) {
  out.id = m.id();
  out.name = m.metadata().name();
  out.uid = m.metadata().uid();
  out.ns = m.metadata().namespace_();
  out.attempt = m.metadata().attempt();
  out.ready = m.state() == pb::SANDBOX_READY;
  out.created_at_ns = m.created_at();
  out.labels = to_map(m.labels());
  out.annotations = to_map(m.annotations());
  out.runtime_handler = m.runtime_handler();
}

template <typename Message>
void fill_container(const Message& m, ContainerStatus& out) {
  out.id = m.id();
  out.name = m.metadata().name();
  out.attempt = m.metadata().attempt();
  out.state = to_state(m.state());
  out.created_at_ns = m.created_at();
  out.image = m.image().user_specified_image().empty() ? m.image().image() : m.image().user_specified_image();
  out.image_ref = m.image_ref();
  out.image_id = m.image_id();
  out.labels = to_map(m.labels());
  out.annotations = to_map(m.annotations());
}

}  // namespace

void to_message(const SandboxConfig& config, pb::PodSandboxConfig* out) {
  pb::PodSandboxMetadata* metadata = out->mutable_metadata();
  metadata->set_name(config.name);
  metadata->set_uid(config.uid);
  metadata->set_namespace_(config.ns);
  metadata->set_attempt(config.attempt);
  out->set_hostname(config.hostname);
  out->set_log_directory(config.log_directory);
  if (config.set_dns) {
    pb::DNSConfig* dns = out->mutable_dns_config();
    for (const std::string& s : config.dns.servers) dns->add_servers(s);
    for (const std::string& s : config.dns.searches) dns->add_searches(s);
    for (const std::string& s : config.dns.options) dns->add_options(s);
  }
  for (const SandboxConfig::PortMapping& port : config.ports) {
    pb::PortMapping* m = out->add_port_mappings();
    m->set_protocol(static_cast<pb::Protocol>(port.protocol));
    m->set_container_port(port.container_port);
    m->set_host_port(port.host_port);
    m->set_host_ip(port.host_ip);
  }
  copy_map(config.labels, out->mutable_labels());
  copy_map(config.annotations, out->mutable_annotations());
  pb::LinuxPodSandboxConfig* linux_config = out->mutable_linux();
  linux_config->set_cgroup_parent(config.cgroup_parent);
  copy_map(config.sysctls, linux_config->mutable_sysctls());
  set_sandbox_security(config, linux_config->mutable_security_context());
  pb::LinuxContainerResources* overhead = linux_config->mutable_overhead();
  overhead->set_cpu_shares(config.cpu_shares);
  overhead->set_cpu_quota(config.cpu_quota);
  overhead->set_cpu_period(config.cpu_period);
  overhead->set_memory_limit_in_bytes(config.memory_limit);
}

void resources_to_message(const ContainerConfig& config, pb::LinuxContainerResources* out) {
  out->set_cpu_period(config.cpu_period);
  out->set_cpu_quota(config.cpu_quota);
  out->set_cpu_shares(config.cpu_shares);
  out->set_memory_limit_in_bytes(config.memory_limit);
  out->set_memory_swap_limit_in_bytes(config.memory_swap_limit);
  out->set_oom_score_adj(config.oom_score_adj);
  copy_map(config.unified, out->mutable_unified());
}

void to_message(const ContainerConfig& config, pb::ContainerConfig* out) {
  out->mutable_metadata()->set_name(config.name);
  out->mutable_metadata()->set_attempt(config.attempt);
  out->mutable_image()->set_image(config.image);
  out->mutable_image()->set_user_specified_image(config.user_image);
  for (const std::string& s : config.command) out->add_command(s);
  for (const std::string& s : config.args) out->add_args(s);
  out->set_working_dir(config.working_dir);
  for (const auto& [key, value] : config.env) {
    pb::KeyValue* env = out->add_envs();
    env->set_key(key);
    env->set_value(value);
  }
  for (const Mount& mount : config.mounts) {
    pb::Mount* m = out->add_mounts();
    m->set_container_path(mount.container_path);
    m->set_host_path(mount.host_path);
    m->set_readonly(mount.readonly);
    m->set_selinux_relabel(mount.selinux_relabel);
    m->set_propagation(static_cast<pb::MountPropagation>(mount.propagation));
  }
  for (const ContainerConfig::Device& device : config.devices) {
    pb::Device* d = out->add_devices();
    d->set_container_path(device.container_path);
    d->set_host_path(device.host_path);
    d->set_permissions(device.permissions);
  }
  copy_map(config.labels, out->mutable_labels());
  copy_map(config.annotations, out->mutable_annotations());
  out->set_log_path(config.log_path);
  out->set_stdin(config.use_stdin);
  out->set_stdin_once(config.stdin_once);
  out->set_tty(config.tty);
  resources_to_message(config, out->mutable_linux()->mutable_resources());
  set_security(config, out->mutable_linux()->mutable_security_context());
}

SandboxStatus from_message(const pb::PodSandboxStatus& m) {
  SandboxStatus out;
  fill_sandbox(m, out);
  if (!m.network().ip().empty()) out.ips.push_back(m.network().ip());
  for (const pb::PodIP& ip : m.network().additional_ips()) out.ips.push_back(ip.ip());
  return out;
}

SandboxStatus from_message(const pb::PodSandbox& m) {
  SandboxStatus out;
  fill_sandbox(m, out);
  return out;
}

ContainerStatus from_message(const pb::ContainerStatus& m) {
  ContainerStatus out;
  fill_container(m, out);
  out.started_at_ns = m.started_at();
  out.finished_at_ns = m.finished_at();
  out.exit_code = m.exit_code();
  out.reason = m.reason();
  out.message = m.message();
  out.log_path = m.log_path();
  if (m.resources().has_linux()) {
    const pb::LinuxContainerResources& now = m.resources().linux();
    out.resources = {now.cpu_period(), now.cpu_quota(), now.cpu_shares(), now.memory_limit_in_bytes()};
  }
  if (m.user().has_linux()) {
    const pb::LinuxContainerUser& user = m.user().linux();
    out.has_user = true;
    out.uid = user.uid();
    out.gid = user.gid();
    out.supplemental_groups.assign(user.supplemental_groups().begin(), user.supplemental_groups().end());
  }
  return out;
}

ContainerStatus from_message(const pb::Container& m) {
  ContainerStatus out;
  fill_container(m, out);
  out.sandbox_id = m.pod_sandbox_id();
  return out;
}

ImageInfo from_message(const pb::Image& m) {
  ImageInfo out;
  out.id = m.id();
  out.repo_tags.assign(m.repo_tags().begin(), m.repo_tags().end());
  out.repo_digests.assign(m.repo_digests().begin(), m.repo_digests().end());
  out.size = m.size();
  out.has_uid = m.has_uid();
  out.uid = m.uid().value();
  out.username = m.username();
  out.pinned = m.pinned();
  return out;
}

ContainerStats from_message(const pb::ContainerStats& m) {
  ContainerStats out;
  out.container_id = m.attributes().id();
  out.name = m.attributes().metadata().name();
  out.timestamp_ns = m.cpu().timestamp();
  out.cpu_usage_core_ns = m.cpu().usage_core_nano_seconds().value();
  out.memory_working_set = m.memory().working_set_bytes().value();
  out.memory_usage = m.memory().usage_bytes().value();
  out.memory_rss = m.memory().rss_bytes().value();
  out.fs_used_bytes = m.writable_layer().used_bytes().value();
  out.fs_inodes_used = m.writable_layer().inodes_used().value();
  return out;
}

}  // namespace orch::agent::cri
