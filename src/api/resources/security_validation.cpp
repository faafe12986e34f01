// Security contexts, sysctls, seccomp and AppArmor of pods, and what depends on the operating system.
#include <algorithm>
#include <array>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "api/resources/windows_validation.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxSysctl = 253;
constexpr size_t kMaxProfile = 4095;
constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kLocalhost = "localhost/";

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

void validate_ids(const Json& context, const char* key, bool group, const FieldPath& path,
                  FieldErrors& errors) {
  if (!has(context, key)) return;
  const int64_t id = number_of(context, key);
  for (const std::string& problem : group ? check_group_id(id) : check_user_id(id)) {
    errors.invalid(path.child(key), id, problem);
  }
}

// --- Profiles ----------------------------------------------------------------------------------------

const std::vector<std::string> kProfileTypes = {"Localhost", "RuntimeDefault", "Unconfined"};

void validate_seccomp_profile(const Json& profile, const FieldPath& path, FieldErrors& errors) {
  if (!profile.is_object()) return;
  const std::string_view type = text_of(profile, "type");
  const FieldPath local = path.child("localhostProfile");
  if (type.empty()) {
    errors.required(path.child("type"), "type is required when seccompProfile is set");
  } else if (std::find(kProfileTypes.begin(), kProfileTypes.end(), type) == kProfileTypes.end()) {
    errors.not_supported(path.child("type"), type, kProfileTypes);
  }
  if (type == "Localhost") {
    if (!has(profile, "localhostProfile")) {
      errors.required(local, "must be set when seccomp type is Localhost");
    } else {
      validate_descending_path(text_of(profile, "localhostProfile"), local, errors);
    }
  } else if (has(profile, "localhostProfile")) {
    add_cause(errors, "FieldValueInvalid", local,
              "Invalid value: " +
                  go_struct({{"Type", type}, {"LocalhostProfile", text_of(profile, "localhostProfile")}}) +
                  ": can only be set when seccomp type is Localhost");
  }
}

void validate_seccomp_name(std::string_view profile, const FieldPath& path, FieldErrors& errors) {
  if (profile == "runtime/default" || profile == "docker/default" || profile == "unconfined") return;
  if (profile.starts_with(kLocalhost)) {
    return validate_descending_path(profile.substr(kLocalhost.size()), path, errors);
  }
  add_invalid(errors, path, profile, "must be a valid seccomp profile");
}

/// The annotation says the same as the field that replaced it. `what`: "seccomp" or "apparmor".
void validate_match(std::string_view annotation, const Json& profile, const std::string& what,
                    const FieldPath& path, FieldErrors& errors) {
  const std::string_view type = text_of(profile, "type");
  const std::string type_detail = what + " type in annotation and field must match";
  bool same_type = true;
  if (type == "Unconfined") {
    same_type = annotation == "unconfined";
  } else if (type == "RuntimeDefault") {
    same_type = annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default");
  } else if (type == "Localhost") {
    same_type = annotation.starts_with(kLocalhost);
    if (same_type && (!has(profile, "localhostProfile") ||
                      annotation.substr(kLocalhost.size()) != text_of(profile, "localhostProfile"))) {
      errors.forbidden(path.child("localhostProfile"), what + " profile in annotation and field must match");
    }
  }
  if (!same_type) errors.forbidden(path.child("type"), type_detail);
}

// --- Sysctls -----------------------------------------------------------------------------------------

/// Segments of [a-z0-9] with '-' and '_' inside, between '.' or '/'.
bool valid_sysctl(std::string_view name) {
  if (name.empty() || name.size() > kMaxSysctl) return false;
  while (true) {
    const size_t end = name.find_first_of("./");
    const std::string_view segment = name.substr(0, end);
    if (segment.empty() || !is_lower_or_digit(segment.front()) || !is_lower_or_digit(segment.back()))
      return false;
    const auto ok = [](char c) { return is_lower_or_digit(c) || c == '-' || c == '_'; };
    if (!std::all_of(segment.begin(), segment.end(), ok)) return false;
    if (end == std::string_view::npos) return true;
    name = name.substr(end + 1);
  }
}

