// core/v1 LimitRange and ResourceQuota.
#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "api/quantity.h"
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

// --- ResourceQuota -----------------------------------------------------------------------------------

bool is_one_of(std::string_view value, std::initializer_list<std::string_view> values) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool is_scope(std::string_view scope) {
  return is_one_of(scope, {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
                           "VolumeAttributesClass", "CrossNamespacePodAffinity"});
}

/// Whether usage of the resource can be told apart by the scope.
bool scope_counts(std::string_view scope, std::string_view resource) {
  if (scope == "BestEffort") return resource == "pods";
  if (scope == "VolumeAttributesClass")
    return is_one_of(resource, {"persistentvolumeclaims", "requests.storage"});
  if (!is_scope(scope)) return true;
  return is_one_of(
      resource, {"pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"});
}

/// For each resource that the quota limits but the scope cannot count, an error.
void check_scope(std::string_view scope, const Json& hard, const Json& shown, const FieldPath& path,
                 FieldErrors& errors) {
  for (const auto& [name, amount] : hard.items()) {
    if (is_standard_quota_resource(name) && !scope_counts(scope, name))
      errors.invalid(path, shown, "unsupported scope applied to resource");
  }
}

void check_conflicts(const std::set<std::string_view>& scopes, const Json& shown, const FieldPath& path,
                     FieldErrors& errors) {
  for (const auto& [one, other] :
       {std::pair{"BestEffort", "NotBestEffort"}, std::pair{"Terminating", "NotTerminating"}}) {
    if (scopes.contains(one) && scopes.contains(other)) errors.invalid(path, shown, "conflicting scopes");
  }
}

void validate_scopes(const Json& spec, FieldErrors& errors) {
  const FieldPath path("spec.scopes");
  const Json& scopes = list_of(spec, "scopes");
  std::set<std::string_view> seen;
  for (const Json& scope : scopes) {
    if (!is_scope(text(scope))) errors.invalid(path, scopes, "unsupported scope");
    check_scope(text(scope), map_of(spec, "hard"), scopes, path, errors);
    seen.insert(text(scope));
  }
  check_conflicts(seen, scopes, path, errors);
}

