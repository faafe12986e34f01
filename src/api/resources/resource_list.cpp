#include "api/resources/resource_list.h"

#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

bool is_qos_resource(std::string_view name) { return name == "cpu" || name == "memory"; }

/// Adds cpu and memory that are more than nothing; says which were there.
struct QosSum {
  ResourceList total;
  bool complete = true;  // cpu and memory both, in every list added

  void add(const Json& list) {
    int found = 0;
    for (const auto& [name, quantity] : parse_resource_list(list)) {
      if (!is_qos_resource(name) || quantity.sign() <= 0) continue;
      ++found;
      total[name] += quantity;
    }
    if (found != 2) complete = false;
  }
};

}  // namespace

ResourceList parse_resource_list(const Json& list) {
  ResourceList out;
  if (!list.is_object()) return out;
  for (auto it = list.begin(); it != list.end(); ++it) {
    auto quantity = Quantity::from_json(*it);
    if (quantity.ok()) out.emplace(it.key(), std::move(*quantity));
  }
  return out;
}

void add_resources(ResourceList& sum, const ResourceList& more) {
  for (const auto& [name, quantity] : more) {
    const auto [it, fresh] = sum.emplace(name, quantity);
    if (!fresh) it->second += quantity;
  }
}

void max_resources(ResourceList& most, const ResourceList& other) {
  for (const auto& [name, quantity] : other) {
    const auto [it, fresh] = most.emplace(name, quantity);
    if (!fresh && quantity > it->second) it->second = quantity;
  }
}

bool is_sidecar(const Json& init_container) { return text_of(init_container, "restartPolicy") == "Always"; }

ResourceList container_totals(const Json& spec, std::string_view member) {
  const auto list_of_container = [&](const Json& container) {
    return parse_resource_list(map_of(map_of(container, "resources"), member));
  };
  ResourceList total;
  for (const Json& container : list_of(spec, "containers"))
    add_resources(total, list_of_container(container));
  ResourceList sidecars;
  ResourceList most_of_init;
  for (const Json& container : list_of(spec, "initContainers")) {
    ResourceList needs = list_of_container(container);
    if (is_sidecar(container)) {
      add_resources(total, needs);
      add_resources(sidecars, needs);
      needs = sidecars;
    } else {
      add_resources(needs, sidecars);
    }
    max_resources(most_of_init, needs);
  }
  max_resources(total, most_of_init);
  return total;
}

bool is_pod_level_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name.starts_with("hugepages-");
}

std::string_view qos_class(const Json& pod) {
  const Json& spec = map_of(pod, "spec");
  QosSum requests;
  QosSum limits;
  if (has(spec, "resources")) {
    const Json& resources = map_of(spec, "resources");
    requests.add(map_of(resources, "requests"));
    if (has_items(resources, "limits")) limits.add(map_of(resources, "limits"));
  } else {
    for (const char* kind : {"containers", "initContainers"}) {
      for (const Json& container : list_of(spec, kind)) {
        const Json& resources = map_of(container, "resources");
        requests.add(map_of(resources, "requests"));
        limits.add(map_of(resources, "limits"));
      }
    }
  }
  if (requests.total.empty() && limits.total.empty()) return "BestEffort";
  if (!limits.complete || requests.total.size() != limits.total.size()) return "Burstable";
  for (const auto& [name, quantity] : requests.total) {
    const auto it = limits.total.find(name);
    if (it == limits.total.end() || it->second != quantity) return "Burstable";
  }
  return "Guaranteed";
}

void round_quantity(Json& value) {
  auto quantity = Quantity::from_json(value);
  if (!quantity.ok() || value.is_null()) return;
  const int64_t milli = quantity->milli_value();
  const Quantity rounded = Quantity::of_milli(milli, quantity->format());
  // Beyond what thousandths can count there is nothing to round.
  const bool in_range = milli > INT64_MIN && milli < INT64_MAX;
  value = in_range && rounded != *quantity ? rounded.text() : quantity->text();
}

}  // namespace orch::api
