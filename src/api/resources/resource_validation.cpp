#include "api/resources/resource_validation.h"

#include <algorithm>
#include <array>
#include <optional>

#include "api/go_text.h"
#include "api/names.h"
#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/resource_list.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr std::string_view kHugePages = "hugepages-";
constexpr std::string_view kRequests = "requests.";

/// In quotas and elsewhere; all but the last may be counted by a quota.
constexpr std::array<std::string_view, 20> kStandard = {"cpu",
                                                        "memory",
                                                        "ephemeral-storage",
                                                        "requests.cpu",
                                                        "requests.memory",
                                                        "requests.ephemeral-storage",
                                                        "requests.storage",
                                                        "limits.cpu",
                                                        "limits.memory",
                                                        "limits.ephemeral-storage",
                                                        "pods",
                                                        "resourcequotas",
                                                        "services",
                                                        "replicationcontrollers",
                                                        "secrets",
                                                        "configmaps",
                                                        "persistentvolumeclaims",
                                                        "services.nodeports",
                                                        "services.loadbalancers",
                                                        "storage"};

constexpr std::array<std::string_view, 9> kCounted = {
    "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"};

template <size_t N>
bool one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_quota_hugepage(std::string_view name) {
  return is_hugepage_resource(name) || name.starts_with("requests.hugepages-");
}

bool is_standard_resource(std::string_view name) {
  return one_of(kStandard, name) || is_quota_hugepage(name);
}

bool is_integer_resource(std::string_view name) {
  return one_of(kCounted, name) || is_extended_resource(name);
}

bool hugepages_divide(std::string_view name, const Quantity& quantity) {
  const auto page = Quantity::parse(name.substr(kHugePages.size()));
  if (!page.ok() || page->sign() <= 0 || page->milli_value() % 1000 != 0) return false;
  return quantity.value() % page->value() == 0;
}

/// What one pass over limits or requests found.
struct Seen {
  bool compute = false;
  bool hugepages = false;
};

void validate_pod_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  FieldErrors found;
  validate_resource_name(name, path, found);
  if (!found.empty()) return errors.append(std::move(found));
  if (!is_pod_level_resource(name)) errors.not_supported(path, name, {"cpu", "hugepages-", "memory"});
}

void validate_one(const std::string& name, const Json& value, const FieldPath& path,
                  RequirementsOptions options, Seen& seen, FieldErrors& errors) {
  if (options.pod_level) {
    validate_pod_resource_name(name, path, errors);
  } else {
    validate_container_resource_name(name, path, errors);
  }
  validate_resource_amount(name, value, path, errors);
  if (name == "cpu" || name == "memory") seen.compute = true;
  if (!is_hugepage_resource(name)) return;
  seen.hugepages = true;
  const auto quantity = Quantity::from_json(value);
  if (quantity.ok() && !options.allow_indivisible_hugepages && !hugepages_divide(name, *quantity)) {
    add_invalid(errors, path, quantity->text(),
                quantity->text() + " is not positive integer multiple of " + name);
  }
}

void validate_request_fits(const std::string& name, const Json& value, const Json& limits,
                           const FieldPath& path, FieldErrors& errors) {
  if (!has(limits, name)) {
    if (!is_overcommit_allowed(name)) {
      errors.required(path.child("limits"), "Limit must be set for non overcommitable resources");
    }
    return;
  }
  const auto request = Quantity::from_json(value);
  const auto limit = Quantity::from_json(member_of(limits, name));
  if (!request.ok() || !limit.ok()) return;
  const FieldPath at = path.child("requests");
  if (*request != *limit && !is_overcommit_allowed(name)) {
    add_invalid(errors, at, request->text(), "must be equal to " + name + " limit of " + limit->text());
  } else if (*request > *limit) {
    add_invalid(errors, at, request->text(),
                "must be less than or equal to " + name + " limit of " + limit->text());
  }
}

