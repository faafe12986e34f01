#include "server/controllers/persistent_volumes.h"

#include <algorithm>

#include "api/quantity.h"
#include "base/json.h"
#include "base/status.h"
#include "server/controllers/pods.h"
#include "server/scheduler/storage.h"

namespace orch::server {

namespace {

using scheduler::Claim;
using scheduler::StorageClass;
using scheduler::Volume;

const client::ResourceRef kVolumes{"", "v1", "persistentvolumes"};
const client::ResourceRef kClasses{"storage.k8s.io", "v1", "storageclasses"};

constexpr const char* kBindCompleted = "pv.kubernetes.io/bind-completed";
constexpr const char* kBoundByController = "pv.kubernetes.io/bound-by-controller";
constexpr const char* kProvisionedBy = "pv.kubernetes.io/provisioned-by";
constexpr const char* kProvisioner = "volume.kubernetes.io/storage-provisioner";
constexpr const char* kProvisionerBefore = "volume.beta.kubernetes.io/storage-provisioner";
constexpr std::string_view kNoProvisioner = "kubernetes.io/no-provisioner";

bool has_annotation(const Json& tree, const char* key) {
  return base::object_at(tree, {"metadata", "annotations"}).contains(key);
}

/// What the claim is called in a volume's claimRef.
std::string claim_index(std::string_view ns, std::string_view name) { return base::cat(ns, "/", name); }

std::vector<std::string> claim_of_volume(const api::Object& volume) {
  const Json tree = volume.tree();
  const Json& ref = base::object_at(tree, {"spec", "claimRef"});
  if (ref.empty()) return {};
  return {claim_index(base::string_at(ref, {"namespace"}), base::string_at(ref, {"name"}))};
}

/// One claim while it is planned for.
struct ClaimSync {
  const View& view;
  api::ObjectPtr object;
  Json tree;
  Claim claim;
  Plan plan;

