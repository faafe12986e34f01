#include "server/auth/rbac.h"

#include <algorithm>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::server {

void RbacAuthorizer::on_role(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  on_any_role(before, after, false);
}
void RbacAuthorizer::on_cluster_role(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  on_any_role(before, after, true);
}
void RbacAuthorizer::on_role_binding(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  on_binding(before, after, false);
}
void RbacAuthorizer::on_cluster_role_binding(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  on_binding(before, after, true);
}

void RbacAuthorizer::on_any_role(const api::ObjectPtr& before, const api::ObjectPtr& after, bool cluster) {
  const api::ObjectPtr& any = after ? after : before;
  if (!any) return;
  std::pair key(cluster ? std::string() : std::string(any->ns()), std::string(any->name()));
  Rules rules;
  if (after) rules = std::make_shared<const std::vector<PolicyRule>>(rules_of(after->tree()));
  std::unique_lock lock(mutex_);
  if (rules) {
    roles_[std::move(key)] = std::move(rules);
  } else {
    roles_.erase(key);
  }
}

RbacAuthorizer::BindingPtr RbacAuthorizer::parse_binding(const api::Object& object) {
  const Json tree = object.tree();
  auto binding = std::make_shared<Binding>();
  binding->ns = object.ns();
  binding->name = object.name();
  binding->role_kind = base::string_at(tree, {"roleRef", "kind"});
  binding->role_name = base::string_at(tree, {"roleRef", "name"});
  for (const Json& s : base::array_at(tree, {"subjects"})) {
    Subject subject{std::string(base::string_at(s, {"kind"})),
                    std::string(base::string_at(s, {"namespace"})),
                    std::string(base::string_at(s, {"name"})),
                    {}};
    if (subject.kind == "User") {
      subject.key = "u:" + subject.name;
    } else if (subject.kind == "Group") {
      subject.key = "g:" + subject.name;
    } else if (subject.kind == "ServiceAccount") {
      // A RoleBinding may leave the namespace out and mean its own.
      const std::string& ns = subject.ns.empty() ? binding->ns : subject.ns;
      if (!ns.empty()) subject.key = "u:" + service_account_user_name(ns, subject.name);
    }
    binding->subjects.push_back(std::move(subject));
  }
  return binding;
}

void RbacAuthorizer::on_binding(const api::ObjectPtr& before, const api::ObjectPtr& after, bool cluster) {
  const api::ObjectPtr& any = after ? after : before;
  if (!any) return;
  BindingPtr fresh = after ? parse_binding(*after) : nullptr;
  std::unique_lock lock(mutex_);
  Scope& scope = scopes_[cluster ? std::string() : std::string(any->ns())];
  const auto old = scope.by_name.find(any->name());
  if (old != scope.by_name.end()) {
    for (const Subject& s : old->second->subjects) {
      const auto list = scope.by_subject.find(s.key);
      if (list == scope.by_subject.end()) continue;
      std::erase(list->second, old->second);
      if (list->second.empty()) scope.by_subject.erase(list);
    }
    scope.by_name.erase(old);
  }
  if (!fresh) return;
  for (const Subject& s : fresh->subjects) {
    if (s.key.empty()) continue;
    auto& list = scope.by_subject[s.key];
    if (std::find(list.begin(), list.end(), fresh) == list.end()) list.push_back(fresh);
  }
  scope.by_name.emplace(fresh->name, std::move(fresh));
}

const std::vector<PolicyRule>* RbacAuthorizer::find_rules(std::string_view kind, std::string_view name,
                                                          std::string_view ns) const {
  const bool cluster = kind == "ClusterRole";
  if (!cluster && kind != "Role") return nullptr;
  const auto it = roles_.find(std::pair(std::string(cluster ? "" : ns), std::string(name)));
  return it == roles_.end() ? nullptr : it->second.get();
}

bool RbacAuthorizer::visit_scope(const UserInfo& user, const Scope& scope, const Visitor& visitor) const {
  const auto visit_key = [&](const std::string& key) {
    const auto it = scope.by_subject.find(key);
    if (it == scope.by_subject.end()) return true;
    for (const BindingPtr& binding : it->second) {
      const auto subject = std::find_if(binding->subjects.begin(), binding->subjects.end(),
                                        [&](const Subject& s) { return s.key == key; });
      if (!visitor(*binding, *subject, find_rules(binding->role_kind, binding->role_name, binding->ns))) {
        return false;
      }
    }
    return true;
  };
  if (!visit_key("u:" + user.name)) return false;
  return std::all_of(user.groups.begin(), user.groups.end(),
                     [&](const std::string& group) { return visit_key("g:" + group); });
}

