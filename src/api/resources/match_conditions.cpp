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

cel::Environment::Options admission_options(bool params) {
  cel::Environment::Options out;
  out.variables = {{"object", cel::dyn_type()},
                   {"oldObject", cel::dyn_type()},
                   {"request", cel::admission_request_type()},
                   {"namespaceObject", cel::namespace_object_type()},
                   {"authorizer", cel::authorizer_type()},
                   {"authorizer.requestResource", cel::resource_check_type()}};
  if (params) out.variables.push_back({"params", cel::dyn_type()});
  return out;
}

}  // namespace

const cel::Environment& admission_environment(bool params) {
  static const cel::Environment without(admission_options(false));
  static const cel::Environment with(admission_options(true));
  return params ? with : without;
}

cel::CheckedProgram compile_match_condition(std::string_view expression, bool params) {
  return cel::compile_checked(admission_environment(params), expression, cel::Wanted::kBool);
}

void validate_match_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors,
                               bool params) {
  if (conditions.size() > kMaxConditions)
    errors.too_many(path, static_cast<int>(conditions.size()), static_cast<int>(kMaxConditions));
  std::set<std::string_view> names;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string_view expression = trimmed(text_of(conditions[i], "expression"));
    if (expression.empty()) {
      errors.required(at.child("expression"));
    } else {
      compile_match_condition(expression, params).report(at.child("expression"), expression, errors);
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