void validate_claim_names(const Json& claims, const std::set<std::string>& pod_claims, const FieldPath& path,
                          FieldErrors& errors) {
  std::set<std::string> names;
  for (size_t i = 0; i < claims.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string name(text_of(claims[i], "name"));
    const std::string request(text_of(claims[i], "request"));
    if (name.empty()) {
      errors.required(at);
      continue;
    }
    if (names.contains(name)) {
      errors.duplicate(at, name);
    } else {
      std::string key = name;
      if (!request.empty()) {
        validate_dns1123_label(request, at.child("request"), errors);
        key += "/" + request;
      }
      const auto same_claim = [&](const std::string& other) { return other.starts_with(name + "/"); };
      if (names.contains(key)) {
        errors.duplicate(at, key);
      } else if (request.empty() && std::any_of(names.begin(), names.end(), same_claim)) {
        errors.duplicate(at, name);
      }
      names.insert(key);
    }
    if (!pod_claims.contains(name)) {
      const std::string known = pod_claims.empty()
                                    ? std::string(" which is empty")
                                    : ": " + join({pod_claims.begin(), pod_claims.end()}, ", ");
      add_cause(
          errors, "FieldValueNotFound", at,
          "Not found: " + go_quote(name) + ": must be one of the names in pod.spec.resourceClaims" + known);
    }
  }
}

}  // namespace

bool is_hugepage_resource(std::string_view name) { return name.starts_with(kHugePages); }

bool is_native_resource(std::string_view name) {
  return name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos;
}

bool is_extended_resource(std::string_view name) {
  if (is_native_resource(name) || name.starts_with(kRequests)) return false;
  return check_qualified_name(std::string(kRequests) + std::string(name)).empty();
}

bool is_overcommit_allowed(std::string_view name) {
  return is_native_resource(name) && !is_hugepage_resource(name);
}

bool is_standard_quota_resource(std::string_view name) {
  return (name != "storage" && one_of(kStandard, name)) || is_quota_hugepage(name);
}

void validate_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  const Problems problems = check_qualified_name(name);
  if (!problems.empty()) return add_problems(errors, path, name, problems);
  if (name.find('/') == std::string_view::npos && !is_standard_resource(name)) {
    add_invalid(errors, path, name, "must be a standard resource type or fully qualified");
  }
}

void validate_container_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  validate_resource_name(name, path, errors);
  if (name.find('/') == std::string_view::npos) {
    const bool known =
        name == "cpu" || name == "memory" || name == "ephemeral-storage" || is_hugepage_resource(name);
    if (!known) add_invalid(errors, path, name, "must be a standard resource for containers");
  } else if (!is_native_resource(name) && !is_extended_resource(name)) {
    add_invalid(errors, path, name, "doesn't follow extended resource name standard");
  }
}

void validate_quota_resource_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  validate_resource_name(name, path, errors);
  if (name.find('/') == std::string_view::npos && !is_standard_quota_resource(name)) {
    add_invalid(errors, path, name, "must be a standard resource for quota");
  }
}

void validate_resource_amount(std::string_view name, const Json& value, const FieldPath& path,
                              FieldErrors& errors) {
  const auto quantity = Quantity::from_json(value);
  if (!quantity.ok()) return errors.invalid(path, value, quantity.error().message());
  if (quantity->sign() < 0) add_invalid(errors, path, quantity->text(), "must be greater than or equal to 0");
  if (is_integer_resource(name) && quantity->milli_value() % 1000 != 0) {
    add_invalid(errors, path, quantity->text(), "must be an integer");
  }
}

void validate_requirements(const Json& requirements, const std::set<std::string>& claims,
                           const FieldPath& path, FieldErrors& errors, RequirementsOptions options) {
  Seen seen;
  const Json& limits = map_of(requirements, "limits");
  const Json& requests = map_of(requirements, "requests");
  for (auto it = limits.begin(); it != limits.end(); ++it) {
    validate_one(it.key(), *it, path.child("limits").key(it.key()), options, seen, errors);
  }
  for (auto it = requests.begin(); it != requests.end(); ++it) {
    validate_one(it.key(), *it, path.child("requests").key(it.key()), options, seen, errors);
    validate_request_fits(it.key(), *it, limits, path, errors);
  }
  if (seen.hugepages && !seen.compute) errors.forbidden(path, "HugePages require cpu or memory");
  validate_claim_names(list_of(requirements, "claims"), claims, path.child("claims"), errors);
}

}  // namespace orch::api
