#include "server/controllers/resource_claims.h"

#include <algorithm>

#include "api/hash.h"
#include "api/meta.h"
#include "api/names.h"
#include "api/resource_claims.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

using base::string_at;

constexpr const char* kClaimOfAnnotation = "resource.kubernetes.io/pod-claim-name";
constexpr std::string_view kSource = "resource_claim";
/// A claim freed while its finalizer is still on: what comes after its name in a key. No name has it.
constexpr std::string_view kFreed = "/freed";

Key key_of(const api::Object& object) { return {std::string(object.ns()), std::string(object.name())}; }

// --- Claims of a pod ------------------------------------------------------------------------------------

/// "<pod>-<entry>-", both shortened in proportion when that leaves no room for a suffix.
std::string name_base(std::string_view pod, std::string_view entry) {
  constexpr size_t kLongest = 57;
  std::string whole = base::cat(pod, "-", entry, "-");
  if (whole.size() <= kLongest) return whole;
  return base::cat(pod.substr(0, pod.size() * kLongest / whole.size()), "-",
                   entry.substr(0, entry.size() * kLongest / whole.size()));
}

/// The claim that was made for an entry of the pod, whether its status says so or not.
api::ObjectPtr made_for(const View& view, const api::Object& pod, std::string_view entry) {
  for (const api::ObjectPtr& claim : view.by_index(kResourceClaims, "controller", pod.uid())) {
    if (claim->ns() == pod.ns() && api::annotation(claim->tree(), kClaimOfAnnotation) == entry) return claim;
  }
  return nullptr;
}

/// The name is the same at each try, so that a claim whose watch event is still to come is not made twice.
std::string free_claim_name(const View& view, const api::Object& pod, const std::string& prefix,
                            std::string_view entry) {
  for (uint64_t salt = 0;; ++salt) {
    std::string name = api::generate_name(prefix, api::fnv1a64(base::cat(pod.uid(), "|", entry, "|", salt)));
    if (view.get(kResourceClaims, pod.ns(), name) == nullptr) return name;
  }
}

Json claim_from_template(const View& view, const api::Object& pod, const api::PodClaim& entry,
                         const Json& from) {
  Json meta = Json::object();
  for (const char* part : {"labels", "annotations"}) {
    const Json& given = base::object_at(from, {"spec", "metadata", part});
    if (!given.empty()) meta[part] = given;
  }
  meta["annotations"][kClaimOfAnnotation] = entry.name;
  meta["generateName"] = name_base(pod.name(), entry.name);
  meta["name"] = free_claim_name(view, pod, meta["generateName"].get<std::string>(), entry.name);
  meta["namespace"] = pod.ns();
  // Deleting the pod waits for no claim: blockOwnerDeletion stays out.
  meta["ownerReferences"] = Json::array({{{"apiVersion", "v1"},
                                          {"kind", "Pod"},
                                          {"name", pod.name()},
                                          {"uid", pod.uid()},
                                          {"controller", true}}});
  return {{"apiVersion", "resource.k8s.io/v1"},
          {"kind", "ResourceClaim"},
          {"metadata", std::move(meta)},
          {"spec", base::object_at(from, {"spec", "spec"})}};
}

/// The claims of one pod, made as needed.
class PodClaims {
 public:
  PodClaims(const View& view, api::ObjectPtr pod)
      : view_(view), pod_(std::move(pod)), tree_(pod_->tree()), entries_(api::pod_claims(tree_)) {}

  Plan run() {
    for (const api::PodClaim& entry : entries_) {
      if (!make(entry)) return std::move(plan_);
    }
    if (!made_.empty()) {
      Json statuses = Json::array();
      for (const auto& [entry, claim] : made_) {
        statuses.push_back({{"name", entry}, {"resourceClaimName", claim}});
      }
      plan_.patch(kPods, pod_->ns(), pod_->name(),
                  {{"metadata", {{"uid", pod_->uid()}}},
                   {"status", {{"resourceClaimStatuses", std::move(statuses)}}}},
                  "status");
      tell_failures();
    }
    // The scheduler reserves claims for the pods it binds; others came to their node without it.
    if (!string_at(tree_, {"spec", "nodeName"}).empty()) reserve();
    return std::move(plan_);
  }

