#include "server/controllers/endpoint_mirroring.h"

#include "api/meta.h"
#include "server/controllers/pods.h"
#include "server/controllers/slice_planner.h"

namespace orch::server {

namespace {

constexpr const char* kManager = "endpointslicemirroring-controller.k8s.io";
constexpr const char* kSkip = "endpointslice.kubernetes.io/skip-mirror";
constexpr const char* kLeader = "control-plane.alpha.kubernetes.io/leader";
/// Of one subset; more are left out, as in Kubernetes.
constexpr size_t kMaxAddresses = 1000;

bool selects(const Json& service) {
  const Json* selector = base::find_path(service, {"spec", "selector"});
  return selector != nullptr && selector->is_object();
}

Json labels_of(const Json& endpoints, const std::string& name) {
  Json labels = base::object_at(endpoints, {"metadata", "labels"});
  labels[kServiceLabel] = name;
  labels[kManagedBy] = kManager;
  return labels;
}

Json annotations_of(const Json& endpoints) {
  Json out = base::object_at(endpoints, {"metadata", "annotations"});
  out.erase("kubectl.kubernetes.io/last-applied-configuration");
  out.erase("endpoints.kubernetes.io/last-change-trigger-time");
  return out;
}

Json ports_of(const Json& subset) {
  Json out = Json::array();
  for (Json port : base::array_at(subset, {"ports"})) {
    if (!port.contains("name")) port["name"] = "";
    if (!port.contains("protocol")) port["protocol"] = "TCP";
    out.push_back(std::move(port));
  }
  return out;
}

Json endpoint_of(const Json& address, bool ready) {
  Json e = {{"addresses", Json::array({std::string(base::string_at(address, {"ip"}))})},
            {"conditions", {{"ready", ready}}}};
  for (const char* key : {"hostname", "nodeName", "targetRef"}) {
    if (address.contains(key)) e[key] = address[key];
  }
  return e;
}

SliceGroups groups_of(const Json& endpoints, std::string_view family) {
  SliceGroups groups;
  for (const Json& subset : base::array_at(endpoints, {"subsets"})) {
    const Json ports = ports_of(subset);
    size_t taken = 0;
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      for (const Json& address : base::array_at(subset, {list})) {
        const std::string_view ip = base::string_at(address, {"ip"});
        const bool v6 = ip.find(':') != std::string_view::npos;
        if (ip.empty() || v6 != (family == "IPv6") || taken++ >= kMaxAddresses) continue;
        SliceGroup& group = groups[base::dump_json(ports)];
        group.ports = ports;
        group.add(endpoint_of(address, list[0] == 'a'));
      }
    }
  }
  return groups;
}

}  // namespace

Plan plan_endpoint_mirroring(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  std::vector<Json> own;
  std::vector<api::ObjectPtr> objects;
  for (const auto& o : view.list(kEndpointSlices, key.ns)) {
    if (o->label(kServiceLabel) != key.name || o->label(kManagedBy) != kManager) continue;
    own.push_back(o->tree());
    objects.push_back(o);
  }
  const api::ObjectPtr service = view.get(kServices, key.ns, key.name);
  const api::ObjectPtr endpoints = view.get(kEndpoints, key.ns, key.name);
  const bool mirror = service != nullptr && endpoints != nullptr && !endpoints->deleting() &&
                      endpoints->label(kSkip) != "true" && !selects(service->tree());
  const Json tree = mirror ? endpoints->tree() : Json();
  if (!mirror || !api::annotation(tree, kLeader).empty()) {
    for (const auto& o : objects) plan.remove(kEndpointSlices, *o);
    return plan;
  }
  for (const char* family : {"IPv4", "IPv6"}) {
    SlicePlanner planner(view, {endpoints, labels_of(tree, key.name), annotations_of(tree)}, family, plan);
    planner.reconcile(groups_of(tree, family), own, false);
  }
  return plan;
}

Controller make_endpointslice_mirroring_controller() {
  Controller c;
  c.name = "endpoint-slice-mirroring-controller";
  c.queue = "endpoint_slice_mirroring";
  auto slice_keys = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) -> Keys {
    const api::Object& slice = after ? *after : *before;
    const std::string_view name = slice.label(kServiceLabel);
    if (slice.label(kManagedBy) != kManager || name.empty()) return {};
    return {Key{std::string(slice.ns()), std::string(name)}};
  };
  c.sources = {{kEndpoints, own_key, {}}, {kServices, own_key, {}}, {kEndpointSlices, slice_keys, {}}};
  c.plan = plan_endpoint_mirroring;
  return c;
}

}  // namespace orch::server
