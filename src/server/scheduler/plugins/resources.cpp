#include "server/scheduler/plugins/resources.h"

namespace orch::server::scheduler {

ResourceName::ResourceName(std::string n)
    : kind(n == "cpu"                 ? Kind::kCpu
           : n == "memory"            ? Kind::kMemory
           : n == "ephemeral-storage" ? Kind::kEphemeralStorage
                                      : Kind::kScalar),
      name(std::move(n)) {}

int64_t ResourceName::of(const Resources& r) const {
  switch (kind) {
    case Kind::kCpu:
      return r.milli_cpu;
    case Kind::kMemory:
      return r.memory;
    case Kind::kEphemeralStorage:
      return r.ephemeral_storage;
    case Kind::kScalar:
      break;
  }
  auto it = r.scalars.find(name);
  return it == r.scalars.end() ? 0 : it->second;
}

Use use_of(const ResourceName& resource, int64_t pod_requests, const NodeInfo& node, bool real) {
  using Kind = ResourceName::Kind;
  // A scarce resource says nothing about a pod that does not want it.
  if (resource.kind == Kind::kScalar && pod_requests == 0) return {};
  const int64_t capacity = resource.of(node.allocatable);
  if (capacity == 0) return {};
  int64_t used = resource.of(node.requested);
  if (!real && resource.kind == Kind::kCpu) used = node.weighed_cpu;
  if (!real && resource.kind == Kind::kMemory) used = node.weighed_memory;
  return {used + pod_requests, capacity};
}

}  // namespace orch::server::scheduler
