#include "api/resources/conversion.h"

#include <array>

#include "base/json.h"

namespace orch::api {
namespace {

// --- Events: events.k8s.io/v1 renames members of core/v1 ----------------------------------------------

struct Rename {
  const char *served, *stored;
};
constexpr std::array<Rename, 7> kEventMembers = {{{"regarding", "involvedObject"},
                                                  {"note", "message"},
                                                  {"reportingController", "reportingComponent"},
                                                  {"deprecatedSource", "source"},
                                                  {"deprecatedFirstTimestamp", "firstTimestamp"},
                                                  {"deprecatedLastTimestamp", "lastTimestamp"},
                                                  {"deprecatedCount", "count"}}};

void rename(Json& object, const char* from, const char* to) {
  const auto member = object.find(from);
  if (member == object.end()) return;
  Json value = std::move(*member);
  object.erase(member);
  object[to] = std::move(value);
}

void event_to_storage(Json& event) {
  for (const Rename& member : kEventMembers) rename(event, member.served, member.stored);
}

void event_from_storage(Json& event) {
  for (const Rename& member : kEventMembers) rename(event, member.stored, member.served);
}

// --- HorizontalPodAutoscalers: autoscaling/v1 knows only the CPU target -------------------------------
// What v1 cannot say travels in annotations, so that a client that reads and writes v1 loses nothing. Their
// names are Kubernetes'; their content is in the form of v2.

constexpr const char* kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr const char* kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr const char* kBehavior = "autoscaling.alpha.kubernetes.io/behavior";
constexpr const char* kConditions = "autoscaling.alpha.kubernetes.io/conditions";

/// The object at `key`, made if it is missing.
Json& member_object(Json& parent, const char* key) {
  Json& member = parent[key];
  if (!member.is_object()) member = Json::object();
  return member;
}

bool is_cpu_utilization(const Json& metric, std::string_view part) {
  return base::string_at(metric, {"type"}) == "Resource" &&
         base::string_at(metric, {"resource", "name"}) == "cpu" &&
         base::find_path(metric, {"resource", part, "averageUtilization"}) != nullptr;
}

Json cpu_metric(const char* part, const Json& percent) {
  Json value = {{"averageUtilization", percent}};
  if (std::string_view(part) == "target") value["type"] = "Utilization";
  return {{"type", "Resource"}, {"resource", {{"name", "cpu"}, {part, value}}}};
}

void put_annotation(Json& object, const char* key, const Json& value) {
  if (value.empty()) return;
  member_object(member_object(object, "metadata"), "annotations")[key] = base::dump_json(value);
}

/// The JSON in an annotation, which leaves the object; null when there is none.
Json take_annotation(Json& object, const char* key) {
  Json& metadata = member_object(object, "metadata");
  const auto annotations = metadata.find("annotations");
  if (annotations == metadata.end() || !annotations->is_object() || !annotations->contains(key))
    return nullptr;
  const std::string text(base::string_at(*annotations, {key}));
  annotations->erase(key);
  if (annotations->empty()) metadata.erase(annotations);
  auto value = base::parse_json(text);
  return value.ok() ? std::move(value.value()) : Json();
}

void drop_annotations(Json& object) {
  for (const char* key : {kMetrics, kCurrentMetrics, kBehavior, kConditions}) take_annotation(object, key);
}

void autoscaler_from_storage(Json& object) {
  drop_annotations(object);
  Json& spec = member_object(object, "spec");
  Json others = Json::array();
  for (const Json& metric : base::array_at(spec, {"metrics"})) {
    if (!is_cpu_utilization(metric, "target")) {
      others.push_back(metric);
    } else if (!spec.contains("targetCPUUtilizationPercentage")) {
      spec["targetCPUUtilizationPercentage"] =
          *base::find_path(metric, {"resource", "target", "averageUtilization"});
    }
  }
  put_annotation(object, kMetrics, others);
  put_annotation(object, kBehavior, base::object_at(spec, {"behavior"}));
  spec.erase("metrics");
  spec.erase("behavior");
  if (!object.contains("status")) return;
  Json& status = member_object(object, "status");
  for (const Json& metric : base::array_at(status, {"currentMetrics"})) {
    if (!is_cpu_utilization(metric, "current")) continue;
    status["currentCPUUtilizationPercentage"] =
        *base::find_path(metric, {"resource", "current", "averageUtilization"});
  }
  put_annotation(object, kCurrentMetrics, base::array_at(status, {"currentMetrics"}));
  put_annotation(object, kConditions, base::array_at(status, {"conditions"}));
  status.erase("currentMetrics");
  status.erase("conditions");
}

void autoscaler_to_storage(Json& object) {
  constexpr int kDefaultUtilization = 80;
  Json metrics = take_annotation(object, kMetrics);
  Json current = take_annotation(object, kCurrentMetrics);
  Json behavior = take_annotation(object, kBehavior);
  Json conditions = take_annotation(object, kConditions);
  Json& spec = member_object(object, "spec");
  if (!metrics.is_array()) metrics = Json::array();
  if (spec.contains("targetCPUUtilizationPercentage")) {
    metrics.push_back(cpu_metric("target", spec["targetCPUUtilizationPercentage"]));
    spec.erase("targetCPUUtilizationPercentage");
  }
  if (metrics.empty()) metrics.push_back(cpu_metric("target", kDefaultUtilization));
  spec["metrics"] = std::move(metrics);
  if (behavior.is_object()) spec["behavior"] = std::move(behavior);
  if (!object.contains("status") && !current.is_array() && !conditions.is_array()) return;
  Json& status = member_object(object, "status");
  if (status.contains("currentCPUUtilizationPercentage") && !current.is_array()) {
    current = Json::array({cpu_metric("current", status["currentCPUUtilizationPercentage"])});
  }
  status.erase("currentCPUUtilizationPercentage");
  if (current.is_array()) status["currentMetrics"] = std::move(current);
  if (conditions.is_array()) status["conditions"] = std::move(conditions);
}

}  // namespace

std::shared_ptr<const Conversion> conversion_for(std::string_view group, std::string_view version,
                                                 std::string_view kind) {
  if (group == "events.k8s.io" && kind == "Event") {
    return std::make_shared<const Conversion>(Conversion{event_to_storage, event_from_storage});
  }
  if (group == "autoscaling" && version == "v1" && kind == "HorizontalPodAutoscaler") {
    return std::make_shared<const Conversion>(Conversion{autoscaler_to_storage, autoscaler_from_storage});
  }
  return nullptr;
}

}  // namespace orch::api
