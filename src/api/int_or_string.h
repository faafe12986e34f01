// IntOrString: fields such as maxSurge that take a count or a percentage, as
// k8s.io/apimachinery/pkg/util/intstr.
#pragma once

#include <cstdint>
#include <optional>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

enum class Rounding : uint8_t { kDown, kUp };

/// An integer as it is, "30%" as that share of `total`; kBadRequest for anything else.
base::Result<int64_t> scaled_value(const Json& int_or_percent, int64_t total, Rounding rounding);
/// The number in front of '%', nothing when the value is not a percentage.
std::optional<int64_t> percent_of(const Json& int_or_percent);

}  // namespace orch::api
