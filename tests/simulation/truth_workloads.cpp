// What must hold of workloads at every write.
#include <algorithm>

#include "api/meta.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using base::int_at;
using base::string_at;

namespace {

std::string controller_uid(const Json& tree) {
  for (const Json& o : base::array_at(tree, {"metadata", "ownerReferences"})) {
    if (o.value("controller", false)) return std::string(string_at(o, {"uid"}));
  }
  return {};
}

std::string uid_of(const Json& tree) { return std::string(string_at(tree, {"metadata", "uid"})); }
std::string name_of(const Json& tree) { return std::string(string_at(tree, {"metadata", "name"})); }

/// How many there are in "0-2,5".
int64_t indexes_in(std::string_view text, const std::function<void(int64_t)>& each) {
  int64_t n = 0;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string part(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    const size_t dash = part.find('-');
    const int64_t first = std::atoll(part.c_str());
    const int64_t last = dash == std::string::npos ? first : std::atoll(part.c_str() + dash + 1);
    for (int64_t i = first; i <= last; ++i, ++n) each(i);
  }
  return n;
}

}  // namespace

const Json* Truth::by_uid(const std::string& plural, std::string_view uid) const {
  const auto kind = all_.find(plural);
  if (kind == all_.end()) return nullptr;
  for (const auto& [name, tree] : kind->second) {
    if (string_at(tree, {"metadata", "uid"}) == uid) return &tree;
  }
  return nullptr;
}

const Json* Truth::deployment_of(const Json& set) const {
  const std::string owner = controller_uid(set);
  return owner.empty() ? nullptr : by_uid("deployments", owner);
}

void Truth::put_deployment(const Json& tree) {
  Deployment& d = deployments_[uid_of(tree)];
  const int64_t replicas = int_at(tree, {"spec", "replicas"}, 1);
  if (d.floor.known &&
      int_at(tree, {"metadata", "generation"}) != int_at(tree, {"status", "observedGeneration"}))
    moved_.insert(name_of(tree));
  d.recreate = string_at(tree, {"spec", "strategy", "type"}) == "Recreate";
  const int64_t surge = int_at(tree, {"spec", "strategy", "rollingUpdate", "maxSurge"});
  int64_t unavailable = int_at(tree, {"spec", "strategy", "rollingUpdate", "maxUnavailable"});
  if (surge == 0 && unavailable == 0) unavailable = 1;
  d.limit.set(replicas == 0 ? 0 : replicas + surge);
  d.floor.set(std::max<int64_t>(0, replicas - unavailable));
}

void Truth::put_set(const Json* before, const Json& tree) {
  const int64_t now = int_at(tree, {"spec", "replicas"}, 1);
  const int64_t was = before == nullptr ? 0 : int_at(*before, {"spec", "replicas"}, 1);
  sets_[uid_of(tree)].set(now);
  const Json* deployment = deployment_of(tree);
  if (now != was) moved_.insert(deployment != nullptr ? name_of(*deployment) : name_of(tree));
  if (deployment == nullptr || now <= was) return;
  const std::string owner = uid_of(*deployment);
  int64_t total = 0;
  for (const auto& [name, other] : all_["replicasets"]) {
    if (controller_uid(other) == owner) total += int_at(other, {"spec", "replicas"}, 1);
  }
  const Deployment& facts = deployments_[owner];
  if (total > facts.limit.most) {
    world_.violated("surge", base::cat("the ReplicaSets of ", name_of(*deployment), " want ", total,
                                       " pods, allowed are ", facts.limit.most));
  }
}

void Truth::put_budget(const Json* before, const Json& tree) {
  if (before == nullptr || (*before)["spec"] != tree["spec"]) moved_.insert(name_of(tree));
}

int64_t Truth::desired_healthy(const Json& budget) const {
  const Json& spec = base::object_at(budget, {"spec"});
  if (spec.contains("minAvailable")) return int_at(spec, {"minAvailable"});
  const std::string app = name_of(budget);
  int64_t scale = 0;
  for (const char* plural : {"deployments", "statefulsets"}) {
    const auto kind = all_.find(plural);
    if (kind == all_.end()) continue;
    if (const auto it = kind->second.find(app); it != kind->second.end())
      scale += int_at(it->second, {"spec", "replicas"}, 1);
  }
  std::set<std::string> counted;
  for (const auto& [name, pod] : pods_) {
    if (pod.app != app || pod.owner_kind != "ReplicaSet" || !counted.insert(pod.owner).second) continue;
    const Json* set = by_uid("replicasets", pod.owner);
    if (set != nullptr && deployment_of(*set) == nullptr) scale += int_at(*set, {"spec", "replicas"}, 1);
  }
  return std::max<int64_t>(0, scale - int_at(spec, {"maxUnavailable"}));
}

