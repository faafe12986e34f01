// HorizontalPodAutoscalers of autoscaling/v1, which knows only the CPU target. What v1 cannot say travels in
// annotations, in the forms Kubernetes gives it: metrics as v1's own types, behavior as its internal one. So
// a client that reads and writes v1 loses nothing.
#include <algorithm>
#include <array>
#include <cctype>

#include "api/resources/conversion.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr const char* kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr const char* kBehavior = "autoscaling.alpha.kubernetes.io/behavior";
constexpr const char* kConditions = "autoscaling.alpha.kubernetes.io/conditions";

// --- Metrics -------------------------------------------------------------------------------------------

/// A member of a metric's source: in v2 below another one, or (`outer` "") directly.
struct Member {
  const char *outer, *inner, *flat;
  bool always = false;  // v1 has the quantity even when there is none
};
struct Form {
  const char *type, *key;
  std::array<Member, 5> spec, status;
};

constexpr Member kName = {"metric", "name", "metricName"};
constexpr std::array<Form, 5> kForms = {{
    {"Object",
     "object",
     {{{"", "describedObject", "target"},
       kName,
       {"metric", "selector", "selector"},
       {"target", "value", "targetValue", true},
       {"target", "averageValue", "averageValue"}}},
     {{{"", "describedObject", "target"},
       kName,
       {"metric", "selector", "selector"},
       {"current", "value", "currentValue", true},
       {"current", "averageValue", "averageValue"}}}},
    {"Pods",
     "pods",
     {{kName, {"metric", "selector", "selector"}, {"target", "averageValue", "targetAverageValue", true}}},
     {{kName, {"metric", "selector", "selector"}, {"current", "averageValue", "currentAverageValue", true}}}},
    {"Resource",
     "resource",
     {{{"", "name", "name"},
       {"target", "averageUtilization", "targetAverageUtilization"},
       {"target", "averageValue", "targetAverageValue"}}},
     {{{"", "name", "name"},
       {"current", "averageUtilization", "currentAverageUtilization"},
       {"current", "averageValue", "currentAverageValue", true}}}},
    {"ContainerResource",
     "containerResource",
     {{{"", "name", "name"},
       {"", "container", "container"},
       {"target", "averageUtilization", "targetAverageUtilization"},
       {"target", "averageValue", "targetAverageValue"}}},
     {{{"", "name", "name"},
       {"", "container", "container"},
       {"current", "averageUtilization", "currentAverageUtilization"},
       {"current", "averageValue", "currentAverageValue", true}}}},
    {"External",
     "external",
     {{kName,
       {"metric", "selector", "metricSelector"},
       {"target", "value", "targetValue"},
       {"target", "averageValue", "targetAverageValue"}}},
     {{kName,
       {"metric", "selector", "metricSelector"},
       {"current", "value", "currentValue", true},
       {"current", "averageValue", "currentAverageValue"}}}},
}};

const Form* form_of(const Json& metric) {
  const auto* it = std::find_if(kForms.begin(), kForms.end(),
                                [&](const Form& f) { return text_of(metric, "type") == f.type; });
  return it == kForms.end() ? nullptr : it;
}

Json metric_to_v1(const Json& metric, bool status) {
  Json out = {{"type", std::string(text_of(metric, "type"))}};
  const Form* form = form_of(metric);
  if (form == nullptr || !has(metric, form->key)) return out;
  const Json& source = map_of(metric, form->key);
  Json& flat = out[form->key];
  flat = Json::object();
  for (const Member& m : status ? form->status : form->spec) {
    if (m.inner == nullptr) break;
    const Json& from = *m.outer == 0 ? source : map_of(source, m.outer);
    if (has(from, m.inner)) {
      flat[m.flat] = member_of(from, m.inner);
    } else if (m.always) {
      flat[m.flat] = "0";
    }
  }
  return out;
}

/// The type of a target follows from what is given.
const char* target_type(const Form& form, const Json& target) {
  if (has(target, "averageUtilization")) return "Utilization";
  if (std::string_view(form.type) == "Object") return has(target, "averageValue") ? "AverageValue" : "Value";
  return has(target, "value") ? "Value" : "AverageValue";
}

Json metric_from_v1(const Json& metric, bool status) {
  Json out = {{"type", std::string(text_of(metric, "type"))}};
  const Form* form = form_of(metric);
  if (form == nullptr || !has(metric, form->key)) return out;
  const Json& flat = map_of(metric, form->key);
  Json& source = out[form->key];
  source = Json::object();
  for (const Member& m : status ? form->status : form->spec) {
    if (m.inner == nullptr) break;
    if (!has(flat, m.flat)) continue;
    // A zero that v1 cannot leave out was never there.
    if (m.always && text_of(flat, m.flat) == "0" && std::string_view(m.inner) == "value") continue;
    (*m.outer == 0 ? source : child(source, m.outer))[m.inner] = member_of(flat, m.flat);
  }
  if (status) {
    child(source, "current");
  } else {
    Json& target = child(source, "target");
    target["type"] = target_type(*form, target);
  }
  return out;
}

bool is_cpu_utilization(const Json& metric, const char* part) {
  const Json& resource = map_of(metric, "resource");
  return text_of(metric, "type") == "Resource" && text_of(resource, "name") == "cpu" &&
         has(map_of(resource, part), "averageUtilization");
}

const Json& utilization(const Json& metric, const char* part) {
  return member_of(map_of(map_of(metric, "resource"), part), "averageUtilization");
}

