// autoscaling HorizontalPodAutoscaler, in the form of v2.
#include <algorithm>
#include <array>

#include "api/names.h"
#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/resource_validation.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

// --- Defaults ------------------------------------------------------------------------------------------

Json policy(const char* type, int value) { return {{"type", type}, {"value", value}, {"periodSeconds", 15}}; }

/// Rules with what they leave out; those that are left out altogether are made.
void default_rules(Json& behavior, const char* direction, Json policies, bool with_window) {
  Json& rules = child(behavior, direction);
  default_pointer(rules, "selectPolicy", "Max");
  if (!has(rules, "policies")) put(rules, "policies", std::move(policies));
  // The window for shrinking is a flag of the controller.
  if (with_window) default_pointer(rules, "stabilizationWindowSeconds", 0);
}

void default_autoscaler(Json& object) {
  constexpr int kUtilization = 80;
  Json& spec = child(object, "spec");
  default_pointer(spec, "minReplicas", 1);
  if (list_of(spec, "metrics").empty()) {
    put(spec, "metrics",
        Json::array({{{"type", "Resource"},
                      {"resource",
                       {{"name", "cpu"},
                        {"target", {{"type", "Utilization"}, {"averageUtilization", kUtilization}}}}}}}));
  }
  Json* behavior = object_in(spec, "behavior");
  if (behavior == nullptr) return;
  default_rules(*behavior, "scaleUp", Json::array({policy("Pods", 4), policy("Percent", 100)}), true);
  default_rules(*behavior, "scaleDown", Json::array({policy("Percent", 100)}), false);
}

// --- Validation ----------------------------------------------------------------------------------------

/// What is wrong with an apiVersion as a reference has it; "" when nothing.
std::string version_problem(std::string_view version, bool allow_core) {
  if (std::count(version.begin(), version.end(), '/') > 1)
    return base::cat("unexpected GroupVersion string: ", version);
  const size_t slash = version.find('/');
  const bool core = slash == std::string_view::npos || slash == 0;
  return core && !allow_core ? "apiVersion must specify API group" : std::string();
}

/// A name that is one step of a path.
void validate_step(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name == "." || name == "..") {
    add_invalid(errors, path, name, base::cat("may not be '", name, "'"));
    return;
  }
  for (const char c : {'/', '%'}) {
    if (name.find(c) != std::string_view::npos)
      add_invalid(errors, path, name, base::cat("may not contain '", std::string_view(&c, 1), "'"));
  }
}

struct ReferenceRules {
  bool any_version = false, core = false;
};

void validate_reference(const Json& reference, const FieldPath& path, ReferenceRules rules,
                        FieldErrors& errors) {
  for (const char* key : {"kind", "name"}) {
    if (text_of(reference, key).empty()) {
      errors.required(path.child(key));
    } else {
      validate_step(text_of(reference, key), path.child(key), errors);
    }
  }
  const std::string_view version = text_of(reference, "apiVersion");
  const std::string problem = rules.any_version ? std::string() : version_problem(version, rules.core);
  if (!problem.empty()) add_invalid(errors, path.child("apiVersion"), version, problem);
}

void validate_identifier(const Json& metric, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(metric, "name");
  if (name.empty()) {
    errors.required(path.child("name"), "must specify a metric name");
  } else {
    validate_step(name, path.child("name"), errors);
  }
}

void validate_target(const Json& target, const FieldPath& path, FieldErrors& errors) {
  const std::string_view type = text_of(target, "type");
  if (type.empty()) errors.required(path.child("type"), "must specify a metric target type");
  if (type != "Utilization" && type != "Value" && type != "AverageValue")
    add_invalid(errors, path.child("type"), type, "must be either Utilization, Value, or AverageValue");
  for (const char* key : {"value", "averageValue"}) {
    if (has(target, key) && Quantity::of(&member_of(target, key)).sign() != 1)
      errors.invalid(path.child(key), member_of(target, key), "must be positive");
  }
  if (has(target, "averageUtilization") && number_of(target, "averageUtilization") < 1) {
    errors.invalid(path.child("averageUtilization"), member_of(target, "averageUtilization"),
                   "must be greater than 0");
  }
}

/// One of these two, which are told of under the second's name when both are missing.
void validate_value_target(const Json& target, const FieldPath& path, const char* missing,
                           FieldErrors& errors) {
  if (!has(target, "value") && !has(target, "averageValue"))
    errors.required(path.child("averageValue"), missing);
}

