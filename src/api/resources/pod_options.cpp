// What an update of a pod or template must go on allowing, found in the old object.
#include <climits>

#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/resource_validation.h"
#include "api/resources/scheduling_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

bool any_cause(const FieldErrors& errors, std::string_view part) {
  for (const base::Cause& cause : errors.causes()) {
    if (cause.message.find(part) != std::string::npos) return true;
  }
  return false;
}

bool has_indivisible_hugepages(const Json& spec) {
  FieldErrors errors;
  for_each_container(spec, FieldPath(), [&](const Json& container, const FieldPath&) {
    validate_requirements(map_of(container, "resources"), {}, FieldPath(), errors);
  });
  return any_cause(errors, "is not positive integer multiple of");
}

bool has_invalid_affinity_value(const Json& affinity) {
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const Json& terms = map_of(affinity, kind);
    for (const Json& term : list_of(terms, kRequired)) {
      if (has_invalid_selector_value(member_of(term, "labelSelector"))) return true;
    }
    for (const Json& weighted : list_of(terms, kPreferred)) {
      const Json& term = map_of(weighted, "podAffinityTerm");
      if (has_invalid_selector_value(member_of(term, "labelSelector"))) return true;
    }
  }
  return false;
}

void allow_spread(const Json& spec, PodOptions& options) {
  const Json& constraints = list_of(spec, "topologySpreadConstraints");
  FieldErrors selectors;
  for (const Json& constraint : constraints) {
    validate_label_selector(member_of(constraint, "labelSelector"), FieldPath(), selectors);
  }
  options.allow_invalid_spread_selector = !selectors.empty();
  PodOptions no_selectors;
  no_selectors.allow_invalid_spread_selector = true;
  FieldErrors keys;
  validate_topology_spread(constraints, no_selectors, FieldPath(), keys);
  options.allow_spread_key_clash = any_cause(keys, "matchLabelKeys");
}

bool has_unusual_token_path(const Json& spec) {
  FieldErrors errors;
  for (const Json& volume : list_of(spec, "volumes")) {
    for (const Json& source : list_of(map_of(volume, "projected"), "sources")) {
      validate_local_path(text_of(map_of(source, "serviceAccountToken"), "path"), FieldPath(), errors);
    }
  }
  return !errors.empty();
}

}  // namespace

bool valid_deletion_cost(const Json& annotations) {
  if (!has(annotations, kDeletionCost)) return true;
  const std::string_view value = text_of(annotations, kDeletionCost);
  const bool negative = value.starts_with('-');
  const std::string_view digits = value.substr(negative ? 1 : 0);
  if (digits.empty() || (!negative && digits[0] == '0' && digits.size() > 1)) return false;
  int64_t n = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return false;
    n = n * 10 + (c - '0');
    if (n > int64_t{INT_MAX} + (negative ? 1 : 0)) return false;
  }
  return true;
}

PodOptions pod_options(const Json* old_spec, const Json* old_annotations) {
  PodOptions options;
  options.allow_invalid_deletion_cost = old_annotations && !valid_deletion_cost(*old_annotations);
  if (!old_spec) return options;
  const Json& old = *old_spec;
  const Json& affinity = map_of(old, "affinity");
  options.allow_indivisible_hugepages = has_indivisible_hugepages(old);
  options.allow_invalid_affinity_values = has_invalid_affinity_value(affinity);
  options.allow_invalid_node_affinity_values =
      has_invalid_node_selector_value(map_of(map_of(affinity, "nodeAffinity"), kRequired));
  allow_spread(old, options);
  options.allow_any_token_path = has_unusual_token_path(old);
  for (const Json& sysctl : list_of(map_of(old, "securityContext"), "sysctls")) {
    options.allow_host_sysctls |= !host_sysctl_problem(text_of(sysctl, "name"), old).empty();
  }
  options.allow_selinux_mount_option = has(map_of(old, "securityContext"), "seLinuxChangePolicy");
  for (const Json& toleration : list_of(old, "tolerations")) {
    const std::string_view op = text_of(toleration, "operator");
    options.allow_comparing_tolerations |= op == "Lt" || op == "Gt";
  }
  if (uses_host_users(old)) return options;
  options.allow_userns_host_network = flag_of(old, "hostNetwork");
  for_each_container(old, FieldPath(), [&](const Json& container, const FieldPath&) {
    options.allow_userns_devices |= has_items(container, "volumeDevices");
  });
  return options;
}

}  // namespace orch::api
