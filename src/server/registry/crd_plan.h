// What the API server makes of a CustomResourceDefinition's status: names, conditions, whether it is served
// (k8s.io/apiextensions-apiserver pkg/controller). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::server {

inline constexpr std::string_view kCleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

/// The names that a definition wants are those it has, and it knows.
bool names_settled(const Json& crd);
/// The definition with its status brought up to date: names are accepted where no other definition of the
/// group has them, and with all names accepted it is established. `others` are the group's other definitions,
/// of which only status.acceptedNames counts; none are needed once names are settled. `schema_known`: its
/// schemas were looked at before.
Json plan_crd_status(const Json& crd, const std::vector<const Json*>& others, base::WallTime now,
                     bool schema_known = false);

/// What the deletion of a definition waits for.
enum class CrdCleanup : uint8_t { kNone, kInstances, kFinalizer };
/// kInstances: there are some, or it is not known yet; kFinalizer: nothing is left, it may go.
CrdCleanup plan_crd_cleanup(const Json& crd, size_t instances);
/// The definition with its Terminating condition while instances go, and at the end.
Json with_cleanup_condition(const Json& crd, CrdCleanup cleanup, base::WallTime now);

}  // namespace orch::server
