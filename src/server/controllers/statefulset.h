// StatefulSet controller (apps/v1): pods with a name, an ordinal and storage of their own, made, removed and
// updated in order. What kube-controller-manager v1.35 does, with its gates at their defaults
// (MaxUnavailableStatefulSet is off: an update replaces one pod at a time).
#pragma once

#include "server/controllers/controller.h"

namespace orch::server {

Controller make_statefulset_controller();
/// The pure part, for tests.
Plan plan_statefulset(const View& view, const Key& key, base::WallTime now);

}  // namespace orch::server