 private:
  /// False: what the pod wants cannot be made now.
  bool make(const api::PodClaim& entry) {
    if (!entry.waits) {
      if (!entry.claim) return true;
      const api::ObjectPtr claim = view_.get(kResourceClaims, pod_->ns(), *entry.claim);
      const bool mine =
          claim != nullptr && (entry.from_template.empty() || api::is_controlled_by(*claim, pod_->uid()));
      if (mine || entry.from_template.empty()) return true;
    }
    if (const api::ObjectPtr claim = made_for(view_, *pod_, entry.name)) {
      made_.emplace_back(entry.name, claim->name());
      return true;
    }
    const api::ObjectPtr from = view_.get(kResourceClaimTemplates, pod_->ns(), entry.from_template);
    if (from == nullptr) {
      fail(plan_, entry.name,
           base::cat("resource claim template \"", entry.from_template,
                     "\": resourceclaimtemplate.resource.k8s.io \"", entry.from_template, "\" not found"));
      tell_failures();
      return false;
    }
    Json claim = claim_from_template(view_, *pod_, entry, from->tree());
    made_.emplace_back(entry.name, string_at(claim, {"metadata", "name"}));
    plan_.create(kResourceClaims, pod_->ns(), std::move(claim));
    return true;
  }

  void fail(Plan& plan, const std::string& entry, const std::string& why) const {
    plan.note(pod_, "Warning", "FailedResourceClaimCreation",
              base::cat("PodResourceClaim ", entry, ": ", why));
  }

  /// A claim that the API does not take is the pod's owner's to know.
  void tell_failures() {
    plan_.otherwise = [made = made_, pod = pod_](const Write& failed, const base::Status& why) {
      Plan plan;
      if (failed.verb != Write::Verb::kCreate) return plan;
      const std::string_view name = string_at(*failed.body, {"metadata", "name"});
      for (const auto& [entry, claim] : made) {
        if (claim != name) continue;
        plan.note(pod, "Warning", "FailedResourceClaimCreation",
                  base::cat("PodResourceClaim ", entry, ": create ResourceClaim : ", why.message()));
      }
      return plan;
    };
  }

  void reserve() {
    for (const api::PodClaim& entry : entries_) {
      if (entry.waits) return;
      if (!entry.claim) continue;
      const api::ObjectPtr object = view_.get(kResourceClaims, pod_->ns(), *entry.claim);
      if (object == nullptr) return;
      Json claim = object->tree();
      if (!entry.from_template.empty() && !api::claim_owner_problem(tree_, claim).empty()) return;
      if (!api::claim_allocated(claim) || api::claim_reserved_for(claim, pod_->uid())) continue;
      api::reserve_claim(claim, pod_->name(), pod_->uid());
      plan_.update(kResourceClaims, std::move(claim), "status");
    }
  }

  const View& view_;
  const api::ObjectPtr pod_;
  const Json tree_;
  const std::vector<api::PodClaim> entries_;
  std::vector<std::pair<std::string, std::string>> made_;  // entry, claim
  Plan plan_;
};

/// Whether there is anything to do for the pod; most changes of pods concern no claim.
bool needs_work(const View& view, const api::Object& pod) {
  if (pod.deleting()) return false;
  const Json tree = pod.tree();
  for (const api::PodClaim& entry : api::pod_claims(tree)) {
    if (entry.waits) return true;
    if (!entry.claim) return false;
    const api::ObjectPtr object = view.get(kResourceClaims, pod.ns(), *entry.claim);
    if (object == nullptr) return !entry.from_template.empty();  // else somebody has to make it first
    const Json claim = object->tree();
    // Another's claim has the name: until it is gone nothing can be done.
    if (!entry.from_template.empty() && !api::claim_owner_problem(tree, claim).empty()) return false;
    if (string_at(tree, {"spec", "nodeName"}).empty()) continue;
    if (api::claim_allocated(claim) && !api::claim_reserved_for(claim, pod.uid())) return true;
  }
  return false;
}

