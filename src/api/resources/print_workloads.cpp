// Printer cells of the kinds that make, scale and protect pods, besides those of printers.cpp.
#include <algorithm>
#include <chrono>

#include "api/duration.h"
#include "api/go_text.h"
#include "api/meta.h"
#include "api/resources/job_validation.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxMetrics = 2;

std::string ratio(int64_t a, int64_t b) { return std::to_string(a) + "/" + std::to_string(b); }

const Json& template_pod(const Json& object) {
  return map_of(map_of(map_of(object, "spec"), "template"), "spec");
}

std::string job_completions(const Json& job) {
  const Json& spec = map_of(job, "spec");
  const int64_t succeeded = number_of(map_of(job, "status"), "succeeded");
  if (has(spec, "completions")) return ratio(succeeded, number_of(spec, "completions"));
  const int64_t parallelism = number_of(spec, "parallelism");
  return ratio(succeeded, 1) + (parallelism > 1 ? " of " + std::to_string(parallelism) : "");
}

std::string job_duration(const Json& job, base::WallTime now) {
  const Json& status = map_of(job, "status");
  if (!has(status, "startTime")) return "";
  const auto start = base::parse_time(text_of(status, "startTime"));
  const auto end = base::parse_time(text_of(status, "completionTime"));
  if (!start.ok()) return "";
  return human_duration((has(status, "completionTime") && end.ok() ? *end : now) - *start);
}

std::string job_status(const Json& job) {
  if (has_job_condition(job, "Complete")) return "Complete";
  if (has_job_condition(job, "Failed")) return "Failed";
  if (has(map_of(job, "metadata"), "deletionTimestamp")) return "Terminating";
  for (const char* type : {"Suspended", "FailureTarget", "SuccessCriteriaMet"}) {
    if (has_job_condition(job, type)) return type;
  }
  return "Running";
}

// --- HorizontalPodAutoscaler -------------------------------------------------------------------------

std::string percent_or(const Json& value, const char* otherwise) {
  return value.is_null() ? otherwise : std::to_string(number(value)) + "%";
}

/// A quantity, "0" where Go would print the zero of its type.
std::string quantity_text(const Json& value) { return value.is_string() ? std::string(text(value)) : "0"; }

/// object and external: by average value or by value.
std::string metric_of_value(const Json& target, const Json* current) {
  const bool average = has(target, "averageValue");
  const char* key = average ? "averageValue" : "value";
  std::string shown = "<unknown>";
  if (current && (!average || has(*current, key))) shown = quantity_text(member_of(*current, key));
  return shown + "/" + quantity_text(member_of(target, key)) + (average ? " (avg)" : "");
}

/// resource and containerResource: by average value or by utilization.
std::string metric_of_resource(const Json& target, const Json* current) {
  if (has(target, "averageValue")) {
    return (current ? quantity_text(member_of(*current, "averageValue")) : std::string("<unknown>")) + "/" +
           quantity_text(member_of(target, "averageValue"));
  }
  return percent_or(current ? member_of(*current, "averageUtilization") : Json(), "<unknown>") + "/" +
         percent_or(member_of(target, "averageUtilization"), "<auto>");
}

std::string metric_text(const Json& spec, const Json* status) {
  const std::string_view type = text_of(spec, "type");
  std::string member(type);
  if (!member.empty() && member[0] >= 'A' && member[0] <= 'Z')
    member[0] = static_cast<char>(member[0] + 'a' - 'A');
  const Json& source = map_of(spec, member);
  const Json& target = map_of(source, "target");
  const Json* current =
      status && has(*status, member) ? &map_of(map_of(*status, member), "current") : nullptr;
  if (type == "External" || type == "Object") return metric_of_value(target, current);
  if (type == "Pods") {
    return (current ? quantity_text(member_of(*current, "averageValue")) : std::string("<unknown>")) + "/" +
           quantity_text(member_of(target, "averageValue"));
  }
  if (type == "Resource" || type == "ContainerResource") {
    return std::string(text_of(source, "name")) + ": " + metric_of_resource(target, current);
  }
  return "<unknown type>";
}