void Truth::check_undone(const std::string& plural, const std::string& name, const Json& before,
                         const Json& now) {
  static const std::set<std::string> ours = {
      "deployments", "statefulsets", "daemonsets",     "jobs",
      "cronjobs",    "services",     "resourcequotas", "poddisruptionbudgets"};
  const std::string note = "note-" + plural;
  if (api::annotation(before, note) != api::annotation(now, note))
    world_.violated("undone",
                    base::cat(world_.actor, " takes back what a user noted on ", plural, " ", name));
  const bool cordoned = plural == "nodes" && base::bool_at(before, {"spec", "unschedulable"}) !=
                                                 base::bool_at(now, {"spec", "unschedulable"});
  if (cordoned || (ours.count(plural) != 0 && before["spec"] != now["spec"]))
    world_.violated("undone", base::cat(world_.actor, " changes what users want of ", plural, " ", name));
}

void Truth::note_job_pod(const Pod* before, const Pod& pod, bool gone) {
  Job& job = jobs_[pod.owner];
  const Json* owner = by_uid("jobs", pod.owner);
  if (pod.deleting || gone) job.going.insert(pod.uid);
  if (before != nullptr && before->tracked && !pod.tracked && ended_.count(pod.uid) != 0) {
    static const Json nothing;
    const Json& lists =
        base::object_at(owner != nullptr ? *owner : nothing, {"status", "uncountedTerminatedPods"});
    const auto listed = [&](const char* list) {
      const Json& uids = base::array_at(lists, {list});
      return std::find(uids.begin(), uids.end(), pod.uid) != uids.end();
    };
    if (!listed("succeeded") && !listed("failed")) job.given_up.insert(pod.uid);
  }
  if (!pod.tracked) return;
  if (pod.phase == "Succeeded") {
    job.succeeded.insert(pod.uid);
    if (!pod.index.empty()) job.indexes.insert(std::atoll(pod.index.c_str()));
  } else if (pod.deleting) {
    job.lost.insert(pod.uid);
  }
  if (pod.phase != "Failed") return;
  job.failed.insert(pod.uid);
  const bool alive = owner != nullptr && !api::condition_is_true(*owner, "Failed") &&
                     !api::condition_is_true(*owner, "FailureTarget") &&
                     !api::condition_is_true(*owner, "Complete") &&
                     !api::condition_is_true(*owner, "SuccessCriteriaMet");
  if (!pod.deleting && alive) job.failed_alone.insert(pod.uid);
}

void Truth::put_job(const Json* before, const Json& tree) {
  Job& job = jobs_[uid_of(tree)];
  const std::string name = name_of(tree);
  if (before != nullptr && (*before)["spec"].value("completions", 0) != tree["spec"].value("completions", 0))
    job.indexes_changed = true;
  const int64_t succeeded = int_at(tree, {"status", "succeeded"});
  const int64_t failed = int_at(tree, {"status", "failed"});
  const auto listed = [&](const char* list) {
    return static_cast<int64_t>(base::array_at(tree, {"status", "uncountedTerminatedPods", list}).size());
  };
  if (succeeded < job.counted_succeeded && !job.indexes_changed)
    world_.violated("counts", base::cat("job ", name, " forgets pods that succeeded"));
  if (failed < job.counted_failed)
    world_.violated("counts", base::cat("job ", name, " forgets pods that failed"));
  job.counted_succeeded = succeeded;
  job.counted_failed = failed;
  if (string_at(tree, {"spec", "completionMode"}) == "Indexed") {
    const int64_t n = indexes_in(string_at(tree, {"status", "completedIndexes"}), [&](int64_t index) {
      if (job.indexes.count(index) == 0)
        world_.violated("indexes",
                        base::cat("job ", name, " counts index ", index, ", of which no pod succeeded"));
    });
    if (n != succeeded && !job.indexes_changed)
      world_.violated("indexes",
                      base::cat("job ", name, " counts ", succeeded, " and names ", n, " indexes"));
  } else if (succeeded + listed("succeeded") > static_cast<int64_t>(job.succeeded.size())) {
    world_.violated("counts", base::cat("job ", name, " counts ", succeeded, " + ", listed("succeeded"),
                                        " succeeded pods of ", job.succeeded.size()));
  }
  std::set<std::string> ended = job.failed;
  ended.insert(job.lost.begin(), job.lost.end());
  // A Job that fails gives up all pods that it saw running: one that succeeds before it is deleted is a
  // failed one all the same, in Kubernetes too.
  for (const Json& uid : base::array_at(tree, {"status", "uncountedTerminatedPods", "failed"})) {
    if (job.going.count(uid.get<std::string>()) != 0) job.gave_up_running.insert(uid.get<std::string>());
  }
  ended.insert(job.gave_up_running.begin(), job.gave_up_running.end());
  if (failed + listed("failed") > static_cast<int64_t>(ended.size())) {
    world_.violated("counts", base::cat("job ", name, " counts ", failed, " + ", listed("failed"),
                                        " failed pods of ", ended.size()));
  }
}

}  // namespace orch::simulation
