#include "api/resources/match_conditions.h"

#include <set>
#include <string>

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

}  // namespace

void validate_match_conditions(const Json& conditions, const FieldPath& path, FieldErrors& errors) {
  if (conditions.size() > kMaxConditions)
    errors.too_many(path, static_cast<int>(conditions.size()), static_cast<int>(kMaxConditions));
  std::set<std::string_view> names;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath at = path.index(i);
    if (trimmed(text_of(conditions[i], "expression")).empty()) errors.required(at.child("expression"));
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
