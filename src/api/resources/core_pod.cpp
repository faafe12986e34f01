// core/v1 Pod and PodTemplate: what a write may set, and how it is deleted.
#include <deque>
#include <map>

#include "api/names.h"
#include "api/resources/core_pod_defaults.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_features.h"
#include "api/resources/pod_validation.h"
#include "api/resources/pod_warnings.h"
#include "api/resources/printers.h"
#include "api/resources/resource_list.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr std::string_view kAppArmorPrefix = "container.apparmor.security.beta.kubernetes.io/";

/// matchLabelKeys stand for "the value this pod has": they become ordinary requirements of the selector when
/// the pod is created. A term without a selector matches nothing, so nothing is added to it.
void merge_label_keys(Json& term, std::string_view keys_member, const char* op, const Json& labels) {
  Json* selector = object_in(term, "labelSelector");
  if (!selector) return;
  for (const Json& key : list_of(term, keys_member)) {
    if (!key.is_string()) continue;
    const Json& value = member_of(labels, text(key));
    if (!value.is_string()) continue;
    Json& expressions = (*selector)["matchExpressions"];
    if (!expressions.is_array()) expressions = Json::array();
    expressions.push_back({{"key", key}, {"operator", op}, {"values", Json::array({value})}});
  }
}

void merge_affinity_keys(Json& spec, const Json& labels) {
  Json* affinity = object_in(spec, "affinity");
  if (!affinity) return;
  const auto merge = [&](Json& term) {
    merge_label_keys(term, "matchLabelKeys", "In", labels);
    merge_label_keys(term, "mismatchLabelKeys", "NotIn", labels);
  };
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    Json* terms = object_in(*affinity, kind);
    if (!terms) continue;
    each(*terms, "preferredDuringSchedulingIgnoredDuringExecution", [&](Json& weighted) {
      if (Json* term = object_in(weighted, "podAffinityTerm")) merge(*term);
    });
    each(*terms, "requiredDuringSchedulingIgnoredDuringExecution", merge);
  }
}

/// The profile that a deprecated annotation value stands for, null if it is not one.
Json app_armor_profile(std::string_view annotation) {
  if (annotation == "unconfined") return {{"type", "Unconfined"}};
  if (annotation == "runtime/default") return {{"type", "RuntimeDefault"}};
  constexpr std::string_view kLocal = "localhost/";
  if (annotation.starts_with(kLocal) && annotation.size() > kLocal.size()) {
    return {{"type", "Localhost"}, {"localhostProfile", std::string(annotation.substr(kLocal.size()))}};
  }
  return nullptr;
}

/// AppArmor used to be asked for by annotation; the field is what counts since 1.30.
void app_armor_from_annotations(Json& pod, std::vector<std::string>* warnings) {
  Json& spec = child(pod, "spec");
  if (text_of(map_of(spec, "os"), "name") == "windows") return;
  const Json annotations = annotations_of(pod);
  if (annotations.empty()) return;
  const Json pod_profile = member_of(map_of(spec, "securityContext"), "appArmorProfile");
  for (const char* kind : {"initContainers", "containers", "ephemeralContainers"}) {
    each(spec, kind, [&](Json& container) {
      const std::string key = std::string(kAppArmorPrefix) + std::string(text_of(container, "name"));
      const Json& annotation = member_of(annotations, key);
      if (!annotation.is_string() || has(map_of(container, "securityContext"), "appArmorProfile")) return;
      Json profile = app_armor_profile(text(annotation));
      FieldErrors errors;
      if (!profile.is_null()) validate_app_armor_profile(profile, FieldPath(), errors);
      const bool valid = !profile.is_null() && errors.empty();
      if (valid && same(profile, pod_profile)) return;
      if (valid) put(child(container, "securityContext"), "appArmorProfile", std::move(profile));
      if (warnings) {
        warnings->push_back("metadata.annotations[" + key +
                            "]: deprecated since v1.30; use the \"appArmorProfile\" field instead");
      }
    });
  }
}

