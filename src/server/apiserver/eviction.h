// What an eviction costs a PodDisruptionBudget (policy/v1). Pure.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::server {

/// A pod that is not ready may go at no cost, if the budget says so or is kept without it.
bool spares_budget(const Json& budget, const Json& pod);

/// The budget with one disruption less, spent on this pod; or, worded as kube-apiserver: kTooManyRequests
/// with cause DisruptionBudget when there is none left or the controller has not caught up with the budget's
/// spec, kForbidden when its status makes no sense.
base::Result<Json> charge_budget(const Json& budget, const std::string& pod, base::WallTime now);

}  // namespace orch::server