void validate_sysctls(const Json& spec, const FieldPath& path, const PodOptions& options,
                      FieldErrors& errors) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Json& sysctl : list_of(map_of(spec, "securityContext"), "sysctls")) {
    const FieldPath at = path.index(i++).child("name");
    const std::string_view name = text_of(sysctl, "name");
    if (name.empty()) {
      errors.required(at);
    } else if (!valid_sysctl(name)) {
      add_invalid(errors, at, name,
                  "must have at most 253 characters and match regex "
                  "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    } else if (seen.contains(name)) {
      errors.duplicate(at, std::string(name));
    }
    const std::string_view problem = host_sysctl_problem(name, spec);
    if (!options.allow_host_sysctls && !problem.empty()) add_invalid(errors, at, name, problem);
    seen.insert(name);
  }
}

void validate_choice(const Json& context, const char* key, const std::vector<std::string>& choices,
                     const FieldPath& path, FieldErrors& errors) {
  if (!has(context, key)) return;
  const std::string_view value = text_of(context, key);
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    errors.not_supported(path.child(key), value, choices);
  }
}

// --- Operating systems -------------------------------------------------------------------------------

void validate_linux(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kDetail = "windows options cannot be set for a linux pod";
  if (has(map_of(spec, "securityContext"), "windowsOptions")) {
    errors.forbidden(path.child("securityContext").child("windowsOptions"), kDetail);
  }
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    if (has(map_of(container, "securityContext"), "windowsOptions")) {
      errors.forbidden(at.child("securityContext").child("windowsOptions"), kDetail);
    }
  });
}

void validate_windows(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kDetail = "cannot be set for a windows pod";
  const Json& context = map_of(spec, "securityContext");
  const FieldPath context_path = path.child("securityContext");
  const auto refuse = [&](const Json& object, const FieldPath& at, const char* key) {
    if (has(object, key)) errors.forbidden(at.child(key), kDetail);
  };
  const auto refuse_true = [&](const char* key) {
    if (flag_of(spec, key)) errors.forbidden(path.child(key), kDetail);
  };
  refuse(context, context_path, "appArmorProfile");
  refuse(context, context_path, "seLinuxOptions");
  refuse(spec, path, "hostUsers");
  refuse_true("hostPID");
  refuse_true("hostIPC");
  for (const char* key : {"seccompProfile", "fsGroup", "fsGroupChangePolicy"})
    refuse(context, context_path, key);
  if (has_items(context, "sysctls")) errors.forbidden(context_path.child("sysctls"), kDetail);
  refuse(spec, path, "shareProcessNamespace");
  for (const char* key :
       {"runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"}) {
    refuse(context, context_path, key);
  }
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    const Json& own = map_of(container, "securityContext");
    for (const char* key :
         {"appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
          "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"}) {
      refuse(own, at.child("securityContext"), key);
    }
  });
}

}  // namespace

std::string_view host_sysctl_problem(std::string_view sysctl, const Json& spec) {
  // Slashes separate as dots do when the first separator is a slash.
  std::string name(sysctl.substr(0, sysctl.find('*')));
  const size_t first = name.find_first_of("./");
  if (first != std::string::npos && name[first] == '/') {
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c == '/' ? '.' : c == '.' ? '/' : c;
    });
  }
  static constexpr std::array<std::string_view, 10> kIpc = {
      "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
      "kernel.shm", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.msg"};
  const bool ipc = std::find(kIpc.begin(), kIpc.end(), name) != kIpc.end() || name.starts_with("fs.mqueue.");
  if (flag_of(spec, "hostNetwork") && name.starts_with("net.")) {
    return "may not be specified when 'hostNetwork' is true";
  }
  if (flag_of(spec, "hostIPC") && ipc) return "may not be specified when 'hostIPC' is true";
  return {};
}