Keys pod_key(const api::ObjectPtr&, const api::ObjectPtr& after, const View& view) {
  if (!after || !api::uses_claims(*after) || !needs_work(view, *after)) return {};
  return {key_of(*after)};
}

Keys keys_by_index(const char* index, const api::Object& object, const View& view) {
  Keys keys;
  for (const api::ObjectPtr& pod : view.by_index(kPods, index, api::object_key(object))) {
    if (needs_work(view, *pod)) keys.push_back(key_of(*pod));
  }
  return keys;
}

std::vector<std::string> claims_of(const api::Object& pod) {
  if (!api::uses_claims(pod)) return {};
  std::vector<std::string> out;
  for (const api::PodClaim& entry : api::pod_claims(pod.tree())) {
    if (entry.claim) out.push_back(api::object_key(pod.ns(), *entry.claim));
  }
  return out;
}

std::vector<std::string> templates_of(const api::Object& pod) {
  if (!api::uses_claims(pod)) return {};
  std::vector<std::string> out;
  for (const api::PodClaim& entry : api::pod_claims(pod.tree())) {
    if (!entry.from_template.empty()) out.push_back(api::object_key(pod.ns(), entry.from_template));
  }
  return out;
}

// --- Users of a claim -----------------------------------------------------------------------------------

bool is_pod(const Json& user) {
  return string_at(user, {"apiGroup"}).empty() && string_at(user, {"resource"}) == "pods";
}

Key claim_key(const Key& key) {
  Key out = key;
  if (out.name.size() > kFreed.size() && out.name.ends_with(kFreed)) {
    out.name.resize(out.name.size() - kFreed.size());
  }
  return out;
}

bool uses(const View& view, const Key& key, const Json& user,
          const std::map<std::string, std::string>& asked) {
  const std::string name(string_at(user, {"name"}));
  const std::string_view uid = string_at(user, {"uid"});
  const api::ObjectPtr pod = view.get(kPods, key.ns, name);
  if (pod != nullptr) return pod->uid() == uid && !api::pod_done(pod->tree());
  const auto found = asked.find(name);
  return found != asked.end() && found->second == uid;
}

/// A claim that was made for a pod goes when the pod needs it no more, though the pod may stay for long.
void remove_if_made(const View& view, const Key& key, const api::Object& claim, Plan& plan) {
  const api::OwnerReference owner = api::controller_of(claim);
  if (claim.deleting() || owner.kind != "Pod" || owner.api_version != "v1") return;
  const api::ObjectPtr pod = view.get(kPods, key.ns, owner.name);
  if (pod == nullptr) return;  // gone for good: the garbage collector's business
  if (pod->uid() != owner.uid || api::pod_done(pod->tree())) plan.remove(kResourceClaims, claim);
}

/// The pods in status.reservedFor; some may be listed that are not there any more.
bool has_users(const Json& claim) { return !base::array_at(claim, {"status", "reservedFor"}).empty(); }

/// Of a claim: itself, and once more when it lost its last user and with that its allocation.
Keys claim_keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  if (!after) return {};
  Keys keys{key_of(*after)};
  if (!before) return keys;
  const Json was = before->tree(), is = after->tree();
  if (has_users(was) && !has_users(is) && !api::claim_allocated(is) &&
      api::has_finalizer(is, api::kClaimFinalizer)) {
    keys.push_back({keys[0].ns, base::cat(keys[0].name, kFreed)});
  }
  return keys;
}

Keys claims_of_done_pod(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  const api::Object& pod = after ? *after : *before;
  const bool special = api::mentions(pod.bytes(), "\"extendedResourceClaimStatus\"");
  if (!special && !api::uses_claims(pod)) return {};
  const Json tree = pod.tree();
  if (after && !api::pod_done(tree)) return {};
  Keys keys;
  for (const api::PodClaim& entry : api::pod_claims(tree)) {
    if (entry.claim) keys.push_back({std::string(pod.ns()), *entry.claim});
  }
  const std::string_view extended =
      string_at(tree, {"status", "extendedResourceClaimStatus", "resourceClaimName"});
  if (!extended.empty()) keys.push_back({std::string(pod.ns()), std::string(extended)});
  return keys;
}

}  // namespace

