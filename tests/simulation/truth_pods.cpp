// What must hold of pods at every write.
#include <algorithm>

#include "api/meta.h"
#include "api/quantity.h"
#include "tests/simulation/kubelets.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using base::string_at;

namespace {

int64_t milli_of(std::string_view text) {
  const auto q = api::Quantity::parse(text);
  return q.ok() ? q->milli_value() : 0;
}

/// The node a daemon's pod is for, bound or not.
std::string target_of(const Json& pod) {
  const std::string_view bound = string_at(pod, {"spec", "nodeName"});
  if (!bound.empty()) return std::string(bound);
  const Json& terms =
      base::array_at(pod, {"spec", "affinity", "nodeAffinity",
                           "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"});
  for (const Json& term : terms) {
    for (const Json& field : base::array_at(term, {"matchFields"})) {
      const Json& values = base::array_at(field, {"values"});
      if (!values.empty()) return values[0].get<std::string>();
    }
  }
  return {};
}

int64_t ordinal_of(const Pod& pod) {
  const size_t dash = pod.name.rfind('-');
  return dash == std::string::npos ? -1 : std::atoll(pod.name.c_str() + dash + 1);
}

}  // namespace

Pod Truth::read_pod(const Json& tree) {
  Pod p;
  p.uid = string_at(tree, {"metadata", "uid"});
  p.name = string_at(tree, {"metadata", "name"});
  p.ns = string_at(tree, {"metadata", "namespace"});
  p.app = string_at(tree, {"metadata", "labels", "app"});
  p.tier = string_at(tree, {"metadata", "labels", "tier"});
  p.ip = string_at(tree, {"status", "podIP"});
  for (const Json& o : base::array_at(tree, {"metadata", "ownerReferences"})) {
    if (!o.value("controller", false)) continue;
    p.owner = string_at(o, {"uid"});
    p.owner_kind = string_at(o, {"kind"});
  }
  p.phase = string_at(tree, {"status", "phase"});
  p.node = string_at(tree, {"spec", "nodeName"});
  p.index = api::annotation(tree, "batch.kubernetes.io/job-completion-index");
  p.target = target_of(tree);
  p.revision = string_at(tree, {"metadata", "labels", "controller-revision-hash"});
  p.ready = api::condition_is_true(tree, "Ready");
  p.broken = api::annotation(tree, "broken") == "true";
  p.tracked = api::has_finalizer(tree, "batch.kubernetes.io/job-tracking");
  p.deleting = base::object_at(tree, {"metadata"}).contains("deletionTimestamp");
  for (const Json& c : base::array_at(tree, {"spec", "containers"}))
    p.milli_cpu += milli_of(string_at(c, {"resources", "requests", "cpu"}));
  return p;
}

int64_t Truth::count(const std::function<bool(const Pod&)>& which) const {
  return std::count_if(pods_.begin(), pods_.end(), [&](const auto& entry) { return which(entry.second); });
}

void Truth::put_pod(const Json& tree) {
  Pod pod = read_pod(tree);
  const auto it = pods_.find(pod.name);
  const bool same = it != pods_.end() && it->second.uid == pod.uid;
  const Pod before = same ? std::move(it->second) : Pod();
  pod.ready_at = before.ready ? before.ready_at : world_.clock.mono();
  if (pod.ready && !before.ready) fresh_.insert(pod.uid);
  if (pod.finished() && !before.finished()) ended_.insert(pod.uid);
  const Pod& now = pods_[pod.name] = std::move(pod);
  if (!same) {
    check_created(now);
  } else {
    check_bound(before, now);
    if (!before.deleting && now.deleting) check_going(before);
  }
  note_backend(now);
  pod_changed(same ? &before : nullptr, &now);
  if (now.owner_kind == "Job") note_job_pod(same ? &before : nullptr, now, false);
}

void Truth::pod_gone(const std::string& name) {
  const auto it = pods_.find(name);
  if (it == pods_.end()) return;
  const Pod before = std::move(it->second);
  pods_.erase(it);
  if (!before.deleting) check_going(before);
  pod_changed(&before, nullptr);
  if (before.owner_kind == "Job") note_job_pod(nullptr, before, true);
}

