#include "api/resources/match_conditions.h"

#include <set>

#include "api/resources/common_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxConditions = 64;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kSpace) - from + 1);
}

cel::Type text_fields(const char* name, std::initializer_list<const char*> fields) {
  std::vector<std::pair<std::string, cel::Type>> out;
  for (const char* field : fields) out.emplace_back(field, cel::string_type());
  return cel::object_type(name, std::move(out));
}

/// The request without the objects, which are variables of their own.
cel::Type request_type() {
  const auto kind = text_fields("kubernetes.GroupVersionKind", {"group", "version", "kind"});
  const auto resource = text_fields("kubernetes.GroupVersionResource", {"group", "version", "resource"});
  const auto texts = cel::list_type(cel::string_type());
  const auto user =
      cel::object_type("kubernetes.UserInfo", {{"username", cel::string_type()},
                                               {"uid", cel::string_type()},
                                               {"groups", texts},
                                               {"extra", cel::map_type(cel::string_type(), texts)}});
  return cel::object_type("kubernetes.AdmissionRequest", {{"kind", kind},
                                                          {"resource", resource},
                                                          {"subResource", cel::string_type()},
                                                          {"requestKind", kind},
                                                          {"requestResource", resource},
                                                          {"requestSubResource", cel::string_type()},
                                                          {"name", cel::string_type()},
                                                          {"namespace", cel::string_type()},
                                                          {"operation", cel::string_type()},
                                                          {"userInfo", user},
                                                          {"dryRun", cel::bool_type()},
                                                          {"options", cel::dyn_type()}});
}

}  // namespace

const cel::Environment& admission_environment() {
  static const cel::Environment environment(
      {.variables = {{"object", cel::dyn_type()},
                     {"oldObject", cel::dyn_type()},
                     {"request", request_type()},
                     {"namespaceObject", cel::dyn_type()},
                     {"authorizer", cel::authorizer_type()},
                     {"authorizer.requestResource", cel::resource_check_type()}}});
  return environment;
}

cel::Compilation compile_match_condition(std::string_view expression) {
  cel::Compilation out = admission_environment().compile(expression);
  if (out.program == nullptr) {
    out.error = "compilation failed: " + out.error;
  } else if (!cel::is_bool(out.program->output_type())) {
    out.error = "must evaluate to bool but got " + cel::type_name(out.program->output_type());
    out.program = nullptr;
  }
  return out;
}

void validate_match_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors) {
  if (conditions.size() > kMaxConditions)
    errors.too_many(path, static_cast<int>(conditions.size()), static_cast<int>(kMaxConditions));
  std::set<std::string_view> names;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string_view expression = trimmed(text_of(conditions[i], "expression"));
    if (expression.empty()) {
      errors.required(at.child("expression"));
    } else if (const auto compiled = compile_match_condition(expression); compiled.program == nullptr) {
      add_invalid(errors, at.child("expression"), expression, compiled.error);
    }
    const std::string_view name = text_of(conditions[i], "name");
    if (name.empty()) {
      errors.required(at.child("name"));
      continue;
    }
    validate_qualified_name(name, at.child("name"), errors);
    if (!names.insert(name).second) errors.duplicate(at.child("name"), Json(name));
  }
}

}  // namespace orch::api
