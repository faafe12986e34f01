// PolicyRule of rbac.authorization.k8s.io/v1: matching a request, and comparing sets of rules.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "server/auth/auth.h"

namespace orch::server {

/// Immutable once part of a role.
struct PolicyRule {
  std::vector<std::string> verbs, api_groups, resources, resource_names, non_resource_urls;

  /// `resource_path` is "pods" or "pods/log", made once per request by the caller.
  bool allows(const Attributes& attributes, std::string_view resource_path) const;
  /// One line, as Kubernetes names rights in its escalation error.
  std::string compact_text() const;
  friend bool operator==(const PolicyRule&, const PolicyRule&) = default;
};

PolicyRule rule_from_json(const Json& rule);
Json rule_to_json(const PolicyRule& rule);
/// The `rules` of a Role or ClusterRole.
std::vector<PolicyRule> rules_of(const Json& role);

/// "pods" or "pods/log".
std::string resource_path(const Attributes& attributes);

/// The parts of `wanted`, broken down to one group, resource, verb and name each, that no rule of `held`
/// covers; empty when all is held.
std::vector<PolicyRule> uncovered_rules(const std::vector<PolicyRule>& held,
                                        const std::vector<PolicyRule>& wanted);
/// Rules for the same single group, resource and name put together into one.
std::vector<PolicyRule> compact_rules(const std::vector<PolicyRule>& rules);

}  // namespace orch::server
