// RbacAuthorizer: decides by the Roles, ClusterRoles and their bindings (rbac.authorization.k8s.io/v1).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/object.h"
#include "base/status.h"
#include "server/auth/auth.h"
#include "server/auth/rbac_rule.h"

namespace orch::server {

/// Keeps roles compiled and bindings indexed by user and group, so that a decision parses no JSON and looks
/// only at bindings that name the user or one of its groups. Fed by change notifications of the four kinds:
/// `before` is null for an add, `after` null for a delete. Thread-safe.
class RbacAuthorizer final : public Authorizer {
 public:
  void on_role(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_cluster_role(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_role_binding(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_cluster_role_binding(const api::ObjectPtr& before, const api::ObjectPtr& after);

  /// kAllow with "RBAC: allowed by <binding> of <role> to <subject>", or kNoOpinion; its reason names roles
  /// that bindings of this user refer to and that do not exist.
  Verdict authorize(const Attributes& attributes) override;

  /// What a user holds in a namespace ("" = cluster-wide only). `errors` names missing roles.
  struct HeldRules {
    std::vector<PolicyRule> rules;
    std::string errors;
  };
  HeldRules rules_for(const UserInfo& user, std::string_view ns) const;

  /// Rules behind a roleRef of a binding in `ns` ("" for a ClusterRoleBinding); kNotFound when the role is
  /// missing.
  base::Result<std::vector<PolicyRule>> rules_of_ref(std::string_view kind, std::string_view name,
                                                     std::string_view ns) const;

 private:
  using Rules = std::shared_ptr<const std::vector<PolicyRule>>;
  struct Subject {
    std::string kind, ns, name;
    std::string key;  // "u:<user name>" or "g:<group>", "" when it can match nobody
  };
  struct Binding {
    std::string ns, name, role_kind, role_name;
    std::vector<Subject> subjects;
  };
  using BindingPtr = std::shared_ptr<const Binding>;
  /// Bindings of one namespace ("" = ClusterRoleBindings).
  struct Scope {
    std::map<std::string, BindingPtr, std::less<>> by_name;
    std::unordered_map<std::string, std::vector<BindingPtr>> by_subject;
  };
  /// Called for each binding that applies, with its rules or null when its role is missing; false ends it.
  using Visitor = std::function<bool(const Binding&, const Subject&, const std::vector<PolicyRule>*)>;

  void on_binding(const api::ObjectPtr& before, const api::ObjectPtr& after, bool cluster);
  void on_any_role(const api::ObjectPtr& before, const api::ObjectPtr& after, bool cluster);
  bool visit_scope(const UserInfo& user, const Scope& scope, const Visitor& visitor) const;
  void visit(const UserInfo& user, std::string_view ns, const Visitor& visitor) const;
  const std::vector<PolicyRule>* find_rules(std::string_view kind, std::string_view name,
                                            std::string_view ns) const;
  static BindingPtr parse_binding(const api::Object& object);
  static std::string describe(const Binding& binding, const Subject& subject);
  static std::string missing_role(std::string_view kind, std::string_view name);

  mutable std::shared_mutex mutex_;
  std::map<std::pair<std::string, std::string>, Rules, std::less<>> roles_;  // (namespace or "", name)
  std::map<std::string, Scope, std::less<>> scopes_;                         // namespace or ""
};

}  // namespace orch::server
