#include "server/controllers/replicaset.h"

#include <algorithm>

#include "api/meta.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

/// Pods made or removed by one plan; the next one goes on.
constexpr int64_t kBurst = 500;

/// The two kinds that keep a number of equal pods, by what they differ in.
struct ReplicaKind {
  client::ResourceRef resource;
  const char* kind;
  const char *controller, *queue;  // as kube-controller-manager names them
  api::LabelSelector (*selector)(const Json& spec);
  bool counts_terminating;  // has status.terminatingReplicas
};
const ReplicaKind kReplicaSetKind{kReplicaSets, "ReplicaSet",      "replicaset-controller",
                                  "replicaset", label_selector_of, true};
const ReplicaKind kReplicationControllerKind{kReplicationControllers,
                                             "ReplicationController",
                                             "replication-controller",
                                             "replicationmanager",
                                             [](const Json& spec) {
                                               const Json& labels = base::object_at(spec, {"selector"});
                                               return labels.empty() ? api::LabelSelector::nothing()
                                                                     : api::LabelSelector::from_map(labels);
                                             },
                                             false};

constexpr const char* kReplicaFailure = "ReplicaFailure";

bool labels_contain(const api::Object& pod, const Json& labels) {
  for (const auto& [key, value] : labels.items()) {
    std::string_view have = pod.label(key);
    if (have.data() == nullptr || value != have) return false;
  }
  return true;
}

Json status_of(const ReplicaKind& kind, const Json& rs, const std::vector<PodView>& pods, int64_t terminating,
               base::WallTime now, Plan& plan) {
  const int64_t min_ready = base::int_at(rs, {"spec", "minReadySeconds"});
  const Json& labels = base::object_at(rs, {"spec", "template", "metadata", "labels"});
  int64_t full = 0, ready = 0, available = 0;
  for (const auto& p : pods) {
    if (labels_contain(*p.object, labels)) ++full;
    if (!pod_ready(p.tree)) continue;
    ++ready;
    if (auto wait = until_available(p.tree, min_ready, now)) {
      plan.again_after(*wait);
    } else {
      ++available;
    }
  }
  Json next = {{"status", base::object_at(rs, {"status"})}};
  api::remove_condition(next, kReplicaFailure);  // unless it fails again
  Json status = std::move(next["status"]);
  if (base::array_at(status, {"conditions"}).empty()) status.erase("conditions");
  auto set = [&status](const char* name, int64_t n) {
    if (n == 0) {
      status.erase(name);
    } else {
      status[name] = n;
    }
  };
  status["replicas"] = static_cast<int64_t>(pods.size());
  set("fullyLabeledReplicas", full);
  set("readyReplicas", ready);
  set("availableReplicas", available);
  if (kind.counts_terminating) status["terminatingReplicas"] = terminating;
  set("observedGeneration", base::int_at(rs, {"metadata", "generation"}));
  return status;
}

/// Active pods per node, of this set and of those with the same owner (a deployment's other sets).
PodsPerNode related_pods(const View& view, const api::Object& rs, const std::vector<PodView>& own) {
  PodsPerNode out;
  for (const auto& p : own) ++out[std::string(base::string_at(p.tree, {"spec", "nodeName"}))];
  const std::string owner = api::controller_of(rs).uid;
  if (owner.empty()) return out;
  for (const auto& sibling : view.by_index(kReplicaSets, "controller", owner)) {
    if (sibling->uid() == rs.uid()) continue;
    for (const auto& pod : view.by_index(kPods, "controller", sibling->uid())) {
      const Json tree = pod->tree();
      if (pod_active(*pod, tree)) ++out[std::string(base::string_at(tree, {"spec", "nodeName"}))];
    }
  }
  return out;
}

