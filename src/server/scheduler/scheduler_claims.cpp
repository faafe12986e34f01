// Resource claims of pods: those that wait for theirs, and what is written before a pod is bound.
#include "api/meta.h"
#include "api/resource_claims.h"
#include "base/json.h"
#include "base/log.h"
#include "server/scheduler/scheduler_rep.h"

namespace orch::server::scheduler {

using base::Code;
using base::Status;

namespace {

const client::ResourceRef kPods{"", "v1", "pods"};
const client::ResourceRef kResourceClaims{"resource.k8s.io", "v1", "resourceclaims"};
/// Others write to claims too: drivers their devices' state, the claim controller what it frees.
constexpr int kTries = 5;

std::string text_of(const ResourceClaim& claim) { return base::cat(claim.ns, "/", claim.name); }

Status in_context(const Status& why, std::string_view what) {
  // A conflict is tried again, so it stays one.
  return why.ok() ? why : Status{why.code(), base::cat(what, ": ", why.message())};
}

/// One try: kConflict when somebody else was faster.
Status write_claim(client::Client& client, const PodInfo& pod, const ClaimAllocation& plan) {
  const std::string name = text_of(*plan.claim);
  const auto found = client.get(kResourceClaims, plan.claim->ns, plan.claim->name);
  if (!found.ok())
    return in_context(found.status(), base::cat("get updated claim ", name, " after conflict"));
  if ((*found)->deleting() || (*found)->uid() != plan.claim->uid)
    return {Code::kInternal, base::cat("claim ", name, " got deleted in the meantime")};
  Json tree = (*found)->tree();
  if (plan.allocation != nullptr) {
    if (api::claim_allocated(tree))
      return {Code::kInternal, base::cat("claim ", name, " got allocated elsewhere in the meantime")};
    if (api::add_finalizer(tree, api::kClaimFinalizer)) {
      const auto updated = client.update(kResourceClaims, plan.claim->ns, tree);
      if (!updated.ok()) return in_context(updated.status(), base::cat("add finalizer to claim ", name));
      tree = (*updated)->tree();
    }
    tree["status"]["allocation"] = *plan.allocation;
  }
  if (!api::claim_reserved_for(tree, pod.uid)) api::reserve_claim(tree, pod.name, pod.uid);
  return in_context(client.update(kResourceClaims, plan.claim->ns, tree, "status").status(),
                    base::cat(plan.allocation != nullptr ? "add allocation and reservation to claim "
                                                         : "add reservation to claim ",
                              name));
}

}  // namespace

bool Scheduler::Rep::must_wait(const PodInfo& pod) {
  const Profile* profile = profile_of(pod);
  if (!pod.claims_devices || profile == nullptr) return false;
  rebuild_snapshot();
  for (const Plugin* plugin : profile->gates) {
    if (!plugin->not_ready(pod, cluster()).empty()) return true;
  }
  return false;
}

void Scheduler::Rep::take_claim(const Change& change) {
  const api::Object& claim = change.after ? *change.after : *change.before;
  if (!change.after || devices.read(change.after)->allocated) devices.forget(claim.uid());
  for (auto it = held.begin(); it != held.end();) {
    const PodPtr pod = it->second;
    if (pod->ns != claim.ns() || must_wait(*pod)) {
      ++it;
      continue;
    }
    it = held.erase(it);
    queue.add(pod, clock.mono());
  }
}

void Scheduler::Rep::forget_claims(const ClaimPlan& plan) {
  for (const ClaimAllocation& a : plan) devices.forget(a.claim->uid);
}

base::Result<ClaimPlan> Scheduler::Rep::plan_claims(const Profile& profile, const PodPtr& pod,
                                                    const NodeInfo& node) {
  ClaimPlan out;
  if (!pod->claims_devices) return out;
  for (const auto& plugin : profile.plugins) {
    base::Result<ClaimPlan> own = plugin->claims(*pod, node, cluster());
    if (!own.ok()) {
      return Status(Code::kInternal,
                    base::cat("running Reserve plugin \"", plugin->name(), "\": ", own.status().message()));
    }
    if (!own->empty()) out = std::move(*own);
  }
  return out;
}

Status Scheduler::Rep::write_claims(const PodPtr& pod, const std::string& node, const ClaimPlan& plan) {
  // Others see where it will be while its claims are written.
  (void)client.patch(kPods, pod->ns, pod->name, client::PatchType::kStrategic,
                     {{"metadata", {{"uid", pod->uid}}}, {"status", {{"nominatedNodeName", node}}}},
                     "status");
  for (const ClaimAllocation& a : plan) {
    if (a.claim->is_reserved_for(pod->uid)) continue;
    Status status;
    for (int i = 0; i < kTries; ++i) {
      status = write_claim(client, *pod, a);
      if (status.code() != Code::kConflict) break;
    }
    if (!status.ok()) return status;
  }
  return {};
}

void Scheduler::Rep::unreserve_claims(const PodPtr& pod, const ClaimPlan& plan) {
  for (const ClaimAllocation& a : plan) {
    const auto found = client.get(kResourceClaims, a.claim->ns, a.claim->name);
    if (!found.ok() || (*found)->uid() != a.claim->uid) continue;
    const Json tree = (*found)->tree();
    if (!api::claim_allocated(tree) || !api::claim_reserved_for(tree, pod->uid)) continue;
    // Should this fail, the next attempt to place the pod does it, or the claim controller.
    (void)client.patch(
        kResourceClaims, a.claim->ns, a.claim->name, client::PatchType::kStrategic,
        {{"metadata", {{"uid", a.claim->uid}}},
         {"status", {{"reservedFor", Json::array({{{"$patch", "delete"}, {"uid", pod->uid}}})}}}},
        "status");
  }
}

void Scheduler::Rep::free_claim(const PodPtr& pod, const ResourceClaimPtr& claim) {
  const auto found = client.get(kResourceClaims, claim->ns, claim->name);
  if (!found.ok() || (*found)->uid() != claim->uid) return;
  const ResourceClaim now = read_resource_claim(**found);
  if (now.reserved_for.size() > 1 || (!now.reserved_for.empty() && !now.is_reserved_for(pod->uid))) return;
  Json tree = (*found)->tree();
  for (const char* part : {"reservedFor", "allocation", "devices"}) tree["status"].erase(part);
  const Status status = client.update(kResourceClaims, claim->ns, tree, "status").status();
  if (!status.ok() && status.code() != Code::kConflict && status.code() != Code::kNotFound) {
    base::log_warning("scheduler", "deallocation failed",
                      {{"claim", text_of(*claim)}, {"error", status.message()}});
  }
}

std::string Scheduler::Rep::free_for(const PodPtr& pod, const Filters& filters) {
  const std::vector<ResourceClaimPtr>* unavailable = filters.unavailable_claims();
  if (unavailable == nullptr) return "no new claims to deallocate";
  for (const ResourceClaimPtr& claim : *unavailable) {
    const auto& users = claim->reserved_for;
    if (!users.empty() && !(users.size() == 1 && users[0] == pod->uid)) continue;
    writers->post([this, pod, claim] { free_claim(pod, claim); });
    return "deallocation of ResourceClaim completed";
  }
  return "still not schedulable";
}

}  // namespace orch::server::scheduler
