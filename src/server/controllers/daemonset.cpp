#include "server/controllers/daemonset.h"

#include <algorithm>
#include <tuple>

#include "api/int_or_string.h"
#include "api/meta.h"
#include "api/selector.h"
#include "server/controllers/daemonset_state.h"
#include "server/scheduler/types.h"

namespace orch::server {

namespace {

bool ended(const PodView& pod) {
  const std::string_view phase = base::string_at(pod.tree, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

/// Taints every daemon pod lives with, so that nodes in trouble keep their daemons (as in Kubernetes).
Json daemon_tolerations(bool host_network) {
  Json out = Json::array();
  for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    out.push_back({{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}});
  }
  for (const char* key : {"node.kubernetes.io/disk-pressure", "node.kubernetes.io/memory-pressure",
                          "node.kubernetes.io/pid-pressure", "node.kubernetes.io/unschedulable"}) {
    out.push_back({{"key", key}, {"operator", "Exists"}, {"effect", "NoSchedule"}});
  }
  if (host_network) {
    out.push_back({{"key", "node.kubernetes.io/network-unavailable"},
                   {"operator", "Exists"},
                   {"effect", "NoSchedule"}});
  }
  return out;
}

/// Pins the pod to its node by a required affinity on the name, keeping what the template asks for besides.
void pin_to_node(Json& spec, const std::string& node) {
  Json field = {{"key", "metadata.name"}, {"operator", "In"}, {"values", Json::array({node})}};
  Json& required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  if (!required.is_object()) required = Json::object();
  Json& terms = required["nodeSelectorTerms"];
  if (!terms.is_array() || terms.empty()) terms = Json::array({Json::object()});
  for (auto& term : terms) term["matchFields"] = Json::array({field});
}

Json daemon_pod(const Daemon& d, const std::string& node, const std::string& name) {
  Json pod = pod_from_template(*d.object, base::object_at(d.tree, {"spec", "template"}), name);
  pod["metadata"]["labels"][kRevisionHashLabel] = d.hash;
  if (!d.generation.empty()) pod["metadata"]["labels"][kPodGenerationLabel] = d.generation;
  Json& spec = pod["spec"];
  for (const auto& t : daemon_tolerations(base::bool_at(spec, {"hostNetwork"}))) {
    Json& list = spec["tolerations"];
    if (!list.is_array()) list = Json::array();
    if (std::find(list.begin(), list.end(), t) == list.end()) list.push_back(t);
  }
  pin_to_node(spec, node);
  return pod;
}

/// Where the template's pod would go: selector, affinity and taints decide, resources do not.
Fit fits(const scheduler::PodInfo& pod, const scheduler::NodeInfo& node) {
  Fit fit;
  if (!pod.node_name.empty() && pod.node_name != node.name) return fit;
  if (!api::affinity_allows(pod, node)) return fit;
  bool schedule = true, execute = true;
  for (const auto& taint : node.taints) {
    if (pod.tolerates(taint)) continue;
    if (taint.effect == "NoSchedule") schedule = false;
    if (taint.effect == "NoExecute") execute = false;
  }
  fit.run = schedule && execute;
  fit.keep = execute;
  return fit;
}

/// The node a pod is on or pinned to.
std::string node_of(const Json& pod) {
  std::string_view name = base::string_at(pod, {"spec", "nodeName"});
  if (!name.empty()) return std::string(name);
  const Json& terms =
      base::array_at(pod, {"spec", "affinity", "nodeAffinity",
                           "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"});
  for (const auto& term : terms) {
    for (const auto& field : base::array_at(term, {"matchFields"})) {
      const Json& values = base::array_at(field, {"values"});
      if (base::string_at(field, {"key"}) == "metadata.name" && !values.empty())
        return values[0].get<std::string>();
    }
  }
  return {};
}

void read_limits(Daemon& d) {
  int64_t desired = 0;
  for (const auto& [name, node] : d.nodes) desired += node.fit.run ? 1 : 0;
  d.rolling = base::string_at(d.tree, {"spec", "updateStrategy", "type"}) != "OnDelete";
  if (!d.rolling) return;
  const Json& rolling = base::object_at(d.tree, {"spec", "updateStrategy", "rollingUpdate"});
  auto value = [&](const char* name, const Json& usual) {
    auto it = rolling.find(name);
    auto n = api::scaled_value(it != rolling.end() ? *it : usual, desired, api::Rounding::kUp);
    return n.ok() ? *n : 0;
  };
  d.max_unavailable = value("maxUnavailable", 1);
  d.max_surge = value("maxSurge", 0);
  if (d.max_unavailable == 0 && d.max_surge == 0) d.max_unavailable = 1;
}

/// Which nodes there are, whether the template's pod would go there, and the pods they have.
void read_nodes(const View& view, Daemon& d, const std::vector<PodView>& pods) {
  // The template as a pod, pinned nowhere: asked of every node.
  Json model = daemon_pod(d, "x", "x");
  model["spec"].erase("affinity");
  const Json& own_affinity = base::object_at(d.tree, {"spec", "template", "spec", "affinity"});
  if (!own_affinity.empty()) model["spec"]["affinity"] = own_affinity;
  model["metadata"]["uid"] = "x";
  auto model_object = api::Object::from_tree(model);
  if (!model_object.ok()) return;
  const scheduler::PodPtr wanted = scheduler::read_pod(*model_object);
  for (const auto& object : view.list(kNodes, "")) {
    scheduler::NodeInfo info;
    info.set_node(object);
    DaemonNode& node = d.nodes[info.name];
    node.exists = true;
    node.fit = fits(*wanted, info);
  }
  for (const auto& p : pods) {
    if (!(p.object->deleting() && ended(p))) d.nodes[node_of(p.tree)].pods.push_back(&p);
  }
  auto age = [](const PodView* p) {
    return std::make_tuple(base::string_at(p->tree, {"spec", "nodeName"}).empty(),
                           api::creation_time(p->tree), p->object->name());
  };
  for (auto& [name, node] : d.nodes) {
    std::sort(node.pods.begin(), node.pods.end(),
              [&](const PodView* a, const PodView* b) { return age(a) < age(b); });
  }
}

/// Collects what to make and remove, with the events about it.
struct Changes {
  const View& view;
  const Daemon& d;
  base::WallTime now;
  Plan& plan;
  size_t index = 0;

  void make(const std::string& node) {
    std::string name =
        free_pod_name(view, d.object->ns(), d.object->name(), base::cat(d.object->uid(), node), now, index++);
    plan.create(kPods, d.object->ns(), daemon_pod(d, node, name));
    plan.note(d.object, "Normal", "SuccessfulCreate", "Created pod: " + name);
  }
  void kill(const PodView& pod) {
    plan.remove(kPods, *pod.object);
    plan.note(d.object, "Normal", "SuccessfulDelete", base::cat("Deleted pod: ", pod.object->name()));
  }
};

/// Of several running pods on one node all but the right one go: the oldest, or with surge an old and a new
/// one while the new one comes up.
void drop_excess(const Daemon& d, const std::vector<const PodView*>& running, Changes& changes) {
  if (d.max_surge == 0) {
    for (size_t i = 1; i < running.size(); ++i) changes.kill(*running[i]);
    return;
  }
  const PodView *oldest_new = nullptr, *oldest_old = nullptr;
  for (const PodView* p : running) {
    const PodView*& slot = p->object->label(kRevisionHashLabel) == d.hash ? oldest_new : oldest_old;
    if (slot == nullptr) {
      slot = p;
    } else {
      changes.kill(*p);
    }
  }
  if (oldest_new == nullptr || oldest_old == nullptr) return;
  if (!pod_ready(oldest_old->tree) || pod_available(oldest_new->tree, d.min_ready, changes.now))
    changes.kill(*oldest_old);
}

/// True when this pod of the node runs; one that ended is removed, a failed one not too soon.
bool runs(const Daemon& d, const std::string& node, const PodView& pod, FailedDaemons& failed,
          Changes& changes) {
  if (!ended(pod)) return true;
  const std::string what =
      base::cat("daemon pod ", d.object->ns(), "/", pod.object->name(), " on node ", node);
  if (base::string_at(pod.tree, {"status", "phase"}) == "Succeeded") {
    changes.kill(pod);
    changes.plan.note(d.object, "Normal", "SucceededDaemonPod",
                      base::cat("Found succeeded ", what, ", will try to delete it"));
    return false;
  }
  const base::Duration wait = failed.pause(
      base::cat(d.object->uid(), "/", base::int_at(d.tree, {"status", "observedGeneration"}), "/", node),
      changes.now);
  if (wait.count() > 0) {
    changes.plan.again_after(wait);
    return false;
  }
  changes.kill(pod);
  changes.plan.note(d.object, "Warning", "FailedDaemonPod",
                    base::cat("Found failed ", what, ", will try to kill it"));
  return false;
}

/// A pod where one should be, none where none should be, and none that ended.
void manage(const Daemon& d, const std::string& name, const DaemonNode& node, FailedDaemons& failed,
            Changes& changes) {
  if (!node.exists) {
    // A pod bound to a node that is gone is collected with it; one that never got there is ours.
    for (const PodView* p : node.pods) {
      if (base::string_at(p->tree, {"spec", "nodeName"}).empty() && !p->object->deleting()) changes.kill(*p);
    }
    return;
  }
  if (node.fit.run && node.pods.empty()) return changes.make(name);
  std::vector<const PodView*> running;
  for (const PodView* p : node.pods) {
    if (p->object->deleting()) continue;
    if (!node.fit.keep) {
      changes.kill(*p);
    } else if (runs(d, name, *p, failed, changes)) {
      running.push_back(p);
    }
  }
  if (running.size() > 1) drop_excess(d, running, changes);
  if (running.empty() && node.fit.run && d.max_surge > 0) changes.make(name);
}

Json status_of(const Daemon& d, base::WallTime now, Plan& plan) {
  int64_t desired = 0, current = 0, ready = 0, available = 0, updated = 0, misplaced = 0;
  for (const auto& [name, node] : d.nodes) {
    if (!node.exists) continue;
    if (!node.fit.run) {
      if (!node.pods.empty()) ++misplaced;
      continue;
    }
    ++desired;
    if (node.pods.empty()) continue;
    ++current;
    const PodView& oldest = *node.pods[0];
    if (pod_ready(oldest.tree)) {
      ++ready;
      if (auto wait = until_available(oldest.tree, d.min_ready, now)) {
        plan.again_after(*wait);
      } else {
        ++available;
      }
    }
    if (d.is_new(oldest)) ++updated;
  }
  Json s = base::object_at(d.tree, {"status"});
  auto set = [&s](const char* name, int64_t n, bool always) {
    if (n == 0 && !always) {
      s.erase(name);
    } else {
      s[name] = n;
    }
  };
  set("currentNumberScheduled", current, true);
  set("numberMisscheduled", misplaced, true);
  set("desiredNumberScheduled", desired, true);
  set("numberReady", ready, true);
  set("updatedNumberScheduled", updated, false);
  set("numberAvailable", available, false);
  set("numberUnavailable", desired - available, false);
  set("observedGeneration", base::int_at(d.tree, {"metadata", "generation"}), false);
  return s;
}

void write_status(const Daemon& d, const Json& status, Plan& plan) {
  if (status == base::object_at(d.tree, {"status"})) return;
  Json next = d.tree;
  next["status"] = status;
  plan.update(kDaemonSets, std::move(next), "status");
}

/// A pod that could not be made or removed; what the status says of the others still holds.
Plan report_failure(const Daemon& d, const Json& status, const Write& failed, const base::Status& why) {
  Plan plan;
  const bool making = failed.verb == Write::Verb::kCreate;
  if (!(failed.resource == kPods) || (!making && failed.verb != Write::Verb::kDelete)) return plan;
  if (namespace_terminating(why)) return plan;
  plan.note(d.object, "Warning", making ? "FailedCreate" : "FailedDelete",
            base::cat(making ? "Error creating: " : "Error deleting: ", why.message()));
  write_status(d, status, plan);
  return plan;
}

}  // namespace

base::Duration FailedDaemons::pause(const std::string& key, base::WallTime now) {
  constexpr std::chrono::seconds kFirst{1};
  constexpr std::chrono::minutes kLongest{15};
  const std::lock_guard lock(mutex_);
  // Forget those that have been well for long.
  std::erase_if(seen_, [&](const auto& entry) { return now - entry.second.last > 2 * kLongest; });
  Seen& seen = seen_[key];
  if (seen.wait.count() > 0 && now < seen.last + seen.wait && now >= seen.last)
    return seen.last + seen.wait - now;
  seen.wait =
      seen.wait.count() == 0 ? base::Duration(kFirst) : std::min<base::Duration>(2 * seen.wait, kLongest);
  seen.last = now;
  return base::Duration(0);
}

Plan plan_daemonset(const View& view, const Key& key, base::WallTime now, FailedDaemons& failed) {
  Plan plan;
  Daemon d;
  d.object = view.get(kDaemonSets, key.ns, key.name);
  if (d.object == nullptr) return plan;
  d.tree = d.object->tree();
  auto selector = api::LabelSelector::from_tree(base::object_at(d.tree, {"spec", "selector"}));
  if (!selector.ok()) return plan;
  if (selector->empty()) {
    return plan.note(d.object, "Warning", "SelectingAll",
                     "This daemon set is selecting all pods. A non-empty selector is required.");
  }
  // Its history may be gone already, so nothing can be said of its pods.
  if (d.object->deleting()) return plan;
  d.min_ready = base::int_at(d.tree, {"spec", "minReadySeconds"});
  d.generation = api::annotation(d.tree, "deprecated.daemonset.template.generation");
  const std::vector<PodView> pods = claim_pods(view, kDaemonSets, *d.object, *selector, plan);
  if (!keep_history(view, d, *selector, pods, plan)) return plan;
  read_nodes(view, d, pods);
  read_limits(d);
  const Json status = status_of(d, now, plan);

  Changes changes{view, d, now, plan};
  const size_t before = plan.writes.size();
  for (const auto& [name, node] : d.nodes) manage(d, name, node, failed, changes);
  // One thing after the other: the update goes on when what this plan makes and removes is seen.
  if (d.rolling && plan.writes.size() == before) {
    const RollingStep step = roll(d, now);
    for (const std::string& node : step.create) changes.make(node);
    for (const PodView* pod : step.remove) changes.kill(*pod);
  }
  write_status(d, status, plan);
  d.nodes.clear();  // they point into `pods`
  plan.otherwise = [d, status](const Write& write, const base::Status& why) {
    return report_failure(d, status, write, why);
  };
  return plan;
}

Controller make_daemonset_controller() {
  Controller c;
  c.name = "daemonset-controller";
  c.queue = "daemonset";
  auto every = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    Keys keys;
    // Heartbeats change a node's status all the time; daemons care for labels, taints and existence.
    if (before && after) {
      scheduler::NodeInfo a, b;
      a.set_node(before);
      b.set_node(after);
      auto same = [](const scheduler::Taint& x, const scheduler::Taint& y) {
        return x.key == y.key && x.value == y.value && x.effect == y.effect;
      };
      if (a.labels == b.labels &&
          std::equal(a.taints.begin(), a.taints.end(), b.taints.begin(), b.taints.end(), same))
        return keys;
    }
    for (const auto& ds : view.list(kDaemonSets, ""))
      keys.push_back({std::string(ds->ns()), std::string(ds->name())});
    return keys;
  };
  c.sources = {{kDaemonSets, own_key, {}},
               {kPods, owner_key("DaemonSet"), {{"controller", controller_uid_index()}}},
               {kNodes, every, {}},
               {kRevisions, nullptr, {{"controller", controller_uid_index()}}}};
  c.plan = [failed = std::make_shared<FailedDaemons>()](const View& view, const Key& key,
                                                        base::WallTime now) {
    return plan_daemonset(view, key, now, *failed);
  };
  return c;
}

}  // namespace orch::server
