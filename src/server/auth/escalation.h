// Privilege escalation: nobody grants by RBAC what they do not hold themselves.
#pragma once

#include <string_view>

#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/auth.h"
#include "server/auth/rbac.h"

namespace orch::server {

/// Kubernetes' text about rights in `wanted` that `user` does not hold in `ns`; empty when all are held.
std::string missing_rights(const RbacAuthorizer& rbac, const UserInfo& user, std::string_view ns,
                           const std::vector<PolicyRule>& wanted);

/// Called before a Role, ClusterRole, RoleBinding or ClusterRoleBinding is written. `resource` is the plural,
/// `old` null for a create, `ns` "" for the cluster-wide kinds. OK for members of system:masters, for those
/// who may `escalate` the role or `bind` the bound role, and for those who hold every right granted. Else
/// kForbidden (or kNotFound for a binding to a missing role), worded as Kubernetes does. Thread-safe.
base::Status confirm_no_escalation(const RbacAuthorizer& rbac, Authorizer& authorizer, const UserInfo& user,
                                   std::string_view resource, std::string_view ns, const Json& object,
                                   const Json* old);

}  // namespace orch::server
