// Event, of core/v1 and events.k8s.io/v1. Both are stored as core/v1; the newer group has stricter rules.
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/conversion.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxShort = 128;
constexpr size_t kMaxNote = 1024;

void check_text(const Json& event, const char* key, size_t limit, bool required, FieldErrors& errors) {
  const std::string_view value = text_of(event, key);
  if (required && value.empty()) errors.required(FieldPath(key));
  if (value.size() > limit) {
    errors.invalid(FieldPath(key), "", "can have at most " + std::to_string(limit) + " characters");
  }
}

/// Rules of every event: its namespace agrees with what it is about, and new-style events are complete.
void validate_any(const Json& event, const char* controller_name, FieldErrors& errors) {
  const std::string_view ns = text_of(map_of(event, "metadata"), "namespace");
  const std::string_view about = text_of(map_of(event, "involvedObject"), "namespace");
  const FieldPath about_path = FieldPath("involvedObject").child("namespace");
  constexpr const char* kMismatch = "does not match event.namespace";
  if (!has(event, "eventTime")) {
    const bool fits = about.empty() ? ns.empty() || ns == "default" : ns == about;
    if (!fits) add_invalid(errors, about_path, about, kMismatch);
  } else {
    if (about.empty() && ns != "default" && ns != "kube-system")
      add_invalid(errors, about_path, about, kMismatch);
    const std::string_view controller = text_of(event, "reportingComponent");
    if (controller.empty()) errors.required(FieldPath(controller_name));
    validate_qualified_name(controller, FieldPath(controller_name), errors);
    check_text(event, "reportingInstance", kMaxShort, true, errors);
    check_text(event, "action", kMaxShort, true, errors);
    check_text(event, "reason", kMaxShort, true, errors);
    check_text(event, "message", kMaxNote, false, errors);
  }
  validate_dns1123_subdomain(ns, FieldPath("namespace"), errors);
}

void validate_series(const Json& event, FieldErrors& errors) {
  if (!has(event, "series")) return;
  const Json& series = map_of(event, "series");
  if (number_of(series, "count") < 2) errors.invalid(FieldPath("series.count"), "", "should be at least 2");
  if (!has(series, "lastObservedTime")) errors.required(FieldPath("series.lastObservedTime"));
}

void validate_strict(const Json& event, FieldErrors& errors) {
  validate_any(event, "reportingController", errors);
  validate_series(event, errors);
  if (!has(event, "eventTime")) errors.required(FieldPath("eventTime"));
  const std::string_view type = text_of(event, "type");
  if (type != "Normal" && type != "Warning") {
    errors.invalid(FieldPath("type"), "", "has invalid value: " + std::string(type));
  }
  constexpr const char* kUnset = "needs to be unset";
  for (const char* key : {"firstTimestamp", "lastTimestamp"}) {
    if (has(event, key)) errors.invalid(FieldPath(key), "", kUnset);
  }
  if (number_of(event, "count") != 0) errors.invalid(FieldPath("count"), "", kUnset);
  const Json& source = map_of(event, "source");
  if (has_items(source, "component") || has_items(source, "host")) {
    errors.invalid(FieldPath("source"), "", kUnset);
  }
}

void validate_strict_update(const Json& event, const Json& old, FieldErrors& errors) {
  validate_any(event, "reportingController", errors);
  if (!same_member(event, old, "series")) validate_series(event, errors);
  const auto keep = [&](std::initializer_list<const char*> keys) {
    for (const char* key : keys) validate_immutable_member(event, old, key, FieldPath(), errors);
  };
  keep({"involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason",
        "type"});
  // A time that is gone is null, though a string that is gone is "".
  validate_immutable(member_of(event, "eventTime"), member_of(old, "eventTime"), FieldPath("eventTime"),
                     errors);
  keep({"action", "related"});
  validate_immutable(member_of(event, "reportingComponent"), member_of(old, "reportingComponent"),
                     FieldPath("reportingController"), errors);
  validate_immutable_member(event, old, "reportingInstance", FieldPath(), errors);
}

}  // namespace

Strategy event_strategy() {
  Strategy s;
  s.allow_create_on_update = true;
  s.validate_name = check_name_is_path_segment;  // of core/v1, Kubernetes asks for no more
  s.validate = [](const Json& event, FieldErrors& errors) {
    validate_any(event, "reportingComponent", errors);
  };
  s.validate_update = [](const Json& event, const Json&, FieldErrors& errors) {
    validate_any(event, "reportingComponent", errors);
  };
  s.cells = event_cells;
  return s;
}

Strategy events_v1_strategy() {
  Strategy s = event_strategy();
  s.validate_name = check_name_is_subdomain;
  s.validate = validate_strict;
  s.validate_update = validate_strict_update;
  // Columns are made of what is served.
  const auto stored = conversion_for("events.k8s.io", "v1", "Event");
  s.cells = [stored](Json event, base::WallTime now) {
    stored->to_storage(event);
    return event_cells(event, now);
  };
  return s;
}

}  // namespace orch::api
