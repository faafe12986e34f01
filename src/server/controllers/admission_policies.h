// validatingadmissionpolicy-status-controller: status.typeChecking of ValidatingAdmissionPolicies
// (k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus).
#pragma once

#include <vector>

#include "api/resources/resource.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// The rows whose objects a policy's expressions are checked for: those its rules name without wildcards,
/// by group, version and kind, ten of a rule at most.
std::vector<api::ResourcePtr> rows_to_check(const Json& spec, const api::ResourceTable& table);

/// What a generation of a policy that was not looked at yet says wrong of its objects' types.
Plan plan_policy_status(const api::Object& policy, const api::ResourceTable& table);

/// `table` outlives the controller.
Controller make_admission_policy_status_controller(const api::ResourceTable& table);

}  // namespace orch::server
