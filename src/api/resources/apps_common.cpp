#include "api/resources/apps_common.h"

#include "api/int_or_string.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_features.h"
#include "api/resources/pod_validation.h"
#include "api/resources/pod_warnings.h"
#include "api/resources/tree.h"
#include "api/selector.h"
#include "base/json.h"

namespace orch::api {
namespace {

Json& template_spec(Json& object) { return child(child(child(object, "spec"), "template"), "spec"); }

const Json& template_spec_of(const Json& object) {
  return map_of(map_of(map_of(object, "spec"), "template"), "spec");
}

}  // namespace

void prepare_workload_create(Json& object, const StrategyContext&) {
  put(object, "status", Json::object());
  drop_disabled_pod_fields(template_spec(object), nullptr);
}

void prepare_workload_update(Json& object, const Json& old, const StrategyContext&) {
  restore(object, old, "status");
  drop_disabled_pod_fields(template_spec(object), &template_spec_of(old));
}

Strategy workload_strategy() {
  Strategy s;
  s.has_generation = true;
  s.prepare_create = prepare_workload_create;
  s.prepare_update = prepare_workload_update;
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    restore(object, old, "spec");
  };
  return s;
}

void validate_selector_matches(const Json& selector, const Json& pod_template, const FieldPath& template_path,
                               FieldErrors& errors) {
  const auto parsed = LabelSelector::from_tree(selector);
  if (!parsed.ok() || parsed->empty()) return;
  const Json& labels = member_of(map_of(pod_template, "metadata"), "labels");
  if (!parsed->matches(labels)) {
    errors.invalid(template_path.child("metadata").child("labels"), labels,
                   "`selector` does not match template `labels`");
  }
}

void validate_always_running(const Json& pod_spec, const FieldPath& path, std::string_view kind,
                             FieldErrors& errors) {
  const std::string_view policy = text_of(pod_spec, "restartPolicy");
  if (policy != "Always") errors.not_supported(path.child("restartPolicy"), policy, {"Always"});
  if (has(pod_spec, "activeDeadlineSeconds")) {
    errors.forbidden(path.child("activeDeadlineSeconds"),
                     "activeDeadlineSeconds in " + std::string(kind) + " is not Supported");
  }
}

void validate_replicated_template(const Json& spec, const Json* old_spec, const FieldPath& path,
                                  std::string_view kind, FieldErrors& errors) {
  const Json& selector = member_of(spec, "selector");
  const FieldPath selector_path = path.child("selector");
  if (selector.is_null()) {
    errors.required(selector_path);
  } else {
    validate_label_selector(selector, selector_path, errors);
    if (!has_items(selector, "matchLabels") && !has_items(selector, "matchExpressions")) {
      errors.invalid(selector_path, Json::object(), "empty selector is invalid for " + std::string(kind));
    }
  }
  if (!LabelSelector::from_tree(selector).ok()) {
    errors.invalid(selector_path, selector, "invalid label selector");
    return;
  }
  const FieldPath template_path = path.child("template");
  const Json& pod_template = map_of(spec, "template");
  validate_selector_matches(selector, pod_template, template_path, errors);
  validate_pod_template(pod_template, old_spec ? &map_of(*old_spec, "template") : nullptr, template_path,
                        errors);
  validate_always_running(map_of(pod_template, "spec"), template_path.child("spec"), "ReplicaSet", errors);
}

void validate_counts(const Json& status, std::initializer_list<const char*> members, FieldErrors& errors) {
  for (const char* key : members)
    validate_nonnegative(number_of(status, key), FieldPath("status").child(key), errors);
}

void validate_at_most_replicas(const Json& status, std::initializer_list<const char*> members,
                               FieldErrors& errors) {
  const int64_t replicas = number_of(status, "replicas");
  for (const char* key : members) {
    if (number_of(status, key) > replicas) {
      errors.invalid(FieldPath("status").child(key), number_of(status, key),
                     "cannot be greater than status.replicas");
    }
  }
}

void validate_available_ready(const Json& status, std::string_view detail, FieldErrors& errors) {
  const int64_t available = number_of(status, "availableReplicas");
  if (available > number_of(status, "readyReplicas")) {
    errors.invalid(FieldPath("status").child("availableReplicas"), available, detail);
  }
}

void validate_collision_count(const Json& status, const Json& old_status, FieldErrors& errors) {
  if (!has(old_status, "collisionCount")) return;
  const int64_t count = number_of(status, "collisionCount");
  if (!has(status, "collisionCount") || count < number_of(old_status, "collisionCount")) {
    errors.invalid(FieldPath("status").child("collisionCount"), count, "cannot be decremented");
  }
}

int64_t int_or_percent(const Json& value) {
  if (value.is_number()) return number(value);
  const std::optional<int64_t> percent = percent_of(value);
  return percent && text(value).front() != '-' ? *percent : 0;
}

std::vector<std::string> workload_warnings(const Json& object, const Json* old, bool name_matters) {
  std::vector<std::string> warnings;
  if (!old && name_matters) warn_pod_name(name_of(object), warnings);
  const Json& pod_template = map_of(map_of(object, "spec"), "template");
  const Json* old_template = old ? &map_of(map_of(*old, "spec"), "template") : nullptr;
  if (old && same_member(object, *old, "spec")) return warnings;
  for (std::string& w :
       warnings_for_template(pod_template, old_template, FieldPath("spec").child("template"))) {
    warnings.push_back(std::move(w));
  }
  return warnings;
}

}  // namespace orch::api
