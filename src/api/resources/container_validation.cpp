// Containers of a pod spec: regular, init and ephemeral.
#include <algorithm>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/resource_list.h"
#include "api/resources/resource_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxRestartRules = 20;
constexpr size_t kMaxExitCodes = 255;

void validate_ports(const Json& container, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Json& port : list_of(container, "ports")) {
    const FieldPath at = path.child("ports").index(i++);
    const std::string_view name = text_of(port, "name");
    if (!name.empty()) {
      const Problems problems = check_port_name(name);
      add_problems(errors, at.child("name"), name, problems);
      if (problems.empty() && !names.insert(name).second)
        errors.duplicate(at.child("name"), std::string(name));
    }
    if (number_of(port, "containerPort") == 0) {
      errors.required(at.child("containerPort"));
    } else {
      validate_port_number(member_of(port, "containerPort"), at.child("containerPort"), errors);
    }
    if (number_of(port, "hostPort") != 0) {
      validate_port_number(member_of(port, "hostPort"), at.child("hostPort"), errors);
    }
    const std::string_view protocol = text_of(port, "protocol");
    if (protocol.empty()) {
      errors.required(at.child("protocol"));
    } else if (!is_port_protocol(protocol)) {
      errors.not_supported(at.child("protocol"), protocol, kPortProtocols);
    }
  }
}

// --- Mounts ------------------------------------------------------------------------------------------

/// Paths of mounts or devices by volume; of several the last.
using Targets = std::map<std::string_view, std::string_view>;

Targets targets_of(const Json& list, const char* path_member) {
  Targets targets;
  for (const Json& item : list) targets[text_of(item, "name")] = text_of(item, path_member);
  return targets;
}

bool has_target(const Targets& targets, std::string_view path) {
  return std::any_of(targets.begin(), targets.end(),
                     [&](const auto& target) { return target.second == path; });
}

void validate_propagation(const Json& mount, const Json& container, const FieldPath& path,
                          FieldErrors& errors) {
  if (!has(mount, "mountPropagation")) return;
  const std::string_view mode = text_of(mount, "mountPropagation");
  if (mode != "Bidirectional" && mode != "HostToContainer" && mode != "None") {
    errors.not_supported(path, mode, {"Bidirectional", "HostToContainer", "None"});
  }
  if (mode == "Bidirectional" && !flag_of(map_of(container, "securityContext"), "privileged")) {
    errors.forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
  }
}

void validate_recursive_read_only(const Json& mount, const FieldPath& path, FieldErrors& errors) {
  if (!has(mount, "recursiveReadOnly")) return;
  const std::string_view mode = text_of(mount, "recursiveReadOnly");
  if (mode == "Disabled") return;
  if (mode != "Enabled" && mode != "IfPossible") {
    return errors.not_supported(path, mode, {"Disabled", "Enabled", "IfPossible"});
  }
  if (!flag_of(mount, "readOnly")) errors.forbidden(path, "may only be specified when readOnly is true");
  if (has(mount, "mountPropagation") && text_of(mount, "mountPropagation") != "None") {
    errors.forbidden(path, "may only be specified when mountPropagation is None or not specified");
  }
}

void validate_mounts(const Json& container, const VolumeMap& volumes, const FieldPath& list,
                     FieldErrors& errors) {
  const Targets devices = targets_of(list_of(container, "volumeDevices"), "devicePath");
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Json& mount : list_of(container, "volumeMounts")) {
    const FieldPath at = list.index(i++);
    const std::string_view name = text_of(mount, "name");
    const std::string_view target = text_of(mount, "mountPath");
    if (name.empty()) errors.required(at.child("name"));
    if (!volumes.contains(name)) errors.not_found(at.child("name"), std::string(name));
    if (target.empty()) errors.required(at.child("mountPath"));
    if (!seen.insert(target).second) add_invalid(errors, at.child("mountPath"), target, "must be unique");
    if (devices.contains(name)) {
      add_invalid(errors, at.child("name"), name, "must not already exist in volumeDevices");
    }
    if (has_target(devices, target)) {
      add_invalid(errors, at.child("mountPath"), target, "must not already exist as a path in volumeDevices");
    }
    // The paths of these errors lack the index in Kubernetes, too.
    const std::string_view sub = text_of(mount, "subPath");
    const std::string_view expression = text_of(mount, "subPathExpr");
    if (!sub.empty()) validate_descending_path(sub, list.child("subPath"), errors);
    if (!expression.empty()) {
      if (!sub.empty()) {
        add_invalid(errors, at.child("subPathExpr"), expression,
                    "subPathExpr and subPath are mutually exclusive");
      }
      validate_descending_path(expression, list.child("subPathExpr"), errors);
    }
    validate_propagation(mount, container, list.child("mountPropagation"), errors);
    validate_recursive_read_only(mount, list.child("recursiveReadOnly"), errors);
  }
}

