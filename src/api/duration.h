// Durations as people and the Kubernetes API write them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace orch::api {

/// Two or three significant figures: "5s", "3m20s", "4h", "2d3h", "1y30d"; as kubectl shows ages.
std::string human_duration(base::Duration duration);
/// Age of a metav1.Time text at `now`; "<unknown>" when there is none.
std::string age_text(std::string_view timestamp, base::WallTime now);
/// Go's time.Duration text, as metav1.Duration: "1h30m", "250ms", "-1.5s". kBadRequest otherwise.
base::Result<base::Duration> parse_duration(std::string_view text);
/// As Go's Duration.String: "1h30m0s", "1.5s", "100ms", "0s".
std::string format_duration(base::Duration duration);

}  // namespace orch::api
