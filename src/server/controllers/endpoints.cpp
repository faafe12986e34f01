#include "server/controllers/endpoints.h"

#include <algorithm>
#include <map>

#include "api/meta.h"
#include "server/controllers/pods.h"
#include "server/controllers/service_backends.h"
#include "server/controllers/slice_planner.h"

namespace orch::server {

namespace {

constexpr const char* kManager = "endpointslice-controller.k8s.io";
constexpr const char* kHeadless = "service.kubernetes.io/headless";

Json target_ref(const api::Object& pod) {
  return {{"kind", "Pod"},
          {"namespace", std::string(pod.ns())},
          {"name", std::string(pod.name())},
          {"uid", std::string(pod.uid())}};
}

bool headless(const Json& service) { return base::string_at(service, {"spec", "clusterIP"}) == "None"; }

Json endpoint_of(const Backend& b) {
  Json e = {{"addresses", Json::array({b.ip})},
            {"conditions", {{"ready", b.ready}, {"serving", b.serving}, {"terminating", b.terminating}}},
            {"targetRef", target_ref(*b.pod)}};
  if (!b.node.empty()) e["nodeName"] = b.node;
  if (!b.zone.empty()) e["zone"] = b.zone;
  if (!b.hostname.empty()) e["hostname"] = b.hostname;
  return e;
}

Json slice_labels(const Json& service) {
  Json labels = Json::object();
  for (const auto& [key, value] : base::object_at(service, {"metadata", "labels"}).items()) {
    if (key != kServiceLabel && key != kManagedBy && key != kHeadless) labels[key] = value;
  }
  labels[kServiceLabel] = std::string(base::string_at(service, {"metadata", "name"}));
  labels[kManagedBy] = kManager;
  if (headless(service)) labels[kHeadless] = "";
  return labels;
}

}  // namespace

Plan plan_endpointslices(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  api::ObjectPtr service = view.get(kServices, key.ns, key.name);
  if (service == nullptr || service->deleting()) return plan;  // slices go with their owner
  const Json tree = service->tree();
  if (base::object_at(tree, {"spec", "selector"}).empty() ||
      base::string_at(tree, {"spec", "type"}) == "ExternalName") {
    return plan;
  }
  std::vector<std::string> families;
  for (const auto& f : base::array_at(tree, {"spec", "ipFamilies"})) families.push_back(f.get<std::string>());
  if (families.empty()) families.emplace_back("IPv4");
  std::vector<Json> own;
  for (const auto& o : view.list(kEndpointSlices, key.ns)) {
    if (o->label(kServiceLabel) != key.name || o->label(kManagedBy) != kManager) continue;
    own.push_back(o->tree());
    const std::string_view family = base::string_at(own.back(), {"addressType"});
    // The service gave up this family.
    if (std::find(families.begin(), families.end(), family) == families.end())
      plan.remove(kEndpointSlices, *o);
  }
  for (const auto& family : families) {
    SliceGroups groups;
    for (const auto& b : backends_of(view, tree, key.ns, family)) {
      SliceGroup& g = groups[base::dump_json(b.ports)];
      g.ports = b.ports;
      g.add(endpoint_of(b));
    }
    SlicePlanner planner(view, {service, slice_labels(tree), Json()}, family, plan);
    // A service without any pod still has one slice: consumers see that it is known.
    planner.reconcile(std::move(groups), own, true);
  }
  return plan;
}

Controller make_endpointslice_controller() {
  Controller c;
  c.name = "endpoint-slice-controller";
  c.queue = "endpoint_slice";
  c.sources = backend_sources(kEndpointSlices, kServiceLabel);
  c.plan = plan_endpointslices;
  return c;
}

Plan plan_endpoints(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  api::ObjectPtr service = view.get(kServices, key.ns, key.name);
  api::ObjectPtr have = view.get(kEndpoints, key.ns, key.name);
  if (service == nullptr) {
    // Only what this controller made: others keep endpoints of their own here.
    if (have != nullptr && have->label("endpoints.kubernetes.io/managed-by") == "endpoint-controller") {
      plan.remove(kEndpoints, *have);
    }
    return plan;
  }
  const Json tree = service->tree();
  if (base::object_at(tree, {"spec", "selector"}).empty()) return plan;
  const bool publish_all = base::bool_at(tree, {"spec", "publishNotReadyAddresses"});
  std::string family(base::array_at(tree, {"spec", "ipFamilies"}).empty()
                         ? "IPv4"
                         : base::array_at(tree, {"spec", "ipFamilies"})[0].get<std::string>());
  std::map<std::string, Json> subsets;
  for (const auto& b : backends_of(view, tree, key.ns, family)) {
    if (b.terminating && !publish_all) continue;
    Json address = {{"ip", b.ip}, {"targetRef", target_ref(*b.pod)}};
    if (!b.node.empty()) address["nodeName"] = b.node;
    if (!b.hostname.empty()) address["hostname"] = b.hostname;
    Json ports = Json::array();
    for (Json p : b.ports) {
      if (base::string_at(p, {"name"}).empty()) p.erase("name");
      ports.push_back(std::move(p));
    }
    Json& subset = subsets[base::dump_json(ports)];
    if (subset.is_null()) subset = Json::object();
    subset[b.ready ? "addresses" : "notReadyAddresses"].push_back(address);
    if (!ports.empty()) subset["ports"] = ports;
  }
  Json list = Json::array();
  for (auto& [ports, subset] : subsets) list.push_back(std::move(subset));
  Json labels = base::object_at(tree, {"metadata", "labels"});
  if (headless(tree)) labels[kHeadless] = "";
  labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller";
  if (have == nullptr) {
    Json fresh = {{"kind", "Endpoints"},
                  {"apiVersion", "v1"},
                  {"metadata", {{"name", key.name}, {"namespace", key.ns}, {"labels", labels}}}};
    if (!list.empty()) fresh["subsets"] = list;
    plan.create(kEndpoints, key.ns, std::move(fresh));
    return plan;
  }
  const Json before = have->tree();
  Json next = before;
  next["metadata"]["labels"] = labels;
  if (list.empty()) {
    next.erase("subsets");
  } else {
    next["subsets"] = list;
  }
  if (next != before) plan.update(kEndpoints, std::move(next));
  return plan;
}

Controller make_endpoints_controller() {
  Controller c;
  c.name = "endpoint-controller";
  c.queue = "endpoint";
  c.sources = backend_sources(kEndpoints, "");
  c.plan = plan_endpoints;
  return c;
}

}  // namespace orch::server