void validate_scope_selector(const Json& spec, FieldErrors& errors) {
  const FieldPath path("spec.scopeSelector.matchExpressions");
  const Json& selector = map_of(spec, "scopeSelector");
  std::set<std::string_view> seen;
  for (const Json& requirement : list_of(selector, "matchExpressions")) {
    const std::string_view scope = text_of(requirement, "scopeName");
    const std::string_view op = text_of(requirement, "operator");
    if (!is_scope(scope)) add_invalid(errors, path.child("scopeName"), scope, "unsupported scope");
    check_scope(scope, map_of(spec, "hard"), selector, path, errors);
    if (is_scope(scope) && !is_one_of(scope, {"PriorityClass", "VolumeAttributesClass"}) && op != "Exists") {
      add_invalid(errors, path.child("operator"), op,
                  "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                  "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                  "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
    }
    const Json& values = list_of(requirement, "values");
    if (op == "In" || op == "NotIn") {
      if (values.empty()) {
        errors.required(path.child("values"),
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (!values.empty()) {
        errors.invalid(path.child("values"), values,
                       "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
      }
    } else {
      add_invalid(errors, path.child("operator"), op, "not a valid selector operator");
    }
    seen.insert(scope);
  }
  check_conflicts(seen, member_of(spec, "scopes"), path, errors);
}

void validate_quota(const Json& quota, FieldErrors& errors) {
  const Json& spec = map_of(quota, "spec");
  validate_amounts(map_of(spec, "hard"), FieldPath("spec.hard"), errors);
  validate_scopes(spec, errors);
  if (has(spec, "scopeSelector")) validate_scope_selector(spec, errors);
}

void validate_quota_update(const Json& quota, const Json& old, FieldErrors& errors) {
  validate_quota(quota, errors);
  const auto scopes_of = [](const Json& one) {
    std::set<std::string_view> out;
    for (const Json& scope : list_of(map_of(one, "spec"), "scopes")) out.insert(text(scope));
    return out;
  };
  if (scopes_of(quota) != scopes_of(old)) {
    const Json& scopes = member_of(map_of(quota, "spec"), "scopes");
    errors.invalid(FieldPath("spec.scopes"), scopes, "field is immutable");
  }
}

// --- LimitRange --------------------------------------------------------------------------------------

void validate_limit_type(std::string_view type, const FieldPath& path, FieldErrors& errors) {
  FieldErrors problems;
  validate_qualified_name(type, path, problems);
  const bool named = problems.empty();
  errors.append(std::move(problems));
  if (named && type.find('/') == std::string_view::npos &&
      !is_one_of(type, {"Pod", "Container", "PersistentVolumeClaim"}))
    add_invalid(errors, path, type, "must be a standard limit type or fully qualified");
}

/// What a limit says of one resource; a null pointer where it says nothing.
struct Bounds {
  const Quantity *min, *max, *limit, *request, *ratio;
};

void check_bounds(std::string_view name, const Bounds& b, const FieldPath& path, FieldErrors& errors) {
  const auto above = [&](const Quantity* low, const char* low_name, const Quantity* high,
                         const char* high_name, const char* member, const Quantity* shown) {
    if (low == nullptr || high == nullptr || !(*high < *low)) return;
    add_invalid(
        errors, path.child(member).key(name), shown->text(),
        base::cat(low_name, " value ", low->text(), " is greater than ", high_name, " value ", high->text()));
  };
  above(b.min, "min", b.max, "max", "min", b.min);
  above(b.min, "min", b.request, "default request", "defaultRequest", b.request);
  above(b.request, "default request", b.max, "max", "defaultRequest", b.request);
  above(b.request, "default request", b.limit, "default limit", "defaultRequest", b.request);
  above(b.min, "min", b.limit, "default", "default", b.min);
  above(b.limit, "default", b.max, "max", "default", b.max);
  const FieldPath at = path.child("maxLimitRequestRatio").key(name);
  if (b.ratio != nullptr) {
    const double ratio = b.ratio->approximate();
    if (ratio < 1)
      add_invalid(errors, at, b.ratio->text(), base::cat("ratio ", b.ratio->text(), " is less than 1"));
    if (b.min != nullptr && b.max != nullptr) {
      const double most = b.max->approximate() / b.min->approximate();
      if (ratio > most) {
        add_invalid(
            errors, at, b.ratio->text(),
            base::cat("ratio ", b.ratio->text(), " is greater than max/min = ", std::to_string(most)));
      }
    }
  }
  if (!is_overcommit_allowed(name) && b.limit != nullptr && b.request != nullptr &&
      b.limit->text() != b.request->text()) {
    add_invalid(errors, path.child("defaultRequest").key(name), b.request->text(),
                base::cat("default value ", b.limit->text(), " must equal to defaultRequest value ",
                          b.request->text(), " in ", name));
  }
}

void validate_limit(const Json& limit, const FieldPath& path, FieldErrors& errors) {
  const std::string_view type = text_of(limit, "type");
  std::map<std::string, std::map<std::string, Quantity>> amounts;  // by resource, then by member
  const bool of_pod = type == "Pod";
  for (const char* member : {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"}) {
    if (of_pod && std::string_view(member).starts_with("default")) {
      if (has_items(limit, member))
        errors.forbidden(path.child(member), "may not be specified when `type` is 'Pod'");
      continue;
    }
    if (std::string_view(member) == "maxLimitRequestRatio" && type == "PersistentVolumeClaim" &&
        !has(map_of(limit, "min"), "storage") && !has(map_of(limit, "max"), "storage")) {
      errors.required(path.child("limits"),
                      "either minimum or maximum storage value is required, but neither was provided");
    }
    for (const auto& [name, value] : map_of(limit, member).items()) {
      const FieldPath at = path.child(member).key(name);
      if (of_pod || type == "Container") {
        validate_container_resource_name(name, at, errors);
      } else {
        validate_resource_name(name, at, errors);
      }
      if (auto amount = Quantity::from_json(value); amount.ok()) amounts[name][member] = *amount;
    }
  }
  for (const auto& [name, of] : amounts) {
    const auto amount = [&of = of](const char* member) {
      const auto it = of.find(member);
      return it == of.end() ? nullptr : &it->second;
    };
    check_bounds(name,
                 {amount("min"), amount("max"), amount("default"), amount("defaultRequest"),
                  amount("maxLimitRequestRatio")},
                 path, errors);
  }
}

void validate_limits(const Json& object, FieldErrors& errors) {
  std::set<std::string_view> types;
  size_t i = 0;
  for (const Json& limit : list_of(map_of(object, "spec"), "limits")) {
    const FieldPath path = FieldPath("spec.limits").index(i++);
    const std::string_view type = text_of(limit, "type");
    validate_limit_type(type, path.child("type"), errors);
    if (!types.insert(type).second) errors.duplicate(path.child("type"), std::string(type));
    validate_limit(limit, path, errors);
  }
}

}  // namespace

Strategy limit_range_strategy() {
  Strategy s = traits_of("", "LimitRange");
  s.set_defaults = default_limits;
  s.prepare_create = [](Json& object, const StrategyContext&) {
    // Who gives it no name gets one that nobody has.
    Json& metadata = child(object, "metadata");
    if (text_of(metadata, "name").empty()) put(metadata, "name", std::string(text_of(metadata, "uid")));
  };
  s.validate = validate_limits;
  s.validate_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_limits(object, errors);
  };
  return s;
}

Strategy resource_quota_strategy() {
  Strategy s = traits_of("", "ResourceQuota");
  s.validate = validate_quota;
  s.validate_update = validate_quota_update;
  s.validate_status_update = [](const Json& quota, const Json&, FieldErrors& errors) {
    for (const char* list : {"hard", "used"}) {
      validate_amounts(map_of(map_of(quota, "status"), list), FieldPath("status").child(list), errors);
    }
  };
  return s;
}

}  // namespace orch::api
