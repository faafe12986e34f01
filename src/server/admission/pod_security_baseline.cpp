// The checks of level baseline: no known ways from a pod to its node.
#include <set>

#include "api/go_text.h"
#include "base/json.h"
#include "server/admission/pod_security_checks.h"

namespace orch::server::pod_security {
namespace {

using Strings = std::vector<std::string>;
using Set = std::set<std::string>;
using Found = std::optional<Violation>;

Strings sorted(const Set& set) { return {set.begin(), set.end()}; }

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
  for (std::string_view v : list) {
    if (v == value) return true;
  }
  return false;
}

/// `pod and container "a"` of those that set something bad.
std::string setters(bool pod, const Strings& containers) {
  Strings who;
  if (pod) who.emplace_back("pod");
  if (!containers.empty()) who.push_back(name_containers(containers));
  return api::join(who, " and ");
}

Found app_armor(const PodView& pod) {
  Set values;
  const auto bad = [&values](const Json& owner) {
    const Json* profile = base::find_path(owner, {"securityContext", "appArmorProfile"});
    if (profile == nullptr) return false;
    const std::string_view type = base::string_at(*profile, {"type"});
    if (one_of(type, {"RuntimeDefault", "Localhost"})) return false;
    values.emplace(type);
    return true;
  };
  Strings who, containers, annotations;
  if (bad(pod.spec)) who.emplace_back("pod");
  for (const Json* c : pod.containers) {
    if (bad(*c)) containers.push_back(name_of(*c));
  }
  if (!containers.empty()) who.push_back(name_containers(containers));
  for (const auto& [key, value] : pod.annotations.items()) {
    if (!key.starts_with("container.apparmor.security.beta.kubernetes.io/") || !value.is_string()) continue;
    const auto& profile = value.get_ref<const std::string&>();
    if (profile.empty() || profile == "runtime/default" || profile.starts_with("localhost/")) continue;
    annotations.push_back(base::cat(key, "=", api::go_quote(profile)));
  }
  Strings all = sorted(values);
  all.insert(all.end(), annotations.begin(), annotations.end());
  if (!annotations.empty()) who.emplace_back(plural("annotation", "annotations", annotations.size()));
  if (who.empty()) return std::nullopt;
  return Violation{
      std::string(plural("forbidden AppArmor profile", "forbidden AppArmor profiles", all.size())),
      base::cat(api::join(who, " and "), " must not set AppArmor profile type to ", join_quoted(all))};
}

Found capabilities(const PodView& pod) {
  static const Set allowed = {"AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",     "FOWNER",  "FSETID",
                              "KILL",        "MKNOD",  "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                              "SETPCAP",     "SETUID", "SYS_CHROOT"};
  Strings containers;
  Set extra;
  for (const Json* c : pod.containers) {
    bool bad = false;
    for (const Json& capability : base::array_at(*c, {"securityContext", "capabilities", "add"})) {
      if (!capability.is_string() || allowed.contains(capability.get_ref<const std::string&>())) continue;
      extra.insert(capability.get<std::string>());
      bad = true;
    }
    if (bad) containers.push_back(name_of(*c));
  }
  if (containers.empty()) return std::nullopt;
  return Violation{"non-default capabilities",
                   base::cat(name_containers(containers), " must not include ", join_quoted(sorted(extra)),
                             " in securityContext.capabilities.add")};
}

Found host_namespaces(const PodView& pod) {
  Strings used;
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"}) {
    if (base::bool_at(pod.spec, {field})) used.push_back(base::cat(field, "=true"));
  }
  if (used.empty()) return std::nullopt;
  return Violation{"host namespaces", api::join(used, ", ")};
}

Found host_paths(const PodView& pod) {
  Strings volumes;
  for (const Json& volume : base::array_at(pod.spec, {"volumes"})) {
    if (volume.contains("hostPath")) volumes.push_back(name_of(volume));
  }
  if (volumes.empty()) return std::nullopt;
  return Violation{"hostPath volumes",
                   base::cat(plural("volume", "volumes", volumes.size()), " ", join_quoted(volumes))};
}

Found host_ports(const PodView& pod) {
  Strings containers;
  Set ports;
  for (const Json* c : pod.containers) {
    bool bad = false;
    for (const Json& port : base::array_at(*c, {"ports"})) {
      const int64_t number = base::int_at(port, {"hostPort"});
      if (number == 0) continue;
      ports.insert(std::to_string(number));
      bad = true;
    }
    if (bad) containers.push_back(name_of(*c));
  }
  if (containers.empty()) return std::nullopt;
  return Violation{
      "hostPort",
      base::cat(name_containers(containers), " ", plural("uses", "use", containers.size()), " ",
                plural("hostPort", "hostPorts", ports.size()), " ", api::join(sorted(ports), ", "))};
}

Found probe_hosts(const PodView& pod) {
  Set containers, hosts;
  for (const Json* c : pod.containers) {
    const auto look = [&](const Json& handler) {
      for (const char* kind : {"httpGet", "tcpSocket"}) {
        const std::string_view host = base::string_at(handler, {kind, "host"});
        if (host.empty()) continue;
        containers.insert(name_of(*c));
        hosts.emplace(host);
      }
    };
    for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"})
      look(base::object_at(*c, {probe}));
    for (const char* hook : {"postStart", "preStop"}) look(base::object_at(*c, {"lifecycle", hook}));
  }
  if (containers.empty()) return std::nullopt;
  return Violation{
      "probe or lifecycle host",
      base::cat(name_containers(sorted(containers)), " ", plural("uses", "use", containers.size()), " ",
                plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.size()), " ",
                join_quoted(sorted(hosts)))};
}

