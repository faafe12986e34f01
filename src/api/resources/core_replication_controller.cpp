// core/v1 ReplicationController.
#include "api/resources/apps_common.h"
#include "api/resources/common_validation.h"
#include "api/resources/core_pod_defaults.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_validation.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void default_controller(Json& object) {
  Json& spec = child(object, "spec");
  default_pointer(spec, "replicas", 1);
  Json* pod_template = object_in(spec, "template");
  if (!pod_template) return;
  default_pod_template(*pod_template);
  const Json labels = labels_of(*pod_template);
  if (labels.empty()) return;
  if (!has_items(spec, "selector")) put(spec, "selector", labels);
  if (labels_of(object).empty()) put(child(object, "metadata"), "labels", labels);
}

bool matches(const Json& selector, const Json& labels) {
  for (auto it = selector.begin(); it != selector.end(); ++it) {
    if (!labels.contains(it.key()) || labels.at(it.key()) != *it) return false;
  }
  return true;
}

void validate_controller(const Json& object, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  validate_nonnegative(number_of(spec, "minReadySeconds"), path.child("minReadySeconds"), errors);
  const Json& selector = map_of(spec, "selector");
  if (selector.empty()) errors.required(path.child("selector"));
  validate_nonnegative(number_of(spec, "replicas"), path.child("replicas"), errors);
  const FieldPath template_path = path.child("template");
  if (!has(spec, "template")) return errors.required(template_path);
  const Json& pod_template = map_of(spec, "template");
  const Json& labels = labels_of(pod_template);
  if (!matches(selector, labels)) {
    errors.invalid(template_path.child("metadata").child("labels"), labels,
                   "`selector` does not match template `labels`");
  }
  const Json* old_template =
      old && has(map_of(*old, "spec"), "template") ? &map_of(map_of(*old, "spec"), "template") : nullptr;
  validate_pod_template(pod_template, old_template, template_path, errors);
  validate_always_running(map_of(pod_template, "spec"), template_path.child("spec"), "ReplicationController",
                          errors);
}

}  // namespace

Strategy replication_controller_strategy() {
  Strategy s = workload_strategy();
  s.set_defaults = default_controller;
  s.prepare_create = [](Json& object, const StrategyContext& context) {
    if (has(map_of(object, "spec"), "template")) return prepare_workload_create(object, context);
    put(object, "status", Json::object());
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext& context) {
    if (has(map_of(object, "spec"), "template")) return prepare_workload_update(object, old, context);
    restore(object, old, "status");
  };
  s.validate = [](const Json& object, FieldErrors& errors) { validate_controller(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_controller(object, &old, errors);
  };
  s.validate_status_update = [](const Json& object, const Json&, FieldErrors& errors) {
    const Json& status = map_of(object, "status");
    validate_counts(
        status,
        {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"},
        errors);
    validate_at_most_replicas(status, {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"}, errors);
    validate_available_ready(status, "cannot be greater than readyReplicas", errors);
  };
  s.warnings = [](const Json& object, const Json* old) { return workload_warnings(object, old, true); };
  s.cells = replication_controller_cells;
  return s;
}

}  // namespace orch::api
