// The roles and bindings that exist in every cluster, and how they are kept right over upgrades.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"
#include "client/client.h"

namespace orch::server {

/// Complete trees of all of Kubernetes v1.35's default ClusterRoles, ClusterRoleBindings, Roles and
/// RoleBindings, in the order in which they should be made, from the embedded bootstrap.policy.
std::vector<Json> bootstrap_policy();
/// The same from any text of that form (tools/rbacpolicy/README.md); records it does not know are skipped.
std::vector<Json> parse_policy(std::string_view text);

/// What to do so that a role or binding grants at least what is expected.
struct PolicyChange {
  enum class Action : uint8_t { kNone, kCreate, kUpdate, kRecreate };
  Action action = Action::kNone;
  std::unique_ptr<Json> tree;  // complete, to be written; null for kNone
};

/// Missing rules, aggregation selectors, subjects, labels and annotations are added, none is taken away; a
/// binding with another roleRef is recreated; objects annotated
/// `rbac.authorization.kubernetes.io/autoupdate: "false"` are left alone. `existing` is null when there is
/// none.
PolicyChange reconcile_policy_object(const Json* existing, const Json& expected);

/// Brings the whole default policy about. Goes on after an error and returns the first one.
base::Status reconcile_bootstrap_policy(client::Client& client);

}  // namespace orch::server
