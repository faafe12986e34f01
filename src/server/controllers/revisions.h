// The history of a workload as ControllerRevisions (apps/v1), by the rules of Kubernetes'
// pkg/controller/history. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/selector.h"
#include "base/json.h"
#include "server/controllers/controller.h"

namespace orch::server {

inline const client::ResourceRef kRevisions{"apps", "v1", "controllerrevisions"};
/// On a revision: the hash of its data.
inline constexpr const char* kRevisionDataHashLabel = "controller.kubernetes.io/hash";
/// On a pod: the revision it was made from (DaemonSets: its hash; StatefulSets: its name).
inline constexpr const char* kRevisionHashLabel = "controller-revision-hash";

/// What a revision keeps of a workload: a patch that puts its pod template back.
Json template_patch(const Json& workload);
/// The pod template a revision puts back.
Json template_of(const Json& revision);
/// The same value as kube-controller-manager gives the same data: FNV-1 over Go's encoding of it and the
/// number of collisions, in the safe alphabet.
std::string revision_hash(const Json& data, int64_t collisions);
/// "<workload>-<hash>", within the length of a name.
std::string revision_name(std::string_view workload, std::string_view hash);

/// A revision, parsed. `object` is null for one that is being planned.
struct Revision {
  api::ObjectPtr object;
  Json tree;
  int64_t number() const;
  std::string name() const;
};

/// The workload's revisions, oldest first: those it owns and the orphans its selector covers. Orphans are
/// adopted by a write in `plan`, unless the workload is going.
std::vector<Revision> claim_revisions(const View& view, const api::Object& owner,
                                      const api::LabelSelector& selector, Plan& plan);

}  // namespace orch::server
