#include "server/admission/pod_resources.h"

#include "api/effective_resources.h"
#include "base/json.h"

namespace orch::server {

ResourceList resource_list(const Json& quantities) {
  ResourceList out;
  if (!quantities.is_object()) return out;
  for (const auto& [name, value] : quantities.items()) out[name] = api::Quantity::of(&value);
  return out;
}

void add_resources(ResourceList& sum, const ResourceList& more) {
  for (const auto& [name, quantity] : more) {
    const auto [it, fresh] = sum.try_emplace(name, quantity);
    if (!fresh) it->second += quantity;
  }
}

void max_resources(ResourceList& greatest, const ResourceList& other) {
  for (const auto& [name, quantity] : other) {
    const auto [it, fresh] = greatest.try_emplace(name, quantity);
    if (!fresh && quantity > it->second) it->second = quantity;
  }
}

namespace {

ResourceList sum_of(const Json& pod, const char* kind, bool effective) {
  const auto own_of = [&](const Json& container) {
    return resource_list(effective ? api::effective_resources(pod, container, kind)
                                   : base::object_at(container, {"resources", kind}));
  };
  ResourceList sum;
  for (const Json& container : base::array_at(pod, {"spec", "containers"})) {
    add_resources(sum, own_of(container));
  }
  ResourceList sidecars, init;
  for (const Json& container : base::array_at(pod, {"spec", "initContainers"})) {
    const bool sidecar = base::string_at(container, {"restartPolicy"}) == "Always";
    ResourceList own =
        sidecar ? own_of(container) : resource_list(base::object_at(container, {"resources", kind}));
    if (sidecar) {
      add_resources(sum, own);
      add_resources(sidecars, own);
      own = sidecars;
    } else {
      add_resources(own, sidecars);
    }
    max_resources(init, own);
  }
  max_resources(sum, init);
  for (const auto& [name, quantity] : resource_list(base::object_at(pod, {"spec", "resources", kind}))) {
    if (name == "cpu" || name == "memory" || name.starts_with("hugepages-")) sum[name] = quantity;
  }
  return sum;
}

}  // namespace

ResourceList pod_resources(const Json& pod, const char* kind) { return sum_of(pod, kind, false); }
ResourceList effective_pod_resources(const Json& pod, const char* kind) { return sum_of(pod, kind, true); }

}  // namespace orch::server
