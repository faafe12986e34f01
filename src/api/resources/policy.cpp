// policy/v1 PodDisruptionBudget, scheduling.k8s.io/v1 PriorityClass, node.k8s.io/v1 RuntimeClass.
#include <set>
#include <string>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_parts.h"
#include "api/resources/resource_validation.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

// --- PodDisruptionBudget -----------------------------------------------------------------------------

void validate_budget(const Json& budget, const Json* old, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(budget, "spec");
  if (has(spec, "minAvailable") && has(spec, "maxUnavailable"))
    errors.invalid(path, spec, "minAvailable and maxUnavailable cannot be both set");
  for (const char* key : {"minAvailable", "maxUnavailable"}) {
    if (!has(spec, key)) continue;
    validate_nonnegative_int_or_percent(member_of(spec, key), path.child(key), errors);
    validate_at_most_100_percent(member_of(spec, key), path.child(key), errors);
  }
  const bool lenient =
      old != nullptr && has_invalid_selector_value(member_of(map_of(*old, "spec"), "selector"));
  validate_label_selector(member_of(spec, "selector"), path.child("selector"), errors, {lenient});
  const std::string_view policy = text_of(spec, "unhealthyPodEvictionPolicy");
  if (has(spec, "unhealthyPodEvictionPolicy") && policy != "AlwaysAllow" && policy != "IfHealthyBudget") {
    errors.not_supported(path.child("unhealthyPodEvictionPolicy"), policy,
                         {"AlwaysAllow", "IfHealthyBudget"});
  }
}

// --- PriorityClass -----------------------------------------------------------------------------------

constexpr std::string_view kSystemPrefix = "system-";
constexpr int64_t kHighestUserPriority = 1'000'000'000;

/// Why a name with the system's prefix is not one of the two there are; "" = it is.
std::string not_a_system_class(const Json& object) {
  struct Known {
    std::string_view name;
    int64_t value;
  };
  for (const Known& known : {Known{"system-node-critical", 2 * kHighestUserPriority + 1000},
                             Known{"system-cluster-critical", 2 * kHighestUserPriority}}) {
    if (known.name != name_of(object)) continue;
    if (number_of(object, "value") != known.value) {
      return base::cat("value of ", known.name, " PriorityClass must be ", known.value);
    }
    if (flag_of(object, "globalDefault"))
      return base::cat("globalDefault of ", known.name, " PriorityClass must be false");
    return {};
  }
  return base::cat(name_of(object), " is not a known system priority class");
}

void validate_priority_class(const Json& object, FieldErrors& errors) {
  if (name_of(object).substr(0, kSystemPrefix.size()) == kSystemPrefix) {
    if (std::string why = not_a_system_class(object); !why.empty()) {
      errors.forbidden(
          FieldPath("metadata.name"),
          "priority class names with 'system-' prefix are reserved for system use only. error: " + why);
    }
  } else if (number_of(object, "value") > kHighestUserPriority) {
    errors.forbidden(FieldPath("value"),
                     base::cat("maximum allowed value of a user defined priority is ", kHighestUserPriority));
  }
  const std::string_view policy = text_of(object, "preemptionPolicy");
  if (has(object, "preemptionPolicy") && policy.empty()) {
    errors.required(FieldPath("preemptionPolicy"));
  } else if (!policy.empty() && policy != "Never" && policy != "PreemptLowerPriority") {
    errors.not_supported(FieldPath("preemptionPolicy"), policy, {"PreemptLowerPriority", "Never"});
  }
}

void validate_priority_class_update(const Json& object, const Json& old, FieldErrors& errors) {
  if (number_of(object, "value") != number_of(old, "value"))
    errors.forbidden(FieldPath("value"), "may not be changed in an update.");
  validate_immutable_member(object, old, "preemptionPolicy", FieldPath(), errors);
}

// --- RuntimeClass ------------------------------------------------------------------------------------

void validate_runtime_class(const Json& object, FieldErrors& errors) {
  validate_dns1123_label(text_of(object, "handler"), FieldPath("handler"), errors);
  if (has(object, "overhead")) {
    const Json requirements = {{"limits", map_of(map_of(object, "overhead"), "podFixed")}};
    validate_requirements(requirements, {}, FieldPath("overhead"), errors);
  }
  if (!has(object, "scheduling")) return;
  const FieldPath path("scheduling");
  const Json& scheduling = map_of(object, "scheduling");
  validate_labels(map_of(scheduling, "nodeSelector"), path.child("nodeSelector"), errors);
  const Json& tolerations = list_of(scheduling, "tolerations");
  validate_tolerations(tolerations, {}, path.child("tolerations"), errors);
  std::set<std::string> seen;
  for (size_t i = 0; i < tolerations.size(); ++i) {
    Json key = tolerations[i];
    drop(key, "tolerationSeconds");
    if (!seen.insert(key.dump()).second) {
      const Json& one = tolerations[i];
      add_cause(errors, "FieldValueDuplicate", path.child("tolerations").index(i),
                "Duplicate value: " +
                    go_struct({{"Key", text_of(one, "key")},
                               {"Operator", text_of(one, "operator")},
                               {"Value", text_of(one, "value")},
                               {"Effect", text_of(one, "effect")}},
                              ",\"TolerationSeconds\":" + go_json(member_of(one, "tolerationSeconds"))));
    }
  }
}

}  // namespace

Strategy disruption_budget_strategy() {
  Strategy s = traits_of("policy", "PodDisruptionBudget");
  s.validate_name = check_name_is_path_segment;  // Kubernetes asks for no more
  s.validate = [](const Json& object, FieldErrors& errors) { validate_budget(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_budget(object, &old, errors);
  };
  s.validate_status_update = [](const Json& object, const Json&, FieldErrors& errors) {
    const FieldPath path("status");
    const Json& status = map_of(object, "status");
    validate_conditions(list_of(status, "conditions"), path.child("conditions"), errors);
    for (const char* key : {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"})
      validate_nonnegative(number_of(status, key), path.child(key), errors);
  };
  return s;
}

Strategy priority_class_strategy() {
  Strategy s = traits_of("scheduling.k8s.io", "PriorityClass");
  s.set_defaults = [](Json& object) { default_pointer(object, "preemptionPolicy", "PreemptLowerPriority"); };
  // What counts cannot change.
  s.generation_changed = [](const Json&, const Json&) { return false; };
  s.validate = validate_priority_class;
  s.validate_update = validate_priority_class_update;
  return s;
}

Strategy runtime_class_strategy() {
  Strategy s = traits_of("node.k8s.io", "RuntimeClass");
  s.validate = validate_runtime_class;
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_runtime_class(object, errors);
    validate_immutable_member(object, old, "handler", FieldPath(), errors);
  };
  return s;
}

}  // namespace orch::api
