#include "server/controllers/endpoints.h"

#include <algorithm>
#include <map>

#include "api/hash.h"
#include "api/meta.h"
#include "api/names.h"
#include "server/controllers/pods.h"
#include "server/controllers/service_backends.h"

namespace orch::server {

namespace {

constexpr size_t kPerSlice = 100;
constexpr const char* kServiceLabel = "kubernetes.io/service-name";
constexpr const char* kManagedBy = "endpointslice.kubernetes.io/managed-by";
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

std::string endpoint_key(const Json& endpoint) {
  return std::string(base::string_at(endpoint, {"targetRef", "uid"}));
}

/// Slices of one address family and one set of ports, brought to hold exactly `wanted` (by pod uid).
struct SliceGroup {
  Json ports;
  std::map<std::string, Json> wanted;
};

class SlicePlanner {
 public:
  SlicePlanner(const View& view, const api::ObjectPtr& service, const Json& tree, const std::string& family,
               Plan& plan)
      : view_(view), service_(service), labels_(slice_labels(tree)), family_(family), plan_(plan) {}

  /// Takes over `existing` slices with the group's ports: what is still wanted stays where it is, what is
  /// missing fills the gaps, and a new slice is begun only when all are full.
  void reconcile(SliceGroup group, std::vector<Json> existing) {
    std::vector<Json> next = existing;
    for (auto& slice : next) {
      Json kept = Json::array();
      for (const auto& e : base::array_at(slice, {"endpoints"})) {
        auto it = group.wanted.find(endpoint_key(e));
        if (it == group.wanted.end()) continue;
        kept.push_back(it->second);
        group.wanted.erase(it);
      }
      slice["endpoints"] = std::move(kept);
    }
    size_t at = 0;
    size_t number = 0;
    for (auto& [uid, endpoint] : group.wanted) {
      while (at < next.size() && next[at]["endpoints"].size() >= kPerSlice) ++at;
      if (at == next.size()) next.push_back(fresh(group.ports, number++));
      next[at]["endpoints"].push_back(endpoint);
    }
    // A service without any pod still has one slice: consumers see that it is known.
    if (next.empty()) next.push_back(fresh(group.ports, number));
    for (size_t i = 0; i < next.size(); ++i) {
      Json& slice = next[i];
      if (i >= existing.size()) {
        plan_.create(kEndpointSlices, service_->ns(), std::move(slice));
      } else if (slice["endpoints"].empty() && next.size() > 1) {
        remove(existing[i]);
      } else {
        slice["metadata"]["labels"] = labels_;
        if (slice != existing[i]) plan_.update(kEndpointSlices, std::move(slice));
      }
    }
  }

  void remove(const Json& slice) {
    api::ObjectPtr o =
        view_.get(kEndpointSlices, service_->ns(), base::string_at(slice, {"metadata", "name"}));
    if (o) plan_.remove(kEndpointSlices, *o);
  }

 private:
  Json fresh(const Json& ports, size_t number) {
    std::string name;
    for (uint64_t salt = 0; name.empty() || view_.get(kEndpointSlices, service_->ns(), name) != nullptr;
         ++salt) {
      name = api::generate_name(
          base::cat(service_->name(), "-"),
          api::fnv1a64(base::cat(service_->uid(), family_, base::dump_json(ports), number, "/", salt)));
    }
    return {{"kind", "EndpointSlice"},
            {"apiVersion", "discovery.k8s.io/v1"},
            {"metadata",
             {{"name", name},
              {"generateName", base::cat(service_->name(), "-")},
              {"namespace", std::string(service_->ns())},
              {"labels", labels_},
              {"ownerReferences", Json::array({api::controller_reference(*service_)})}}},
            {"addressType", family_},
            {"endpoints", Json::array()},
            {"ports", ports}};
  }

  const View& view_;
  const api::ObjectPtr& service_;
  const Json labels_;
  const std::string family_;
  Plan& plan_;
};

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
    if (o->label(kServiceLabel) == key.name && o->label(kManagedBy) == kManager) own.push_back(o->tree());
  }
  for (const auto& family : families) {
    std::map<std::string, SliceGroup> groups;
    for (const auto& b : backends_of(view, tree, key.ns, family)) {
      SliceGroup& g = groups[base::dump_json(b.ports)];
      g.ports = b.ports;
      g.wanted[std::string(b.pod->uid())] = endpoint_of(b);
    }
    if (groups.empty()) groups["[]"].ports = Json::array();
    SlicePlanner planner(view, service, tree, family, plan);
    std::map<std::string, std::vector<Json>> existing;
    for (const auto& slice : own) {
      if (base::string_at(slice, {"addressType"}) != family) continue;
      std::string ports = base::dump_json(base::array_at(slice, {"ports"}));
      if (groups.count(ports) != 0) {
        existing[ports].push_back(slice);
      } else if (groups.size() == 1 && existing.empty() && groups.begin()->second.wanted.empty()) {
        // No pod left: one empty slice stays, whatever its ports were.
        Json empty = slice;
        empty["ports"] = Json::array();
        existing["[]"].push_back(std::move(empty));
      } else {
        planner.remove(slice);
      }
    }
    for (auto& [ports, group] : groups) planner.reconcile(std::move(group), std::move(existing[ports]));
  }
  return plan;
}

Controller make_endpointslice_controller() {
  Controller c;
  c.name = "endpoint-slice-controller";
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
  Json next = have->tree();
  next["metadata"]["labels"] = labels;
  if (list.empty()) {
    next.erase("subsets");
  } else {
    next["subsets"] = list;
  }
  if (next != have->tree()) plan.update(kEndpoints, std::move(next));
  return plan;
}

Controller make_endpoints_controller() {
  Controller c;
  c.name = "endpoint-controller";
  c.sources = backend_sources(kEndpoints, "");
  c.plan = plan_endpoints;
  return c;
}

}  // namespace orch::server