void Truth::pod_changed(const Pod* before, const Pod* after) {
  const bool was = before != nullptr && before->healthy();
  const bool is = after != nullptr && after->healthy();
  const std::string& app = (after != nullptr ? after : before)->app;
  const std::string& who = world_.actor;
  // Even a pod that was not ready: its controller may have counted on it to become so.
  const bool lost = (before != nullptr && before->active()) && (after == nullptr || !after->active());
  if (!lost && !(was && !is)) return;
  if (who != "controllers" || !lost) disturbed_.insert(app);
  if (who != "evictor") moved_.insert(app);
}

void Truth::check_created(const Pod& pod) {
  check_quota(pod);
  if (pod.owner_kind == "ReplicaSet") check_set_pod(pod);
  if (pod.owner_kind == "StatefulSet") check_ordinal(pod);
  if (pod.owner_kind == "DaemonSet") check_daemon_pod(pod);
}

void Truth::check_set_pod(const Pod& pod) {
  const auto wanted = sets_.find(pod.owner);
  if (wanted == sets_.end()) return;
  const int64_t active = count([&](const Pod& p) { return p.owner == pod.owner && p.active(); });
  if (active > wanted->second.most) {
    world_.violated("replicas", base::cat("ReplicaSet of ", pod.name, " has ", active, " pods, wants ",
                                          wanted->second.most, " at most"));
  }
  const Json* set = by_uid("replicasets", pod.owner);
  const Json* deployment = set == nullptr ? nullptr : deployment_of(*set);
  if (deployment == nullptr) return;
  const Deployment& facts = deployments_[std::string(string_at(*deployment, {"metadata", "uid"}))];
  if (!facts.recreate) return;
  for (const auto& [name, other] : pods_) {
    if (other.owner == pod.owner || other.owner_kind != "ReplicaSet" || other.finished()) continue;
    const auto old = sets_.find(other.owner);
    const Json* old_set = by_uid("replicasets", other.owner);
    // Who was told to have pods since all was calm may make one late.
    if (old == sets_.end() || old->second.most > 0 || old_set == nullptr) continue;
    if (deployment_of(*old_set) == deployment) {
      world_.violated("recreate", base::cat("pod ", pod.name, " is made while ", name, " is still there"));
    }
  }
}

void Truth::check_ordinal(const Pod& pod) {
  const Json* set = by_uid("statefulsets", pod.owner);
  if (set == nullptr || string_at(*set, {"spec", "podManagementPolicy"}) == "Parallel") return;
  if (disturbed_.count(pod.app) != 0) return;
  for (const auto& [name, other] : pods_) {
    if (other.owner != pod.owner || ordinal_of(other) >= ordinal_of(pod)) continue;
    if (!other.healthy()) {
      world_.violated("ordinals", base::cat("pod ", pod.name, " is made although ", name, " is not ready"));
    }
  }
  const int64_t below = count(
      [&](const Pod& p) { return p.owner == pod.owner && ordinal_of(p) < ordinal_of(pod) && p.active(); });
  if (below != ordinal_of(pod)) {
    world_.violated("ordinals", base::cat("pod ", pod.name, " is made with ", below, " pods before it"));
  }
}

void Truth::check_daemon_pod(const Pod& pod) {
  const Json* set = by_uid("daemonsets", pod.owner);
  if (set == nullptr) return;
  const int64_t surge = base::int_at(*set, {"spec", "updateStrategy", "rollingUpdate", "maxSurge"});
  const int64_t there =
      count([&](const Pod& p) { return p.owner == pod.owner && p.active() && p.target == pod.target; });
  if (there > 1 + surge) {
    world_.violated("daemons",
                    base::cat(there, " pods of one DaemonSet for ", pod.target, ", last ", pod.name));
  }
}

