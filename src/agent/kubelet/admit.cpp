#include "agent/kubelet/admit.h"

#include "base/status.h"

namespace orch::agent {
namespace {

Waiting out_of(const char* resource, int64_t requested, int64_t used, int64_t capacity) {
  return {base::cat("OutOf", resource),
          base::cat("Node didn't have enough resource: ", resource, ", requested: ", requested,
                    ", used: ", used, ", capacity: ", capacity)};
}

}  // namespace

std::optional<Waiting> rejection(const Pod& pod, const NodeRoom& room) {
  PodResources used;
  for (const PodResources& r : room.used) {
    used.milli_cpu_request += r.milli_cpu_request;
    used.memory_request += r.memory_request;
  }
  const PodResources wanted = pod_resources(pod);
  const auto count = static_cast<int64_t>(room.used.size());
  if (count + 1 > room.pods) return out_of("pods", 1, count, room.pods);
  if (wanted.milli_cpu_request > 0 && used.milli_cpu_request + wanted.milli_cpu_request > room.milli_cpu) {
    return out_of("cpu", wanted.milli_cpu_request, used.milli_cpu_request, room.milli_cpu);
  }
  if (wanted.memory_request > 0 && used.memory_request + wanted.memory_request > room.memory) {
    return out_of("memory", wanted.memory_request, used.memory_request, room.memory);
  }
  return std::nullopt;
}

}  // namespace orch::agent