void prepare_pod_create(Json& pod, const StrategyContext& context) {
  default_pod_spec(child(pod, "spec"));  // admission may have set what defaults mirror
  Json& spec = child(pod, "spec");
  drop(pod, "status");
  drop_disabled_pod_fields(spec, nullptr);
  Json status = {{"phase", "Pending"}, {"qosClass", std::string(qos_class(pod))}};
  if (has_items(spec, "schedulingGates")) {
    status["conditions"] =
        Json::array({{{"type", "PodScheduled"},
                      {"status", "False"},
                      {"reason", "SchedulingGated"},
                      {"message", "Scheduling is blocked due to non-empty scheduling gates"},
                      {"lastProbeTime", nullptr},
                      {"lastTransitionTime", base::format_time(context.now)}}});
  }
  put(pod, "status", std::move(status));
  const Json labels = labels_of(pod);
  merge_affinity_keys(spec, labels);
  each(spec, "topologySpreadConstraints",
       [&](Json& constraint) { merge_label_keys(constraint, "matchLabelKeys", "In", labels); });
  app_armor_from_annotations(pod, context.warnings);
}

void prepare_pod_update(Json& pod, const Json& old, const StrategyContext&) {
  restore(pod, old, "status");
  drop_disabled_pod_fields(child(pod, "spec"), &map_of(old, "spec"));
}

/// A client that knows nothing of observedGeneration must not clear it.
void keep_observed_generations(Json& status, const Json& old_status) {
  if (number_of(status, "observedGeneration") == 0) restore(status, old_status, "observedGeneration");
  std::map<std::string, std::deque<int64_t>, std::less<>> old;
  for (const Json& condition : list_of(old_status, "conditions")) {
    old[std::string(text_of(condition, "type"))].push_back(number_of(condition, "observedGeneration"));
  }
  each(status, "conditions", [&](Json& condition) {
    const auto it = old.find(text_of(condition, "type"));
    if (it == old.end() || it->second.empty()) return;
    const int64_t generation = it->second.front();
    it->second.pop_front();
    if (number_of(condition, "observedGeneration") == 0 && generation != 0) {
      put(condition, "observedGeneration", generation);
    }
  });
}

void prepare_pod_status(Json& pod, const Json& old, const StrategyContext&) {
  restore(pod, old, "spec");
  restore(child(pod, "metadata"), map_of(old, "metadata"), "ownerReferences");
  Json& status = child(pod, "status");
  const Json& old_status = map_of(old, "status");
  if (text_of(status, "qosClass").empty()) restore(status, old_status, "qosClass");
  keep_observed_generations(status, old_status);
  drop_disabled_pod_status_fields(status, &old_status);
}

/// Everything but metadata.annotations/labels-like fields that a status write may not touch either.
void keep_meta_for_status(Json& object, const Json& old) {
  Json& metadata = child(object, "metadata");
  const Json& old_metadata = map_of(old, "metadata");
  for (const char* key : {"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "labels",
                          "annotations", "finalizers", "ownerReferences"}) {
    restore(metadata, old_metadata, key);
  }
}

void prepare_ephemeral_containers(Json& pod, const Json& old, const StrategyContext&) {
  const Json wanted = map_of(pod, "spec");
  restore(pod, old, "spec");
  restore(pod, old, "status");
  keep_meta_for_status(pod, old);
  restore(child(pod, "spec"), wanted, "ephemeralContainers");
}

/// The old containers with only resources and resizePolicy from the new; where the lists do not line up the
/// new one is kept for validation to refuse.
void keep_all_but_resources(Json& spec, const Json& wanted, std::string_view kind) {
  const Json& changed = list_of(wanted, kind);
  Json* containers = array_in(spec, kind);
  if (!containers || changed.empty()) return restore(spec, wanted, kind);
  for (size_t i = 0; i < changed.size(); ++i) {
    if (text_of((*containers)[i], "name") != text_of(changed[i], "name")) return restore(spec, wanted, kind);
  }
  for (size_t i = 0; i < changed.size(); ++i) {
    restore((*containers)[i], changed[i], "resources");
    restore((*containers)[i], changed[i], "resizePolicy");
  }
}