std::string metrics_text(const Json& specs, const Json& statuses) {
  if (specs.empty()) return "<none>";
  std::vector<std::string> shown;
  for (size_t i = 0; i < specs.size() && i < kMaxMetrics; ++i) {
    shown.push_back(metric_text(specs[i], i < statuses.size() ? &statuses[i] : nullptr));
  }
  std::string out = join(shown, ", ");
  if (specs.size() > kMaxMetrics) {
    out += " + " + std::to_string(specs.size() - kMaxMetrics) + " more...";
  }
  return out;
}

/// A number or percentage, "N/A" when absent.
std::string limit_text(const Json& value) {
  if (value.is_null()) return "N/A";
  return value.is_string() ? std::string(text(value)) : std::to_string(number(value));
}

}  // namespace

Cells stateful_set_cells(const Json& object, base::WallTime now) {
  const auto [names, images] = container_cells(template_pod(object));
  return {name_cell(object),
          ratio(number_of(map_of(object, "status"), "readyReplicas"),
                number_of(map_of(object, "spec"), "replicas")),
          age_cell(object, now), names, images};
}

Cells controller_revision_cells(const Json& object, base::WallTime now) {
  const OwnerReference owner = controller_of(object);
  std::string shown = "<none>";
  if (!owner.uid.empty()) {
    const std::string group(split_api_version(owner.api_version).first);
    shown = owner.kind + (group.empty() ? "" : "." + group);
    std::transform(shown.begin(), shown.end(), shown.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
    shown += "/" + owner.name;
  }
  return {name_cell(object), shown, number_of(object, "revision"), age_cell(object, now)};
}

Cells replication_controller_cells(const Json& object, base::WallTime now) {
  const Json& status = map_of(object, "status");
  const auto [names, images] = container_cells(template_pod(object));
  return {name_cell(object),
          number_of(map_of(object, "spec"), "replicas"),
          number_of(status, "replicas"),
          number_of(status, "readyReplicas"),
          age_cell(object, now),
          names,
          images,
          format_labels(map_of(map_of(object, "spec"), "selector"))};
}

Cells job_cells(const Json& object, base::WallTime now) {
  const auto [names, images] = container_cells(template_pod(object));
  return {name_cell(object),
          job_status(object),
          job_completions(object),
          job_duration(object, now),
          age_cell(object, now),
          names,
          images,
          format_selector(member_of(map_of(object, "spec"), "selector"))};
}

Cells cron_job_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& status = map_of(object, "status");
  const Json& job_spec = map_of(map_of(spec, "jobTemplate"), "spec");
  const auto [names, images] = container_cells(map_of(map_of(job_spec, "template"), "spec"));
  const std::string_view last = text_of(status, "lastScheduleTime");
  const char* suspend = flag_of(spec, "suspend") ? "True" : "False";
  return {name_cell(object),
          std::string(text_of(spec, "schedule")),
          has(spec, "timeZone") ? std::string(text_of(spec, "timeZone")) : std::string("<none>"),
          has(spec, "suspend") ? suspend : "<unset>",
          list_of(status, "active").size(),
          last.empty() ? std::string("<none>") : age_text(last, now),
          age_cell(object, now),
          names,
          images,
          format_selector(member_of(job_spec, "selector"))};
}

Cells autoscaler_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& status = map_of(object, "status");
  const Json& target = map_of(spec, "scaleTargetRef");
  return {name_cell(object),
          std::string(text_of(target, "kind")) + "/" + std::string(text_of(target, "name")),
          metrics_text(list_of(spec, "metrics"), list_of(status, "currentMetrics")),
          has(spec, "minReplicas") ? std::to_string(number_of(spec, "minReplicas")) : std::string("<unset>"),
          number_of(spec, "maxReplicas"),
          number_of(status, "currentReplicas"),
          age_cell(object, now)};
}

Cells disruption_budget_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  return {name_cell(object), limit_text(member_of(spec, "minAvailable")),
          limit_text(member_of(spec, "maxUnavailable")),
          number_of(map_of(object, "status"), "disruptionsAllowed"), age_cell(object, now)};
}

}  // namespace orch::api
