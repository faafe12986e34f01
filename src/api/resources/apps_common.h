// What kinds that run copies of a pod template share: apps/v1 and ReplicationController.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_error.h"
#include "api/resources/resource.h"
#include "base/json_fwd.h"

namespace orch::api {

/// has_generation, and prepare functions that drop status and disabled members of spec.template.
Strategy workload_strategy();
void prepare_workload_create(Json& object, const StrategyContext& context);
void prepare_workload_update(Json& object, const Json& old, const StrategyContext& context);

/// spec.selector (required, not empty, "… is invalid for KIND") and spec.template of kinds whose pods always
/// run: ReplicaSet and Deployment.
void validate_replicated_template(const Json& spec, const Json* old_spec, const FieldPath& path,
                                  std::string_view kind, FieldErrors& errors);
/// "`selector` does not match template `labels`"; a missing selector matches nothing.
void validate_selector_matches(const Json& selector, const Json& pod_template, const FieldPath& template_path,
                               FieldErrors& errors);
/// restartPolicy Always and no activeDeadlineSeconds.
void validate_always_running(const Json& pod_spec, const FieldPath& path, std::string_view kind,
                             FieldErrors& errors);
/// Members of status that must not be negative, in this order.
void validate_counts(const Json& status, std::initializer_list<const char*> members, FieldErrors& errors);
void validate_at_most_replicas(const Json& status, std::initializer_list<const char*> members,
                               FieldErrors& errors);
void validate_available_ready(const Json& status, std::string_view detail, FieldErrors& errors);
void validate_collision_count(const Json& status, const Json& old_status, FieldErrors& errors);
/// The number, or the number in front of '%'; 0 for anything else.
int64_t int_or_percent(const Json& value);

/// Warnings of spec.template, on create or when it may have changed; `name_matters`: names of pods are made
/// from the object's.
std::vector<std::string> workload_warnings(const Json& object, const Json* old, bool name_matters);

}  // namespace orch::api
