// Pod specs as a whole; the parts are in files of their own (pod_parts.h).
#include "api/resources/pod_validation.h"

#include <climits>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/pod_parts.h"
#include "api/resources/resource_list.h"
#include "api/resources/resource_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kMirror = "kubernetes.io/config.mirror";
constexpr size_t kMaxNameservers = 3;
constexpr size_t kMaxSearches = 32;
constexpr size_t kMaxSearchChars = 2048;
constexpr size_t kMaxHostname = 64;

std::set<std::string> claim_names(const Json& spec) {
  std::set<std::string> names;
  for (const Json& claim : list_of(spec, "resourceClaims")) {
    if (!text_of(claim, "name").empty()) names.emplace(text_of(claim, "name"));
  }
  return names;
}

/// A claim as Kubernetes prints its own type.
std::string claim_text(const Json& claim) {
  const auto pointer = [&](const char* key) { return go_json(member_of(claim, key)); };
  return "{\"Name\":" + go_json(Json(std::string(text_of(claim, "name")))) +
         ",\"ResourceClaimName\":" + pointer("resourceClaimName") +
         ",\"ResourceClaimTemplateName\":" + pointer("resourceClaimTemplateName") + "}";
}

void validate_resource_claims(const Json& spec, const Json* metadata, const FieldPath& path,
                              FieldErrors& errors) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Json& claim : list_of(spec, "resourceClaims")) {
    const FieldPath at = path.index(i++);
    if (metadata && has(map_of(*metadata, "annotations"), kMirror)) {
      errors.forbidden(FieldPath(""), "static pods do not support resource claims");
      continue;
    }
    const std::string_view name = text_of(claim, "name");
    if (name.empty()) {
      errors.required(at.child("name"));
    } else if (names.contains(name)) {
      errors.duplicate(at.child("name"), std::string(name));
    } else {
      validate_dns1123_label(name, at.child("name"), errors);
      names.insert(name);
    }
    const bool direct = has(claim, "resourceClaimName");
    const bool by_template = has(claim, "resourceClaimTemplateName");
    if (direct && by_template) {
      add_cause(errors, "FieldValueInvalid", at,
                "Invalid value: " + claim_text(claim) +
                    ": at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
    }
    if (!direct && !by_template) {
      add_cause(errors, "FieldValueInvalid", at,
                "Invalid value: " + claim_text(claim) +
                    ": must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    }
    for (const char* key : {"resourceClaimName", "resourceClaimTemplateName"}) {
      if (has(claim, key)) validate_dns1123_subdomain(text_of(claim, key), at.child(key), errors);
    }
  }
}

// --- Resources of the pod as a whole -------------------------------------------------------------------

void validate_against_containers(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& resources = map_of(spec, "resources");
  const ResourceList requests = parse_resource_list(map_of(resources, "requests"));
  const ResourceList limits = parse_resource_list(map_of(resources, "limits"));
  for (const auto& [name, total] : container_totals(spec, "requests")) {
    const auto it = requests.find(name);
    if (it == requests.end() || total <= it->second) continue;
    add_invalid(errors, path.child("requests").key(name), it->second.text(),
                "must be greater than or equal to aggregate container requests of " + total.text());
  }
  for (const auto& [name, total] : container_totals(spec, "limits")) {
    const auto it = limits.find(name);
    if (!is_hugepage_resource(name) || it == limits.end() || total <= it->second) continue;
    add_invalid(errors, path.child("limits").key(name), it->second.text(),
                "must be greater than or equal to aggregate container limits of " + total.text());
  }
  size_t i = 0;
  for (const Json& container : list_of(spec, "containers")) {
    const size_t index = i++;
    for (const auto& [name, limit] : parse_resource_list(map_of(map_of(container, "resources"), "limits"))) {
      const auto it = limits.find(name);
      if (it == limits.end() || limit <= it->second) continue;
      add_invalid(errors, path.child("containers").index(index).key(name).child("limits"), limit.text(),
                  "must be less than or equal to pod limits of " + it->second.text());
    }
  }
}

void validate_pod_resources(const Json& spec, const std::set<std::string>& claims, const FieldPath& path,
                            const PodOptions& options, FieldErrors& errors) {
  if (!has(spec, "resources")) return;
  if (text_of(map_of(spec, "os"), "name") == "windows") {
    return errors.forbidden(path, "may not be set for a windows pod");
  }
  const Json& resources = map_of(spec, "resources");
  if (has(resources, "claims")) {
    errors.forbidden(path.child("claims"), "claims may not be set for Resources at pod-level");
  }
  validate_requirements(resources, claims, path, errors, {true, options.allow_indivisible_hugepages});
  validate_against_containers(spec, path, errors);
}

// --- Smaller members -----------------------------------------------------------------------------------

void validate_host_network_ports(const Json& spec, const FieldPath& path, const PodOptions& options,
                                 FieldErrors& errors) {
  if (!flag_of(spec, "hostNetwork")) return;
  size_t c = 0;
  for (const Json& container : list_of(spec, "containers")) {
    const FieldPath at = path.child("containers").index(c++).child("ports");
    size_t p = 0;
    for (const Json& port : list_of(container, "ports")) {
      const FieldPath port_path = at.index(p++).child("hostPort");
      const int64_t host = number_of(port, "hostPort");
      if ((options.is_pod || host != 0) && host != number_of(port, "containerPort")) {
        errors.invalid(port_path, host, "must match `containerPort` when `hostNetwork` is true");
      }
    }
  }
}

void validate_enum(const Json& spec, const char* key, const std::vector<std::string>& values,
                   const FieldPath& path, FieldErrors& errors) {
  const std::string_view value = text_of(spec, key);
  if (value.empty()) return errors.required(path.child(key));
  for (const std::string& v : values) {
    if (v == value) return;
  }
  errors.not_supported(path.child(key), value, values);
}

void validate_dns_config(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& config = map_of(spec, "dnsConfig");
  const Json& servers = list_of(config, "nameservers");
  if (text_of(spec, "dnsPolicy") == "None") {
    if (!has(spec, "dnsConfig"))
      return errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
    if (servers.empty()) {
      return errors.required(path.child("nameservers"),
                             "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
  }
  if (servers.size() > kMaxNameservers) {
    errors.invalid(path.child("nameservers"), servers, "must not have more than 3 nameservers");
  }
  for (size_t i = 0; i < servers.size(); ++i) {
    validate_legacy_ip(text(servers[i]), path.child("nameservers").index(i), errors);
  }
  const Json& searches = list_of(config, "searches");
  if (searches.size() > kMaxSearches) {
    errors.invalid(path.child("searches"), searches, "must not have more than 32 search paths");
  }
  size_t chars = searches.empty() ? 0 : searches.size() - 1;
  for (const Json& search : searches) chars += text(search).size();
  if (chars > kMaxSearchChars) {
    errors.invalid(path.child("searches"), searches,
                   "must not have more than 2048 characters (including spaces) in the search list");
  }
  for (size_t i = 0; i < searches.size(); ++i) {
    std::string_view search = text(searches[i]);
    if (search == ".") continue;
    if (search.ends_with('.')) search.remove_suffix(1);
    add_problems(errors, path.child("searches").index(i), search,
                 check_dns1123_subdomain_with_underscore(search));
  }
  size_t i = 0;
  for (const Json& option : list_of(config, "options")) {
    const FieldPath at = path.child("options").index(i++);
    if (text_of(option, "name").empty()) errors.required(at, "must not be empty");
  }
}

void validate_gates(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& gate : list_of(spec, "readinessGates")) {
    validate_qualified_name(text_of(gate, "conditionType"),
                            path.child("readinessGates").index(i++).child("conditionType"), errors);
  }
  std::set<std::string_view> seen;
  i = 0;
  for (const Json& gate : list_of(spec, "schedulingGates")) {
    const FieldPath at = path.child("schedulingGates").index(i++);
    const std::string_view name = text_of(gate, "name");
    validate_qualified_name(name, at, errors);
    if (!seen.insert(name).second) errors.duplicate(at, std::string(name));
  }
}

void validate_no_host_users(const Json& spec, const FieldPath& path, const PodOptions& options,
                            FieldErrors& errors) {
  if (uses_host_users(spec)) return;
  constexpr const char* kDetail = "when `hostUsers` is false";
  if (!options.allow_userns_host_network && flag_of(spec, "hostNetwork")) {
    errors.forbidden(path.child("hostNetwork"), kDetail);
  }
  if (flag_of(spec, "hostPID")) errors.forbidden(path.child("HostPID"), kDetail);
  if (flag_of(spec, "hostIPC")) errors.forbidden(path.child("HostIPC"), kDetail);
  if (options.allow_userns_devices) return;
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    if (has_items(container, "volumeDevices")) errors.forbidden(at.child("volumeDevices"), kDetail);
  });
}

void validate_hostname_override(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "hostnameOverride")) return;
  const FieldPath at = path.child("hostnameOverride");
  if (flag_of(spec, "setHostnameAsFQDN")) {
    errors.forbidden(at, "may not be specified when setHostnameAsFQDN is true");
  }
  if (flag_of(spec, "hostNetwork")) errors.forbidden(at, "may not be specified when hostNetwork is true");
  const std::string_view name = text_of(spec, "hostnameOverride");
  if (name.size() > kMaxHostname) errors.too_long(at, static_cast<int>(kMaxHostname));
  validate_dns1123_subdomain(name, at, errors);
}

