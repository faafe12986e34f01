#include "server/audit/policy.h"

#include <algorithm>

#include "api/field_error.h"
#include "api/go_text.h"
#include "api/names.h"
#include "api/yaml.h"
#include "base/json.h"

namespace orch::server {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kLevels[] = {"None", "Metadata", "Request", "RequestResponse"};
constexpr std::string_view kStages[] = {"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"};

using Strings = std::vector<std::string>;

bool holds(const Strings& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

Strings strings_at(const Json& tree, const char* key) {
  Strings out;
  for (const Json& v : base::array_at(tree, {key})) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

unsigned read_stages(const Json& tree, const FieldPath& path, FieldErrors& errors) {
  unsigned bits = 0;
  const Strings stages = strings_at(tree, "omitStages");
  for (size_t i = 0; i < stages.size(); ++i) {
    const auto* it = std::find(std::begin(kStages), std::end(kStages), stages[i]);
    if (it == std::end(kStages)) {
      errors.invalid(path.index(i), stages[i],
                     "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic");
    } else {
      bits |= 1U << (it - std::begin(kStages));
    }
  }
  return bits;
}

AuditLevel read_level(const Json& rule, const FieldPath& path, FieldErrors& errors) {
  const std::string level(base::string_at(rule, {"level"}));
  const auto* it = std::find(std::begin(kLevels), std::end(kLevels), level);
  if (it != std::end(kLevels)) return static_cast<AuditLevel>(it - std::begin(kLevels));
  if (level.empty()) {
    errors.required(path.child("level"));
  } else {
    errors.not_supported(path.child("level"), level, {kLevels, kLevels + std::size(kLevels)});
  }
  return AuditLevel::kNone;
}

void check_paths(const Strings& paths, const FieldPath& path, FieldErrors& errors) {
  for (size_t i = 0; i < paths.size(); ++i) {
    const std::string& p = paths[i];
    if (p == "*") continue;
    if (p.empty() || p[0] != '/')
      errors.invalid(path.index(i), p, "non-resource URL rules must begin with a '/' character");
    if (p.find('*') < p.size() - 1 && !p.empty())
      errors.invalid(path.index(i), p,
                     "non-resource URL wildcards '*' must be the final character of the rule");
  }
}

bool path_matches(std::string_view path, std::string_view spec) {
  if (spec == "*" || spec == path) return true;
  if (spec.empty() || spec.back() != '*') return false;
  while (!spec.empty() && spec.back() == '*') spec.remove_suffix(1);
  return path.substr(0, spec.size()) == spec;
}

}  // namespace

std::string_view audit_level_name(AuditLevel level) { return kLevels[static_cast<size_t>(level)]; }
std::string_view audit_stage_name(AuditStage stage) { return kStages[static_cast<size_t>(stage)]; }

Result<AuditPolicy> AuditPolicy::parse(std::string_view text) {
  auto tree = api::parse_yaml(text);
  if (!tree.ok()) return Status(Code::kBadRequest, tree.error().message());
  if (base::string_at(*tree, {"kind"}) != "Policy" ||
      base::string_at(*tree, {"apiVersion"}) != "audit.k8s.io/v1")
    return Status(Code::kBadRequest, "not a Policy of audit.k8s.io/v1");
  AuditPolicy policy;
  FieldErrors errors;
  policy.otherwise_.omitted = read_stages(*tree, FieldPath("omitStages"), errors);
  policy.otherwise_.omit_managed_fields = base::bool_at(*tree, {"omitManagedFields"});
  const Json& rules = base::array_at(*tree, {"rules"});
  if (rules.empty()) return Status(Code::kBadRequest, "loaded illegal policy with 0 rules");
  for (size_t i = 0; i < rules.size(); ++i) {
    const FieldPath path = FieldPath("rules").index(i);
    Rule rule;
    rule.outcome.level = read_level(rules[i], path, errors);
    rule.users = strings_at(rules[i], "users");
    rule.groups = strings_at(rules[i], "userGroups");
    rule.verbs = strings_at(rules[i], "verbs");
    rule.namespaces = strings_at(rules[i], "namespaces");
    rule.paths = strings_at(rules[i], "nonResourceURLs");
    check_paths(rule.paths, path.child("nonResourceURLs"), errors);
    for (const Json& r : base::array_at(rules[i], {"resources"})) {
      Resources resources{std::string(base::string_at(r, {"group"})), strings_at(r, "resources"),
                          strings_at(r, "resourceNames")};
      if (const auto why = api::check_dns1123_subdomain(resources.group);
          !resources.group.empty() && !why.empty())
        errors.invalid(path.child("resources").child("group"), resources.group, api::join(why, ","));
      if (!resources.names.empty() && resources.resources.empty())
        errors.invalid(path.child("resources").child("resourceNames"), resources.names,
                       "using resourceNames requires at least one resource");
      rule.resources.push_back(std::move(resources));
    }
    rule.outcome.omitted =
        policy.otherwise_.omitted | read_stages(rules[i], path.child("omitStages"), errors);
    rule.outcome.omit_managed_fields =
        base::bool_at(rules[i], {"omitManagedFields"}, policy.otherwise_.omit_managed_fields);
    if (!rule.paths.empty() && (!rule.resources.empty() || !rule.namespaces.empty()))
      errors.invalid(path.child("nonResourceURLs"), rule.paths,
                     "rules cannot apply to both regular resources and non-resource URLs");
    policy.rules_.push_back(std::move(rule));
  }
  if (!errors.empty()) return Status(Code::kBadRequest, errors.text());
  return policy;
}

AuditRule AuditPolicy::evaluate(const Attributes& attributes) const {
  for (const Rule& rule : rules_) {
    if (matches(rule, attributes)) return rule.outcome;
  }
  return otherwise_;
}

bool AuditPolicy::matches(const Rule& rule, const Attributes& a) {
  if (!rule.users.empty() && (a.user == nullptr || !holds(rule.users, a.user->name))) return false;
  if (!rule.groups.empty() &&
      (a.user == nullptr || std::none_of(a.user->groups.begin(), a.user->groups.end(),
                                         [&](const std::string& g) { return holds(rule.groups, g); })))
    return false;
  if (!rule.verbs.empty() && !holds(rule.verbs, a.verb)) return false;
  if (!rule.namespaces.empty() || !rule.resources.empty()) return matches_resource(rule, a);
  if (rule.paths.empty()) return true;
  return !a.resource_request &&
         std::any_of(rule.paths.begin(), rule.paths.end(),
                     [&](const std::string& spec) { return path_matches(a.path, spec); });
}

bool AuditPolicy::matches_resource(const Rule& rule, const Attributes& a) {
  if (!a.resource_request) return false;
  if (!rule.namespaces.empty() && !holds(rule.namespaces, a.ns)) return false;
  if (rule.resources.empty()) return true;
  const std::string whole = a.subresource.empty() ? a.resource : base::cat(a.resource, "/", a.subresource);
  for (const Resources& r : rule.resources) {
    if (r.group != a.group) continue;
    if (r.resources.empty()) return true;
    if (!r.names.empty() && !holds(r.names, a.name)) continue;
    for (const std::string& spec : r.resources) {
      if (spec == "*" || spec == whole) return true;
      if (!a.subresource.empty() && spec == base::cat("*/", a.subresource)) return true;
      if (spec == base::cat(a.resource, "/*")) return true;
    }
  }
  return false;
}

}  // namespace orch::server
