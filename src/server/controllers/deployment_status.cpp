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

/// Progress is told anew each time, so that the deadline counts from the last of it.
void set_progressed(Json& next, const std::string& message, base::WallTime now) {
  const Json* had = api::find_condition(next, "Progressing");
  std::string since;
  if (had != nullptr && base::string_at(*had, {"status"}) == "True")
    since = base::string_at(*had, {"lastTransitionTime"});
  api::remove_condition(next, "Progressing");
  api::set_condition(next, {"Progressing", "True", "ReplicaSetUpdated", message}, now,
                     api::ConditionTimes::kUpdate);
  if (since.empty()) return;
  for (auto& c : next["status"]["conditions"]) {
    if (base::string_at(c, {"type"}) == "Progressing") c["lastTransitionTime"] = since;
  }
}

std::string reason_of(const Json& deployment) {
  const Json* c = api::find_condition(deployment, "Progressing");
  return c == nullptr ? std::string() : std::string(base::string_at(*c, {"reason"}));
}

/// Pausing, resuming and the appearance of the new set: told before any progress is estimated.
void set_milestones(const Rollout& r, Json& next, base::WallTime now) {
  const std::string was = reason_of(next);
  if (was != "ProgressDeadlineExceeded" && r.paused && was != "DeploymentPaused") {
    set_deployment_condition(next, {"Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"},
                             now);
  } else if (!r.paused && was == "DeploymentPaused") {
    set_deployment_condition(next, {"Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed"},
                             now);
  }
  if (!r.created.empty()) {
    set_deployment_condition(next,
                             {"Progressing", "True", "NewReplicaSetCreated",
                              base::cat("Created new replica set \"", r.created, "\"")},
                             now);
  } else if (r.new_set && api::find_condition(next, "Progressing") == nullptr) {
    set_deployment_condition(next,
                             {"Progressing", "True", "FoundNewReplicaSet",
                              base::cat("Found new replica set \"", r.new_set->object->name(), "\"")},
                             now);
  }
}

/// Progressing condition: what moved, what is done, or that nothing moved for too long.
void set_progressing(const Rollout& r, const Json& before, Json& next, base::WallTime now, Plan& plan) {
  const std::optional<int64_t> deadline = progress_deadline(r.tree);
  if (!deadline) {
    api::remove_condition(next, "Progressing");
    return;
  }
  if (r.object->deleting()) return;
  set_milestones(r, next, now);
  if (r.paused || r.scaling || !r.created.empty()) return;
  const Json& status = next["status"];
  const std::string what = r.new_set ? base::cat("ReplicaSet \"", r.new_set->object->name(), "\"")
                                     : base::cat("Deployment \"", r.object->name(), "\"");
  const std::string was = reason_of(next);
  const bool finished_before =
      base::int_at(status, {"replicas"}) == base::int_at(status, {"updatedReplicas"}) &&
      was == "NewReplicaSetAvailable";
  const bool complete = rollout_complete(r, status);
  if (!finished_before) {
    if (complete) {
      set_deployment_condition(
          next, {"Progressing", "True", "NewReplicaSetAvailable", what + " has successfully progressed."},
          now);
    } else if (progressed(before, status)) {
      set_progressed(next, what + " is progressing.", now);
    }
  }
  const Json* condition = api::find_condition(next, "Progressing");
  if (complete || condition == nullptr) return;
  const std::string reason = reason_of(next);
  if (reason == "ProgressDeadlineExceeded" || reason == "NewReplicaSetAvailable") return;
  auto updated = base::parse_time(base::string_at(*condition, {"lastUpdateTime"}));
  const base::WallTime due = (updated.ok() ? *updated : now) + std::chrono::seconds(*deadline);
  if (now > due) {
    set_deployment_condition(
        next, {"Progressing", "False", "ProgressDeadlineExceeded", what + " has timed out progressing."},
        now);
    return;
  }
  plan.again_after(due - now + std::chrono::seconds(1));
}

/// The new set's failure to make its pods, else an old one's, is the deployment's.
void set_replica_failure(const Rollout& r, Json& next, base::WallTime now) {
  const Json* failure = nullptr;
  if (r.new_set) failure = api::find_condition(r.new_set->tree, "ReplicaFailure");
  for (const auto& s : r.old_sets) {
    if (failure == nullptr) failure = api::find_condition(s.tree, "ReplicaFailure");
  }
  if (failure == nullptr) {
    api::remove_condition(next, "ReplicaFailure");
    return;
  }
  set_deployment_condition(next,
                           {"ReplicaFailure", base::string_at(*failure, {"status"}),
                            base::string_at(*failure, {"reason"}), base::string_at(*failure, {"message"})},
                           now);
}

}  // namespace

std::optional<int64_t> progress_deadline(const Json& deployment) {
  constexpr int64_t kNoDeadline = 2147483647;
  const int64_t seconds = base::int_at(deployment, {"spec", "progressDeadlineSeconds"}, 600);
  return seconds == kNoDeadline ? std::nullopt : std::optional(seconds);
}

void set_deployment_condition(Json& deployment, const api::Condition& condition, base::WallTime now) {
  const Json* had = api::find_condition(deployment, condition.type);
  if (had != nullptr && base::string_at(*had, {"status"}) == condition.status &&
      base::string_at(*had, {"reason"}) == condition.reason) {
    return;
  }
  api::set_condition(deployment, condition, now, api::ConditionTimes::kUpdate);
}

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
    set_deployment_condition(
        next, {"Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."}, now);
  } else {
    set_deployment_condition(next,
                             {"Available", "False", "MinimumReplicasUnavailable",
                              "Deployment does not have minimum availability."},
                             now);
  }
  set_progressing(r, before, next, now, plan);
  set_replica_failure(r, next, now);
  if (next["status"].value("conditions", Json()).is_array() && next["status"]["conditions"].empty())
    next["status"].erase("conditions");
  return next["status"];
}

}  // namespace orch::server
