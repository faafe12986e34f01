// flowcontrol.apiserver.k8s.io: the strategies of its kinds, and the FlowSchemas and
// PriorityLevelConfigurations every cluster begins with (k8s.io/apiserver pkg/apis/flowcontrol/bootstrap):
// which there are, as complete objects.
#pragma once

#include <string_view>
#include <vector>

#include "api/resources/resource.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Of one kind. Mandatory ones always are as they are here; the others are suggestions that people may
/// change.
struct FlowObjects {
  std::vector<Json> mandatory, suggested;
};

/// flowcontrol.apiserver.k8s.io/v1, with the annotation apf.kubernetes.io/autoupdate-spec. Made once.
const FlowObjects& builtin_priority_levels();
const FlowObjects& builtin_flow_schemas();
/// The mandatory object of that name in `objects`, or null.
const Json* mandatory_flow_object(const FlowObjects& objects, std::string_view name);

/// Of the two kinds (flow_control.cpp).
Strategy flow_schema_strategy();
Strategy priority_level_strategy();

}  // namespace orch::api
