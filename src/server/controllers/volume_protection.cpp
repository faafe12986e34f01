#include "server/controllers/volume_protection.h"

#include <algorithm>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

const client::ResourceRef kVolumes{"", "v1", "persistentvolumes"};
const client::ResourceRef kClasses{"storage.k8s.io", "v1", "volumeattributesclasses"};

/// What the finalizer is on matters only from its deletion on.
Keys deleting_key(const api::ObjectPtr&, const api::ObjectPtr& after, const View&) {
  if (!after || !after->deleting()) return {};
  return {Key{std::string(after->ns()), std::string(after->name())}};
}

Keys keys_of_gone_pod(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  if (after || !before) return {};
  Keys keys;
  for (const std::string& claim : claims_of_volumes(*before)) {
    const auto [ns, name] = api::split_key(claim);
    const api::ObjectPtr object = view.get(kClaims, ns, name);
    if (object && object->deleting()) keys.push_back({std::string(ns), std::string(name)});
  }
  return keys;
}

/// The object without the finalizer, if it waits for that.
Plan release(const client::ResourceRef& resource, const api::ObjectPtr& object, std::string_view finalizer) {
  Plan plan;
  Json tree = object->tree();
  if (api::remove_finalizer(tree, finalizer)) plan.update(resource, std::move(tree));
  return plan;
}

Plan plan_claim(const View& view, const Key& key, base::WallTime) {
  const api::ObjectPtr claim = view.get(kClaims, key.ns, key.name);
  if (!claim || !claim->deleting()) return {};
  const std::vector<api::ObjectPtr> pods = view.by_index(kPods, "claims", api::object_key(key.ns, key.name));
  // A pod that is not scheduled yet will not start with a claim under deletion.
  const bool used = std::any_of(pods.begin(), pods.end(), [](const api::ObjectPtr& pod) {
    return !base::string_at(pod->tree(), {"spec", "nodeName"}).empty();
  });
  return used ? Plan() : release(kClaims, claim, "kubernetes.io/pvc-protection");
}

Plan plan_volume(const View& view, const Key& key, base::WallTime) {
  const api::ObjectPtr volume = view.get(kVolumes, "", key.name);
  if (!volume || !volume->deleting()) return {};
  if (base::string_at(volume->tree(), {"status", "phase"}) == "Bound") return {};
  return release(kVolumes, volume, "kubernetes.io/pv-protection");
}

/// Classes that a claim or volume names, wanted and current.
std::vector<std::string> classes_of(const api::Object& object) {
  if (!api::mentions(object.bytes(), "olumeAttributesClassName")) return {};
  std::vector<std::string> out;
  const Json tree = object.tree();
  for (const std::string_view name :
       {base::string_at(tree, {"spec", "volumeAttributesClassName"}),
        base::string_at(tree, {"status", "currentVolumeAttributesClassName"}),
        base::string_at(tree, {"status", "modifyVolumeStatus", "targetVolumeAttributesClassName"})}) {
    if (!name.empty()) out.emplace_back(name);
  }
  return out;
}

Keys keys_of_user(const api::ObjectPtr& before, const api::ObjectPtr&, const View& view) {
  Keys keys;
  if (!before) return keys;
  for (const std::string& name : classes_of(*before)) {
    const api::ObjectPtr object = view.get(kClasses, "", name);
    if (object && object->deleting()) keys.push_back({"", name});
  }
  return keys;
}

Plan plan_class(const View& view, const Key& key, base::WallTime) {
  const api::ObjectPtr object = view.get(kClasses, "", key.name);
  if (!object || !object->deleting()) return {};
  for (const client::ResourceRef& user : {kClaims, kVolumes}) {
    if (!view.by_index(user, "attributesClass", key.name).empty()) return {};
  }
  return release(kClasses, object, "kubernetes.io/vac-protection");
}

}  // namespace

Controller make_claim_protection_controller() {
  Controller c;
  c.name = "pvc-protection-controller";
  c.queue = "pvcprotection";
  c.sources = {{kClaims, deleting_key, {}}, {kPods, keys_of_gone_pod, {{"claims", claims_of_volumes}}}};
  c.plan = plan_claim;
  return c;
}

Controller make_volume_protection_controller() {
  Controller c;
  c.name = "pv-protection-controller";
  c.queue = "pvprotection";
  c.sources = {{kVolumes, deleting_key, {}}};
  c.plan = plan_volume;
  return c;
}

Controller make_attributes_class_protection_controller() {
  Controller c;
  c.name = "volumeattributesclass-protection-controller";
  c.queue = "vacprotection";
  c.sources = {{kClasses, deleting_key, {}},
               {kClaims, keys_of_user, {{"attributesClass", classes_of}}},
               {kVolumes, keys_of_user, {{"attributesClass", classes_of}}}};
  c.plan = plan_class;
  return c;
}

}  // namespace orch::server
