// apps/v1 Deployment, ReplicaSet and DaemonSet.
#include "api/resources/apps_common.h"
#include "api/resources/common_validation.h"
#include "api/resources/core_pod_defaults.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_features.h"
#include "api/resources/pod_validation.h"
#include "api/resources/pod_warnings.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kTemplateGeneration = "deprecated.daemonset.template.generation";

// --- Deployment --------------------------------------------------------------------------------------

void default_deployment(Json& object) {
  Json& spec = child(object, "spec");
  default_pod_template(child(spec, "template"));
  default_pointer(spec, "replicas", 1);
  default_pointer(spec, "revisionHistoryLimit", 10);
  default_pointer(spec, "progressDeadlineSeconds", 600);
  Json& strategy = child(spec, "strategy");
  default_text(strategy, "type", "RollingUpdate");
  if (text_of(strategy, "type") != "RollingUpdate") return;
  Json& rolling = child(strategy, "rollingUpdate");
  default_pointer(rolling, "maxUnavailable", "25%");
  default_pointer(rolling, "maxSurge", "25%");
}

/// A rolling update as Kubernetes prints its own, JSON-less type.
std::string rolling_text(const Json& strategy) {
  const Json& rolling = member_of(strategy, "rollingUpdate");
  if (!rolling.is_object()) return ",\"RollingUpdate\":null";
  return ",\"RollingUpdate\":{\"MaxUnavailable\":" + member_of(rolling, "maxUnavailable").dump() +
         ",\"MaxSurge\":" + member_of(rolling, "maxSurge").dump() + "}";
}

void unsupported_strategy(const Json& strategy, const FieldPath& path, const char* values,
                          FieldErrors& errors) {
  add_cause(errors, "FieldValueNotSupported", path,
            "Unsupported value: " + go_struct({{"Type", text_of(strategy, "type")}}, rolling_text(strategy)) +
                ": supported values: " + values);
}