/// Environment files live in emptyDir volumes of the pod.
void validate_file_key_volumes(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  std::map<std::string_view, const Json*> volumes;
  for (const Json& volume : list_of(spec, "volumes")) volumes[text_of(volume, "name")] = &volume;
  for_each_container(spec, path, [&](const Json& container, const FieldPath& at) {
    size_t i = 0;
    for (const Json& env : list_of(container, "env")) {
      const FieldPath env_path = at.child("env").index(i++);
      const Json& from = map_of(env, "valueFrom");
      if (!has(from, "fileKeyRef")) continue;
      const std::string name(text_of(map_of(from, "fileKeyRef"), "volumeName"));
      const FieldPath name_path = env_path.child("valueFrom").child("fileKeyRef").child("volumeName");
      const auto volume = volumes.find(name);
      if (volume == volumes.end()) {
        errors.not_found(name_path, name);
      } else if (!has(*volume->second, "emptyDir")) {
        add_invalid(errors, name_path, name, "referenced volume must be of type emptyDir");
      }
    }
  });
}

void validate_host_aliases(const Json& aliases, const FieldPath& path, FieldErrors& errors) {
  for (size_t i = 0; i < aliases.size(); ++i) {
    const FieldPath at = path.index(i);
    validate_legacy_ip(text_of(aliases[i], "ip"), at.child("ip"), errors);
    size_t h = 0;
    for (const Json& name : list_of(aliases[i], "hostnames")) {
      validate_dns1123_subdomain(text(name), at.child("hostnames").index(h++), errors);
    }
  }
}

