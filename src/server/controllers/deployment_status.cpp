// Status and conditions of a deployment.
#include <algorithm>

#include "api/meta.h"
#include "server/controllers/deployment_state.h"

namespace orch::server {

namespace {

void set_count(Json& status, const char* name, int64_t n) {
  if (n == 0) {
    status.erase(name);
  } else {
    status[name] = n;
  }
}

bool progressed(const Json& before, const Json& after) {
  auto n = [](const Json& s, const char* name) { return base::int_at(s, {name}); };
  return n(after, "updatedReplicas") > n(before, "updatedReplicas") ||
         n(after, "replicas") - n(after, "updatedReplicas") <
             n(before, "replicas") - n(before, "updatedReplicas") ||
         n(after, "readyReplicas") > n(before, "readyReplicas") ||
         n(after, "availableReplicas") > n(before, "availableReplicas");
}

/// Progressing condition: what moved, what is done, or that nothing moved for too long.
void set_progressing(const Rollout& r, const Json& before, Json& next, base::WallTime now, Plan& plan) {
  const Json* deadline_field = base::find_path(r.tree, {"spec", "progressDeadlineSeconds"});
  const int64_t deadline = deadline_field != nullptr ? deadline_field->get<int64_t>() : 600;
  constexpr int64_t kNoDeadline = 2147483647;
  if (deadline == kNoDeadline) {
    api::remove_condition(next, "Progressing");
    return;
  }
  const std::string name = r.new_set ? std::string(r.new_set->object->name()) : std::string();
  const std::string what = name.empty() ? base::cat("deployment \"", r.object->name(), "\"")
                                        : base::cat("replica set \"", name, "\"");
  const Json what_was = api::find_condition(r.tree, "Progressing") != nullptr
                            ? *api::find_condition(r.tree, "Progressing")
                            : Json();
  std::string_view was = base::string_at(what_was, {"reason"});
  const std::string capital = name.empty() ? base::cat("Deployment \"", r.object->name(), "\"")
                                           : base::cat("ReplicaSet \"", name, "\"");
  if (r.paused) {
    if (was != "DeploymentPaused" && was != "ProgressDeadlineExceeded") {
      api::set_condition(next, {"Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"}, now,
                         api::ConditionTimes::kUpdate);
    }
    return;
  }
  if (was == "DeploymentPaused") {
    api::set_condition(next, {"Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed"}, now,
                       api::ConditionTimes::kUpdate);
  }
  const bool complete = rollout_complete(r, next["status"]);
  if (complete) {
    if (was != "NewReplicaSetAvailable" ||
        base::string_at(what_was, {"message"}).find(name) == std::string_view::npos) {
      api::set_condition(
          next, {"Progressing", "True", "NewReplicaSetAvailable", capital + " has successfully progressed."},
          now, api::ConditionTimes::kUpdate);
    }
    return;
  }
  if (was == "NewReplicaSetAvailable" && !progressed(before, next["status"])) {
    // A finished rollout that lost a pod is not a new rollout.
    const bool same =
        base::int_at(before, {"observedGeneration"}) == base::int_at(next, {"metadata", "generation"}) &&
        base::string_at(what_was, {"message"}).find(name) != std::string_view::npos;
    if (same) return;
  }
  if (progressed(before, next["status"]) || what_was.is_null() || was == "DeploymentPaused" ||
      was == "NewReplicaSetAvailable") {
    api::set_condition(next, {"Progressing", "True", "ReplicaSetUpdated", capital + " is progressing."}, now,
                       api::ConditionTimes::kUpdate);
    plan.again_after(std::chrono::seconds(deadline));
    return;
  }
  auto updated = base::parse_time(base::string_at(what_was, {"lastUpdateTime"}));
  const base::WallTime due = (updated.ok() ? *updated : now) + std::chrono::seconds(deadline);
  if (was == "ProgressDeadlineExceeded") return;
  if (now >= due) {
    api::set_condition(
        next, {"Progressing", "False", "ProgressDeadlineExceeded", capital + " has timed out progressing."},
        now, api::ConditionTimes::kUpdate);
    return;
  }
  plan.again_after(due - now);
}

}  // namespace

bool rollout_complete(const Rollout& r, const Json& status) {
  return base::int_at(status, {"updatedReplicas"}) == r.replicas &&
         base::int_at(status, {"replicas"}) == r.replicas &&
         base::int_at(status, {"availableReplicas"}) == r.replicas &&
         base::int_at(status, {"observedGeneration"}) >= base::int_at(r.tree, {"metadata", "generation"});
}

Json deployment_status(const Rollout& r, base::WallTime now, Plan& plan) {
  const Json before = base::object_at(r.tree, {"status"});
  Json next = r.tree;
  Json& status = next["status"];
  if (!status.is_object()) status = Json::object();
  int64_t ready = r.new_set ? r.new_set->ready : 0, terminating = 0;
  for (const auto& s : r.old_sets) {
    ready += s.ready;
    terminating += base::int_at(s.tree, {"status", "terminatingReplicas"});
  }
  if (r.new_set) terminating += base::int_at(r.new_set->tree, {"status", "terminatingReplicas"});
  const int64_t available = r.total_available();
  set_count(status, "replicas", r.total_created());
  set_count(status, "updatedReplicas", r.new_set ? r.new_set->created : 0);
  set_count(status, "readyReplicas", ready);
  set_count(status, "availableReplicas", available);
  set_count(status, "unavailableReplicas", std::max<int64_t>(0, r.total_wanted() - available));
  status["terminatingReplicas"] = terminating;
  set_count(status, "observedGeneration", base::int_at(r.tree, {"metadata", "generation"}));
  if (available >= r.replicas - r.max_unavailable) {
    api::set_condition(
        next, {"Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."}, now,
        api::ConditionTimes::kUpdate);
  } else {
    api::set_condition(next,
                       {"Available", "False", "MinimumReplicasUnavailable",
                        "Deployment does not have minimum availability."},
                       now, api::ConditionTimes::kUpdate);
  }
  set_progressing(r, before, next, now, plan);
  return next["status"];
}

}  // namespace orch::server
