#include "server/controllers/ephemeral_volumes.h"

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

bool has_own_volumes(const api::Object& pod) {
  return !pod.deleting() && api::mentions(pod.bytes(), "\"volumeClaimTemplate\"");
}

/// What a pod describes does not change while it lives.
Keys new_pod(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  if (before || !after || !has_own_volumes(*after)) return {};
  return {Key{std::string(after->ns()), std::string(after->name())}};
}

/// A claim that went is missed by the pod it was made for, or was in the way of another's.
Keys pods_of_gone_claim(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  if (after || !before) return {};
  Keys keys;
  for (const api::ObjectPtr& pod : view.by_index(kPods, "claims", api::object_key(*before))) {
    if (has_own_volumes(*pod)) keys.push_back({std::string(pod->ns()), std::string(pod->name())});
  }
  return keys;
}

Json claim_of(const api::Object& pod, const std::string& name, const Json& from) {
  Json meta = {{"name", name}, {"namespace", pod.ns()}};
  for (const char* part : {"annotations", "labels"}) {
    const Json& given = base::object_at(from, {"metadata", part});
    if (!given.empty()) meta[part] = given;
  }
  meta["ownerReferences"] =
      Json::array({api::controller_reference("v1", "Pod", std::string(pod.name()), std::string(pod.uid()))});
  return {{"apiVersion", "v1"},
          {"kind", "PersistentVolumeClaim"},
          {"metadata", std::move(meta)},
          {"spec", base::object_at(from, {"spec"})}};
}

void tell(Plan& plan, const api::ObjectPtr& pod, std::string_view volume, std::string_view why) {
  plan.note(pod, "Warning", "FailedBinding", base::cat("ephemeral volume ", volume, ": ", why));
}

Plan make_claims(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  const api::ObjectPtr pod = view.get(kPods, key.ns, key.name);
  if (!pod || !has_own_volumes(*pod)) return plan;
  const Json tree = pod->tree();
  for (const Json& volume : base::array_at(tree, {"spec", "volumes"})) {
    if (!volume.contains("ephemeral")) continue;
    const std::string_view called = base::string_at(volume, {"name"});
    const std::string name = base::cat(pod->name(), "-", called);
    if (const api::ObjectPtr claim = view.get(kClaims, key.ns, name)) {
      if (api::is_controlled_by(*claim, pod->uid())) continue;
      // Until that claim goes, which wakes this pod, there is nothing to be done.
      tell(plan, pod, called,
           base::cat("PVC ", key.ns, "/", name, " was not created for pod ", key.ns, "/", key.name,
                     " (pod is not owner)"));
      break;
    }
    plan.create(kClaims, key.ns,
                claim_of(*pod, name, base::object_at(volume, {"ephemeral", "volumeClaimTemplate"})));
  }
  plan.otherwise = [pod](const Write& failed, const base::Status& why) {
    Plan told;
    const std::string_view name = base::string_at(*failed.body, {"metadata", "name"});
    tell(told, pod, name.substr(pod->name().size() + 1), base::cat("create PVC ", name, ": ", why.message()));
    return told;
  };
  return plan;
}

}  // namespace

Controller make_ephemeral_volume_controller() {
  Controller c;
  c.name = "ephemeral_volume";
  c.sources = {{kPods, new_pod, {{"claims", claims_of_volumes}}}, {kClaims, pods_of_gone_claim, {}}};
  c.plan = make_claims;
  return c;
}

}  // namespace orch::server
