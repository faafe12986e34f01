#include "server/controllers/admission_policies.h"

#include <algorithm>
#include <tuple>

#include "api/cel/policy.h"
#include "api/resources/expression_types.h"
#include "base/json.h"

namespace orch::server {
namespace {

constexpr size_t kMostRows = 10;
const client::ResourceRef kPolicies{"admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"};

/// The texts of a list in order; none at all if one is a wildcard and `strict`, else without those.
std::vector<std::string> texts(const Json& rule, const char* list, const char* skipped, bool strict) {
  std::vector<std::string> out;
  for (const Json& one : base::array_at(rule, {list})) {
    if (!one.is_string()) continue;
    std::string text = one.get<std::string>();
    if (text.find_first_of(skipped) == std::string::npos) {
      out.push_back(std::move(text));
    } else if (strict) {
      return {};
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// As a REST mapper finds them: without a group, in every group.
void find_rows(const api::ResourceTable& table, std::string_view group, std::string_view version,
               std::string_view resource, std::vector<api::ResourcePtr>& out) {
  const auto rows = table.all();
  for (const api::ResourcePtr& row : *rows) {
    if (!row->served || row->version != version || (!group.empty() && row->group != group)) continue;
    if (row->plural == resource || row->singular == resource) out.push_back(row);
  }
}

}  // namespace

std::vector<api::ResourcePtr> rows_to_check(const Json& spec, const api::ResourceTable& table) {
  std::vector<api::ResourcePtr> out;
  for (const Json& rule : base::array_at(spec, {"matchConstraints", "resourceRules"})) {
    std::vector<api::ResourcePtr> found;
    for (const std::string& group : texts(rule, "apiGroups", "*", true)) {
      for (const std::string& version : texts(rule, "apiVersions", "*", true)) {
        for (const std::string& resource : texts(rule, "resources", "*/", false))
          find_rows(table, group, version, resource, found);
      }
    }
    const bool full = found.size() >= kMostRows;
    if (full) found.resize(kMostRows);
    out.insert(out.end(), found.begin(), found.end());
    if (full) break;
  }
  const auto order = [](const api::ResourcePtr& row) {
    return std::tie(row->group, row->version, row->kind);
  };
  std::sort(out.begin(), out.end(), [&](const auto& a, const auto& b) { return order(a) < order(b); });
  out.erase(
      std::unique(out.begin(), out.end(), [&](const auto& a, const auto& b) { return order(a) == order(b); }),
      out.end());
  return out;
}

Plan plan_policy_status(const api::Object& policy, const api::ResourceTable& table) {
  Plan plan;
  Json tree = policy.tree();
  if (policy.generation() <= base::int_at(tree, {"status", "observedGeneration"})) return plan;
  const Json& spec = base::object_at(tree, {"spec"});
  std::vector<api::cel::PolicyKind> kinds;
  for (const api::ResourcePtr& row : rows_to_check(spec, table)) {
    if (auto type = api::expression_type(*row))
      kinds.push_back({row->group, row->version, row->kind, std::move(type)});
  }
  api::cel::Type params;
  const auto [group, version] = api::split_api_version(base::string_at(spec, {"paramKind", "apiVersion"}));
  if (const auto row = table.find_kind(group, version, base::string_at(spec, {"paramKind", "kind"})))
    params = api::expression_type(*row);
  Json warnings = Json::array();
  for (const auto& [field, warning] : api::cel::check_policy_types(spec, kinds, params))
    warnings.push_back({{"fieldRef", field}, {"warning", warning}});
  Json& status = tree["status"];
  if (!status.is_object()) status = Json::object();
  status["observedGeneration"] = policy.generation();
  status["typeChecking"] = Json::object();
  if (!warnings.empty()) status["typeChecking"]["expressionWarnings"] = std::move(warnings);
  return plan.update(kPolicies, std::move(tree), "status");
}

Controller make_admission_policy_status_controller(const api::ResourceTable& table) {
  Controller c;
  c.name = "validatingadmissionpolicy-status";
  c.sources = {{kPolicies, own_key, {}}};
  c.plan = [&table](const View& view, const Key& key, base::WallTime) {
    const api::ObjectPtr policy = view.get(kPolicies, key.ns, key.name);
    return policy == nullptr ? Plan() : plan_policy_status(*policy, table);
  };
  return c;
}

}  // namespace orch::server
