// What the scheduler's writers do: bindings, volumes, evictions, reports.
#include "api/meta.h"
#include "base/json.h"
#include "base/log.h"
#include "server/scheduler/scheduler_rep.h"

namespace orch::server::scheduler {

using base::Code;
using base::Status;

namespace {

const client::ResourceRef kPods{"", "v1", "pods"};
const client::ResourceRef kClaims{"", "v1", "persistentvolumeclaims"};
const client::ResourceRef kVolumes{"", "v1", "persistentvolumes"};
/// Bindings that may be ahead of their events.
constexpr size_t kMostUnsaid = 4096;
constexpr const char* kSelectedNode = "volume.kubernetes.io/selected-node";
constexpr const char* kBoundByController = "pv.kubernetes.io/bound-by-controller";

std::string full_name(const PodInfo& pod) { return base::cat(pod.ns, "/", pod.name); }

/// Events hold no more than 1 kB of text.
std::string shortened(const std::string& message) {
  constexpr size_t kMost = 1024;
  constexpr std::string_view kMore = " ...";
  if (message.size() <= kMost) return message;
  return base::cat(std::string_view(message).substr(0, kMost - kMore.size()), kMore);
}

}  // namespace

Status Scheduler::Rep::bind_by(const PodPtr& pod, const std::string& node, bool& by_extender) {
  for (const auto& extender : options.extenders) {
    if (!extender->binds() || !extender->interested(*pod)) continue;
    Status status = extender->bind(*pod, node);
    if (!status.ok() && extender->ignorable()) continue;
    by_extender = true;
    return status;
  }
  const Json binding = {{"kind", "Binding"},
                        {"apiVersion", "v1"},
                        {"metadata", {{"name", pod->name}, {"namespace", pod->ns}, {"uid", pod->uid}}},
                        {"target", {{"kind", "Node"}, {"name", node}}}};
  return client.post(kPods, pod->ns, pod->name, "binding", binding).status();
}

/// Behind the bindings, as kube-scheduler does: its node need not wait for what is said about a pod. When
/// they run far ahead, they wait.
void Scheduler::Rep::say_bound(const PodPtr& pod, const std::string& node) {
  const auto say = [this, pod, node, now = clock.now()] {
    recorder.record(pod->scheduler_name, *pod->object, "Normal", "Scheduled",
                    base::cat("Successfully assigned ", full_name(*pod), " to ", node), {}, now);
  };
  if (unsaid.fetch_add(1) >= kMostUnsaid) {
    say();
    unsaid.fetch_sub(1);
    return;
  }
  events->post([this, say] {
    say();
    unsaid.fetch_sub(1);
  });
}

void Scheduler::Rep::bind(const PodPtr& pod, const std::string& node, const ClaimPlan& claims) {
  Change undo;
  undo.what = Change::What::kUnbound;
  undo.pod = pod;
  undo.claims = claims;
  if (!claims.empty()) {
    if (const Status status = write_claims(pod, node, claims); !status.ok()) {
      unreserve_claims(pod, claims);
      undo.error = base::cat("running PreBind plugin \"DynamicResources\": ", status.message());
      push(std::move(undo));
      return;
    }
  }
  bool by_extender = false;
  const Status status = bind_by(pod, node, by_extender);
  if (status.ok()) {
    say_bound(pod, node);
    return;
  }
  unreserve_claims(pod, claims);
  if (status.code() != Code::kNotFound && status.code() != Code::kConflict) {
    base::log_warning("scheduler", "binding failed", {{"pod", full_name(*pod)}, {"error", status.message()}});
    undo.error = by_extender ? status.message()
                             : base::cat("running Bind plugin \"DefaultBinder\": ", status.message());
  }
  push(std::move(undo));
}

/// The volume becomes the claim's: the controller that binds them sees it and does the rest.
Status Scheduler::Rep::give_volume(const VolumePlan::Match& match) {
  auto claim = client.get(kClaims, match.claim_ns, match.claim);
  if (!claim.ok()) return claim.error();
  auto volume = client.get(kVolumes, "", match.volume);
  if (!volume.ok()) return volume.error();
  Json tree = (*volume)->tree();
  Json& ref = tree["spec"]["claimRef"];
  const bool own =
      base::string_at(ref, {"name"}) == match.claim &&
      base::string_at(ref, {"namespace"}) == match.claim_ns &&
      (base::string_at(ref, {"uid"}).empty() || base::string_at(ref, {"uid"}) == (*claim)->uid());
  if (ref.is_object() && !own) {
    return {Code::kConflict, base::cat("volume \"", match.volume, "\" is already bound to another claim")};
  }
  if (!own) tree["metadata"]["annotations"][kBoundByController] = "yes";
  ref = {{"kind", "PersistentVolumeClaim"}, {"apiVersion", "v1"},
         {"namespace", match.claim_ns},     {"name", match.claim},
         {"uid", (*claim)->uid()},          {"resourceVersion", std::to_string((*claim)->revision())}};
  return client.update(kVolumes, "", tree).status();
}

void Scheduler::Rep::write_volumes(const PodPtr& pod, const std::string& node, const VolumePlan& plan) {
  // Others see where it will be while its volumes are made.
  (void)client.patch(kPods, pod->ns, pod->name, client::PatchType::kStrategic,
                     {{"metadata", {{"uid", pod->uid}}}, {"status", {{"nominatedNodeName", node}}}},
                     "status");
  Status status;
  for (const auto& match : plan.matches) {
    if (status.ok()) status = give_volume(match);
  }
  for (const auto& claim : plan.provisions) {
    if (!status.ok()) break;
    status = client
                 .patch(kClaims, pod->ns, claim, client::PatchType::kMerge,
                        {{"metadata", {{"annotations", {{kSelectedNode, node}}}}}})
                 .status();
  }
  Change change;
  change.pod = pod;
  change.what = Change::What::kWritten;
  if (!status.ok()) {
    change.what = Change::What::kUnbound;
    change.error = base::cat("running PreBind plugin \"VolumeBinding\": ", status.message());
  }
  push(std::move(change));
}

void Scheduler::Rep::evict_for(const PodPtr& pod, const Preemption& found,
                               const std::vector<PodPtr>& displaced, const std::string& message,
                               const Waiting& waiting) {
  for (const PodPtr& other : displaced) {
    // Should this fail, its next report does it.
    (void)client.patch(kPods, other->ns, other->name, client::PatchType::kStrategic,
                       {{"metadata", {{"uid", other->uid}}}, {"status", {{"nominatedNodeName", nullptr}}}},
                       "status");
  }
  report(pod, "Unschedulable", message, found.node);
  Change done;
  done.what = Change::What::kPreempted;
  done.failed = !evict(pod, found.victims, found.node);
  done.pod = pod;
  done.waiting = waiting;
  push(std::move(done));
}

/// False when a victim is still there and was not asked to go.
bool Scheduler::Rep::evict(const PodPtr& pod, const std::vector<PodPtr>& victims, const std::string& node) {
  bool all = true;
  for (const PodPtr& victim : victims) {
    if (victim->deleting) continue;
    Json next = victim->object->tree();
    api::set_condition(next,
                       {"DisruptionTarget", "True", "PreemptionByScheduler",
                        base::cat(pod->scheduler_name, ": preempting to accommodate a higher priority pod")},
                       clock.now(), api::ConditionTimes::kProbe);
    Status s =
        client
            .patch(
                kPods, victim->ns, victim->name, client::PatchType::kStrategic,
                {{"metadata", {{"uid", victim->uid}}},
                 {"status", {{"conditions", Json::array({*api::find_condition(next, "DisruptionTarget")})}}}},
                "status")
            .status();
    if (s.ok()) {
      client::DeleteOptions delete_options;
      delete_options.uid = victim->uid;
      s = client.remove(kPods, victim->ns, victim->name, delete_options);
    }
    if (s.code() == Code::kNotFound || s.code() == Code::kConflict) continue;  // gone, or replaced
    if (!s.ok()) {
      base::log_warning("scheduler", "preemption failed",
                        {{"pod", full_name(*victim)}, {"error", s.message()}});
      all = false;
      continue;
    }
    recorder.record(pod->scheduler_name, *victim->object, "Normal", "Preempted",
                    base::cat("Preempted by pod ", pod->uid, " on node ", node));
  }
  return all;
}

/// `nomination`: the node the pod is promised, "" = none any more, nothing = as it was.
void Scheduler::Rep::report(const PodPtr& pod, const std::string& reason, const std::string& message,
                            const std::optional<std::string>& nomination) {
  recorder.record(pod->scheduler_name, *pod->object, "Warning", "FailedScheduling", shortened(message));
  Json current = pod->object->tree();
  Json status = Json::object();
  if (api::set_condition(current, {"PodScheduled", "False", reason, message}, clock.now(),
                         api::ConditionTimes::kProbe)) {
    status["conditions"] = Json::array({*api::find_condition(current, "PodScheduled")});
  }
  if (nomination && *nomination != base::string_at(current, {"status", "nominatedNodeName"}))
    status["nominatedNodeName"] = nomination->empty() ? Json() : Json(*nomination);
  if (status.empty()) return;
  Json patch = {{"metadata", {{"uid", pod->uid}}}, {"status", std::move(status)}};
  Status s = client.patch(kPods, pod->ns, pod->name, client::PatchType::kStrategic, patch, "status").status();
  if (!s.ok() && s.code() != Code::kNotFound && s.code() != Code::kConflict) {
    base::log_warning("scheduler", "reporting failed", {{"pod", full_name(*pod)}, {"error", s.message()}});
  }
}

}  // namespace orch::server::scheduler