void prepare_resize(Json& pod, const Json& old, const StrategyContext&) {
  const Json wanted = map_of(pod, "spec");
  const Json& old_spec = map_of(old, "spec");
  for (const char* kind : {"containers", "initContainers"}) {
    if (list_of(wanted, kind).size() != list_of(old_spec, kind).size()) return;
  }
  restore(pod, old, "spec");
  restore(pod, old, "status");
  keep_meta_for_status(pod, old);
  for (const char* kind : {"containers", "initContainers"})
    keep_all_but_resources(child(pod, "spec"), wanted, kind);
}

/// A pod without a node, or one that has ended, has nothing to stop.
int64_t pod_grace_seconds(const Json& pod) {
  const std::string_view phase = text_of(map_of(pod, "status"), "phase");
  const Json& spec = map_of(pod, "spec");
  if (text_of(spec, "nodeName").empty() || phase == "Failed" || phase == "Succeeded") return 0;
  const int64_t period = number_of(spec, "terminationGracePeriodSeconds");
  if (period == 0) return -1;  // at once, unless the client gives it time
  return period < 0 ? 1 : period;
}

std::vector<std::string> pod_create_warnings(const Json& pod, const Json* old) {
  if (old) return {};
  return warnings_for_pod(pod);
}

/// Of the spec, the node is not asked for: binding a pod makes no new generation of it.
bool asked_for_changed(const Json& object, const Json& old) {
  const Json& now = map_of(object, "spec");
  const Json& before = map_of(old, "spec");
  const auto differs = [](const Json& of, const Json& other) {
    for (const auto& [key, value] : of.items()) {
      if (key != "nodeName" && !same(value, member_of(other, key))) return true;
    }
    return false;
  };
  return differs(now, before) || differs(before, now);
}

}  // namespace

Strategy pod_strategy() {
  Strategy s;
  s.has_generation = true;
  s.generation_changed = asked_for_changed;
  s.returns_deleted = true;
  s.set_defaults = default_pod;
  s.prepare_create = prepare_pod_create;
  s.prepare_update = prepare_pod_update;
  s.prepare_status_update = prepare_pod_status;
  s.subresource_updates["ephemeralcontainers"] = {prepare_ephemeral_containers,
                                                  validate_ephemeral_containers_update};
  s.subresource_updates["resize"] = {prepare_resize, validate_pod_resize};
  s.validate = validate_pod;
  s.validate_update = validate_pod_update;
  s.validate_status_update = validate_pod_status_update;
  s.warnings = pod_create_warnings;
  s.grace_seconds = pod_grace_seconds;
  s.cells = pod_cells;
  return s;
}

Strategy pod_template_strategy() {
  Strategy s;
  s.has_generation = true;
  s.returns_deleted = true;
  s.generation_changed = [](const Json& object, const Json& old) {
    return !same_member(object, old, "template");
  };
  s.set_defaults = [](Json& object) { default_pod_template(child(object, "template")); };
  s.prepare_create = [](Json& object, const StrategyContext&) {
    drop_disabled_pod_fields(child(child(object, "template"), "spec"), nullptr);
  };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    drop_disabled_pod_fields(child(child(object, "template"), "spec"),
                             &map_of(map_of(old, "template"), "spec"));
  };
  s.validate = [](const Json& object, FieldErrors& errors) {
    validate_pod_template(map_of(object, "template"), nullptr, FieldPath("template"), errors);
  };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_pod_template(map_of(object, "template"), &map_of(old, "template"), FieldPath("template"),
                          errors);
  };
  s.warnings = [](const Json& object, const Json* old) {
    return warnings_for_template(map_of(object, "template"), old ? &map_of(*old, "template") : nullptr,
                                 FieldPath("template"));
  };
  s.cells = pod_template_cells;
  return s;
}

}  // namespace orch::api