void RbacAuthorizer::visit(const UserInfo& user, std::string_view ns, const Visitor& visitor) const {
  if (const auto it = scopes_.find(std::string_view()); it != scopes_.end()) {
    if (!visit_scope(user, it->second, visitor)) return;
  }
  if (ns.empty()) return;
  if (const auto it = scopes_.find(ns); it != scopes_.end()) visit_scope(user, it->second, visitor);
}

std::string RbacAuthorizer::describe(const Binding& binding, const Subject& subject) {
  const bool cluster = binding.ns.empty();
  std::string who = subject.name;
  if (subject.kind == "ServiceAccount") who += "/" + (subject.ns.empty() ? binding.ns : subject.ns);
  return base::cat(cluster ? "ClusterRoleBinding " : "RoleBinding ",
                   api::go_quote(cluster ? binding.name : binding.name + "/" + binding.ns), " of ",
                   binding.role_kind, " ", api::go_quote(binding.role_name), " to ", subject.kind, " ",
                   api::go_quote(who));
}

std::string RbacAuthorizer::missing_role(std::string_view kind, std::string_view name) {
  if (kind != "Role" && kind != "ClusterRole") {
    return base::cat("unsupported role reference kind: ", api::go_quote(kind));
  }
  return base::cat(kind == "Role" ? "role" : "clusterrole", ".rbac.authorization.k8s.io ",
                   api::go_quote(name), " not found");
}

namespace {

/// As Go prints an aggregate of errors: repeated ones once, in brackets when there are several.
std::string aggregate(std::vector<std::string> errors) {
  std::vector<std::string> unique;
  for (std::string& e : errors) {
    if (std::find(unique.begin(), unique.end(), e) == unique.end()) unique.push_back(std::move(e));
  }
  if (unique.size() == 1) return unique[0];
  return unique.empty() ? std::string() : "[" + api::join(unique, ", ") + "]";
}

}  // namespace

Verdict RbacAuthorizer::authorize(const Attributes& attributes) {
  Verdict verdict;
  if (attributes.user == nullptr) return verdict;
  const std::string path = resource_path(attributes);
  std::vector<std::string> errors;
  std::shared_lock lock(mutex_);
  visit(*attributes.user, attributes.ns,
        [&](const Binding& binding, const Subject& subject, const std::vector<PolicyRule>* rules) {
          if (rules == nullptr) {
            errors.push_back(missing_role(binding.role_kind, binding.role_name));
            return true;
          }
          for (const PolicyRule& rule : *rules) {
            if (!rule.allows(attributes, path)) continue;
            verdict = {Decision::kAllow, "RBAC: allowed by " + describe(binding, subject)};
            return false;
          }
          return true;
        });
  if (verdict.decision != Decision::kAllow && !errors.empty()) {
    verdict.reason = "RBAC: " + aggregate(std::move(errors));
  }
  return verdict;
}

RbacAuthorizer::HeldRules RbacAuthorizer::rules_for(const UserInfo& user, std::string_view ns) const {
  HeldRules held;
  std::vector<std::string> errors;
  std::vector<const Binding*> seen;  // a binding may name both the user and a group of it
  std::shared_lock lock(mutex_);
  visit(user, ns, [&](const Binding& binding, const Subject&, const std::vector<PolicyRule>* rules) {
    if (std::find(seen.begin(), seen.end(), &binding) != seen.end()) return true;
    seen.push_back(&binding);
    if (rules != nullptr) {
      held.rules.insert(held.rules.end(), rules->begin(), rules->end());
    } else {
      errors.push_back(missing_role(binding.role_kind, binding.role_name));
    }
    return true;
  });
  held.errors = aggregate(std::move(errors));
  return held;
}

base::Result<std::vector<PolicyRule>> RbacAuthorizer::rules_of_ref(std::string_view kind,
                                                                   std::string_view name,
                                                                   std::string_view ns) const {
  std::shared_lock lock(mutex_);
  if (const auto* rules = find_rules(kind, name, ns)) return *rules;
  if (kind != "Role" && kind != "ClusterRole") {
    return base::Status(base::Code::kInternal, missing_role(kind, name));
  }
  base::StatusDetails details;
  details.name = name;
  details.group = "rbac.authorization.k8s.io";
  details.kind = kind == "Role" ? "roles" : "clusterroles";
  std::string message =
      base::cat(details.kind, ".rbac.authorization.k8s.io ", api::go_quote(name), " not found");
  return base::Status(base::Code::kNotFound, std::move(message), std::move(details));
}

}  // namespace orch::server