Plan plan_pod_claims(const View& view, const Key& key, base::WallTime) {
  api::ObjectPtr pod = view.get(kPods, key.ns, key.name);
  if (pod == nullptr || pod->deleting()) return {};
  return PodClaims(view, std::move(pod)).run();
}

std::vector<std::string> unknown_users(const View& view, const Key& key) {
  const Key claim = claim_key(key);
  const api::ObjectPtr object = view.get(kResourceClaims, claim.ns, claim.name);
  std::vector<std::string> out;
  if (object == nullptr) return out;
  const Json tree = object->tree();
  for (const Json& user : base::array_at(tree, {"status", "reservedFor"})) {
    const std::string name(string_at(user, {"name"}));
    if (is_pod(user) && view.get(kPods, claim.ns, name) == nullptr) out.push_back(name);
  }
  return out;
}

Plan plan_claim_users(const View& view, const Key& wanted, const std::map<std::string, std::string>& asked) {
  Plan plan;
  const Key key = claim_key(wanted);
  const api::ObjectPtr object = view.get(kResourceClaims, key.ns, key.name);
  if (object == nullptr) return plan;
  Json claim = object->tree();
  const Json users = base::array_at(claim, {"status", "reservedFor"});
  Json valid = Json::array();
  for (const Json& user : users) {
    if (!is_pod(user)) return plan;  // somebody else's business
    if (uses(view, key, user, asked)) valid.push_back(user);
  }
  const bool guarded = api::has_finalizer(claim, api::kClaimFinalizer);
  const bool nobody = valid.empty();
  if (valid.size() < users.size()) {
    // The last user frees the devices: whoever comes next may want them on another node. A claim that never
    // had a user stays as it is.
    if (nobody) {
      claim["status"].erase("reservedFor");
      if (guarded) claim["status"].erase("allocation");
    } else {
      claim["status"]["reservedFor"] = std::move(valid);
    }
    plan.update(kResourceClaims, std::move(claim), "status");
  } else if (guarded && nobody && object->deleting() && api::claim_allocated(claim)) {
    claim["status"].erase("allocation");
    plan.update(kResourceClaims, std::move(claim), "status");
  } else if (guarded && nobody && !api::claim_allocated(claim) && (object->deleting() || !(wanted == key))) {
    api::remove_finalizer(claim, api::kClaimFinalizer);
    plan.update(kResourceClaims, std::move(claim));
  }
  if (nobody) remove_if_made(view, key, *object, plan);
  return plan;
}

Controller make_pod_claims_controller() {
  Controller c;
  c.name = kSource;
  c.sources = {{kPods, pod_key, {{"resourceClaim", claims_of}, {"resourceClaimTemplate", templates_of}}},
               {kResourceClaims,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  return keys_by_index("resourceClaim", after ? *after : *before, view);
                },
                {{"controller", controller_uid_index()}}},
               // A pod that came before its template waits for nothing else.
               {kResourceClaimTemplates,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  if (before || !after) return Keys();
                  return keys_by_index("resourceClaimTemplate", *after, view);
                },
                {}}};
  c.plan = plan_pod_claims;
  return c;
}

Controller make_claim_users_controller() {
  Controller c;
  c.name = kSource;
  c.queue = "resource_claim_users";
  c.sources = {{kResourceClaims, claim_keys, {}}, {kPods, claims_of_done_pod, {}}};
  c.observe_and_plan = [](client::Client& client, const View& view, const Key& key,
                          base::WallTime) -> base::Result<Plan> {
    // The scheduler may have reserved the claim for a pod that this view has yet to see.
    std::map<std::string, std::string> asked;
    for (const std::string& name : unknown_users(view, key)) {
      const base::Result<api::ObjectPtr> pod = client.get(kPods, claim_key(key).ns, name);
      if (pod.ok()) {
        asked[name] = (*pod)->uid();
      } else if (pod.status().code() != base::Code::kNotFound) {
        return pod.status();
      }
    }
    return plan_claim_users(view, key, asked);
  };
  return c;
}

}  // namespace orch::server
