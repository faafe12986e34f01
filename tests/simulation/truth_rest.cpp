// What must hold once nothing goes wrong any more and the cluster came to rest.
#include <algorithm>

#include "api/meta.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using base::int_at;
using base::string_at;

namespace {

std::string uid_of(const Json& tree) { return std::string(string_at(tree, {"metadata", "uid"})); }

/// A StatefulSet that waits for each pod before it makes the next.
bool ordered(const Json& tree) {
  return string_at(tree, {"kind"}) == "StatefulSet" &&
         string_at(tree, {"spec", "podManagementPolicy"}) != "Parallel";
}

/// Pods of an older template that cannot become ready stay: nobody deletes them (a ReplicaSet, OnDelete, a
/// partition), or what is ordered waits for them, which Kubernetes documents as "forced rollback".
bool keeps_broken_pods(const Json& tree) {
  const Json& update = base::object_at(tree, {"spec", "updateStrategy"});
  return string_at(tree, {"kind"}) == "ReplicaSet" || ordered(tree) ||
         string_at(update, {"type"}) == "OnDelete" || int_at(update, {"rollingUpdate", "partition"}) > 0;
}

/// Its pods can never become ready: nobody is left who would change the template.
bool hopeless(const Json& tree) {
  return string_at(tree, {"spec", "template", "metadata", "annotations", "broken"}) == "true";
}

}  // namespace

void Truth::rest(const std::string& what, bool holds, const std::string& how) {
  if (!holds) world_.violated("rest", base::cat(what, " ", how));
}

void Truth::check_rest() {
  rest_of_all();
  for (const auto& [name, tree] : all_["deployments"]) rest_of_deployment(tree);
  rest_of_sets();
  rest_of_stateful_sets();
  rest_of_daemon_sets();
  rest_of_jobs();
  rest_of_budgets();
  rest_of_quotas();
  rest_of_services();
}

void Truth::rest_of_all() {
  std::set<std::string> uids;
  for (const auto& [plural, kind] : all_) {
    for (const auto& [name, tree] : kind) uids.insert(uid_of(tree));
  }
  for (const auto& [plural, kind] : all_) {
    for (const auto& [name, tree] : kind) {
      const std::string what = base::cat(plural, " ", name);
      rest(what, !tree["metadata"].contains("deletionTimestamp"), "is still being deleted");
      const Json& owners = base::array_at(tree, {"metadata", "ownerReferences"});
      const bool owned = owners.empty() || std::any_of(owners.begin(), owners.end(), [&](const Json& o) {
                           return uids.count(std::string(string_at(o, {"uid"}))) != 0;
                         });
      rest(what, owned, "has lost its owner and is still there");
    }
  }
  for (const auto& [name, pod] : pods_) {
    if (lacks_room(pod)) continue;
    rest("pod " + name, pod.finished() || !pod.node.empty(), "was given no node");
    rest("pod " + name, pod.finished() || pod.ready || pod.broken, "is neither ready nor finished");
  }
}

void Truth::rest_of_deployment(const Json& tree) {
  const std::string what = base::cat("deployment ", string_at(tree, {"metadata", "name"}));
  const int64_t want = int_at(tree, {"spec", "replicas"}, 1);
  const Json& status = base::object_at(tree, {"status"});
  rest(what, int_at(status, {"observedGeneration"}) == int_at(tree, {"metadata", "generation"}),
       "was not seen in its last version");
  for (const char* field : {"replicas", "updatedReplicas", "readyReplicas", "availableReplicas"})
    rest(what, int_at(status, {field}) == want, base::cat("wants ", want, ", its status is ", status.dump()));
}

void Truth::rest_of_scaled(const std::string& plural, const Json& tree) {
  const std::string what = base::cat(plural, " ", string_at(tree, {"metadata", "name"}));
  const int64_t want = int_at(tree, {"spec", "replicas"}, 1);
  const std::string uid = uid_of(tree);
  const int64_t have = count([&](const Pod& p) { return p.owner == uid && p.active(); });
  const int64_t ready = count([&](const Pod& p) { return p.owner == uid && p.healthy(); });
  const int64_t stuck = keeps_broken_pods(tree)
                            ? count([&](const Pod& p) { return p.owner == uid && p.active() && p.broken; })
                            : 0;
  const bool waits = ordered(tree) && stuck > 0;
  // One that failed is there until its turn comes to be made anew.
  const int64_t there = waits ? count([&](const Pod& p) { return p.owner == uid; }) : have;
  rest(what, have == want || waits, base::cat("wants ", want, " pods and has ", have));
  const Json& status = base::object_at(tree, {"status"});
  rest(what,
       int_at(status, {"replicas"}) == there && int_at(status, {"readyReplicas"}) == ready &&
           int_at(status, {"availableReplicas"}) == ready,
       base::cat("has ", there, " pods, ", ready, " of them ready, its status is ", status.dump()));
  if (!hopeless(tree) && !waits)
    rest(what, ready + stuck == want, base::cat("wants ", want, " pods, ready are ", ready));
}

void Truth::rest_of_sets() {
  for (const auto& [name, tree] : all_["replicasets"]) rest_of_scaled("replicasets", tree);
}

