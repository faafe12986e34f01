// Resource claim controller (resource.k8s.io/v1, KEP-4381): makes the ResourceClaims that pods want from
// ResourceClaimTemplates, and takes claims back from pods that are done: their reservations, the allocation
// of claims nobody uses any more, and the claims that were made for them.
#pragma once

#include <map>
#include <string>

#include "server/controllers/controller.h"

namespace orch::server {

inline const client::ResourceRef kResourceClaims{"resource.k8s.io", "v1", "resourceclaims"};
inline const client::ResourceRef kResourceClaimTemplates{"resource.k8s.io", "v1", "resourceclaimtemplates"};

/// Per pod: its claims.
Controller make_pod_claims_controller();
/// Per claim: who still uses it.
Controller make_claim_users_controller();

// The pure parts, for tests.
Plan plan_pod_claims(const View& view, const Key& key, base::WallTime now);
/// Names of pods that the claim is reserved for and that `view` does not know: whether they are there has to
/// be asked.
std::vector<std::string> unknown_users(const View& view, const Key& key);
/// `asked`: uids of those by name; none for one that is not there.
Plan plan_claim_users(const View& view, const Key& key, const std::map<std::string, std::string>& asked);

}  // namespace orch::server
