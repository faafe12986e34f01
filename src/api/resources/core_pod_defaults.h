// Defaults of pods and of everything that holds a pod template (core/v1 PodSpec).
#pragma once

#include <string_view>

#include "base/json_fwd.h"

namespace orch::api {

/// What every PodSpec gets, in a pod as in a template: its own fields, containers of all three kinds, probes,
/// volumes. Also makes serviceAccount mirror serviceAccountName.
void default_pod_spec(Json& spec);
/// A PodTemplateSpec (metadata and spec).
void default_pod_template(Json& pod_template);
/// A pod: its spec, plus what only pods get (requests from limits, service links, host ports).
void default_pod(Json& pod);
/// A PersistentVolumeClaimSpec, wherever it stands.
void default_claim_spec(Json& spec);
/// Quantities of a map of resources are rounded up to thousandths and written canonically; what is no
/// quantity is left for validation.
void round_resources(Json& owner, std::string_view key);

}  // namespace orch::api