void Truth::rest_of_stateful_sets() {
  for (const auto& [name, tree] : all_["statefulsets"]) {
    if (hopeless(tree)) continue;
    rest_of_scaled("statefulsets", tree);
    const int64_t want = int_at(tree, {"spec", "replicas"}, 1);
    const std::string uid = uid_of(tree);
    const bool stuck = keeps_broken_pods(tree) &&
                       count([&](const Pod& p) { return p.owner == uid && p.active() && p.broken; }) > 0;
    for (int64_t i = 0; i < want && !(ordered(tree) && stuck); ++i)
      rest("statefulset " + name, pods_.count(base::cat(name, "-", i)) != 0, base::cat("lacks pod ", i));
    const Json& update = base::object_at(tree, {"spec", "updateStrategy"});
    if (string_at(update, {"type"}) == "OnDelete") continue;
    const int64_t partition = int_at(update, {"rollingUpdate", "partition"});
    const std::string_view revision = string_at(tree, {"status", "updateRevision"});
    for (int64_t i = partition; i < want && !stuck; ++i) {
      const Pod& pod = pods_[base::cat(name, "-", i)];
      rest("statefulset " + name, pod.revision == revision,
           base::cat("pod ", i, " is not of the update revision"));
    }
  }
}

void Truth::rest_of_daemon_sets() {
  for (const auto& [name, tree] : all_["daemonsets"]) {
    const std::string uid = uid_of(tree);
    if (hopeless(tree) || count([&](const Pod& p) { return p.owner == uid && lacks_room(p); }) > 0) continue;
    const bool keeps = keeps_broken_pods(tree);
    if (keeps && count([&](const Pod& p) { return p.owner == uid && p.active() && p.broken; }) > 0) continue;
    for (const auto& [node, object] : all_["nodes"]) {
      const int64_t there =
          count([&](const Pod& p) { return p.owner == uid && p.node == node && p.healthy(); });
      rest("daemonset " + name, there == 1, base::cat("has ", there, " pods on ", node));
    }
    const auto nodes = static_cast<int64_t>(all_["nodes"].size());
    rest("daemonset " + name,
         int_at(tree, {"status", "numberAvailable"}) == nodes &&
             int_at(tree, {"status", "observedGeneration"}) == int_at(tree, {"metadata", "generation"}),
         base::cat("status is ", base::object_at(tree, {"status"}).dump()));
  }
}

void Truth::rest_of_jobs() {
  for (const auto& [name, tree] : all_["jobs"]) {
    const Job& job = jobs_[uid_of(tree)];
    const std::string what = "job " + name;
    const Json& status = base::object_at(tree, {"status"});
    const bool complete = api::condition_is_true(tree, "Complete");
    const bool failed = api::condition_is_true(tree, "Failed");
    if (base::bool_at(tree, {"spec", "suspend"})) continue;
    rest(what, complete != failed, base::cat("is not over: ", status.dump()));
    rest(what, int_at(status, {"active"}) == 0, "has active pods still");
    const int64_t succeeded = int_at(status, {"succeeded"});
    if (complete && tree["spec"].contains("completions") && !job.indexes_changed) {
      rest(what, succeeded == int_at(tree, {"spec", "completions"}),
           base::cat("is complete with ", succeeded, " of ", tree["spec"]["completions"].dump()));
    }
    if (string_at(tree, {"spec", "completionMode"}) != "Indexed") {
      const auto alone = std::count_if(job.succeeded.begin(), job.succeeded.end(),
                                       [&](const std::string& uid) { return job.stayed(uid); });
      rest(what, succeeded >= alone, base::cat("counts ", succeeded, " succeeded pods of ", alone));
    }
    if (!job.indexes_changed) {
      // One that failed while it was being taken away, because the job was suspended or shrank, is let go of
      // without being looked at again, as in Kubernetes.
      const auto stayed = std::count_if(job.failed_alone.begin(), job.failed_alone.end(),
                                        [&](const std::string& uid) { return job.stayed(uid); });
      rest(what, int_at(status, {"failed"}) >= stayed,
           base::cat("counts ", int_at(status, {"failed"}), " failed pods of ", stayed));
    }
    rest(what,
         base::array_at(status, {"uncountedTerminatedPods", "succeeded"}).empty() &&
             base::array_at(status, {"uncountedTerminatedPods", "failed"}).empty(),
         "has pods uncounted");
  }
}

void Truth::rest_of_budgets() {
  for (const auto& [name, tree] : all_["poddisruptionbudgets"]) {
    const int64_t healthy = count([&, app = name](const Pod& p) { return p.app == app && p.healthy(); });
    const Json& status = base::object_at(tree, {"status"});
    const Json* allowed = api::find_condition(tree, "DisruptionAllowed");
    if (allowed != nullptr && string_at(*allowed, {"reason"}) == "SyncFailed") continue;
    rest("budget " + name, int_at(status, {"currentHealthy"}) == healthy,
         base::cat("has ", healthy, " healthy pods, its status is ", status.dump()));
  }
}

}  // namespace orch::simulation