/// A pod that could not be made or removed: the set says so, until a plan succeeds.
Plan report_failure(const ReplicaKind& kind, const api::ObjectPtr& object, Json rs, Json status,
                    const Write& failed, const base::Status& why, base::WallTime now) {
  Plan plan;
  const bool making = failed.verb == Write::Verb::kCreate;
  if (!(failed.resource == kPods) || (!making && failed.verb != Write::Verb::kDelete)) return plan;
  if (namespace_terminating(why)) return plan;
  const char* reason = making ? "FailedCreate" : "FailedDelete";
  plan.note(object, "Warning", reason,
            base::cat(making ? "Error creating: " : "Error deleting: ", why.message()));
  const Json before = base::object_at(rs, {"status"});
  const Json* had = api::find_condition(rs, kReplicaFailure);
  const Json first = had != nullptr ? *had : Json();
  rs["status"] = std::move(status);
  // The first failure stands, as in Kubernetes: messages differ by the pod's name alone.
  if (!first.is_null()) {
    rs["status"]["conditions"].push_back(first);
  } else {
    api::set_condition(
        rs,
        {kReplicaFailure, "True", reason, base::cat(making ? "" : "unable to delete pods: ", why.message())},
        now);
  }
  if (rs["status"] != before) plan.update(kind.resource, std::move(rs), "status");
  return plan;
}

void scale(const View& view, const api::ObjectPtr& object, const Json& rs, std::vector<PodView>& active,
           base::WallTime now, Plan& plan) {
  const int64_t want = base::int_at(rs, {"spec", "replicas"}, 1);
  const auto have = static_cast<int64_t>(active.size());
  const Json& pod_template = base::object_at(rs, {"spec", "template"});
  const size_t begin = plan.writes.size();
  for (int64_t i = 0; i < std::min(want - have, kBurst); ++i) {
    std::string name =
        free_pod_name(view, object->ns(), object->name(), object->uid(), now, static_cast<size_t>(i));
    plan.create(kPods, object->ns(), pod_from_template(*object, pod_template, name));
    plan.note(object, "Normal", "SuccessfulCreate", "Created pod: " + name);
  }
  plan.batch(begin, true);
  if (have > want) {
    sort_for_deletion(active, related_pods(view, *object, active), now);
    const int64_t surplus = std::min(have - want, kBurst);
    for (int64_t i = 0; i < surplus; ++i) {
      const api::Object& pod = *active[static_cast<size_t>(i)].object;
      plan.remove(kPods, pod);
      plan.note(object, "Normal", "SuccessfulDelete", base::cat("Deleted pod: ", pod.name()));
    }
    plan.batch(begin);
  }
}

Plan plan_replicas(const ReplicaKind& kind, const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  api::ObjectPtr object = view.get(kind.resource, key.ns, key.name);
  if (object == nullptr) return plan;
  const Json rs = object->tree();
  const api::LabelSelector selector = kind.selector(base::object_at(rs, {"spec"}));
  std::vector<PodView> active;
  int64_t terminating = 0;
  for (auto& p : claim_pods(view, kind.resource, *object, selector, plan)) {
    if (p.object->deleting()) {
      std::string_view phase = base::string_at(p.tree, {"status", "phase"});
      if (phase != "Succeeded" && phase != "Failed") ++terminating;
    } else if (pod_active(*p.object, p.tree)) {
      active.push_back(std::move(p));
    }
  }
  Json status = status_of(kind, rs, active, terminating, now, plan);
  if (!object->deleting()) scale(view, object, rs, active, now, plan);
  if (status != base::object_at(rs, {"status"})) {
    Json next = rs;
    next["status"] = status;
    plan.update(kind.resource, std::move(next), "status");
  }
  plan.otherwise = [&kind, object, rs, status, now](const Write& failed, const base::Status& why) {
    return report_failure(kind, object, rs, status, failed, why, now);
  };
  return plan;
}

Controller make_controller(const ReplicaKind& kind) {
  Controller c;
  c.name = kind.controller;
  c.queue = kind.queue;
  c.sources = {{kind.resource, own_key, {{"controller", controller_uid_index()}}},
               owned_pods(kind.resource, kind.kind, kind.selector)};
  c.plan = [&kind](const View& view, const Key& key, base::WallTime now) {
    return plan_replicas(kind, view, key, now);
  };
  return c;
}

}  // namespace

Plan plan_replicaset(const View& view, const Key& key, base::WallTime now) {
  return plan_replicas(kReplicaSetKind, view, key, now);
}

Plan plan_replication_controller(const View& view, const Key& key, base::WallTime now) {
  return plan_replicas(kReplicationControllerKind, view, key, now);
}

Controller make_replicaset_controller() { return make_controller(kReplicaSetKind); }
Controller make_replication_controller_controller() { return make_controller(kReplicationControllerKind); }

}  // namespace orch::server
