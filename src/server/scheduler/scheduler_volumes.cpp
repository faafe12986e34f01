// Volumes of pods that have been given a node: reserved, written, and waited for until they are bound.
#include "base/status.h"
#include "server/scheduler/scheduler_rep.h"

namespace orch::server::scheduler {

void Scheduler::Rep::reserve(const PodPtr& pod, const std::string& node, VolumePlan plan, ClaimPlan claims) {
  for (const auto& m : plan.matches) {
    if (const auto claim = storage.claim(m.claim_ns, m.claim)) storage.assume_volume(m.volume, *claim);
  }
  for (const auto& claim : plan.provisions) storage.assume_claim(pod->ns, claim, node);
  volume_waits[pod->uid] = {pod, node, plan, clock.mono() + options.bind_timeout, false, std::move(claims)};
  writers->post([this, pod, node, plan = std::move(plan)] { write_volumes(pod, node, plan); });
}

/// What was assumed is written by now, or never will be.
void Scheduler::Rep::unreserve(const VolumeWait& wait) {
  for (const auto& m : wait.plan.matches) storage.forget_volume(m.volume);
  for (const auto& claim : wait.plan.provisions) storage.forget_claim(wait.pod->ns, claim);
}

void Scheduler::Rep::check_volumes(const std::string& uid) {
  auto it = volume_waits.find(uid);
  if (it == volume_waits.end() || !it->second.written) return;
  // From here on what the API has counts.
  unreserve(it->second);
  const VolumeWait& wait = it->second;
  std::string error;
  bool bound = true;
  auto look_at = [&](const std::string& name, bool provisioned) {
    const auto claim = storage.claim(wait.pod->ns, name);
    if (claim == nullptr) {
      error = base::cat("failed to check binding: could not find v1.PersistentVolumeClaim \"", wait.pod->ns,
                        "/", name, "\"");
    } else if (provisioned && !claim->bound() && claim->selected_node != wait.node) {
      // The provisioner could not make one there and gives the choice back.
      error = base::cat("provisioning failed for PVC \"", name, "\"");
    } else if (!claim->bound()) {
      bound = false;
    } else if (const auto volume = storage.volume(claim->volume)) {
      auto node = nodes.find(wait.node);
      if (node != nodes.end() && !volume->reachable_from(node->second)) {
        error = base::cat("pv \"", volume->name, "\" node affinity doesn't match node \"", wait.node,
                          "\": no matching NodeSelectorTerms");
      }
    } else {
      bound = false;
    }
  };
  for (const auto& m : wait.plan.matches) {
    const auto volume = storage.volume(m.volume);
    if (volume == nullptr) {
      error = base::cat("failed to check binding: could not find v1.PersistentVolume \"", m.volume, "\"");
    } else if (!volume->claimed || volume->claim_uid.empty()) {
      error = base::cat("ClaimRef got reset for pv \"", m.volume, "\"");
    }
    look_at(m.claim, false);
  }
  for (const auto& name : wait.plan.provisions) look_at(name, true);
  if (error.empty() && !bound && clock.mono() >= wait.deadline) error = "context deadline exceeded";
  if (error.empty() && !bound) return;
  const PodPtr pod = wait.pod;
  const std::string node = wait.node;
  const ClaimPlan claims = wait.claims;
  volume_waits.erase(it);
  if (error.empty()) {
    writers->post([this, pod, node, claims] { bind(pod, node, claims); });
    return;
  }
  Change undo;
  undo.what = Change::What::kUnbound;
  undo.pod = pod;
  undo.claims = claims;
  undo.error = base::cat("running PreBind plugin \"VolumeBinding\": binding volumes: ", error);
  take(undo);
}

void Scheduler::Rep::check_all_volumes() {
  std::vector<std::string> uids;
  uids.reserve(volume_waits.size());
  for (const auto& [uid, wait] : volume_waits) uids.push_back(uid);
  for (const auto& uid : uids) check_volumes(uid);
}

}  // namespace orch::server::scheduler
