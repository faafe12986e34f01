// Maps of resource quantities (core/v1 ResourceList) and what is computed from those of a pod.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "api/quantity.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Resource name -> amount. Values that are no quantity are left out: validation speaks of them.
using ResourceList = std::map<std::string, Quantity, std::less<>>;

ResourceList parse_resource_list(const Json& list);
void add_resources(ResourceList& sum, const ResourceList& more);
void max_resources(ResourceList& most, const ResourceList& other);

/// What the containers of a pod spec need together: the sum of containers and sidecars, or what an init
/// container needs beside the sidecars before it, if that is more (KEP-753). `member` is "requests" or
/// "limits" of each container's resources.
ResourceList container_totals(const Json& spec, std::string_view member);

/// cpu, memory and hugepages-*: what the resources of a pod as a whole may name (KEP-2837).
bool is_pod_level_resource(std::string_view name);
/// An init container with restartPolicy Always.
bool is_sidecar(const Json& init_container);

/// status.qosClass of a pod: Guaranteed, Burstable or BestEffort.
std::string_view qos_class(const Json& pod);

/// Rounds one quantity up to thousandths, in canonical form; anything else is left alone.
void round_quantity(Json& value);

}  // namespace orch::api
