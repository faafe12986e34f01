// Aggregated ClusterRoles: rules gathered from the ClusterRoles that an aggregationRule selects.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::server {

/// The trees of ClusterRoles whose `rules` must become what their aggregationRule selects now, each complete
/// and ready to be written; roles that are right already are left out. `roles` holds every ClusterRole by
/// name. Gathering is by selector, then name, each rule once. A role with a selector that does not parse is
/// left as it is. Aggregating one level may change what the next one selects: run it again after the writes.
std::vector<Json> plan_aggregation(const std::map<std::string, Json>& roles);

}  // namespace orch::server