  void set_status(Json status) {
    if (base::object_at(tree, {"status"}) == status) return;
    Json next = tree;
    next["status"] = std::move(status);
    plan.update(kClaims, std::move(next), "status");
  }
  void set_phase(const char* phase) {
    Json status = tree.value("status", Json::object());
    if (base::string_at(status, {"phase"}) == phase) return;
    status["phase"] = phase;
    set_status(std::move(status));
  }
  void note(const char* type, const char* reason, std::string message) {
    plan.note(object, type, reason, std::move(message));
  }
  void wait() {
    if (claim.phase.empty()) set_phase("Pending");
  }
  void lose(const char* reason, const char* message) {
    Json status = tree.value("status", Json::object());
    if (base::string_at(status, {"phase"}) == "Lost") return;
    status["phase"] = "Lost";
    for (const char* key : {"accessModes", "capacity"}) status.erase(key);
    note("Warning", reason, message);
    set_status(std::move(status));
  }
};

/// Writes that are missing until claim and volume are each other's.
void bind_volume(ClaimSync& s, const api::ObjectPtr& volume) {
  Json tree = volume->tree();
  const Volume v = scheduler::read_volume(*volume);
  Json& ref = tree["spec"]["claimRef"];
  if (!v.is_for(s.claim) || v.claim_uid.empty()) {
    if (!v.is_for(s.claim)) tree["metadata"]["annotations"][kBoundByController] = "yes";
    ref = {{"kind", "PersistentVolumeClaim"},
           {"apiVersion", "v1"},
           {"namespace", s.claim.ns},
           {"name", s.claim.name},
           {"uid", s.claim.uid},
           {"resourceVersion", std::to_string(s.object->revision())}};
    s.plan.update(kVolumes, tree);
    // What follows needs the revisions that this makes: the change wakes the claim again.
    s.wait();
    return;
  }
  if (!s.claim.bound()) {
    Json next = s.tree;
    Json& annotations = next["metadata"]["annotations"];
    if (s.claim.volume.empty()) {
      next["spec"]["volumeName"] = v.name;
      annotations[kBoundByController] = "yes";
    }
    annotations[kBindCompleted] = "yes";
    s.plan.update(kClaims, std::move(next));
    return;
  }
  Json status = s.tree.value("status", Json::object());
  if (base::string_at(status, {"phase"}) != "Bound") {
    status["phase"] = "Bound";
    status["accessModes"] = base::array_at(tree, {"spec", "accessModes"});
    status["capacity"] = base::object_at(tree, {"spec", "capacity"});
    if (!v.attributes_class.empty()) status["currentVolumeAttributesClassName"] = v.attributes_class;
    s.set_status(std::move(status));
  }
}

/// Why a claim cannot have the volume it names, or "".
const char* mismatch(const Claim& claim, const Volume& v) {
  if (v.capacity < claim.requested.value_or(0)) return "requested PV is too small";
  if (v.storage_class != claim.storage_class) return "storageClassName does not match";
  if (v.attributes_class != claim.attributes_class) return "VolumeAttributesClassName does not match";
  if (v.mode != claim.mode) return "incompatible volumeMode";
  const bool modes =
      std::all_of(claim.access_modes.begin(), claim.access_modes.end(), [&](const std::string& m) {
        return std::find(v.access_modes.begin(), v.access_modes.end(), m) != v.access_modes.end();
      });
  return modes ? "" : "incompatible accessMode";
}

void sync_named(ClaimSync& s) {
  const api::ObjectPtr object = s.view.get(kVolumes, "", s.claim.volume);
  if (object == nullptr) {
    s.wait();
    return;
  }
  const Volume v = scheduler::read_volume(*object);
  if (!v.claimed) {
    if (const char* why = mismatch(s.claim, v); *why != 0) {
      s.note("Warning", "VolumeMismatch",
             base::cat("Cannot bind to requested volume \"", v.name, "\": ", why));
      s.wait();
      return;
    }
    bind_volume(s, object);
  } else if (v.is_for(s.claim)) {
    bind_volume(s, object);
  } else if (!has_annotation(s.tree, kBoundByController)) {
    // Its owner asked for one that another claim has: that may let go of it.
    s.note("Warning", "FailedBinding",
           base::cat("volume \"", v.name, "\" already bound to a different claim."));
    s.wait();
  }
}

/// Who waits for the claim to be bound without being scheduled, for the event.
std::string waiting_pods(const ClaimSync& s) {
  std::vector<std::string> names;
  for (const auto& pod : s.view.by_index(kPods, "claims", claim_index(s.claim.ns, s.claim.name)))
    names.emplace_back(pod->name());
  std::sort(names.begin(), names.end());
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

void ask_provisioner(ClaimSync& s, const StorageClass& cls) {
  if (cls.provisioner == kNoProvisioner) {
    s.note("Warning", "ProvisioningFailed", base::cat("no volume plugin matched name: ", kNoProvisioner));
    s.wait();
    return;
  }
  const Json& annotations = base::object_at(s.tree, {"metadata", "annotations"});
  if (base::string_at(annotations, {kProvisioner}) != cls.provisioner) {
    Json next = s.tree;
    next["metadata"]["annotations"][kProvisioner] = cls.provisioner;
    next["metadata"]["annotations"][kProvisionerBefore] = cls.provisioner;
    s.plan.update(kClaims, std::move(next));
    return;
  }
  s.note("Normal", "ExternalProvisioning",
         base::cat(
             "Waiting for a volume to be created either by the external provisioner '", cls.provisioner,
             "' or manually by the system administrator. If volume creation is delayed, please verify that "
             "the provisioner is running and correctly registered."));
  s.wait();
}

void sync_unnamed(ClaimSync& s) {
  const api::ObjectPtr class_object =
      s.claim.storage_class.empty() ? nullptr : s.view.get(kClasses, "", s.claim.storage_class);
  std::optional<StorageClass> cls;
  if (class_object != nullptr) cls = scheduler::read_storage_class(*class_object);
  const bool waits = cls && cls->waits_for_pod();
  std::vector<std::shared_ptr<const Volume>> volumes;
  for (const auto& o : s.view.list(kVolumes, ""))
    volumes.push_back(std::make_shared<const Volume>(scheduler::read_volume(*o)));
  if (const auto v = scheduler::find_matching_volume(s.claim, volumes, nullptr, {}, waits)) {
    bind_volume(s, s.view.get(kVolumes, "", v->name));
    return;
  }
  if (waits && !s.claim.selected_node) {
    const std::string pods = waiting_pods(s);
    if (pods.empty()) {
      s.note("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding");
    } else {
      s.note("Normal", "WaitForPodScheduled", base::cat("waiting for pod ", pods, " to be scheduled"));
    }
    s.wait();
  } else if (cls) {
    ask_provisioner(s, *cls);
  } else if (!s.claim.storage_class.empty()) {
    s.note("Warning", "ProvisioningFailed",
           base::cat("storageclass.storage.k8s.io \"", s.claim.storage_class, "\" not found"));
    s.wait();
  } else {
    s.note("Normal", "FailedBinding",
           "no persistent volumes available for this claim and no storage class is set");
    s.wait();
  }
}

void sync_bound(ClaimSync& s) {
  if (s.claim.volume.empty()) {
    s.lose("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    return;
  }
  const api::ObjectPtr object = s.view.get(kVolumes, "", s.claim.volume);
  if (object == nullptr) {
    s.lose("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    return;
  }
  const Volume v = scheduler::read_volume(*object);
  if (!v.claimed || v.claim_uid == s.claim.uid) {
    bind_volume(s, object);
  } else {
    s.lose("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
  }
}

Plan plan_claim(const View& view, const Key& key, base::WallTime) {
  const api::ObjectPtr object = view.get(kClaims, key.ns, key.name);
  if (object == nullptr) return {};
  ClaimSync s{view, object, object->tree(), scheduler::read_claim(*object), {}};
  if (has_annotation(s.tree, kBindCompleted)) {
    sync_bound(s);
  } else if (s.claim.deleting) {
    return {};
  } else if (s.claim.volume.empty()) {
    sync_unnamed(s);
  } else {
    sync_named(s);
  }
  return std::move(s.plan);
}

void set_volume_phase(Plan& plan, Json tree, const char* phase) {
  if (base::string_at(tree, {"status", "phase"}) == phase) return;
  Json& status = tree["status"];
  status["phase"] = phase;
  status.erase("message");
  status.erase("reason");
  plan.update(kVolumes, std::move(tree), "status");
}

/// Its claim has another volume: who bound it on the controller's behalf gets it back unbound.
void take_back(Plan& plan, Json tree) {
  Json& ref = tree["spec"]["claimRef"];
  Json& annotations = tree["metadata"]["annotations"];
  if (annotations.is_object() && annotations.contains(kBoundByController)) {
    annotations.erase(kBoundByController);
    tree["spec"].erase("claimRef");
  } else {
    // The owner reserved it for the claim: that stays.
    ref.erase("uid");
    ref.erase("resourceVersion");
  }
  plan.update(kVolumes, std::move(tree));
}

Plan plan_volume(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  const api::ObjectPtr object = view.get(kVolumes, "", key.name);
  if (object == nullptr) return plan;
  const Json tree = object->tree();
  const Volume v = scheduler::read_volume(*object);
  if (!v.claimed || v.claim_uid.empty()) {
    set_volume_phase(plan, tree, "Available");
    return plan;
  }
  const api::ObjectPtr claim_object = view.get(kClaims, v.claim_ns, v.claim_name);
  const bool gone = claim_object == nullptr || claim_object->uid() != v.claim_uid;
  if (gone) {
    if (v.phase != "Failed") set_volume_phase(plan, tree, "Released");
    return plan;
  }
  const Claim claim = scheduler::read_claim(*claim_object);
  if (claim.volume.empty()) return plan;  // the claim's turn
  if (claim.volume == v.name) {
    set_volume_phase(plan, tree, "Bound");
    return plan;
  }
  const bool made_for_it = has_annotation(tree, kProvisionedBy) &&
                           base::string_at(tree, {"spec", "persistentVolumeReclaimPolicy"}) == "Delete";
  if (made_for_it) {
    // A second one that was made meanwhile: its provisioner removes it.
    set_volume_phase(plan, tree, "Released");
  } else {
    take_back(plan, tree);
  }
  return plan;
}

/// Claims that a volume may be for: the one it names, and all of its class that still look for one.
Keys claims_of_volume(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  Keys keys;
  for (const auto* o : {&before, &after}) {
    if (*o == nullptr) continue;
    const Volume v = scheduler::read_volume(**o);
    if (v.claimed) keys.push_back({v.claim_ns, v.claim_name});
    for (const auto& claim : view.by_index(kClaims, "volume", v.name))
      keys.push_back({std::string(claim->ns()), std::string(claim->name())});
  }
  if (after != nullptr && claim_of_volume(*after).empty()) {
    for (const auto& claim : view.by_index(kClaims, "volume", ""))
      keys.push_back({std::string(claim->ns()), std::string(claim->name())});
  }
  return keys;
}

std::vector<std::string> volume_of_claim(const api::Object& claim) {
  return {std::string(base::string_at(claim.tree(), {"spec", "volumeName"}))};
}

Keys claims_of_class(const api::ObjectPtr&, const api::ObjectPtr& after, const View& view) {
  Keys keys;
  if (after == nullptr) return keys;
  for (const auto& claim : view.by_index(kClaims, "volume", ""))
    keys.push_back({std::string(claim->ns()), std::string(claim->name())});
  return keys;
}

/// The volumes that name the claim, or that it names.
Keys volumes_of_claim(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  const api::ObjectPtr& claim = after != nullptr ? after : before;
  Keys keys;
  for (const auto& v : view.by_index(kVolumes, "claim", claim_index(claim->ns(), claim->name())))
    keys.push_back({"", std::string(v->name())});
  return keys;
}

}  // namespace

Controller make_volume_binder_controller() {
  Controller c;
  c.name = "persistentvolume-controller";
  c.queue = "claims";
  c.sources = {{kClaims, own_key, {{"volume", volume_of_claim}}},
               {kVolumes, claims_of_volume, {}},
               {kClasses, claims_of_class, {}},
               {kPods, nullptr, {{"claims", claims_of_volumes}}}};
  c.plan = plan_claim;
  return c;
}

Controller make_volume_phase_controller() {
  Controller c;
  c.name = "persistentvolume-phase-controller";
  c.queue = "volumes";
  c.sources = {{kVolumes, own_key, {{"claim", claim_of_volume}}}, {kClaims, volumes_of_claim, {}}};
  c.plan = plan_volume;
  return c;
}

}  // namespace orch::server