/// Names of other objects, deadlines and the like: scalars that are checked on their own.
void validate_scalars(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  for (const char* key : {"serviceAccountName", "nodeName"}) {
    const std::string_view name = text_of(spec, key);
    if (!name.empty()) validate_dns1123_subdomain(name, path.child(key), errors);
  }
  if (has(spec, "activeDeadlineSeconds")) {
    const int64_t deadline = number_of(spec, "activeDeadlineSeconds");
    if (deadline < 1 || deadline > INT_MAX) {
      errors.invalid(path.child("activeDeadlineSeconds"), deadline, range_problem(1, INT_MAX));
    }
  }
  for (const char* key : {"hostname", "subdomain"}) {
    const std::string_view name = text_of(spec, key);
    if (!name.empty()) validate_dns1123_label(name, path.child(key), errors);
  }
}

void validate_late_scalars(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const std::string_view priority_class = text_of(spec, "priorityClassName");
  if (!priority_class.empty())
    validate_dns1123_subdomain(priority_class, path.child("priorityClassName"), errors);
  if (has(spec, "runtimeClassName")) {
    validate_dns1123_subdomain(text_of(spec, "runtimeClassName"), path.child("runtimeClassName"), errors);
  }
  if (has(spec, "preemptionPolicy")) {
    validate_enum(spec, "preemptionPolicy", {"PreemptLowerPriority", "Never"}, path, errors);
  }
  if (has(spec, "overhead")) {
    validate_requirements({{"limits", map_of(spec, "overhead")}}, {}, path.child("overhead"), errors);
  }
}

}  // namespace