Found privileged(const PodView& pod) {
  Strings containers;
  for (const Json* c : pod.containers) {
    if (base::bool_at(*c, {"securityContext", "privileged"})) containers.push_back(name_of(*c));
  }
  if (containers.empty()) return std::nullopt;
  return Violation{"privileged",
                   base::cat(name_containers(containers), " must not set securityContext.privileged=true")};
}

Found proc_mount_v35(const PodView& pod) {
  return has_user_namespace(pod) ? std::nullopt : check_proc_mount(pod);
}

Found se_linux(const PodView& pod, bool engine) {
  Set types;
  bool set_user = false, set_role = false;
  const auto bad = [&](const Json& owner) {
    const Json* options = base::find_path(owner, {"securityContext", "seLinuxOptions"});
    if (options == nullptr) return false;
    const std::string_view type = base::string_at(*options, {"type"});
    const bool bad_type = !one_of(type, {"", "container_t", "container_init_t", "container_kvm_t"}) &&
                          !(engine && type == "container_engine_t");
    const bool user = !base::string_at(*options, {"user"}).empty();
    const bool role = !base::string_at(*options, {"role"}).empty();
    if (bad_type) types.emplace(type);
    set_user |= user;
    set_role |= role;
    return bad_type || user || role;
  };
  const bool pod_bad = bad(pod.spec);
  Strings containers;
  for (const Json* c : pod.containers) {
    if (bad(*c)) containers.push_back(name_of(*c));
  }
  if (!pod_bad && containers.empty()) return std::nullopt;
  Strings what;
  if (!types.empty())
    what.push_back(base::cat(plural("type", "types", types.size()), " ", join_quoted(sorted(types))));
  if (set_user) what.emplace_back("user may not be set");
  if (set_role) what.emplace_back("role may not be set");
  return Violation{"seLinuxOptions",
                   base::cat(setters(pod_bad, containers),
                             " set forbidden securityContext.seLinuxOptions: ", api::join(what, "; "))};
}
Found se_linux_v0(const PodView& pod) { return se_linux(pod, false); }
Found se_linux_v31(const PodView& pod) { return se_linux(pod, true); }

/// Before 1.19 seccomp profiles were annotations.
Found seccomp_v0(const PodView& pod) {
  Set bad;
  const auto look = [&](const std::string& key) {
    const Json* value = base::find_path(pod.annotations, {key});
    if (value == nullptr || !value->is_string()) return;
    const auto& profile = value->get_ref<const std::string&>();
    if (one_of(profile, {"runtime/default", "docker/default"}) || profile.starts_with("localhost/")) return;
    bad.insert(base::cat(key, "=", api::go_quote(profile)));
  };
  look("seccomp.security.alpha.kubernetes.io/pod");
  for (const Json* c : pod.containers) look("container.seccomp.security.alpha.kubernetes.io/" + name_of(*c));
  if (bad.empty()) return std::nullopt;
  return Violation{"seccompProfile", base::cat("forbidden ", plural("annotation", "annotations", bad.size()),
                                               " ", api::join(sorted(bad), ", "))};
}

Found seccomp_v19(const PodView& pod) {
  Set values;
  const auto bad = [&](const Json& owner) {
    const Json* profile = base::find_path(owner, {"securityContext", "seccompProfile"});
    if (profile == nullptr) return false;
    const std::string_view type = base::string_at(*profile, {"type"});
    if (one_of(type, {"RuntimeDefault", "Localhost"})) return false;
    values.emplace(type);
    return true;
  };
  const bool pod_bad = bad(pod.spec);
  Strings containers;
  for (const Json* c : pod.containers) {
    if (bad(*c)) containers.push_back(name_of(*c));
  }
  if (!pod_bad && containers.empty()) return std::nullopt;
  return Violation{"seccompProfile", base::cat(setters(pod_bad, containers),
                                               " must not set securityContext.seccompProfile.type to ",
                                               join_quoted(sorted(values)))};
}

