// Requests and limits of pods, summed as Kubernetes sums them for limits and quotas.
#pragma once

#include <map>
#include <string>

#include "api/quantity.h"
#include "base/json_fwd.h"

namespace orch::server {

/// core/v1 ResourceList.
using ResourceList = std::map<std::string, api::Quantity>;

/// The quantities of a JSON object, or an empty list.
ResourceList resource_list(const Json& quantities);
void add_resources(ResourceList& sum, const ResourceList& more);
/// The greater of both, for each resource.
void max_resources(ResourceList& greatest, const ResourceList& other);

/// What a pod asks for: containers and sidecars together, or the greatest init container with the sidecars
/// started before it, whichever is more; pod-level requests and limits of cpu, memory and huge pages win.
/// `kind` is "requests" or "limits". Overhead is not in it.
ResourceList pod_resources(const Json& pod, const char* kind);
/// The same of a pod that may be under way from other resources: see api/effective_resources.h.
ResourceList effective_pod_resources(const Json& pod, const char* kind);

}  // namespace orch::server
