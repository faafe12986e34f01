// core/v1 LimitRange and ResourceQuota.
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/resource_validation.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// Fills `to` with what only `from` has.
void fill_up(Json& to, const Json& from) {
  for (const auto& [name, amount] : from.items()) {
    if (!to.contains(name)) to[name] = amount;
  }
}

/// Containers get what is the most, where no default is said, and ask for as much, else for the least.
void default_limits(Json& object) {
  each(child(object, "spec"), "limits", [](Json& item) {
    if (text_of(item, "type") != "Container") return;
    Json limit = map_of(item, "default"), request = map_of(item, "defaultRequest");
    fill_up(limit, map_of(item, "max"));
    fill_up(request, limit);
    fill_up(request, map_of(item, "min"));
    if (!limit.empty()) put(item, "default", std::move(limit));
    if (!request.empty()) put(item, "defaultRequest", std::move(request));
  });
}

void validate_amounts(const Json& amounts, const FieldPath& path, FieldErrors& errors) {
  for (const auto& [name, amount] : amounts.items()) {
    validate_quota_resource_name(name, path.key(name), errors);
    validate_resource_amount(name, amount, path.key(name), errors);
  }
}

void validate_quota(const Json& quota, FieldErrors& errors) {
  validate_amounts(map_of(map_of(quota, "spec"), "hard"), FieldPath("spec.hard"), errors);
}

}  // namespace

Strategy limit_range_strategy() {
  Strategy s = traits_of("", "LimitRange");
  s.set_defaults = default_limits;
  return s;
}

Strategy resource_quota_strategy() {
  Strategy s = traits_of("", "ResourceQuota");
  s.validate = validate_quota;
  s.validate_update = [](const Json& quota, const Json& old, FieldErrors& errors) {
    validate_quota(quota, errors);
    validate_immutable_member(map_of(quota, "spec"), map_of(old, "spec"), "scopes", FieldPath("spec"),
                              errors);
  };
  s.validate_status_update = [](const Json& quota, const Json&, FieldErrors& errors) {
    for (const char* list : {"hard", "used"}) {
      validate_amounts(map_of(map_of(quota, "status"), list), FieldPath("status").child(list), errors);
    }
  };
  return s;
}

}  // namespace orch::api
