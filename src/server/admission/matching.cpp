#include "server/admission/matching.h"

#include <algorithm>

#include "api/object.h"
#include "server/admission/request.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

std::vector<std::string> strings(const Json& tree, const char* key) {
  std::vector<std::string> out;
  for (const auto& one : base::array_at(tree, {key})) {
    if (one.is_string()) out.push_back(one.get<std::string>());
  }
  return out;
}

HookRule parse_rule(const Json& tree) {
  return {strings(tree, "operations"),
          strings(tree, "apiGroups"),
          strings(tree, "apiVersions"),
          strings(tree, "resources"),
          std::string(base::string_at(tree, {"scope"}, "*")),
          strings(tree, "resourceNames")};
}

bool has(const std::vector<std::string>& items, std::string_view wanted) {
  return std::any_of(items.begin(), items.end(),
                     [&](const std::string& item) { return item == "*" || item == wanted; });
}

bool scope_matches(std::string_view scope, const RuleTarget& target) {
  const bool is_namespace = target.group.empty() && target.version == "v1" && target.resource == "namespaces";
  const bool cluster = is_namespace || target.ns.empty();
  if (scope == "*") return true;
  return scope == "Namespaced" ? !cluster : scope == "Cluster" && cluster;
}

bool resource_matches(const std::vector<std::string>& resources, const RuleTarget& target) {
  return std::any_of(resources.begin(), resources.end(), [&](std::string_view one) {
    const size_t slash = one.find('/');
    const std::string_view resource = one.substr(0, slash);
    const std::string_view sub = slash == std::string_view::npos ? std::string_view() : one.substr(slash + 1);
    return (resource == "*" || resource == target.resource) && (sub == "*" || sub == target.subresource);
  });
}

/// The row's own form of an object of the request.
Status show_one(const AdmissionRequest& request, const api::Resource& row, const Json* object,
                std::string_view owners, Json& out) {
  if (object == nullptr) return {};
  if (request.part != nullptr) {
    out = request.part->show(*object);
    return {};
  }
  out = *object;
  if (!owners.empty()) {
    auto fields = base::parse_json(owners);
    if (fields.ok()) out["metadata"]["managedFields"] = std::move(*fields);
  }
  if (request.versions == nullptr || !request.object_kind.empty()) return {};
  auto shown = request.versions->show(out, *request.resource, row);
  if (!shown.ok()) return shown.error();
  out = std::move(*shown);
  return {};
}

bool is_named(const HookRule& rule, std::string_view name) {
  return rule.names.empty() || std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end();
}

}  // namespace

std::vector<HookRule> parse_hook_rules(const Json& rules) {
  std::vector<HookRule> out;
  for (const auto& rule : rules) out.push_back(parse_rule(rule));
  return out;
}

HookSelector parse_hook_selector(const Json& parent, const char* key) {
  const Json* selector = base::find_path(parent, {key});
  if (selector == nullptr || selector->is_null()) return api::LabelSelector();
  return api::LabelSelector::from_tree(*selector);
}

bool rule_matches(const HookRule& rule, const RuleTarget& target) {
  return scope_matches(rule.scope, target) && has(rule.operations, target.operation) &&
         has(rule.groups, target.group) && has(rule.versions, target.version) &&
         resource_matches(rule.resources, target);
}

std::string_view operation_name(Operation operation) {
  switch (operation) {
    case Operation::kCreate:
      return "CREATE";
    case Operation::kUpdate:
      return "UPDATE";
    case Operation::kDelete:
      return "DELETE";
    case Operation::kConnect:
      break;
  }
  return "CONNECT";
}

std::string_view request_namespace(const AdmissionRequest& request) {
  return is_resource(request, "", "namespaces") ? request.name : request.ns;
}

RuleTarget rule_target(const AdmissionRequest& request, const api::Resource& as) {
  return {operation_name(request.operation), as.group, as.version, as.plural, request.subresource,
          request_namespace(request)};
}

Result<bool> matches_namespace(const HookSelector& selector, const AdmissionRequest& request,
                               const Lookup& lookup) {
  const bool of_namespace = is_resource(request, "", "namespaces");
  const std::string_view ns = request_namespace(request);
  if (ns.empty() && !of_namespace) return true;
  if (!selector.ok()) return internal_error(selector.error().message());
  if (selector->empty()) return true;
  // Of a namespace under way only the request knows.
  const bool own = of_namespace && request.subresource.empty() && request.object != nullptr;
  if (own) return selector->matches(base::object_at(*request.object, {"metadata", "labels"}));
  const api::ObjectPtr found = lookup.get("namespaces", "", ns);
  if (found == nullptr) return missing("", "namespaces", ns);
  return selector->matches(*found);
}

Result<bool> matches_object(const HookSelector& selector, const AdmissionRequest& request) {
  if (!selector.ok()) return internal_error(selector.error().message());
  if (selector->empty()) return true;
  const auto matches = [&](const Json* object) {
    if (object == nullptr || !object->contains("metadata")) return false;
    const Json& labels = base::object_at(*object, {"metadata", "labels"});
    return selector->matches(request.part != nullptr ? Json() : labels);
  };
  return matches(request.object) || matches(request.old_object);
}

std::vector<api::ResourcePtr> equivalent_rows(const AdmissionRequest& request,
                                              const api::ResourceTable& table) {
  std::vector<api::ResourcePtr> out;
  const api::Resource& asked = request.requested();
  if (!asked.stored) return out;
  const auto rows = table.all();
  for (const auto& row : *rows) {
    if (!row->stored || !row->served || row->key_prefix() != asked.key_prefix()) continue;
    if (row->group == asked.group && row->version == asked.version) continue;
    if (request.subresource.empty() || row->subresource(request.subresource) != nullptr) out.push_back(row);
  }
  return out;
}

std::optional<RuleMatch> match_rules(const std::vector<HookRule>& rules, bool equivalent,
                                     const AdmissionRequest& request,
                                     const std::vector<api::ResourcePtr>& equivalents) {
  const RuleTarget asked = rule_target(request, request.requested());
  for (const HookRule& rule : rules) {
    if (rule_matches(rule, asked) && is_named(rule, request.name)) return RuleMatch{};
  }
  if (!equivalent) return std::nullopt;
  // Earlier rules win over earlier equivalents.
  for (const HookRule& rule : rules) {
    if (!is_named(rule, request.name)) continue;
    for (const auto& row : equivalents) {
      if (rule_matches(rule, rule_target(request, *row))) return RuleMatch{row};
    }
  }
  return std::nullopt;
}

Result<ShownRequest> show_request(const AdmissionRequest& request, const api::Resource& row) {
  ShownRequest out;
  out.row = &row;
  const std::string_view owners = request.owners != nullptr ? *request.owners : std::string_view();
  ORCH_RETURN_IF_ERROR(show_one(request, row, request.object, owners, out.object));
  ORCH_RETURN_IF_ERROR(show_one(request, row, request.old_object, request.old_owners, out.old_object));
  return out;
}

Status internal_error(const std::string& text) {
  base::StatusDetails details;
  details.causes.push_back({"", text, ""});
  return {Code::kInternal, "Internal error occurred: " + text, std::move(details)};
}

}  // namespace orch::server