void Truth::check_bound(const Pod& before, const Pod& pod) {
  if (before.node == pod.node) return;
  if (!before.node.empty()) {
    world_.violated("bound", base::cat("pod ", pod.name, " moves from ", before.node, " to ", pod.node));
    return;
  }
  if (find("nodes", pod.node) == nullptr) return;  // it went while the binding was under way
  const int64_t left = free_on(pod.node);
  if (left < 0)
    world_.violated("capacity",
                    base::cat("node ", pod.node, " has pods of ", -left, "m too much, last ", pod.name));
}

int64_t Truth::free_on(const std::string& node) const {
  const Json* object = find("nodes", node);
  int64_t left = object == nullptr ? 0 : milli_of(string_at(*object, {"status", "allocatable", "cpu"}));
  for (const auto& [name, p] : pods_) {
    if (p.node == node && !p.finished()) left -= p.milli_cpu;
  }
  return left;
}

bool Truth::lacks_room(const Pod& pod) const {
  return pod.owner_kind == "DaemonSet" && pod.node.empty() && free_on(pod.target) < pod.milli_cpu;
}

void Truth::check_going(const Pod& before) {
  if (world_.actor == "evictor") check_budget(before);
  // It goes with its namespace, whatever else wants it.
  if (!open(before.ns)) return;
  if (world_.actor != "controllers" || !before.healthy() || disturbed_.count(before.app) != 0) return;
  if (before.owner_kind == "StatefulSet") {
    const Json* set = by_uid("statefulsets", before.owner);
    if (set == nullptr || string_at(*set, {"spec", "podManagementPolicy"}) == "Parallel") return;
    // Down from the highest, one after the other. (A rollout does so too.)
    const int64_t others = count([&](const Pod& p) {
      return p.owner == before.owner && ordinal_of(p) > ordinal_of(before) && !p.healthy();
    });
    if (others > 0)
      world_.violated("ordinals", base::cat("pod ", before.name, " goes although a later one is not ready"));
    return;
  }
  if (before.owner_kind != "ReplicaSet") return;
  const Json* set = by_uid("replicasets", before.owner);
  const Json* deployment = set == nullptr ? nullptr : deployment_of(*set);
  if (deployment == nullptr) return;
  const Deployment& facts = deployments_[std::string(string_at(*deployment, {"metadata", "uid"}))];
  if (facts.recreate) return;
  const int64_t min_ready = base::int_at(*deployment, {"spec", "minReadySeconds"});
  if (!surely_available(before, min_ready)) return;
  // It is told how many pods to have, not which: of those that are ready it may take any.
  const int64_t doubtful = count([&](const Pod& p) {
    return p.owner == before.owner && p.healthy() && !surely_available(p, min_ready);
  });
  if (doubtful > 0) return;
  const int64_t left = count([&](const Pod& p) {
    return p.app == before.app && p.owner_kind == "ReplicaSet" && p.healthy() && p.uid != before.uid;
  });
  if (left < facts.floor.least) {
    world_.violated("available", base::cat("deployment ", before.app, " has ", left, " pods ready after ",
                                           before.name, " goes, needs ", facts.floor.least));
  }
}

bool Truth::surely_available(const Pod& pod, int64_t min_ready_seconds) const {
  return pod.healthy() && fresh_.count(pod.uid) == 0 &&
         pod.ready_at + std::chrono::seconds(min_ready_seconds) <= calm_at_;
}

void Truth::check_budget(const Pod& pod) {
  if (!pod.healthy() || moved_.count(pod.app) != 0) return;
  const auto budget = all_["poddisruptionbudgets"].find(pod.app);
  if (budget == all_["poddisruptionbudgets"].end()) return;
  const int64_t left =
      count([&](const Pod& p) { return p.app == pod.app && p.healthy() && p.uid != pod.uid; });
  const int64_t desired = desired_healthy(budget->second);
  if (left < desired) {
    world_.violated("budget", base::cat("eviction of ", pod.name, " leaves ", left,
                                        " healthy pods, the budget asks for ", desired));
  }
}

void Truth::started(const api::ObjectPtr& pod) {
  for (const auto& [name, other] : pods_) {
    if (other.name == pod->name() && other.uid != pod->uid() && world_.kubelets->runs(other.uid))
      world_.violated("twins", base::cat("pod ", other.name, " runs twice"));
  }
}

}  // namespace orch::simulation