void validate_deployment_rolling(const Json& rolling, const FieldPath& path, FieldErrors& errors) {
  const Json& unavailable = member_of(rolling, "maxUnavailable");
  const Json& surge = member_of(rolling, "maxSurge");
  validate_nonnegative_int_or_percent(unavailable, path.child("maxUnavailable"), errors);
  validate_nonnegative_int_or_percent(surge, path.child("maxSurge"), errors);
  if (int_or_percent(unavailable) == 0 && int_or_percent(surge) == 0) {
    errors.invalid(path.child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0");
  }
  validate_at_most_100_percent(unavailable, path.child("maxUnavailable"), errors);
}

void validate_deployment_strategy(const Json& strategy, const FieldPath& path, FieldErrors& errors) {
  const std::string_view type = text_of(strategy, "type");
  if (type == "Recreate") {
    if (has(strategy, "rollingUpdate")) {
      errors.forbidden(path.child("rollingUpdate"),
                       "may not be specified when strategy `type` is 'Recreate'");
    }
  } else if (type == "RollingUpdate") {
    validate_deployment_rolling(map_of(strategy, "rollingUpdate"), path.child("rollingUpdate"), errors);
  } else {
    unsupported_strategy(strategy, path, "\"Recreate\", \"RollingUpdate\"", errors);
  }
}

void validate_deployment(const Json& object, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  validate_nonnegative(number_of(spec, "replicas"), path.child("replicas"), errors);
  validate_replicated_template(spec, old ? &map_of(*old, "spec") : nullptr, path, "deployment", errors);
  validate_deployment_strategy(map_of(spec, "strategy"), path.child("strategy"), errors);
  const int64_t ready = number_of(spec, "minReadySeconds");
  validate_nonnegative(ready, path.child("minReadySeconds"), errors);
  validate_nonnegative(number_of(spec, "revisionHistoryLimit"), path.child("revisionHistoryLimit"), errors);
  if (has(spec, "progressDeadlineSeconds")) {
    const int64_t deadline = number_of(spec, "progressDeadlineSeconds");
    validate_nonnegative(deadline, path.child("progressDeadlineSeconds"), errors);
    if (deadline <= ready) {
      errors.invalid(path.child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
    }
  }
  if (old) validate_immutable_member(spec, map_of(*old, "spec"), "selector", path, errors);
}

void validate_deployment_status(const Json& object, const Json& old, FieldErrors& errors) {
  const Json& status = map_of(object, "status");
  validate_counts(status,
                  {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                   "unavailableReplicas", "terminatingReplicas", "collisionCount"},
                  errors);
  validate_at_most_replicas(status, {"updatedReplicas", "readyReplicas", "availableReplicas"}, errors);
  validate_available_ready(status, "cannot be greater than readyReplicas", errors);
  validate_collision_count(status, map_of(old, "status"), errors);
}

// --- ReplicaSet --------------------------------------------------------------------------------------

void validate_replica_set(const Json& object, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  validate_nonnegative(number_of(spec, "replicas"), path.child("replicas"), errors);
  validate_nonnegative(number_of(spec, "minReadySeconds"), path.child("minReadySeconds"), errors);
  // "deployment" also here: so it reads in Kubernetes.
  validate_replicated_template(spec, old ? &map_of(*old, "spec") : nullptr, path, "deployment", errors);
  if (old) validate_immutable_member(spec, map_of(*old, "spec"), "selector", path, errors);
}

void validate_replica_set_status(const Json& object, const Json&, FieldErrors& errors) {
  const Json& status = map_of(object, "status");
  validate_counts(status,
                  {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                   "observedGeneration", "terminatingReplicas"},
                  errors);
  validate_at_most_replicas(status, {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"}, errors);
  validate_available_ready(status, "cannot be greater than readyReplicas", errors);
}

// --- DaemonSet ---------------------------------------------------------------------------------------

/// How often the template changed: an annotation since apps/v1 has no field for it.
int64_t template_generation(const Json& object) {
  int64_t value = 0;
  for (const char c : text_of(annotations_of(object), kTemplateGeneration)) {
    if (c < '0' || c > '9' || value > 1'000'000'000'000) return 0;
    value = value * 10 + (c - '0');
  }
  return value;
}

void set_template_generation(Json& object, int64_t value) {
  put(child(child(object, "metadata"), "annotations"), kTemplateGeneration, std::to_string(value));
}

void default_daemon_set(Json& object) {
  // Who writes the object owns it: clients see a field of the specification so.
  if (!has(annotations_of(object), kTemplateGeneration)) set_template_generation(object, 0);
  Json& spec = child(object, "spec");
  default_pod_template(child(spec, "template"));
  default_pointer(spec, "revisionHistoryLimit", 10);
  Json& strategy = child(spec, "updateStrategy");
  default_text(strategy, "type", "RollingUpdate");
  if (text_of(strategy, "type") != "RollingUpdate") return;
  Json& rolling = child(strategy, "rollingUpdate");
  default_pointer(rolling, "maxUnavailable", 1);
  default_pointer(rolling, "maxSurge", 0);
}

void prepare_daemon_set_create(Json& object, const StrategyContext& context) {
  prepare_workload_create(object, context);
  set_template_generation(object, std::max<int64_t>(1, template_generation(object)));
}

void prepare_daemon_set_update(Json& object, const Json& old, const StrategyContext& context) {
  prepare_workload_update(object, old, context);
  const bool changed = !same_member(map_of(object, "spec"), map_of(old, "spec"), "template");
  set_template_generation(object, template_generation(old) + (changed ? 1 : 0));
}

void validate_daemon_rolling(const Json& rolling, const FieldPath& path, FieldErrors& errors) {
  const Json& unavailable = member_of(rolling, "maxUnavailable");
  const Json& surge = member_of(rolling, "maxSurge");
  validate_nonnegative_int_or_percent(unavailable, path.child("maxUnavailable"), errors);
  validate_nonnegative_int_or_percent(surge, path.child("maxSurge"), errors);
  validate_at_most_100_percent(unavailable, path.child("maxUnavailable"), errors);
  validate_at_most_100_percent(surge, path.child("maxSurge"), errors);
  const bool some_unavailable = int_or_percent(unavailable) != 0;
  const bool some_surge = int_or_percent(surge) != 0;
  if (some_unavailable && some_surge) {
    errors.invalid(path.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero");
  } else if (!some_unavailable && !some_surge) {
    errors.required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
  }
}

void validate_daemon_set(const Json& object, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const Json& pod_template = map_of(spec, "template");
  const FieldPath path("spec");
  const FieldPath template_path = path.child("template");
  if (old) validate_immutable_member(spec, map_of(*old, "spec"), "selector", path, errors);
  const Json& selector = member_of(spec, "selector");
  const bool keep_invalid = old && has_invalid_selector_value(member_of(map_of(*old, "spec"), "selector"));
  validate_label_selector(selector, path.child("selector"), errors, {keep_invalid});
  validate_selector_matches(selector, pod_template, template_path, errors);
  if (selector.is_object() && !has_items(selector, "matchLabels") &&
      !has_items(selector, "matchExpressions")) {
    errors.invalid(path.child("selector"), Json::object(), "empty selector is invalid for daemonset");
  }
  validate_pod_template(pod_template, old ? &map_of(map_of(*old, "spec"), "template") : nullptr,
                        template_path, errors);
  validate_always_running(map_of(pod_template, "spec"), template_path.child("spec"), "DaemonSet", errors);
  validate_nonnegative(number_of(spec, "minReadySeconds"), path.child("minReadySeconds"), errors);
  const Json& strategy = map_of(spec, "updateStrategy");
  const std::string_view type = text_of(strategy, "type");
  if (type == "RollingUpdate") {
    validate_daemon_rolling(map_of(strategy, "rollingUpdate"),
                            path.child("updateStrategy").child("rollingUpdate"), errors);
  } else if (type != "OnDelete") {
    unsupported_strategy(strategy, path.child("updateStrategy"), "\"RollingUpdate\", \"OnDelete\"", errors);
  }
  validate_nonnegative(number_of(spec, "revisionHistoryLimit"), path.child("revisionHistoryLimit"), errors);
}

void validate_daemon_set_status(const Json& object, const Json& old, FieldErrors& errors) {
  const Json& status = map_of(object, "status");
  validate_counts(status,
                  {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
                   "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
                   "collisionCount"},
                  errors);
  validate_collision_count(status, map_of(old, "status"), errors);
}

}  // namespace

Strategy deployment_strategy() {
  Strategy s = workload_strategy();
  s.generation_changed = [](const Json& object, const Json& old) {
    return !same_member(object, old, "spec") || !same(annotations_of(object), annotations_of(old));
  };
  s.set_defaults = default_deployment;
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    restore(object, old, "spec");
    restore(child(object, "metadata"), map_of(old, "metadata"), "labels");
  };
  s.validate = [](const Json& object, FieldErrors& errors) { validate_deployment(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_deployment(object, &old, errors);
  };
  s.validate_status_update = validate_deployment_status;
  s.warnings = [](const Json& object, const Json* old) { return workload_warnings(object, old, true); };
  s.cells = deployment_cells;
  return s;
}

Strategy replica_set_strategy() {
  Strategy s = workload_strategy();
  s.set_defaults = [](Json& object) {
    Json& spec = child(object, "spec");
    default_pod_template(child(spec, "template"));
    default_pointer(spec, "replicas", 1);
  };
  s.validate = [](const Json& object, FieldErrors& errors) { validate_replica_set(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_replica_set(object, &old, errors);
  };
  s.validate_status_update = validate_replica_set_status;
  s.warnings = [](const Json& object, const Json* old) { return workload_warnings(object, old, true); };
  s.cells = replica_set_cells;
  return s;
}

Strategy daemon_set_strategy() {
  Strategy s = workload_strategy();
  s.set_defaults = default_daemon_set;
  s.prepare_create = prepare_daemon_set_create;
  s.prepare_update = prepare_daemon_set_update;
  // The annotation stands for a field of the specification.
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    restore(object, old, "spec");
    set_template_generation(object, template_generation(old));
  };
  s.validate = [](const Json& object, FieldErrors& errors) { validate_daemon_set(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_daemon_set(object, &old, errors);
  };
  s.validate_status_update = validate_daemon_set_status;
  s.warnings = [](const Json& object, const Json* old) { return workload_warnings(object, old, false); };
  s.cells = daemon_set_cells;
  return s;
}

}  // namespace orch::api