Found sysctls(const PodView& pod, int minor) {
  struct Allowed {
    std::string_view name;
    int since;
  };
  static constexpr Allowed kAllowed[] = {{"kernel.shm_rmid_forced", 0},
                                         {"net.ipv4.ip_local_port_range", 0},
                                         {"net.ipv4.tcp_syncookies", 0},
                                         {"net.ipv4.ping_group_range", 0},
                                         {"net.ipv4.ip_unprivileged_port_start", 0},
                                         {"net.ipv4.ip_local_reserved_ports", 27},
                                         {"net.ipv4.tcp_keepalive_time", 29},
                                         {"net.ipv4.tcp_fin_timeout", 29},
                                         {"net.ipv4.tcp_keepalive_intvl", 29},
                                         {"net.ipv4.tcp_keepalive_probes", 29},
                                         {"net.ipv4.tcp_rmem", 32},
                                         {"net.ipv4.tcp_wmem", 32}};
  Strings bad;
  for (const Json& sysctl : base::array_at(pod.spec, {"securityContext", "sysctls"})) {
    const std::string_view name = base::string_at(sysctl, {"name"});
    bool allowed = false;
    for (const Allowed& a : kAllowed) allowed |= a.name == name && a.since <= minor;
    if (!allowed) bad.emplace_back(name);
  }
  if (bad.empty()) return std::nullopt;
  return Violation{"forbidden sysctls", api::join(bad, ", ")};
}
template <int kMinor>
Found sysctls_at(const PodView& pod) {
  return sysctls(pod, kMinor);
}

Found host_process(const PodView& pod) {
  const auto bad = [](const Json& owner) {
    return base::bool_at(owner, {"securityContext", "windowsOptions", "hostProcess"});
  };
  Strings containers;
  for (const Json* c : pod.containers) {
    if (bad(*c)) containers.push_back(name_of(*c));
  }
  if (!bad(pod.spec) && containers.empty()) return std::nullopt;
  return Violation{"hostProcess", base::cat(setters(bad(pod.spec), containers),
                                            " must not set securityContext.windowsOptions.hostProcess=true")};
}

}  // namespace

Found check_proc_mount(const PodView& pod) {
  Strings containers;
  Set types;
  for (const Json* c : pod.containers) {
    const Json* mount = base::find_path(*c, {"securityContext", "procMount"});
    if (mount == nullptr || !mount->is_string() || *mount == "Default") continue;
    containers.push_back(name_of(*c));
    types.insert(mount->get<std::string>());
  }
  if (containers.empty()) return std::nullopt;
  return Violation{"procMount",
                   base::cat(name_containers(containers), " must not set securityContext.procMount to ",
                             join_quoted(sorted(types)))};
}

const std::vector<Check>& baseline_checks() {
  constexpr Level kLevel = Level::kBaseline;
  static const std::vector<Check> checks = {
      {"appArmorProfile", kLevel, 0, app_armor, {}},
      {"capabilities_baseline", kLevel, 0, capabilities, {}},
      {"hostNamespaces", kLevel, 0, host_namespaces, {}},
      {"hostPathVolumes", kLevel, 0, host_paths, {}},
      {"hostPorts", kLevel, 0, host_ports, {}},
      {"hostProbesAndHostLifecycle", kLevel, 34, probe_hosts, {}},
      {"privileged", kLevel, 0, privileged, {}},
      {"procMount", kLevel, 0, check_proc_mount, {}},
      {"procMount", kLevel, 35, proc_mount_v35, {}},
      {"seLinuxOptions", kLevel, 0, se_linux_v0, {}},
      {"seLinuxOptions", kLevel, 31, se_linux_v31, {}},
      {"seccompProfile_baseline", kLevel, 0, seccomp_v0, {}},
      {"seccompProfile_baseline", kLevel, 19, seccomp_v19, {}},
      {"sysctls", kLevel, 0, sysctls_at<0>, {}},
      {"sysctls", kLevel, 27, sysctls_at<27>, {}},
      {"sysctls", kLevel, 29, sysctls_at<29>, {}},
      {"sysctls", kLevel, 32, sysctls_at<32>, {}},
      {"windowsHostProcess", kLevel, 0, host_process, {}},
  };
  return checks;
}

// --- Wording ----------------------------------------------------------------------------------------

std::string_view plural(std::string_view one, std::string_view many, size_t count) {
  return count == 1 ? one : many;
}

std::string join_quoted(const Strings& values) {
  return values.empty() ? std::string() : base::cat("\"", api::join(values, "\", \""), "\"");
}

std::string name_containers(const Strings& names) {
  return base::cat(plural("container", "containers", names.size()), " ", join_quoted(names));
}

std::string name_of(const Json& container) { return std::string(base::string_at(container, {"name"})); }

bool has_user_namespace(const PodView& pod) { return !base::bool_at(pod.spec, {"hostUsers"}, true); }

bool is_windows(const PodView& pod) { return base::string_at(pod.spec, {"os", "name"}) == "windows"; }

}  // namespace orch::server::pod_security
