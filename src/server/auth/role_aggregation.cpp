#include "server/auth/role_aggregation.h"

#include <algorithm>
#include <optional>

#include "api/selector.h"
#include "base/json.h"

namespace orch::server {
namespace {

std::optional<Json> gather(const std::map<std::string, Json>& roles, const std::string& self,
                           const Json& selectors) {
  Json rules = Json::array();
  for (const Json& selector : selectors) {
    base::Result<api::LabelSelector> parsed = api::LabelSelector::from_tree(selector);
    if (!parsed.ok()) return std::nullopt;
    for (const auto& [name, role] : roles) {
      if (name == self || !parsed->matches(base::object_at(role, {"metadata", "labels"}))) continue;
      for (const Json& rule : base::array_at(role, {"rules"})) {
        if (std::find(rules.begin(), rules.end(), rule) == rules.end()) rules.push_back(rule);
      }
    }
  }
  return rules;
}

}  // namespace

std::vector<Json> plan_aggregation(const std::map<std::string, Json>& roles) {
  std::vector<Json> changed;
  for (const auto& [name, role] : roles) {
    if (!role.contains("aggregationRule") || !role["aggregationRule"].is_object()) continue;
    std::optional<Json> rules =
        gather(roles, name, base::array_at(role, {"aggregationRule", "clusterRoleSelectors"}));
    if (!rules || *rules == base::array_at(role, {"rules"})) continue;
    Json tree = role;
    tree["rules"] = std::move(*rules);
    changed.push_back(std::move(tree));
  }
  return changed;
}

}  // namespace orch::server
