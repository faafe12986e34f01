// apiregistration.k8s.io/v1: APIService (kube-aggregator's pkg/apis/apiregistration).
#include "api/go_text.h"
#include "api/meta.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/object_meta.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int64_t kMaxGroupPriority = 20000, kMaxVersionPriority = 1000;

/// The name says what is served, and nothing else does.
void validate_own_name(const Json& object, const Json& spec, FieldErrors& errors) {
  const std::string_view name = name_of(object);
  const std::string wanted = base::cat(text_of(spec, "version"), ".", text_of(spec, "group"));
  if (name.empty() || name == wanted || !check_path_segment_name(name).empty()) return;
  add_invalid(errors, FieldPath("metadata.name"), name,
              base::cat("must be `spec.version+\".\"+spec.group`: ", go_quote(wanted)));
}

void validate_service(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& service = map_of(spec, "service");
  const FieldPath at = path.child("service");
  if (text_of(service, "namespace").empty()) errors.required(at.child("namespace"));
  if (text_of(service, "name").empty()) errors.required(at.child("name"));
  const int64_t port = number_of(service, "port");
  if (const Problems problems = check_port_number(port); !problems.empty())
    errors.invalid(at.child("port"), port, "port is not valid: " + join(problems, ", "));
  if (flag_of(spec, "insecureSkipTLSVerify") && has_items(spec, "caBundle")) {
    errors.invalid(path.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
  }
}

/// Bytes that a base64 text stands for.
size_t decoded_size(std::string_view text) {
  size_t size = text.size() / 4 * 3;
  while (!text.empty() && text.back() == '=') {
    text.remove_suffix(1);
    --size;
  }
  return size;
}

void validate(const Json& object, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  validate_own_name(object, spec, errors);
  const std::string_view group = text_of(spec, "group"), version = text_of(spec, "version");
  if (group.empty() && version != "v1") {
    errors.required(path.child("group"), "only v1 may have an empty group and it better be legacy kube");
  }
  if (!group.empty()) add_problems(errors, path.child("group"), group, check_dns1123_subdomain(group));
  add_problems(errors, path.child("version"), version, check_dns1035_label(version));
  const int64_t group_priority = number_of(spec, "groupPriorityMinimum");
  if (group_priority <= 0 || group_priority > kMaxGroupPriority) {
    errors.invalid(path.child("groupPriorityMinimum"), group_priority,
                   "must be positive and less than 20000");
  }
  const int64_t version_priority = number_of(spec, "versionPriority");
  if (version_priority <= 0 || version_priority > kMaxVersionPriority)
    errors.invalid(path.child("versionPriority"), version_priority, "must be positive and less than 1000");
  if (has(spec, "service")) return validate_service(spec, path, errors);
  if (has_items(spec, "caBundle")) {
    add_invalid(errors, path.child("caBundle"), base::cat(decoded_size(text_of(spec, "caBundle")), " bytes"),
                "local APIServices may not have a caBundle");
  }
  if (flag_of(spec, "insecureSkipTLSVerify")) {
    errors.invalid(path.child("insecureSkipTLSVerify"), true,
                   "local APIServices may not have insecureSkipTLSVerify");
  }
}

void validate_status(const Json& object, FieldErrors& errors) {
  const Json& conditions = list_of(map_of(object, "status"), "conditions");
  for (size_t i = 0; i < conditions.size(); ++i) {
    const std::string_view status = text_of(conditions[i], "status");
    if (status == "True" || status == "False" || status == "Unknown") continue;
    errors.not_supported(FieldPath("status.conditions").index(i).child("status"), status,
                         {"True", "False", "Unknown"});
  }
}

Cells cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& service = map_of(spec, "service");
  const std::string where = has(spec, "service")
                                ? base::cat(text_of(service, "namespace"), "/", text_of(service, "name"))
                                : "Local";
  std::string available = "Unknown";
  if (const Json* condition = find_condition(object, "Available"); condition != nullptr) {
    available = text_of(*condition, "status");
    const std::string_view reason = text_of(*condition, "reason");
    if (available != "True" && !reason.empty()) available += base::cat(" (", reason, ")");
  }
  return {name_cell(object), where, available, age_cell(object, now)};
}

}  // namespace

Strategy api_service_strategy() {
  Strategy s;
  s.cells = cells;
  s.allow_unconditional_update = false;
  s.validate_name = check_name_is_path_segment;
  s.set_defaults = [](Json& object) {
    Json* spec = object_in(object, "spec");
    Json* service = spec != nullptr ? object_in(*spec, "service") : nullptr;
    if (service != nullptr) default_pointer(*service, "port", 443);
  };
  s.prepare_create = [](Json& object, const StrategyContext& context) {
    drop(object, "status");
    if (has(map_of(object, "spec"), "service")) return;
    set_condition(object, {"Available", "True", "Local", "Local APIServices are always available"},
                  context.now);
  };
  s.validate = validate;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) { validate(object, errors); };
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    keep_own_metadata(object, old);
  };
  s.validate_status_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_status(object, errors);
  };
  return s;
}

}  // namespace orch::api