Json cpu_metric(const char* part, const Json& percent) {
  Json value = {{"averageUtilization", percent}};
  if (std::string_view(part) == "target") value["type"] = "Utilization";
  return {{"type", "Resource"}, {"resource", {{"name", "cpu"}, {part, value}}}};
}

// --- Behavior ------------------------------------------------------------------------------------------

/// Go's names of an internal type's members have capital first letters; it reads either.
Json with_names(const Json& value, int (*letter)(int)) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& v : value) out.push_back(with_names(v, letter));
    return out;
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const auto& [key, member] : value.items()) {
    std::string name = key;
    if (!name.empty()) name[0] = static_cast<char>(letter(static_cast<unsigned char>(name[0])));
    if (!member.is_null()) out[name] = with_names(member, letter);
  }
  return out;
}

/// As Go encodes the struct: members that are not set are null.
Json behavior_to_v1(const Json& behavior) {
  Json out = with_names(behavior, std::toupper);
  for (const char* direction : {"ScaleUp", "ScaleDown"}) {
    Json& rules = out[direction];
    if (!rules.is_object()) continue;
    for (const char* key : {"StabilizationWindowSeconds", "SelectPolicy", "Policies", "Tolerance"}) {
      if (!rules.contains(key)) rules[key] = nullptr;
    }
  }
  return out;
}

// --- Annotations ---------------------------------------------------------------------------------------

void put_annotation(Json& object, const char* key, const Json& value) {
  child(child(object, "metadata"), "annotations")[key] = base::dump_json(value);
}

/// The JSON in an annotation, which leaves the object; null when there is none.
Json take_annotation(Json& object, const char* key) {
  Json& metadata = child(object, "metadata");
  Json* annotations = object_in(metadata, "annotations");
  if (annotations == nullptr || !annotations->contains(key)) return nullptr;
  const std::string text(text_of(*annotations, key));
  annotations->erase(key);
  if (annotations->empty()) metadata.erase("annotations");
  auto value = base::parse_json(text);
  return value.ok() ? std::move(value.value()) : Json();
}

void from_storage(Json& object) {
  for (const char* key : {kMetrics, kCurrentMetrics, kBehavior, kConditions}) take_annotation(object, key);
  Json& spec = child(object, "spec");
  Json others = Json::array();
  for (const Json& metric : list_of(spec, "metrics")) {
    if (!is_cpu_utilization(metric, "target")) {
      others.push_back(metric_to_v1(metric, false));
    } else if (!spec.contains("targetCPUUtilizationPercentage")) {
      spec["targetCPUUtilizationPercentage"] = utilization(metric, "target");
    }
  }
  if (!others.empty()) put_annotation(object, kMetrics, others);
  if (has(spec, "behavior")) put_annotation(object, kBehavior, behavior_to_v1(map_of(spec, "behavior")));
  spec.erase("metrics");
  spec.erase("behavior");
  if (!object.contains("status")) return;
  Json& status = child(object, "status");
  // v1 never leaves it out.
  if (!has(status, "currentReplicas")) status["currentReplicas"] = 0;
  Json current = Json::array();
  for (const Json& metric : list_of(status, "currentMetrics")) {
    current.push_back(metric_to_v1(metric, true));
    if (is_cpu_utilization(metric, "current"))
      status["currentCPUUtilizationPercentage"] = utilization(metric, "current");
  }
  if (!current.empty()) put_annotation(object, kCurrentMetrics, current);
  if (has_items(status, "conditions")) put_annotation(object, kConditions, list_of(status, "conditions"));
  status.erase("currentMetrics");
  status.erase("conditions");
}

void to_storage(Json& object) {
  constexpr int kDefaultUtilization = 80;
  const Json others = take_annotation(object, kMetrics);
  const Json detailed = take_annotation(object, kCurrentMetrics);
  const Json behavior = take_annotation(object, kBehavior);
  Json conditions = take_annotation(object, kConditions);
  Json& spec = child(object, "spec");
  Json metrics = Json::array();
  if (others.is_array()) {
    for (const Json& m : others) metrics.push_back(metric_from_v1(m, false));
  }
  if (has(spec, "targetCPUUtilizationPercentage"))
    metrics.push_back(cpu_metric("target", spec["targetCPUUtilizationPercentage"]));
  spec.erase("targetCPUUtilizationPercentage");
  if (metrics.empty()) metrics.push_back(cpu_metric("target", kDefaultUtilization));
  spec["metrics"] = std::move(metrics);
  if (behavior.is_object()) {
    const Json read = with_names(behavior, std::tolower);
    if (!read.empty()) spec["behavior"] = read;
  }
  if (!object.contains("status") && !detailed.is_array() && !conditions.is_array()) return;
  Json& status = child(object, "status");
  Json current;
  if (detailed.is_array()) {
    // They say more than the bare figure.
    current = Json::array();
    for (const Json& m : detailed) current.push_back(metric_from_v1(m, true));
  } else if (has(status, "currentCPUUtilizationPercentage")) {
    current = Json::array({cpu_metric("current", status["currentCPUUtilizationPercentage"])});
  }
  status.erase("currentCPUUtilizationPercentage");
  if (number_of(status, "currentReplicas") == 0) status.erase("currentReplicas");
  if (current.is_array()) status["currentMetrics"] = std::move(current);
  if (conditions.is_array()) status["conditions"] = std::move(conditions);
}

}  // namespace

Conversion autoscaler_conversion() { return {to_storage, from_storage}; }

}  // namespace orch::api
