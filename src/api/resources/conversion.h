// Conversions between served versions of built-in kinds and the version they are stored as.
#pragma once

#include <memory>
#include <string_view>

#include "api/resources/resource.h"

namespace orch::api {

/// autoscaling/v1 HorizontalPodAutoscalers.
Conversion autoscaler_conversion();
/// Between this version and the stored one: events.k8s.io/v1 events and core events, autoscaling/v1 and v2
/// HorizontalPodAutoscalers. Null for kinds without one. kind and apiVersion are the caller's to set.
std::shared_ptr<const Conversion> conversion_for(std::string_view group, std::string_view version,
                                                 std::string_view kind);

}  // namespace orch::api
