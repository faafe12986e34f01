#include "server/controllers/slice_planner.h"

#include "api/hash.h"
#include "api/meta.h"
#include "api/names.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

constexpr size_t kPerSlice = 100;

std::string endpoint_key(const Json& endpoint) {
  const Json& addresses = base::array_at(endpoint, {"addresses"});
  return base::cat(base::string_at(endpoint, {"targetRef", "uid"}), "|",
                   addresses.empty() ? std::string() : addresses[0].get<std::string>());
}

}  // namespace

void SliceGroup::add(Json endpoint) {
  std::string key = endpoint_key(endpoint);
  wanted[std::move(key)] = std::move(endpoint);
}

void SlicePlanner::reconcile(SliceGroups groups, const std::vector<Json>& existing, bool at_least_one) {
  const bool none = groups.empty();
  if (none && at_least_one) groups["[]"].ports = Json::array();
  std::map<std::string, std::vector<Json>> by_ports;
  for (const Json& slice : existing) {
    if (base::string_at(slice, {"addressType"}) != family_) continue;
    std::string ports = base::dump_json(base::array_at(slice, {"ports"}));
    if (groups.count(ports) != 0) {
      by_ports[ports].push_back(slice);
    } else if (none && at_least_one && by_ports.empty()) {
      // Nothing left: one empty slice stays, whatever its ports were.
      Json empty = slice;
      empty["ports"] = Json::array();
      by_ports["[]"].push_back(std::move(empty));
    } else {
      remove(slice);
    }
  }
  for (auto& [ports, group] : groups) fill(std::move(group), std::move(by_ports[ports]), none);
}

void SlicePlanner::fill(SliceGroup group, std::vector<Json> existing, bool keep_one) {
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
  for (auto& [key, endpoint] : group.wanted) {
    while (at < next.size() && next[at]["endpoints"].size() >= kPerSlice) ++at;
    if (at == next.size()) next.push_back(fresh(group.ports, number++));
    next[at]["endpoints"].push_back(endpoint);
  }
  if (next.empty() && keep_one) next.push_back(fresh(group.ports, number));
  for (size_t i = 0; i < next.size(); ++i) {
    Json& slice = next[i];
    if (i >= existing.size()) {
      plan_.create(kEndpointSlices, owner_.object->ns(), std::move(slice));
    } else if (slice["endpoints"].empty() && (next.size() > 1 || !keep_one)) {
      remove(existing[i]);
    } else {
      slice["metadata"]["labels"] = owner_.labels;
      if (owner_.annotations.is_object() && owner_.annotations.empty()) {
        slice["metadata"].erase("annotations");
      } else if (owner_.annotations.is_object()) {
        slice["metadata"]["annotations"] = owner_.annotations;
      }
      if (slice != existing[i]) plan_.update(kEndpointSlices, std::move(slice));
    }
  }
}

void SlicePlanner::remove(const Json& slice) {
  api::ObjectPtr o =
      view_.get(kEndpointSlices, owner_.object->ns(), base::string_at(slice, {"metadata", "name"}));
  if (o) plan_.remove(kEndpointSlices, *o);
}

Json SlicePlanner::fresh(const Json& ports, size_t number) {
  const api::Object& owner = *owner_.object;
  std::string name;
  for (uint64_t salt = 0; name.empty() || view_.get(kEndpointSlices, owner.ns(), name) != nullptr; ++salt) {
    name = api::generate_name(
        base::cat(owner.name(), "-"),
        api::fnv1a64(base::cat(owner.uid(), family_, base::dump_json(ports), number, "/", salt)));
  }
  Json slice = {{"kind", "EndpointSlice"},
                {"apiVersion", "discovery.k8s.io/v1"},
                {"metadata",
                 {{"name", name},
                  {"generateName", base::cat(owner.name(), "-")},
                  {"namespace", std::string(owner.ns())},
                  {"labels", owner_.labels},
                  {"ownerReferences", Json::array({api::controller_reference(owner)})}}},
                {"addressType", family_},
                {"endpoints", Json::array()},
                {"ports", ports}};
  if (!owner_.annotations.empty()) slice["metadata"]["annotations"] = owner_.annotations;
  return slice;
}

}  // namespace orch::server