void validate_pod_spec(const Json& spec, const Json* metadata, const FieldPath& path,
                       const PodOptions& options, FieldErrors& errors) {
  if (!has(spec, "terminationGracePeriodSeconds"))
    errors.required(path.child("terminationGracePeriodSeconds"));
  const VolumeMap volumes =
      validate_volumes(list_of(spec, "volumes"), metadata, path.child("volumes"), options, errors);
  const std::set<std::string> claims = claim_names(spec);
  validate_resource_claims(spec, metadata, path.child("resourceClaims"), errors);
  const ContainerScope scope{spec, volumes, claims, options};
  validate_containers(scope, path.child("containers"), errors);
  validate_init_containers(scope, path.child("initContainers"), errors);
  validate_ephemeral_containers(scope, path.child("ephemeralContainers"), errors);
  validate_pod_resources(spec, claims, path.child("resources"), options, errors);
  validate_host_network_ports(spec, path, options, errors);
  validate_enum(spec, "restartPolicy", {"Always", "OnFailure", "Never"}, path, errors);
  validate_enum(spec, "dnsPolicy", {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"}, path,
                errors);
  validate_labels(map_of(spec, "nodeSelector"), path.child("nodeSelector"), errors);
  validate_pod_security(spec, path.child("securityContext"), options, errors);
  if (has(spec, "affinity"))
    validate_affinity(map_of(spec, "affinity"), options, path.child("affinity"), errors);
  validate_dns_config(spec, path.child("dnsConfig"), errors);
  validate_gates(spec, path, errors);
  validate_topology_spread(list_of(spec, "topologySpreadConstraints"), options,
                           path.child("topologySpreadConstraints"), errors);
  validate_windows_host_process(spec, path, errors);
  validate_no_host_users(spec, path, options, errors);
  validate_hostname_override(spec, path, errors);
  validate_scalars(spec, path, errors);
  validate_tolerations(list_of(spec, "tolerations"), options, path.child("tolerations"), errors);
  validate_host_aliases(list_of(spec, "hostAliases"), path.child("hostAliases"), errors);
  validate_late_scalars(spec, path, errors);
  validate_os(spec, path, errors);
  validate_file_key_volumes(spec, path, errors);
}

void validate_pod_annotations(const Json& annotations, const Json& spec, const FieldPath& path,
                              const PodOptions& options, FieldErrors& errors) {
  if (annotations.empty()) return;
  if (has(annotations, kMirror) && text_of(spec, "nodeName").empty()) {
    add_invalid(errors, path.key(kMirror), text_of(annotations, kMirror),
                "must set spec.nodeName if mirror pod annotation is set");
  }
  if (!options.allow_invalid_deletion_cost && !valid_deletion_cost(annotations)) {
    add_invalid(errors, path.key(kDeletionCost), text_of(annotations, kDeletionCost),
                "must be a 32bit integer");
  }
  validate_seccomp_annotations(annotations, path, errors);
  validate_app_armor_annotations(annotations, spec, path, errors);
}

void validate_pod_template(const Json& pod_template, const Json* old, const FieldPath& path,
                           FieldErrors& errors) {
  const Json& metadata = map_of(pod_template, "metadata");
  const Json& annotations = map_of(metadata, "annotations");
  const Json& spec = map_of(pod_template, "spec");
  const Json* old_annotations = old ? &map_of(map_of(*old, "metadata"), "annotations") : nullptr;
  const PodOptions options = pod_options(old ? &map_of(*old, "spec") : nullptr, old_annotations);
  validate_labels(map_of(metadata, "labels"), path.child("labels"), errors);
  validate_annotations(annotations, path.child("annotations"), errors);
  validate_pod_annotations(annotations, spec, path.child("annotations"), options, errors);
  validate_pod_spec(spec, nullptr, path.child("spec"), options, errors);
  validate_security_annotations_match(annotations, spec, path.child("spec"), errors);
  if (has_items(spec, "ephemeralContainers")) {
    errors.forbidden(path.child("spec").child("ephemeralContainers"),
                     "ephemeral containers not allowed in pod template");
  }
}

}  // namespace orch::api
