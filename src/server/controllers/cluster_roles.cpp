#include "server/controllers/cluster_roles.h"

#include <map>

#include "api/scan.h"
#include "base/json.h"
#include "server/auth/role_aggregation.h"

namespace orch::server {
namespace {

const client::ResourceRef kClusterRoles{"rbac.authorization.k8s.io", "v1", "clusterroles"};

/// All roles are looked at together: there are few, and which ones select a changed one is not indexed.
Keys everything(const api::ObjectPtr&, const api::ObjectPtr&, const View&) { return {Key{"", "all"}}; }

}  // namespace

Controller make_cluster_role_aggregation_controller() {
  Controller c;
  c.name = "clusterrole-aggregation-controller";
  c.queue = "ClusterRoleAggregator";
  c.sources = {{kClusterRoles, everything, {}}};
  c.plan = [](const View& view, const Key&, base::WallTime) {
    std::map<std::string, Json> roles;
    bool aggregated = false;
    for (const api::ObjectPtr& role : view.list(kClusterRoles, "")) {
      if (role->deleting()) continue;
      aggregated |= api::mentions(role->bytes(), "\"aggregationRule\"");
      roles.emplace(role->name(), role->tree());
    }
    Plan plan;
    if (!aggregated) return plan;
    // Writing one level wakes this controller for the next.
    for (Json& role : plan_aggregation(roles)) plan.update(kClusterRoles, std::move(role));
    return plan;
  };
  return c;
}

}  // namespace orch::server