void validate_app_armor_profile(const Json& profile, const FieldPath& path, FieldErrors& errors) {
  if (!profile.is_object()) return;
  const std::string_view type = text_of(profile, "type");
  const FieldPath local = path.child("localhostProfile");
  const std::string_view name = text_of(profile, "localhostProfile");
  if (type == "Localhost") {
    constexpr const char* kMissing = "must be set when AppArmor type is Localhost";
    constexpr std::string_view kSpace = " \t\n\v\f\r";
    const auto is_space = [&](char c) { return kSpace.find(c) != std::string_view::npos; };
    if (!has(profile, "localhostProfile")) return errors.required(local, kMissing);
    if (!name.empty() && (is_space(name.front()) || is_space(name.back()))) {
      add_invalid(errors, local, name, "must not be padded with whitespace");
    } else if (name.empty()) {
      errors.required(local, kMissing);
    }
    if (name.size() > kMaxProfile) errors.too_long(local, static_cast<int>(kMaxProfile));
  } else if (type == "RuntimeDefault" || type == "Unconfined") {
    if (has(profile, "localhostProfile")) {
      add_invalid(errors, local, name, "can only be set when AppArmor type is Localhost");
    }
  } else if (type.empty()) {
    errors.required(path.child("type"), "type is required when appArmorProfile is set");
  } else {
    errors.not_supported(path.child("type"), type, kProfileTypes);
  }
}

void validate_pod_security(const Json& spec, const FieldPath& path, const PodOptions& options,
                           FieldErrors& errors) {
  const Json& context = map_of(spec, "securityContext");
  validate_ids(context, "fsGroup", true, path, errors);
  validate_ids(context, "runAsUser", false, path, errors);
  validate_ids(context, "runAsGroup", true, path, errors);
  size_t i = 0;
  for (const Json& group : list_of(context, "supplementalGroups")) {
    const FieldPath at = path.child("supplementalGroups").index(i++);
    for (const std::string& problem : check_group_id(number(group))) errors.invalid(at, group, problem);
  }
  if (flag_of(spec, "hostPID") && flag_of(spec, "shareProcessNamespace")) {
    errors.invalid(path.child("shareProcessNamespace"), true,
                   "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  validate_sysctls(spec, path.child("sysctls"), options, errors);
  validate_choice(context, "fsGroupChangePolicy", {"Always", "OnRootMismatch"}, path, errors);
  validate_seccomp_profile(member_of(context, "seccompProfile"), path.child("seccompProfile"), errors);
  validate_windows_options(member_of(context, "windowsOptions"), path.child("windowsOptions"), errors);
  validate_app_armor_profile(member_of(context, "appArmorProfile"), path.child("appArmorProfile"), errors);
  validate_choice(context, "supplementalGroupsPolicy", {"Merge", "Strict"}, path, errors);
  std::vector<std::string> policies = {"Recursive"};
  if (options.allow_selinux_mount_option) policies.insert(policies.begin(), "MountOption");
  validate_choice(context, "seLinuxChangePolicy", policies, path, errors);
}

void validate_container_security(const Json& context, bool host_users, const FieldPath& path,
                                 FieldErrors& errors) {
  validate_ids(context, "runAsUser", false, path, errors);
  validate_ids(context, "runAsGroup", true, path, errors);
  if (has(context, "procMount")) {
    validate_choice(context, "procMount", {"Default", "Unmasked"}, path, errors);
    const std::string_view mount = text_of(context, "procMount");
    if (host_users && mount == "Unmasked") {
      add_invalid(errors, path.child("procMount"), mount, "`hostUsers` must be false to use `Unmasked`");
    }
  }
  validate_seccomp_profile(member_of(context, "seccompProfile"), path.child("seccompProfile"), errors);
  if (has(context, "allowPrivilegeEscalation") && !flag_of(context, "allowPrivilegeEscalation")) {
    constexpr const char* kDetail = "cannot set `allowPrivilegeEscalation` to false and ";
    if (flag_of(context, "privileged"))
      errors.invalid(path, context, std::string(kDetail) + "`privileged` to true");
    for (const Json& capability : list_of(map_of(context, "capabilities"), "add")) {
      if (text(capability) == "CAP_SYS_ADMIN") {
        errors.invalid(path, context, std::string(kDetail) + "`capabilities.Add` CAP_SYS_ADMIN");
      }
    }
  }
  validate_windows_options(member_of(context, "windowsOptions"), path.child("windowsOptions"), errors);
  validate_app_armor_profile(member_of(context, "appArmorProfile"), path.child("appArmorProfile"), errors);
}

void validate_windows_host_process(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const auto host_process = [](const Json& object) -> const Json& {
    return member_of(map_of(map_of(object, "securityContext"), "windowsOptions"), "hostProcess");
  };
  const Json& of_pod = host_process(spec);
  size_t all = 0;
  size_t marked = 0;
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    ++all;
    const Json& own = host_process(container);
    if (of_pod.is_boolean() && own.is_boolean() && of_pod != own) {
      errors.invalid(at.child("securityContext").child("windowsOptions").child("hostProcess"), own,
                     "pod hostProcess value must be identical if both are specified, was " + of_pod.dump());
    }
    const Json& effective = own.is_boolean() ? own : of_pod;
    if (effective.is_boolean() && effective.get<bool>()) ++marked;
  });
  if (marked == 0) return;
  if (marked != all) {
    add_invalid(
        errors, path, "",
        "If pod contains any hostProcess containers then all containers must be HostProcess containers");
  }
  if (!flag_of(spec, "hostNetwork")) {
    errors.invalid(path.child("hostNetwork"), false,
                   "hostNetwork must be true if pod contains any hostProcess containers");
  }
}