void validate_devices(const Json& container, const VolumeMap& volumes, const FieldPath& list,
                      FieldErrors& errors) {
  const Targets mounts = targets_of(list_of(container, "volumeMounts"), "mountPath");
  std::set<std::string_view> names;
  std::set<std::string_view> targets;
  size_t i = 0;
  for (const Json& device : list_of(container, "volumeDevices")) {
    const FieldPath at = list.index(i++);
    const std::string_view name = text_of(device, "name");
    const std::string_view target = text_of(device, "devicePath");
    if (name.empty()) errors.required(at.child("name"));
    if (names.contains(name)) add_invalid(errors, at.child("name"), name, "must be unique");
    const auto volume = volumes.find(name);
    if (volume == volumes.end()) {
      errors.not_found(at.child("name"), std::string(name));
    } else if (!has(*volume->second, "persistentVolumeClaim") && !has(*volume->second, "ephemeral")) {
      add_invalid(errors, at.child("name"), name,
                  "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
    }
    if (target.empty()) errors.required(at.child("devicePath"));
    if (targets.contains(target)) add_invalid(errors, at.child("devicePath"), target, "must be unique");
    FieldErrors steps;
    validate_no_backsteps(target, list, steps);
    if (!steps.empty()) {
      add_invalid(errors, at.child("devicePath"), target, "can not contain backsteps ('..')");
    } else {
      targets.insert(target);
    }
    if (mounts.contains(name)) {
      add_invalid(errors, at.child("name"), name, "must not already exist in volumeMounts");
    }
    if (has_target(mounts, target)) {
      add_invalid(errors, at.child("devicePath"), target, "must not already exist as a path in volumeMounts");
    }
    if (!name.empty()) names.insert(name);
  }
}

// --- Restart and resize ------------------------------------------------------------------------------

void validate_resize_policy(const Json& container, const Json& spec, const FieldPath& path,
                            FieldErrors& errors) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Json& policy : list_of(container, "resizePolicy")) {
    const FieldPath at = path.index(i++);
    const std::string_view resource = text_of(policy, "resourceName");
    const std::string_view restart = text_of(policy, "restartPolicy");
    if (!seen.insert(resource).second) errors.duplicate(at, std::string(resource));
    if (resource.empty()) {
      errors.required(path);
    } else if (resource != "cpu" && resource != "memory") {
      errors.not_supported(path, resource, {"cpu", "memory"});
    }
    if (restart.empty()) {
      errors.required(path);
    } else if (restart != "NotRequired" && restart != "RestartContainer") {
      errors.not_supported(path, restart, {"NotRequired", "RestartContainer"});
    }
    if (text_of(spec, "restartPolicy") == "Never" && restart != "NotRequired") {
      add_invalid(errors, path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
  }
}

void validate_restart_rules(const Json& rules, const FieldPath& path, FieldErrors& errors) {
  if (rules.size() > kMaxRestartRules) errors.too_long(path, static_cast<int>(kMaxRestartRules));
  for (size_t i = 0; i < rules.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string_view action = text_of(rules[i], "action");
    if (action != "Restart") errors.not_supported(at.child("action"), action, {"Restart"});
    if (!has(rules[i], "exitCodes")) {
      errors.required(at.child("exitCodes"), "must be specified");
      continue;
    }
    const Json& codes = map_of(rules[i], "exitCodes");
    const std::string_view op = text_of(codes, "operator");
    if (op != "In" && op != "NotIn") {
      errors.not_supported(at.child("exitCodes").child("operator"), op, {"In", "NotIn"});
    }
    if (list_of(codes, "values").size() > kMaxExitCodes) {
      errors.too_long(at.child("exitCodes").child("values"), static_cast<int>(kMaxExitCodes));
    }
  }
}

void validate_restart_policy(const Json& container, bool init, const FieldPath& path, FieldErrors& errors) {
  const Json& rules = list_of(container, "restartPolicyRules");
  if (!has(container, "restartPolicy")) {
    if (rules.empty()) return;
    errors.required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used");
    if (!init) validate_restart_rules(rules, path.child("restartPolicyRules"), errors);
    return;
  }
  const std::string_view policy = text_of(container, "restartPolicy");
  if (init && policy == "Always") {
    if (!rules.empty()) {
      errors.forbidden(path.child("restartPolicyRules"),
                       "restartPolicyRules are not allowed for init containers with restart policy Always");
    }
    return;
  }
  if (policy != "Always" && policy != "Never" && policy != "OnFailure") {
    errors.not_supported(path.child("restartPolicy"), policy, {"Always", "Never", "OnFailure"});
  }
  validate_restart_rules(rules, path.child("restartPolicyRules"), errors);
}

// --- One container -----------------------------------------------------------------------------------

void validate_common(const Json& container, const ContainerScope& scope, const FieldPath& path,
                     FieldErrors& errors) {
  const std::string_view name = text_of(container, "name");
  if (name.empty()) {
    errors.required(path.child("name"));
  } else {
    validate_dns1123_label(name, path.child("name"), errors);
  }
  if (text_of(container, "image").empty()) errors.required(path.child("image"));
  const std::string_view policy = text_of(container, "terminationMessagePolicy");
  const FieldPath policy_path = path.child("terminationMessagePolicy");
  if (policy.empty()) {
    errors.required(policy_path);
  } else if (policy != "File" && policy != "FallbackToLogsOnError") {
    errors.not_supported(policy_path, policy, {"File", "FallbackToLogsOnError"});
  }
  validate_ports(container, path, errors);
  validate_env(container, path, errors);
  validate_mounts(container, scope.volumes, path.child("volumeMounts"), errors);
  validate_devices(container, scope.volumes, path.child("volumeDevices"), errors);
  validate_pull_policy(text_of(container, "imagePullPolicy"), path.child("imagePullPolicy"), errors);
  validate_requirements(map_of(container, "resources"), scope.claims, path.child("resources"), errors,
                        {false, scope.options.allow_indivisible_hugepages});
  validate_resize_policy(container, scope.spec, path.child("resizePolicy"), errors);
  if (has(container, "securityContext")) {
    validate_container_security(map_of(container, "securityContext"), uses_host_users(scope.spec),
                                path.child("securityContext"), errors);
  }
}

/// Host ports of a list of containers may each be asked for once. Errors are numbered from `first`.
void validate_host_ports(const Json& containers, size_t first, size_t count, size_t shown,
                         const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> taken;
  for (size_t c = first; c < first + count; ++c) {
    const Json& ports = list_of(containers[c], "ports");
    for (size_t p = 0; p < ports.size(); ++p) {
      const int64_t port = number_of(ports[p], "hostPort");
      if (port == 0) continue;
      std::string key(text_of(ports[p], "protocol"));
      key += "/";
      key += text_of(ports[p], "hostIP");
      key += "/" + std::to_string(port);
      if (!taken.insert(key).second) {
        errors.duplicate(path.index(shown + c - first).child("ports").index(p).child("hostPort"), key);
      }
    }
  }
}

/// Members that ephemeral containers cannot have.
void validate_ephemeral_members(const Json& container, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kDetail = "cannot be set for an Ephemeral Container";
  if (has_items(container, "resources")) errors.forbidden(path.child("resources"), kDetail);
  // An empty one is one too.
  for (const char* key : {"ports", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe",
                          "readinessProbe", "startupProbe", "lifecycle"}) {
    if (has(container, key)) errors.forbidden(path.child(key), kDetail);
  }
  size_t i = 0;
  for (const Json& mount : list_of(container, "volumeMounts")) {
    const FieldPath at = path.child("volumeMounts").index(i++);
    for (const char* key : {"subPath", "subPathExpr"}) {
      if (!text_of(mount, key).empty()) errors.forbidden(at.child(key), kDetail);
    }
  }
}

}  // namespace

