// apps/v1 StatefulSet and ControllerRevision.
#include "api/resources/apps_common.h"
#include "api/resources/claim_validation.h"
#include "api/resources/common_validation.h"
#include "api/resources/core_pod_defaults.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_validation.h"
#include "api/resources/pod_warnings.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "api/selector.h"
#include "base/json.h"

namespace orch::api {
namespace {

// --- StatefulSet -------------------------------------------------------------------------------------

void default_stateful_set(Json& object) {
  Json& spec = child(object, "spec");
  default_pod_template(child(spec, "template"));
  default_text(spec, "podManagementPolicy", "OrderedReady");
  Json& strategy = child(spec, "updateStrategy");
  if (text_of(strategy, "type").empty()) {
    put(strategy, "type", "RollingUpdate");
    default_pointer(strategy, "rollingUpdate", Json::object());
  }
  Json* rolling = object_in(strategy, "rollingUpdate");
  if (rolling && text_of(strategy, "type") == "RollingUpdate") default_pointer(*rolling, "partition", 0);
  Json& retention = child(spec, "persistentVolumeClaimRetentionPolicy");
  default_text(retention, "whenDeleted", "Retain");
  default_text(retention, "whenScaled", "Retain");
  default_pointer(spec, "replicas", 1);
  default_pointer(spec, "revisionHistoryLimit", 10);
  each(spec, "volumeClaimTemplates", [](Json& claim) {
    put(claim, "apiVersion", "v1");
    put(claim, "kind", "PersistentVolumeClaim");
    default_claim_spec(child(claim, "spec"));
    default_text(child(claim, "status"), "phase", "Pending");
  });
}

/// maxUnavailable of stateful sets is off in v1.35.
void drop_max_unavailable(Json& object, const Json* old) {
  Json* rolling = object_in(child(child(object, "spec"), "updateStrategy"), "rollingUpdate");
  const auto in_use = [](const Json& set) {
    return has(map_of(map_of(map_of(set, "spec"), "updateStrategy"), "rollingUpdate"), "maxUnavailable");
  };
  if (rolling && !(old && in_use(*old))) drop(*rolling, "maxUnavailable");
}

void validate_update_strategy(const Json& strategy, const FieldPath& path, FieldErrors& errors) {
  const std::string_view type = text_of(strategy, "type");
  const Json& rolling = map_of(strategy, "rollingUpdate");
  const FieldPath rolling_path = path.child("rollingUpdate");
  if (type.empty()) {
    errors.required(path);
  } else if (type == "OnDelete") {
    if (has(strategy, "rollingUpdate")) {
      errors.invalid(rolling_path, rolling, "only allowed for updateStrategy 'RollingUpdate'");
    }
  } else if (type != "RollingUpdate") {
    errors.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'");
  } else {
    validate_nonnegative(number_of(rolling, "partition"), rolling_path.child("partition"), errors);
    if (!has(rolling, "maxUnavailable")) return;
    const Json& unavailable = member_of(rolling, "maxUnavailable");
    const FieldPath at = rolling_path.child("maxUnavailable");
    validate_nonnegative_int_or_percent(unavailable, at, errors);
    if (int_or_percent(unavailable) == 0) errors.invalid(at, unavailable, "cannot be 0");
    validate_at_most_100_percent(unavailable, at, errors);
  }
}

/// The template as its pods will be: volumes of claim templates are there, and hostname and subdomain are
/// the set's to give.
Json effective_template(const Json& spec) {
  Json pod_template = map_of(spec, "template");
  Json& pod = child(pod_template, "spec");
  drop(pod, "subdomain");
  drop(pod, "hostname");
  const Json& claims = list_of(spec, "volumeClaimTemplates");
  if (claims.empty()) return pod_template;
  Json volumes = Json::array();
  Json names = Json::array();
  for (const Json& claim : claims) {
    const std::string name(name_of(claim));
    if (contains(names, name)) continue;
    names.push_back(name);
    volumes.push_back({{"name", name}, {"persistentVolumeClaim", {{"claimName", name}}}});
  }
  for (const Json& volume : list_of(pod, "volumes")) {
    if (!contains(names, text_of(volume, "name"))) volumes.push_back(volume);
  }
  put(pod, "volumes", std::move(volumes));
  return pod_template;
}

void validate_set_template(const Json& spec, const Json* old_spec, bool skip_template, const FieldPath& path,
                           FieldErrors& errors) {
  const Json pod_template = effective_template(spec);
  const Json* old_template = old_spec ? &map_of(*old_spec, "template") : nullptr;
  validate_selector_matches(member_of(spec, "selector"), pod_template, path, errors);
  if (!skip_template) return validate_pod_template(pod_template, old_template, path, errors);
  const Json& metadata = map_of(pod_template, "metadata");
  validate_labels(map_of(metadata, "labels"), path.child("labels"), errors);
  validate_annotations(map_of(metadata, "annotations"), path.child("annotations"), errors);
}

void validate_set_spec(const Json& spec, const Json* old_spec, bool skip_template, FieldErrors& errors) {
  const FieldPath path("spec");
  const std::string_view management = text_of(spec, "podManagementPolicy");
  if (management.empty()) {
    errors.required(path.child("podManagementPolicy"));
  } else if (management != "OrderedReady" && management != "Parallel") {
    add_invalid(errors, path.child("podManagementPolicy"), management,
                "must be 'OrderedReady' or 'Parallel'");
  }
  validate_update_strategy(map_of(spec, "updateStrategy"), path.child("updateStrategy"), errors);
  const Json& retention = map_of(spec, "persistentVolumeClaimRetentionPolicy");
  for (const char* key : {"whenDeleted", "whenScaled"}) {
    const std::string_view policy = text_of(retention, key);
    if (retention.empty() || policy == "Retain" || policy == "Delete") continue;
    errors.not_supported(path.child("persistentVolumeClaimRetentionPolicy").child(key), policy,
                         {"Retain", "Delete"});
  }
  const Json& claims = list_of(spec, "volumeClaimTemplates");
  for (size_t i = 0; !old_spec && i < claims.size(); ++i) {
    validate_claim_spec(map_of(claims[i], "spec"), path.child("volumeClaimTemplates").index(i).child("spec"),
                        errors);
  }
  validate_nonnegative(number_of(spec, "replicas"), path.child("replicas"), errors);
  validate_nonnegative(number_of(spec, "minReadySeconds"), path.child("minReadySeconds"), errors);
  validate_nonnegative(number_of(map_of(spec, "ordinals"), "start"), path.child("ordinals.start"), errors);
  const std::string_view service = text_of(spec, "serviceName");
  if (!old_spec && !service.empty()) validate_dns1123_label(service, path.child("serviceName"), errors);
  const Json& selector = member_of(spec, "selector");
  if (selector.is_null()) {
    errors.required(path.child("selector"));
  } else {
    validate_label_selector(selector, path.child("selector"), errors);
    if (!has_items(selector, "matchLabels") && !has_items(selector, "matchExpressions")) {
      errors.invalid(path.child("selector"), Json::object(), "empty selector is invalid for statefulset");
    }
  }
  if (LabelSelector::from_tree(selector).ok()) {
    validate_set_template(spec, old_spec, skip_template, path.child("template"), errors);
  } else {
    errors.invalid(path.child("selector"), selector, "");
  }
  validate_always_running(map_of(map_of(spec, "template"), "spec"), path.child("template").child("spec"),
                          "StatefulSet", errors);
}

void validate_set_update(const Json& object, const Json& old, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const Json& old_spec = map_of(old, "spec");
  // A set that was stored with a template no longer valid can still be scaled.
  FieldErrors old_errors;
  validate_set_spec(old_spec, &old_spec, false, old_errors);
  validate_set_spec(spec, &old_spec, !old_errors.empty(), errors);
  Json rest = spec;
  for (const char* key : {"replicas", "template", "updateStrategy", "minReadySeconds", "ordinals",
                          "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy"}) {
    restore(rest, old_spec, key);
  }
  if (!same(rest, old_spec)) {
    errors.forbidden(FieldPath("spec"),
                     "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                     "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                     "'minReadySeconds' are forbidden");
  }
}

void validate_set_status(const Json& object, const Json& old, FieldErrors& errors) {
  const Json& status = map_of(object, "status");
  validate_counts(status,
                  {"replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
                   "observedGeneration", "collisionCount"},
                  errors);
  validate_at_most_replicas(
      status, {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"}, errors);
  validate_available_ready(status, "cannot be greater than status.readyReplicas", errors);
  validate_collision_count(status, map_of(old, "status"), errors);
}

std::vector<std::string> set_warnings(const Json& object, const Json* old) {
  std::vector<std::string> warnings = workload_warnings(object, old, false);
  const Json& spec = map_of(object, "spec");
  const Json& claims = list_of(spec, "volumeClaimTemplates");
  for (size_t i = 0; i < claims.size(); ++i) {
    const FieldPath path = FieldPath("spec").child("volumeClaimTemplates").index(i);
    warn_claim_spec(map_of(claims[i], "spec"), old ? path.child("Spec") : path, warnings);
  }
  if (number_of(spec, "revisionHistoryLimit") < 0) {
    warnings.emplace_back(
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
        "recommended");
  }
  return warnings;
}

// --- ControllerRevision ------------------------------------------------------------------------------

void validate_revision(const Json& object, const Json* old, FieldErrors& errors) {
  validate_nonnegative(number_of(object, "revision"), FieldPath("revision"), errors);
  const FieldPath path("data");
  if (old) return validate_immutable(member_of(object, "data"), member_of(*old, "data"), path, errors);
  const Json& data = member_of(object, "data");
  if (data.is_null()) {
    errors.required(path, "data is mandatory");
  } else if (!data.is_object()) {
    errors.required(path, "data must be a valid JSON object");
  }
}

}  // namespace

Strategy stateful_set_strategy() {
  Strategy s = workload_strategy();
  s.set_defaults = default_stateful_set;
  s.validate_name = check_name_is_label;
  s.prepare_create = [](Json& object, const StrategyContext& context) {
    drop_max_unavailable(object, nullptr);
    prepare_workload_create(object, context);
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext& context) {
    drop_max_unavailable(object, &old);
    prepare_workload_update(object, old, context);
  };
  s.validate = [](const Json& object, FieldErrors& errors) {
    validate_set_spec(map_of(object, "spec"), nullptr, false, errors);
  };
  s.validate_update = validate_set_update;
  s.validate_status_update = validate_set_status;
  s.warnings = set_warnings;
  s.cells = stateful_set_cells;
  return s;
}

Strategy controller_revision_strategy() {
  Strategy s;
  s.validate = [](const Json& object, FieldErrors& errors) { validate_revision(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_revision(object, &old, errors);
  };
  s.cells = controller_revision_cells;
  return s;
}

}  // namespace orch::api