void validate_os(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "os")) return;
  const std::string_view name = text_of(map_of(spec, "os"), "name");
  if (name.empty()) {
    errors.required(path.child("os").child("name"));
  } else if (name == "linux") {
    validate_linux(spec, path, errors);
  } else if (name == "windows") {
    validate_windows(spec, path, errors);
  } else {
    errors.not_supported(path.child("os"), name, {"linux", "windows"});
  }
}

void validate_seccomp_annotations(const Json& annotations, const FieldPath& path, FieldErrors& errors) {
  if (has(annotations, kSeccompPod)) {
    validate_seccomp_name(text_of(annotations, kSeccompPod), path.child(kSeccompPod), errors);
  }
  for (auto it = annotations.begin(); it != annotations.end(); ++it) {
    if (it.key().starts_with(kSeccompContainer))
      validate_seccomp_name(text(*it), path.child(it.key()), errors);
  }
}

void validate_app_armor_annotations(const Json& annotations, const Json& spec, const FieldPath& path,
                                    FieldErrors& errors) {
  for (auto it = annotations.begin(); it != annotations.end(); ++it) {
    if (!it.key().starts_with(kAppArmor)) continue;
    const std::string_view name = std::string_view(it.key()).substr(kAppArmor.size());
    bool found = false;
    for_each_container(spec, FieldPath(), [&](const Json& container, const FieldPath&) {
      found = found || text_of(container, "name") == name;
    });
    if (!found) add_invalid(errors, path.key(it.key()), name, "container not found");
    const std::string_view profile = text(*it);
    const bool known = profile.empty() || profile == "runtime/default" || profile == "unconfined" ||
                       profile.starts_with(kLocalhost);
    if (!known) {
      add_invalid(errors, path.key(it.key()), profile, "invalid AppArmor profile name: " + go_quote(profile));
    }
  }
}

void validate_security_annotations_match(const Json& annotations, const Json& spec, const FieldPath& path,
                                         FieldErrors& errors) {
  if (annotations.empty()) return;
  const Json& context = map_of(spec, "securityContext");
  if (has(context, "seccompProfile") && has(annotations, kSeccompPod)) {
    validate_match(text_of(annotations, kSeccompPod), map_of(context, "seccompProfile"), "seccomp",
                   path.child("securityContext").child("seccompProfile"), errors);
  }
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    const Json& profile = map_of(map_of(container, "securityContext"), "seccompProfile");
    const std::string key = std::string(kSeccompContainer) + std::string(text_of(container, "name"));
    if (profile.empty() || !has(annotations, key)) return;
    validate_match(text_of(annotations, key), profile, "seccomp",
                   at.child("securityContext").child("seccompProfile"), errors);
  });
  if (text_of(map_of(spec, "os"), "name") == "windows") return;
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    const Json& own = map_of(map_of(container, "securityContext"), "appArmorProfile");
    const Json& profile = own.empty() ? map_of(context, "appArmorProfile") : own;
    const std::string key = std::string(kAppArmor) + std::string(text_of(container, "name"));
    if (profile.empty() || !has(annotations, key)) return;
    validate_match(text_of(annotations, key), profile, "apparmor",
                   at.child("securityContext").child("appArmorProfile"), errors);
  });
}

}  // namespace orch::api
