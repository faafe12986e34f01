#include "api/effective_resources.h"

#include "api/meta.h"
#include "api/quantity.h"
#include "base/json.h"

namespace orch::api {
namespace {

const Json* status_of(const Json& pod, std::string_view name) {
  for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
    for (const Json& s : base::array_at(pod, {"status", list})) {
      if (base::string_at(s, {"name"}) == name) return &s;
    }
  }
  return nullptr;
}

void raise(Json& to, const Json& by) {
  for (const auto& [name, amount] : by.items()) {
    const auto it = to.find(name);
    if (it == to.end() || Quantity::of(&*it) < Quantity::of(&amount)) to[name] = amount;
  }
}

}  // namespace

Json effective_resources(const Json& pod, const Json& container, const char* kind) {
  const Json& asked = base::object_at(container, {"resources", kind});
  const Json* status = status_of(pod, base::string_at(container, {"name"}));
  if (status == nullptr || base::find_path(*status, {"resources"}) == nullptr) return asked;
  const Json& actual = base::object_at(*status, {"resources", kind});
  const Json& allocated =
      base::object_at(*status, {std::string_view(kind) == "requests" ? "allocatedResources" : ""});
  if (actual == asked && (allocated.empty() || allocated == asked)) return asked;
  const Json* pending = find_condition(pod, "PodResizePending");
  const bool infeasible = pending != nullptr && base::string_at(*pending, {"reason"}) == "Infeasible";
  Json out = infeasible ? Json::object() : asked;
  raise(out, actual);
  raise(out, allocated);
  return out;
}

}  // namespace orch::api
