#include "server/auth/escalation.h"

#include <algorithm>
#include <set>

#include "api/go_text.h"
#include "base/json.h"
#include "server/auth/forbidden.h"

namespace orch::server {
namespace {

constexpr std::string_view kRbacGroup = "rbac.authorization.k8s.io";

/// At most finalizers and owner references differ: what the garbage collector does needs no rights.
bool only_collector_fields_differ(const Json& object, const Json& old) {
  const auto strip = [](Json tree) {
    if (Json* meta = tree.contains("metadata") ? &tree["metadata"] : nullptr; meta && meta->is_object()) {
      for (const char* key : {"ownerReferences", "finalizers", "managedFields", "resourceVersion"}) {
        meta->erase(key);
      }
    }
    return tree;
  };
  return strip(object) == strip(old);
}

bool may(Authorizer& authorizer, const UserInfo& user, std::string_view verb, std::string_view resource,
         std::string_view ns, std::string_view name) {
  Attributes a;
  a.user = &user;
  a.verb = verb;
  a.resource_request = true;
  a.group = kRbacGroup;
  a.version = "*";
  a.resource = resource;
  a.ns = ns;
  a.name = name;
  return authorizer.authorize(a).decision == Decision::kAllow;
}

bool aggregates(const Json& role) {
  return !base::array_at(role, {"aggregationRule", "clusterRoleSelectors"}).empty();
}

base::Status check_role(const RbacAuthorizer& rbac, Authorizer& authorizer, const UserInfo& user,
                        std::string_view resource, std::string_view ns, const Json& role, const Json* old) {
  const std::string name(base::string_at(role, {"metadata", "name"}));
  if (may(authorizer, user, "escalate", resource, ns, old == nullptr ? std::string_view() : name)) return {};
  if (old != nullptr && only_collector_fields_differ(role, *old)) return {};
  if (std::string text = missing_rights(rbac, user, ns, rules_of(role)); !text.empty()) {
    return forbidden(kRbacGroup, resource, name, text);
  }
  if (aggregates(role) || (old != nullptr && aggregates(*old))) {
    static const std::vector<PolicyRule> everything = {{{"*"}, {"*"}, {"*"}, {}, {}},
                                                       {{"*"}, {}, {}, {}, {"*"}}};
    if (!missing_rights(rbac, user, ns, everything).empty()) {
      return forbidden(kRbacGroup, resource, name,
                       "must have cluster-admin privileges to use the aggregationRule");
    }
  }
  return {};
}

base::Status check_binding(const RbacAuthorizer& rbac, Authorizer& authorizer, const UserInfo& user,
                           std::string_view resource, std::string_view ns, const Json& binding,
                           const Json* old) {
  if (old != nullptr && only_collector_fields_differ(binding, *old)) return {};
  const std::string_view kind = base::string_at(binding, {"roleRef", "kind"});
  const std::string_view role = base::string_at(binding, {"roleRef", "name"});
  if ((kind == "Role" && may(authorizer, user, "bind", "roles", ns, role)) ||
      (kind == "ClusterRole" && may(authorizer, user, "bind", "clusterroles", ns, role))) {
    return {};
  }
  base::Result<std::vector<PolicyRule>> rules = rbac.rules_of_ref(kind, role, ns);
  if (!rules.ok()) return rules.error();
  if (std::string text = missing_rights(rbac, user, ns, *rules); !text.empty()) {
    return forbidden(kRbacGroup, resource, base::string_at(binding, {"metadata", "name"}), text);
  }
  return {};
}

}  // namespace

std::string missing_rights(const RbacAuthorizer& rbac, const UserInfo& user, std::string_view ns,
                           const std::vector<PolicyRule>& wanted) {
  const RbacAuthorizer::HeldRules held = rbac.rules_for(user, ns);
  const std::vector<PolicyRule> missing = uncovered_rules(held.rules, wanted);
  if (missing.empty()) return {};
  std::set<std::string> lines;
  for (const PolicyRule& rule : compact_rules(missing)) lines.insert(rule.compact_text());
  std::vector<std::string> groups;
  groups.reserve(user.groups.size());
  for (const std::string& group : user.groups) groups.push_back(api::go_quote(group));
  std::string text = base::cat("user ", api::go_quote(user.name), " (groups=[", api::join(groups, " "),
                               "]) is attempting to grant RBAC permissions not currently held:\n",
                               api::join({lines.begin(), lines.end()}, "\n"));
  if (!held.errors.empty()) text += base::cat("; resolution errors: [", held.errors, "]");
  return text;
}

base::Status confirm_no_escalation(const RbacAuthorizer& rbac, Authorizer& authorizer, const UserInfo& user,
                                   std::string_view resource, std::string_view ns, const Json& object,
                                   const Json* old) {
  if (user.in_group(kGroupMasters)) return {};
  if (resource == "roles" || resource == "clusterroles") {
    return check_role(rbac, authorizer, user, resource, ns, object, old);
  }
  return check_binding(rbac, authorizer, user, resource, ns, object, old);
}

}  // namespace orch::server