void validate_resource_target(const Json& target, const FieldPath& path, FieldErrors& errors) {
  const bool utilization = has(target, "averageUtilization"), value = has(target, "averageValue");
  if (!utilization && !value) {
    errors.required(path.child("averageUtilization"),
                    "must set either a target raw value or a target utilization");
  }
  if (utilization && value) {
    errors.forbidden(path.child("averageValue"),
                     "may not set both a target raw value and a target utilization");
  }
}

void validate_source(const Json& source, std::string_view key, const FieldPath& path, ReferenceRules rules,
                     FieldErrors& errors) {
  const Json& target = map_of(source, "target");
  const FieldPath target_path = path.child("target");
  if (key == "object")
    validate_reference(map_of(source, "describedObject"), path.child("describedObject"), rules, errors);
  if (key == "resource" || key == "containerResource") {
    const std::string_view name = text_of(source, "name");
    if (name.empty()) {
      errors.required(path.child("name"), "must specify a resource name");
    } else if (key == "containerResource") {
      validate_container_resource_name(name, path.child("name"), errors);
    }
  } else {
    validate_identifier(map_of(source, "metric"), path.child("metric"), errors);
  }
  if (key == "containerResource") {
    const std::string_view container = text_of(source, "container");
    if (container.empty()) {
      errors.required(path.child("container"), "must specify a container");
    } else {
      validate_dns1123_label(container, path.child("container"), errors);
    }
  }
  validate_target(target, target_path, errors);
  if (key == "object") {
    validate_value_target(target, target_path, "must set either a target value or averageValue", errors);
  } else if (key == "external") {
    validate_value_target(target, target_path,
                          "must set either a target value for metric or a per-pod target", errors);
    if (has(target, "value") && has(target, "averageValue")) {
      errors.forbidden(target_path.child("value"),
                       "may not set both a target value for metric and a per-pod target");
    }
  } else if (key == "pods") {
    if (!has(target, "averageValue"))
      errors.required(target_path.child("averageValue"), "must specify a positive target averageValue");
  } else {
    validate_resource_target(target, target_path, errors);
  }
}

struct Source {
  const char *type, *key;
};
/// In the order in which the first one present is looked into.
constexpr std::array<Source, 5> kSources = {{{"Object", "object"},
                                             {"External", "external"},
                                             {"Pods", "pods"},
                                             {"Resource", "resource"},
                                             {"ContainerResource", "containerResource"}}};
const std::vector<std::string>& source_types() {
  static const std::vector<std::string> types = {"ContainerResource", "External", "Object", "Pods",
                                                 "Resource"};
  return types;
}

void validate_metric(const Json& metric, const FieldPath& path, ReferenceRules rules, FieldErrors& errors) {
  const std::string_view type = text_of(metric, "type");
  const auto source =
      std::find_if(kSources.begin(), kSources.end(), [&](const Source& s) { return s.type == type; });
  if (type.empty()) errors.required(path.child("type"), "must specify a metric source type");
  if (source == kSources.end()) errors.not_supported(path.child("type"), type, source_types());
  size_t present = 0;
  for (const Source& s : kSources) {
    if (!has(metric, s.key)) continue;
    if (++present == 1) validate_source(map_of(metric, s.key), s.key, path.child(s.key), rules, errors);
  }
  if (source == kSources.end()) {
    errors.not_supported(path.child("type"), type, source_types());
  } else if (!has(metric, source->key)) {
    errors.required(path.child(source->key), "must populate information for the given metric source");
  }
  if (present == 1) return;
  for (const Source& s : kSources) {
    if (has(metric, s.key) && (source == kSources.end() || source->key != std::string_view(s.key)))
      errors.forbidden(path.child(s.key), "must populate the given metric source only");
  }
}

void validate_policy(const Json& policy, const FieldPath& path, FieldErrors& errors) {
  constexpr int64_t kLongest = 1800;
  const std::string_view type = text_of(policy, "type");
  if (type != "Pods" && type != "Percent")
    errors.not_supported(path.child("type"), type, {"Percent", "Pods"});
  if (number_of(policy, "value") <= 0)
    errors.invalid(path.child("value"), number_of(policy, "value"), "must be greater than zero");
  const int64_t period = number_of(policy, "periodSeconds");
  if (period <= 0) errors.invalid(path.child("periodSeconds"), period, "must be greater than zero");
  if (period > kLongest)
    errors.invalid(path.child("periodSeconds"), period,
                   base::cat("must be less than or equal to ", kLongest));
}

