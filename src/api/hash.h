// Hashes that name and compare what controllers make. Stable over restarts and versions of Orch: the names
// of ReplicaSets depend on them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_fwd.h"

namespace orch::api {

constexpr uint32_t kFnv32Start = 2166136261U;
/// FNV-1a, 32 bits; pass an earlier result to go on.
uint32_t fnv1a32(std::string_view bytes, uint32_t hash = kFnv32Start);
/// FNV-1 (multiplies first), 32 bits: what Go calls fnv.New32.
uint32_t fnv1_32(std::string_view bytes, uint32_t hash = kFnv32Start);
/// FNV-1a, 64 bits.
uint64_t fnv1a64(std::string_view bytes);

/// The value of label pod-template-hash (and, for DaemonSets, controller-revision-hash) of a pod template:
/// made of the safe alphabet. `collisions` is status.collisionCount.
std::string template_hash(const Json& pod_template, std::optional<int64_t> collisions);

}  // namespace orch::api