void for_each_container(const Json& spec, const FieldPath& path,
                        const std::function<void(const Json&, const FieldPath&)>& visit) {
  for (const char* kind : {"initContainers", "containers", "ephemeralContainers"}) {
    size_t i = 0;
    for (const Json& container : list_of(spec, kind)) visit(container, path.child(kind).index(i++));
  }
}

bool uses_host_users(const Json& spec) { return flag_of(spec, "hostUsers", true); }

void validate_pull_policy(std::string_view policy, const FieldPath& path, FieldErrors& errors) {
  if (policy.empty()) return errors.required(path);
  if (policy != "Always" && policy != "IfNotPresent" && policy != "Never") {
    errors.not_supported(path, policy, {"Always", "IfNotPresent", "Never"});
  }
}

void validate_image_spaces(const Json& container, const FieldPath& path, FieldErrors& errors) {
  const std::string_view image = text_of(container, "image");
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  if (image.empty()) return;
  if (kSpace.find(image.front()) == std::string_view::npos &&
      kSpace.find(image.back()) == std::string_view::npos) {
    return;
  }
  add_invalid(errors, path.child("image"), image, "must not have leading or trailing whitespace");
}

void validate_containers(const ContainerScope& scope, const FieldPath& path, FieldErrors& errors) {
  const Json& containers = list_of(scope.spec, "containers");
  if (containers.empty()) return errors.required(path);
  std::set<std::string_view> names;
  for (size_t i = 0; i < containers.size(); ++i) {
    const Json& container = containers[i];
    const FieldPath at = path.index(i);
    validate_common(container, scope, at, errors);
    const std::string_view name = text_of(container, "name");
    if (!names.insert(name).second) errors.duplicate(at.child("name"), std::string(name));
    validate_lifecycle(container, scope.spec, at, errors);
    validate_probes(container, scope.spec, at, errors);
    validate_restart_policy(container, false, at, errors);
  }
  validate_host_ports(containers, 0, containers.size(), 0, path, errors);
}

