#include "server/scheduler/storage.h"

#include <algorithm>

#include "api/quantity.h"
#include "base/json.h"
#include "base/status.h"

namespace orch::server::scheduler {

namespace {

constexpr const char* kBetaClass = "volume.beta.kubernetes.io/storage-class";

std::string text_at(const Json& tree, std::initializer_list<std::string_view> path) {
  return std::string(base::string_at(tree, path));
}

std::vector<std::string> texts_at(const Json& tree, std::initializer_list<std::string_view> path) {
  std::vector<std::string> out;
  for (const auto& v : base::array_at(tree, path)) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

std::optional<int64_t> amount_at(const Json& tree, std::initializer_list<std::string_view> path) {
  const Json* value = base::find_path(tree, path);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return api::Quantity::of(value).value();
}

std::optional<api::LabelSelector> selector_at(const Json& tree,
                                              std::initializer_list<std::string_view> path) {
  const Json* value = base::find_path(tree, path);
  if (value == nullptr || value->is_null()) return std::nullopt;
  auto read = api::LabelSelector::from_tree(*value);
  return read.ok() ? std::move(*read) : api::LabelSelector::nothing();
}

/// The class of a claim or volume: the annotation of old times goes first.
std::string class_of(const Json& tree) {
  const Json& annotations = base::object_at(tree, {"metadata", "annotations"});
  if (annotations.contains(kBetaClass)) return text_at(annotations, {kBetaClass});
  return text_at(tree, {"spec", "storageClassName"});
}

}  // namespace

Claim read_claim(const api::Object& object) {
  const Json tree = object.tree();
  const Json& annotations = base::object_at(tree, {"metadata", "annotations"});
  Claim c;
  c.ns = object.ns();
  c.name = object.name();
  c.uid = object.uid();
  c.deleting = object.deleting();
  c.phase = text_at(tree, {"status", "phase"});
  c.volume = text_at(tree, {"spec", "volumeName"});
  c.storage_class = class_of(tree);
  c.attributes_class = text_at(tree, {"spec", "volumeAttributesClassName"});
  c.mode = base::string_at(tree, {"spec", "volumeMode"}, "Filesystem");
  c.access_modes = texts_at(tree, {"spec", "accessModes"});
  c.requested = amount_at(tree, {"spec", "resources", "requests", "storage"});
  c.selector = selector_at(tree, {"spec", "selector"});
  c.bind_completed = annotations.contains("pv.kubernetes.io/bind-completed");
  if (annotations.contains("volume.kubernetes.io/selected-node"))
    c.selected_node = text_at(annotations, {"volume.kubernetes.io/selected-node"});
  for (const auto& o : base::array_at(tree, {"metadata", "ownerReferences"})) {
    if (base::bool_at(o, {"controller"})) c.owner_uid = text_at(o, {"uid"});
  }
  return c;
}

Volume read_volume(const api::Object& object) {
  const Json tree = object.tree();
  const Json& spec = base::object_at(tree, {"spec"});
  Volume v;
  v.name = object.name();
  v.deleting = object.deleting();
  v.storage_class = class_of(tree);
  v.attributes_class = text_at(spec, {"volumeAttributesClassName"});
  v.phase = text_at(tree, {"status", "phase"});
  v.mode = base::string_at(spec, {"volumeMode"}, "Filesystem");
  v.access_modes = texts_at(spec, {"accessModes"});
  v.capacity = amount_at(spec, {"capacity", "storage"}).value_or(0);
  if (const Json* ref = base::find_path(spec, {"claimRef"}); ref != nullptr && ref->is_object()) {
    v.claimed = true;
    v.claim_ns = text_at(*ref, {"namespace"});
    v.claim_name = text_at(*ref, {"name"});
    v.claim_uid = text_at(*ref, {"uid"});
  }
  const Json* required = base::find_path(spec, {"nodeAffinity", "required"});
  if (required != nullptr && required->is_object()) {
    v.has_affinity = true;
    for (const auto& term : base::array_at(*required, {"nodeSelectorTerms"}))
      v.affinity.push_back(api::read_node_term(term));
  }
  for (size_t i = 0; i < object.label_count(); ++i) v.labels.emplace_back(object.label(i));
  if (const Json* csi = base::find_path(spec, {"csi"}); csi != nullptr && csi->is_object()) {
    v.driver = text_at(*csi, {"driver"});
    v.handle = text_at(*csi, {"volumeHandle"});
    return v;
  }
  // A volume of a pod and the source of a persistent volume have the same members.
  Json as_pod = {{"volumes", Json::array({spec})}};
  const auto disks = api::read_volumes(as_pod, "");
  if (!disks.empty()) {
    v.plugin = disks[0].plugin;
    v.plugin_driver = disks[0].driver;
    v.plugin_handle = disks[0].handle;
  }
  return v;
}

StorageClass read_storage_class(const api::Object& object) {
  const Json tree = object.tree();
  StorageClass c;
  c.name = object.name();
  c.provisioner = text_at(tree, {"provisioner"});
  if (tree.contains("volumeBindingMode")) c.binding_mode = text_at(tree, {"volumeBindingMode"});
  for (const auto& term : base::array_at(tree, {"allowedTopologies"})) {
    auto& requirements = c.topologies.emplace_back();
    for (const auto& e : base::array_at(term, {"matchLabelExpressions"}))
      requirements.emplace_back(text_at(e, {"key"}), texts_at(e, {"values"}));
  }
  return c;
}

namespace {

CsiNode csi_node_from(const api::Object& object) {
  const Json tree = object.tree();
  CsiNode n;
  for (const auto& d : base::array_at(tree, {"spec", "drivers"}))
    n.drivers.emplace_back(text_at(d, {"name"}), amount_at(d, {"allocatable", "count"}));
  std::string_view list =
      base::string_at(tree, {"metadata", "annotations", "storage.alpha.kubernetes.io/migrated-plugins"});
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    n.migrated.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return n;
}

CsiCapacity capacity_from(const api::Object& object) {
  const Json tree = object.tree();
  CsiCapacity c;
  c.storage_class = text_at(tree, {"storageClassName"});
  c.limit = amount_at(tree, {"maximumVolumeSize"});
  if (!c.limit) c.limit = amount_at(tree, {"capacity"});
  c.topology = selector_at(tree, {"nodeTopology"});
  return c;
}

bool contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

std::shared_ptr<const Volume> find_matching_volume(const Claim& claim,
                                                   const std::vector<std::shared_ptr<const Volume>>& volumes,
                                                   const NodeInfo* node, const std::set<std::string>& taken,
                                                   bool only_own) {
  std::shared_ptr<const Volume> smallest;
  for (const auto& v : volumes) {
    if (taken.count(v->name) != 0 || v->storage_class != claim.storage_class) continue;
    const bool own = v->is_for(claim);
    if (v->claimed && !own) continue;
    if (v->capacity < claim.requested.value_or(0) || v->mode != claim.mode ||
        v->attributes_class != claim.attributes_class || v->deleting)
      continue;
    const bool reachable = node == nullptr || v->reachable_from(*node);
    if (own) return reachable ? v : nullptr;
    if (only_own || v->phase != "Available" || !reachable) continue;
    if (claim.selector) {
      Json labels = Json::object();
      for (const auto& [key, value] : v->labels) labels[key] = value;
      if (!claim.selector->matches(labels)) continue;
    }
    const bool modes = std::all_of(claim.access_modes.begin(), claim.access_modes.end(),
                                   [&](const std::string& m) { return contains(v->access_modes, m); });
    if (modes && (smallest == nullptr || smallest->capacity > v->capacity)) smallest = v;
  }
  return smallest;
}

bool Claim::once_per_pod() const { return contains(access_modes, "ReadWriteOncePod"); }

bool Volume::is_for(const Claim& claim) const {
  return claimed && claim_name == claim.name && claim_ns == claim.ns &&
         (claim_uid.empty() || claim_uid == claim.uid);
}

bool Volume::reachable_from(const NodeInfo& node) const {
  return !has_affinity || std::any_of(affinity.begin(), affinity.end(),
                                      [&](const NodeTerm& term) { return api::matches(term, node); });
}

bool StorageClass::allows(const NodeInfo& node) const {
  return topologies.empty() || std::any_of(topologies.begin(), topologies.end(), [&](const auto& term) {
           return !term.empty() && std::all_of(term.begin(), term.end(), [&](const auto& requirement) {
             auto label = node.labels.find(requirement.first);
             return label != node.labels.end() && contains(requirement.second, label->second);
           });
         });
}

bool CsiNode::has_migrated(std::string_view plugin) const { return contains(migrated, plugin); }

Storage::Storage(const Objects& objects)
    : objects_(objects),
      claims_(read_claim),
      volumes_(read_volume),
      classes_(read_storage_class),
      csi_nodes_(csi_node_from),
      capacities_(capacity_from) {}

std::shared_ptr<const Claim> Storage::claim(std::string_view ns, std::string_view name) const {
  if (!assumed_claims_.empty()) {
    auto it = assumed_claims_.find({std::string(ns), std::string(name)});
    if (it != assumed_claims_.end()) return it->second;
  }
  const api::ObjectPtr object = objects_.get(Kind::kClaim, ns, name);
  return object == nullptr ? nullptr : claims_.of(object);
}

std::shared_ptr<const Volume> Storage::volume(std::string_view name) const {
  if (auto it = assumed_volumes_.find(name); it != assumed_volumes_.end()) return it->second;
  const api::ObjectPtr object = objects_.get(Kind::kVolume, "", name);
  return object == nullptr ? nullptr : volumes_.of(object);
}

std::vector<std::shared_ptr<const Volume>> Storage::volumes() const {
  std::vector<std::shared_ptr<const Volume>> out;
  for (const auto& object : objects_.list(Kind::kVolume)) {
    auto it = assumed_volumes_.find(object->name());
    out.push_back(it != assumed_volumes_.end() ? it->second : volumes_.of(object));
  }
  return out;
}

std::shared_ptr<const StorageClass> Storage::storage_class(std::string_view name) const {
  const api::ObjectPtr object = objects_.get(Kind::kStorageClass, "", name);
  return object == nullptr ? nullptr : classes_.of(object);
}

std::shared_ptr<const CsiNode> Storage::csi_node(std::string_view name) const {
  const api::ObjectPtr object = objects_.get(Kind::kCsiNode, "", name);
  return object == nullptr ? nullptr : csi_nodes_.of(object);
}

std::vector<std::shared_ptr<const CsiCapacity>> Storage::capacities() const {
  std::vector<std::shared_ptr<const CsiCapacity>> out;
  for (const auto& object : objects_.list(Kind::kCsiCapacity)) out.push_back(capacities_.of(object));
  return out;
}

bool Storage::driver_reports_capacity(std::string_view driver) const {
  const api::ObjectPtr object = objects_.get(Kind::kCsiDriver, "", driver);
  return object != nullptr && base::bool_at(object->tree(), {"spec", "storageCapacity"});
}

std::vector<std::pair<std::string, std::string>> Storage::attached(std::string_view node) const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& object : objects_.list(Kind::kAttachment)) {
    const Json tree = object->tree();
    if (base::string_at(tree, {"spec", "nodeName"}) != node) continue;
    const std::string attacher = text_at(tree, {"spec", "attacher"});
    const auto v = volume(base::string_at(tree, {"spec", "source", "persistentVolumeName"}));
    if (attacher.empty() || v == nullptr || v->driver.empty()) continue;
    out.emplace_back(base::cat(attacher, "/", v->handle), attacher);
  }
  return out;
}

void Storage::assume_volume(const std::string& volume, const Claim& claim) {
  const auto known = this->volume(volume);
  if (known == nullptr) return;
  auto promised = std::make_shared<Volume>(*known);
  promised->claimed = true;
  promised->claim_ns = claim.ns;
  promised->claim_name = claim.name;
  promised->claim_uid = claim.uid;
  assumed_volumes_[volume] = std::move(promised);
}

void Storage::assume_claim(std::string_view ns, const std::string& claim, const std::string& node) {
  const auto known = this->claim(ns, claim);
  if (known == nullptr) return;
  auto waiting = std::make_shared<Claim>(*known);
  waiting->selected_node = node;
  assumed_claims_[{std::string(ns), claim}] = std::move(waiting);
}

void Storage::forget_claim(std::string_view ns, const std::string& claim) {
  assumed_claims_.erase({std::string(ns), claim});
}

}  // namespace orch::server::scheduler
