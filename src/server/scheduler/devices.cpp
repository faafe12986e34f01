#include "server/scheduler/devices.h"

#include <algorithm>

#include "api/meta.h"
#include "api/resource_claims.h"
#include "base/json.h"
#include "base/status.h"

namespace orch::server::scheduler {

namespace {

using base::string_at;

std::shared_ptr<const Json> kept(const Json& tree) {
  return tree.empty() ? nullptr : std::make_shared<const Json>(tree);
}

std::vector<std::optional<std::string>> read_selectors(const Json& owner) {
  std::vector<std::optional<std::string>> out;
  for (const Json& selector : base::array_at(owner, {"selectors"})) {
    const Json* cel = base::find_path(selector, {"cel", "expression"});
    out.push_back(cel != nullptr && cel->is_string() ? std::optional(cel->get<std::string>()) : std::nullopt);
  }
  return out;
}

DeviceRequest read_request(const Json& tree, std::string_view name) {
  DeviceRequest r;
  r.name = name;
  r.device_class = string_at(tree, {"deviceClassName"});
  r.mode = string_at(tree, {"allocationMode"});
  r.count = base::int_at(tree, {"count"});
  r.admin_access = base::bool_at(tree, {"adminAccess"});
  r.selectors = read_selectors(tree);
  r.tolerations = kept(base::array_at(tree, {"tolerations"}));
  return r;
}

std::vector<NodeTerm> read_terms(const Json& selector) {
  std::vector<NodeTerm> out;
  for (const Json& term : base::array_at(selector, {"nodeSelectorTerms"}))
    out.push_back(api::read_node_term(term));
  return out;
}

bool any_matches(const std::vector<NodeTerm>& terms, const NodeInfo& node) {
  return std::any_of(terms.begin(), terms.end(), [&](const NodeTerm& t) { return api::matches(t, node); });
}

/// "string"/"a" as "sa": no two values of different kinds are alike.
std::string attribute_text(const Json& attribute) {
  for (const char* kind : {"string", "int", "bool", "version"}) {
    const Json* value = base::find_path(attribute, {kind});
    if (value != nullptr && !value->is_null()) return base::cat(kind[0], base::dump_json(*value));
  }
  return {};
}

Device read_device(const Json& tree, const ResourceSlice& slice) {
  Device d;
  d.name = string_at(tree, {"name"});
  d.id = device_id(slice.driver, slice.pool, d.name);
  for (const auto& [name, attribute] : base::object_at(tree, {"attributes"}).items())
    d.attributes.emplace(name, attribute_text(attribute));
  base::Result<api::cel::Value> value = api::cel::device_value(slice.driver, tree);
  if (value.ok()) {
    d.value = std::move(*value);
  } else {
    d.broken = value.status().message();
  }
  d.has_binding_conditions = !base::array_at(tree, {"bindingConditions"}).empty();
  d.consumes_counters = !base::array_at(tree, {"consumesCounters"}).empty();
  return d;
}

}  // namespace

std::string device_id(std::string_view driver, std::string_view pool, std::string_view device) {
  return base::cat(driver, "/", pool, "/", device);
}

bool ResourceSlice::reachable_from(const NodeInfo& node) const {
  if (!node_name.empty()) return node_name == node.name;
  return all_nodes || (has_selector && any_matches(selector, node));
}

bool ResourceClaim::is_reserved_for(std::string_view uid) const {
  return std::find(reserved_for.begin(), reserved_for.end(), uid) != reserved_for.end();
}

ResourceSlice read_slice(const api::Object& object) {
  const Json tree = object.tree();
  const Json& spec = base::object_at(tree, {"spec"});
  ResourceSlice s;
  s.name = object.name();
  s.driver = string_at(spec, {"driver"});
  s.pool = string_at(spec, {"pool", "name"});
  s.generation = base::int_at(spec, {"pool", "generation"});
  s.slices_of_pool = base::int_at(spec, {"pool", "resourceSliceCount"});
  s.node_name = string_at(spec, {"nodeName"});
  s.all_nodes = base::bool_at(spec, {"allNodes"});
  const Json* selector = base::find_path(spec, {"nodeSelector"});
  if (selector != nullptr && selector->is_object()) {
    s.has_selector = true;
    s.selector = read_terms(*selector);
    const Json& terms = base::array_at(*selector, {"nodeSelectorTerms"});
    if (!terms.empty()) s.selector_term = std::make_shared<const Json>(terms[0]);
  }
  const Json* per_device = base::find_path(spec, {"perDeviceNodeSelection"});
  s.needs_partitions =
      (per_device != nullptr && !per_device->is_null()) || !base::array_at(spec, {"sharedCounters"}).empty();
  if (s.needs_partitions) return s;
  for (const Json& device : base::array_at(spec, {"devices"})) s.devices.push_back(read_device(device, s));
  return s;
}

DeviceClass read_device_class(const api::Object& object) {
  const Json tree = object.tree();
  const Json& spec = base::object_at(tree, {"spec"});
  return {std::string(object.name()), read_selectors(spec), kept(base::array_at(spec, {"config"}))};
}

ResourceClaim read_resource_claim(const api::Object& object) {
  const Json tree = object.tree();
  ResourceClaim c;
  c.ns = object.ns();
  c.name = object.name();
  c.uid = object.uid();
  c.owner_uid = api::controller_of(tree).uid;
  c.deleting = object.deleting();
  const Json& devices = base::object_at(tree, {"spec", "devices"});
  for (const Json& r : base::array_at(devices, {"requests"})) {
    ResourceClaim::Request request;
    request.name = string_at(r, {"name"});
    const Json* exactly = base::find_path(r, {"exactly"});
    if (exactly != nullptr && exactly->is_object()) request.exactly = read_request(*exactly, request.name);
    for (const Json& sub : base::array_at(r, {"firstAvailable"}))
      request.first_available.push_back(read_request(sub, string_at(sub, {"name"})));
    c.requests.push_back(std::move(request));
  }
  for (const Json& constraint : base::array_at(devices, {"constraints"})) {
    ResourceClaim::Constraint out;
    for (const Json& r : base::array_at(constraint, {"requests"}))
      out.requests.push_back(r.get<std::string>());
    out.match_attribute = string_at(constraint, {"matchAttribute"});
    c.constraints.push_back(std::move(out));
  }
  c.config = kept(base::array_at(devices, {"config"}));
  c.allocated = api::claim_allocated(tree);
  if (c.allocated) {
    const Json& allocation = base::object_at(tree, {"status", "allocation"});
    const Json* selector = base::find_path(allocation, {"nodeSelector"});
    c.node_bound = selector != nullptr && selector->is_object();
    if (c.node_bound) c.node_selector = read_terms(*selector);
    c.devices = own_devices(allocation);
  }
  for (const Json& user : base::array_at(tree, {"status", "reservedFor"}))
    c.reserved_for.emplace_back(string_at(user, {"uid"}));
  return c;
}

std::vector<std::string> own_devices(const Json& allocation) {
  std::vector<std::string> out;
  for (const Json& r : base::array_at(allocation, {"devices", "results"})) {
    // Whoever administrates a device leaves it to its users.
    if (base::bool_at(r, {"adminAccess"})) continue;
    out.push_back(device_id(string_at(r, {"driver"}), string_at(r, {"pool"}), string_at(r, {"device"})));
  }
  return out;
}

Devices::Devices(const Objects& objects, const base::Clock& clock)
    : objects_(objects),
      clock_(clock),
      slices_(read_slice),
      classes_(read_device_class),
      claims_(read_resource_claim) {}

std::vector<SlicePtr> Devices::slices() const {
  std::vector<SlicePtr> out;
  for (const api::ObjectPtr& object : objects_.list(Kind::kResourceSlice)) out.push_back(slices_.of(object));
  std::sort(out.begin(), out.end(), [](const SlicePtr& a, const SlicePtr& b) { return a->name < b->name; });
  return out;
}

DeviceClassPtr Devices::device_class(std::string_view name) const {
  const api::ObjectPtr object = objects_.get(Kind::kDeviceClass, "", name);
  return object == nullptr ? nullptr : classes_.of(object);
}

ResourceClaimPtr Devices::claim(std::string_view ns, std::string_view name) const {
  const api::ObjectPtr object = objects_.get(Kind::kResourceClaim, ns, name);
  return object == nullptr ? nullptr : claims_.of(object);
}

SelectorPtr Devices::selector(const std::string& expression) const {
  constexpr size_t kMost = 64;
  if (const auto known = selectors_.find(expression); known != selectors_.end()) return known->second;
  if (selectors_.size() >= kMost) selectors_.clear();
  return selectors_.emplace(expression, std::make_shared<const api::cel::DeviceSelector>(expression))
      .first->second;
}

std::unordered_set<std::string> Devices::taken() const {
  std::unordered_set<std::string> out;
  for (const api::ObjectPtr& object : objects_.list(Kind::kResourceClaim)) {
    const ResourceClaimPtr c = claims_.of(object);
    out.insert(c->devices.begin(), c->devices.end());
  }
  for (const auto& [uid, assumed] : assumed_) out.insert(assumed.devices.begin(), assumed.devices.end());
  return out;
}

void Devices::assume(const std::vector<ClaimAllocation>& allocations) {
  for (const ClaimAllocation& a : allocations) {
    if (a.allocation != nullptr)
      assumed_[a.claim->uid] = {a.claim->ns, a.claim->name, own_devices(*a.allocation)};
  }
}

bool Devices::is_assumed(std::string_view claim_uid) const { return assumed_.contains(claim_uid); }

void Devices::forget(std::string_view claim_uid) {
  if (const auto it = assumed_.find(claim_uid); it != assumed_.end()) assumed_.erase(it);
}

}  // namespace orch::server::scheduler