void validate_init_containers(const ContainerScope& scope, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kOnlySidecars = "may not be set for init containers without restartPolicy=Always";
  std::set<std::string_view> names;
  for (const Json& container : list_of(scope.spec, "containers")) names.insert(text_of(container, "name"));
  const Json& containers = list_of(scope.spec, "initContainers");
  for (size_t i = 0; i < containers.size(); ++i) {
    const Json& container = containers[i];
    const FieldPath at = path.index(i);
    validate_common(container, scope, at, errors);
    validate_restart_policy(container, true, at, errors);
    const std::string_view name = text_of(container, "name");
    if (names.contains(name)) {
      errors.duplicate(at.child("name"), std::string(name));
    } else if (!name.empty()) {
      names.insert(name);
    }
    validate_host_ports(containers, i, 1, 0, path, errors);
    if (is_sidecar(container)) {
      validate_lifecycle(container, scope.spec, at, errors);
      validate_probes(container, scope.spec, at, errors);
    } else {
      for (const char* key : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
        if (has(container, key)) errors.forbidden(at.child(key), kOnlySidecars);
      }
    }
  }
}

void validate_ephemeral_containers(const ContainerScope& scope, const FieldPath& path, FieldErrors& errors) {
  const Json& containers = list_of(scope.spec, "ephemeralContainers");
  if (containers.empty()) return;
  std::set<std::string_view> others;
  for (const char* kind : {"containers", "initContainers"}) {
    for (const Json& container : list_of(scope.spec, kind)) others.insert(text_of(container, "name"));
  }
  std::set<std::string_view> names = others;
  for (size_t i = 0; i < containers.size(); ++i) {
    const Json& container = containers[i];
    const FieldPath at = path.index(i);
    validate_common(container, scope, at, errors);
    validate_image_spaces(container, at, errors);
    const std::string_view name = text_of(container, "name");
    if (!names.insert(name).second) errors.duplicate(at.child("name"), std::string(name));
    const std::string_view target = text_of(container, "targetContainerName");
    if (!target.empty() && !others.contains(target)) {
      errors.not_found(at.child("targetContainerName"), std::string(target));
    }
    validate_ephemeral_members(container, at, errors);
  }
}

}  // namespace orch::api