void validate_rules(const Json& behavior, const char* direction, const FieldPath& parent,
                    FieldErrors& errors) {
  constexpr int64_t kLongestWindow = 3600;
  if (!has(behavior, direction)) return;
  const Json& rules = map_of(behavior, direction);
  const FieldPath path = parent.child(direction);
  const FieldPath window_path = path.child("stabilizationWindowSeconds");
  const int64_t window = number_of(rules, "stabilizationWindowSeconds");
  if (window < 0) errors.invalid(window_path, window, "must be greater than or equal to zero");
  if (window > kLongestWindow)
    errors.invalid(window_path, window, base::cat("must be less than or equal to ", kLongestWindow));
  const std::string_view select = text_of(rules, "selectPolicy");
  if (has(rules, "selectPolicy") && select != "Max" && select != "Min" && select != "Disabled")
    errors.not_supported(path.child("selectPolicy"), select, {"Disabled", "Max", "Min"});
  const Json& policies = list_of(rules, "policies");
  if (policies.empty()) errors.required(path.child("policies"), "must specify at least one Policy");
  for (size_t i = 0; i < policies.size(); ++i)
    validate_policy(policies[i], path.child("policies").index(i), errors);
  if (has(rules, "tolerance") && Quantity::of(&member_of(rules, "tolerance")).sign() < 0) {
    errors.invalid(path.child("tolerance"), member_of(rules, "tolerance"),
                   "must be greater than or equal to 0");
  }
}

void validate_spec(const Json& spec, const Json* old_spec, FieldErrors& errors) {
  const FieldPath path("spec");
  const bool had_zero = old_spec && has(*old_spec, "minReplicas") && number_of(*old_spec, "minReplicas") == 0;
  const int64_t lowest = had_zero ? 0 : 1;  // HPAScaleToZero is off
  const int64_t least = number_of(spec, "minReplicas"), most = number_of(spec, "maxReplicas");
  const bool has_least = has(spec, "minReplicas");
  if (has_least && least < lowest)
    errors.invalid(path.child("minReplicas"), least, base::cat("must be greater than or equal to ", lowest));
  if (most < 1) errors.invalid(path.child("maxReplicas"), most, "must be greater than 0");
  if (has_least && most < least)
    errors.invalid(path.child("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
  const Json& reference = map_of(spec, "scaleTargetRef");
  ReferenceRules target_rules;
  if (old_spec) {
    const Json& old = map_of(*old_spec, "scaleTargetRef");
    target_rules.any_version = text_of(old, "apiVersion") == text_of(reference, "apiVersion") &&
                               text_of(old, "kind") == text_of(reference, "kind");
  }
  target_rules.core = text_of(reference, "kind") == "ReplicationController";
  validate_reference(reference, path.child("scaleTargetRef"), target_rules, errors);
  ReferenceRules metric_rules{false, true};
  if (old_spec) {
    const Json& old_metrics = list_of(*old_spec, "metrics");
    metric_rules.any_version = std::any_of(old_metrics.begin(), old_metrics.end(), [](const Json& m) {
      return text_of(m, "type") == "Object" &&
             !version_problem(text_of(map_of(map_of(m, "object"), "describedObject"), "apiVersion"), true)
                  .empty();
    });
  }
  bool scales_from_zero = false;
  const Json& metrics = list_of(spec, "metrics");
  for (size_t i = 0; i < metrics.size(); ++i) {
    validate_metric(metrics[i], path.child("metrics").index(i), metric_rules, errors);
    const std::string_view type = text_of(metrics[i], "type");
    scales_from_zero = scales_from_zero || type == "Object" || type == "External";
  }
  if (has_least && least == 0 && !scales_from_zero) {
    errors.forbidden(
        path.child("metrics"),
        "must specify at least one Object or External metric to support scaling to zero replicas");
  }
  for (const char* direction : {"scaleUp", "scaleDown"})
    validate_rules(map_of(spec, "behavior"), direction, path.child("behavior"), errors);
}

}  // namespace

Strategy autoscaler_strategy() {
  Strategy s = traits_of("autoscaling", "HorizontalPodAutoscaler");
  s.set_defaults = default_autoscaler;
  s.validate = [](const Json& object, FieldErrors& errors) {
    validate_spec(map_of(object, "spec"), nullptr, errors);
  };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_spec(map_of(object, "spec"), &map_of(old, "spec"), errors);
  };
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    restore(object, old, "spec");
  };
  s.validate_status_update = [](const Json& object, const Json&, FieldErrors& errors) {
    for (const char* key : {"currentReplicas", "desiredReplicas"})
      validate_nonnegative(number_of(map_of(object, "status"), key), FieldPath("status").child(key), errors);
  };
  return s;
}

}  // namespace orch::api
