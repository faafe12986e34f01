#include "api/resources/pod_features.h"

#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kContainerKinds[] = {"initContainers", "containers", "ephemeralContainers"};
constexpr const char* kStatusKinds[] = {"initContainerStatuses", "containerStatuses",
                                        "ephemeralContainerStatuses"};

/// ContainerStopSignals
bool uses_stop_signal(const Json& spec) {
  for (const char* kind : kContainerKinds) {
    for (const Json& container : list_of(spec, kind)) {
      if (has(map_of(container, "lifecycle"), "stopSignal")) return true;
    }
  }
  return false;
}

/// ClusterTrustBundleProjection, PodCertificateRequest
bool uses_projection(const Json& spec, std::string_view source) {
  for (const Json& volume : list_of(spec, "volumes")) {
    for (const Json& s : list_of(map_of(volume, "projected"), "sources")) {
      if (has(s, source)) return true;
    }
  }
  return false;
}

void drop_stop_signals(Json& spec) {
  for (const char* kind : kContainerKinds) {
    each(spec, kind, [](Json& container) {
      Json* lifecycle = object_in(container, "lifecycle");
      if (!lifecycle || !has(*lifecycle, "stopSignal")) return;
      drop(*lifecycle, "stopSignal");
      if (lifecycle->empty()) drop(container, "lifecycle");
    });
  }
}

void drop_projection(Json& spec, std::string_view source) {
  each(spec, "volumes", [&](Json& volume) {
    if (Json* projected = object_in(volume, "projected")) {
      each(*projected, "sources", [&](Json& s) { drop(s, source); });
    }
  });
}

}  // namespace

void drop_disabled_pod_fields(Json& spec, const Json* old_spec) {
  static const Json none = Json::object();
  const Json& old = old_spec ? *old_spec : none;
  if (!uses_stop_signal(old)) drop_stop_signals(spec);
  for (const char* source : {"clusterTrustBundle", "podCertificate"}) {
    if (!uses_projection(old, source)) drop_projection(spec, source);
  }
  if (!has(old, "workloadRef")) drop(spec, "workloadRef");
}

void drop_disabled_pod_status_fields(Json& status, const Json* old_status) {
  static const Json none = Json::object();
  const Json& old = old_status ? *old_status : none;
  // InPlacePodLevelResourcesVerticalScaling
  if (!has(old, "resources") && !has(old, "allocatedResources")) {
    drop(status, "resources");
    drop(status, "allocatedResources");
  }
  // DRAExtendedResource
  if (!has(old, "extendedResourceClaimStatus")) drop(status, "extendedResourceClaimStatus");
  // ResourceHealthStatus
  for (const char* kind : kStatusKinds) {
    each(status, kind, [](Json& container) { drop(container, "allocatedResourcesStatus"); });
  }
}

}  // namespace orch::api
