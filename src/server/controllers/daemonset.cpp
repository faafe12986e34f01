#include "server/controllers/daemonset.h"

#include <algorithm>
#include <functional>
#include <map>

#include "api/hash.h"
#include "api/int_or_string.h"
#include "api/meta.h"
#include "api/selector.h"
#include "server/controllers/pods.h"
#include "server/scheduler/types.h"

namespace orch::server {

namespace {

const client::ResourceRef kRevisions{"apps", "v1", "controllerrevisions"};
constexpr const char* kHashLabel = "controller-revision-hash";
constexpr const char* kGenerationLabel = "pod-template-generation";

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

struct Daemon {
  api::ObjectPtr object;
  Json tree;
  std::string hash;
  bool on_delete = false;
  int64_t min_ready = 0;
};

Json daemon_pod(const Daemon& d, const std::string& node, const std::string& name) {
  Json pod = pod_from_template(*d.object, base::object_at(d.tree, {"spec", "template"}), name);
  pod["metadata"]["labels"][kHashLabel] = d.hash;
  pod["metadata"]["labels"][kGenerationLabel] =
      std::to_string(base::int_at(d.tree, {"metadata", "generation"}));
  Json& spec = pod["spec"];
  for (const auto& t : daemon_tolerations(base::bool_at(spec, {"hostNetwork"}))) {
    Json& list = spec["tolerations"];
    if (!list.is_array()) list = Json::array();
    if (std::find(list.begin(), list.end(), t) == list.end()) list.push_back(t);
  }
  pin_to_node(spec, node);
  return pod;
}

struct Fit {
  bool run = false;   // a pod should be there
  bool keep = false;  // a pod that is there may stay
};

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

/// The revision object of the current template exists, with the highest number; older ones are kept up to
/// the limit, and as long as a pod is of them.
void keep_history(const View& view, const Daemon& d, const std::vector<PodView>& pods, Plan& plan) {
  std::vector<Json> own;
  int64_t newest = 0;
  for (const auto& o : view.by_index(kRevisions, "controller", d.object->uid())) {
    own.push_back(o->tree());
    newest = std::max(newest, base::int_at(own.back(), {"revision"}));
  }
  const std::string name = base::cat(d.object->name(), "-", d.hash);
  auto current = std::find_if(own.begin(), own.end(), [&](const Json& r) {
    return base::string_at(r, {"metadata", "name"}) == name;
  });
  if (current == own.end()) {
    Json pod_template = base::object_at(d.tree, {"spec", "template"});
    pod_template["$patch"] = "replace";
    Json labels = base::object_at(d.tree, {"spec", "template", "metadata", "labels"});
    labels[kHashLabel] = d.hash;
    Json revision = {{"kind", "ControllerRevision"},
                     {"apiVersion", "apps/v1"},
                     {"metadata",
                      {{"name", name},
                       {"namespace", std::string(d.object->ns())},
                       {"labels", labels},
                       {"ownerReferences", Json::array({api::controller_reference(*d.object)})}}},
                     {"data", {{"spec", {{"template", pod_template}}}}},
                     {"revision", newest + 1}};
    Json annotations = base::object_at(d.tree, {"metadata", "annotations"});
    annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
    if (!annotations.empty()) revision["metadata"]["annotations"] = annotations;
    plan.create(kRevisions, d.object->ns(), std::move(revision));
  } else if (base::int_at(*current, {"revision"}) < newest) {
    Json next = *current;
    next["revision"] = newest + 1;
    plan.update(kRevisions, std::move(next));
  }
  std::vector<Json> unused;
  for (const auto& r : own) {
    std::string_view hash = base::string_at(r, {"metadata", "labels", kHashLabel});
    const bool used = std::any_of(pods.begin(), pods.end(),
                                  [&](const PodView& p) { return p.object->label(kHashLabel) == hash; });
    if (!used && hash != d.hash) unused.push_back(r);
  }
  std::sort(unused.begin(), unused.end(), [](const Json& a, const Json& b) {
    return base::int_at(a, {"revision"}) < base::int_at(b, {"revision"});
  });
  const int64_t limit = base::int_at(d.tree, {"spec", "revisionHistoryLimit"}, 10);
  for (size_t i = 0; static_cast<int64_t>(unused.size() - i) > limit && i < unused.size(); ++i) {
    if (auto o = view.get(kRevisions, d.object->ns(), base::string_at(unused[i], {"metadata", "name"})))
      plan.remove(kRevisions, *o);
  }
}

struct NodePods {
  std::vector<PodView*> pods;  // active
  Fit fit;
};

struct Limits {
  int64_t unavailable = 0, surge = 0;
};

Limits limits_of(const Daemon& d, int64_t desired) {
  const Json& rolling = base::object_at(d.tree, {"spec", "updateStrategy", "rollingUpdate"});
  auto value = [&](const char* name, const Json& usual) {
    auto it = rolling.find(name);
    auto n = api::scaled_value(it != rolling.end() ? *it : usual, desired, api::Rounding::kUp);
    return n.ok() ? *n : 0;
  };
  Limits l{value("maxUnavailable", 1), value("maxSurge", 0)};
  if (l.unavailable == 0 && l.surge == 0) l.unavailable = 1;
  return l;
}

/// Old pods go as fast as maxUnavailable allows; with surge, a new pod comes up beside the old one first.
void roll(const Daemon& d, std::map<std::string, NodePods>& nodes, base::WallTime now,
          const std::function<void(const std::string& node)>& make,
          const std::function<void(const PodView& pod)>& kill) {
  int64_t desired = 0, unavailable = 0, surging = 0;
  for (const auto& [name, n] : nodes) desired += n.fit.run ? 1 : 0;
  const Limits limits = limits_of(d, desired);
  auto is_new = [&](const PodView* p) { return p->object->label(kHashLabel) == d.hash; };
  auto is_available = [&](const PodView* p) { return pod_available(p->tree, d.min_ready, now); };
  for (const auto& [name, n] : nodes) {
    if (!n.fit.run) continue;
    if (std::none_of(n.pods.begin(), n.pods.end(), is_available)) ++unavailable;
    if (n.pods.size() > 1) ++surging;
  }
  for (auto& [name, n] : nodes) {
    if (!n.fit.run || n.pods.empty()) continue;
    PodView *old_pod = nullptr, *new_pod = nullptr;
    for (auto* p : n.pods) (is_new(p) ? new_pod : old_pod) = p;
    if (old_pod == nullptr) continue;
    if (limits.surge > 0) {
      if (new_pod == nullptr) {
        if (!is_available(old_pod)) {
          kill(*old_pod);
        } else if (surging < limits.surge) {
          make(name);
          ++surging;
        }
      } else if (is_available(new_pod)) {
        kill(*old_pod);
      }
      continue;
    }
    if (!is_available(old_pod)) {
      kill(*old_pod);  // it serves nobody: replacing it costs nothing
    } else if (unavailable < limits.unavailable) {
      kill(*old_pod);
      ++unavailable;
    }
  }
}

Json status_of(const Daemon& d, const std::map<std::string, NodePods>& nodes, base::WallTime now,
               Plan& plan) {
  int64_t desired = 0, current = 0, ready = 0, available = 0, updated = 0, misplaced = 0;
  for (const auto& [name, n] : nodes) {
    if (!n.fit.run) {
      if (!n.pods.empty()) ++misplaced;
      continue;
    }
    ++desired;
    if (n.pods.empty()) continue;
    ++current;
    const PodView* best = n.pods[0];
    for (const auto* p : n.pods) {
      if (pod_ready(p->tree) && !pod_ready(best->tree)) best = p;
    }
    if (pod_ready(best->tree)) {
      ++ready;
      if (auto wait = until_available(best->tree, d.min_ready, now)) {
        plan.again_after(*wait);
      } else {
        ++available;
      }
    }
    if (std::any_of(n.pods.begin(), n.pods.end(),
                    [&](const PodView* p) { return p->object->label(kHashLabel) == d.hash; }))
      ++updated;
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

}  // namespace

Plan plan_daemonset(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  Daemon d;
  d.object = view.get(kDaemonSets, key.ns, key.name);
  if (d.object == nullptr) return plan;
  d.tree = d.object->tree();
  auto selector = api::LabelSelector::from_tree(base::object_at(d.tree, {"spec", "selector"}));
  if (!selector.ok() || selector->empty()) return plan;
  d.hash = api::template_hash(base::object_at(d.tree, {"spec", "template"}), std::nullopt);
  d.on_delete = base::string_at(d.tree, {"spec", "updateStrategy", "type"}) == "OnDelete";
  d.min_ready = base::int_at(d.tree, {"spec", "minReadySeconds"});
  std::vector<PodView> pods = claim_pods(view, *d.object, *selector, plan);

  // The template as a pod, pinned nowhere: asked of every node.
  Json model = daemon_pod(d, "x", "x");
  model["spec"].erase("affinity");
  const Json& own_affinity = base::object_at(d.tree, {"spec", "template", "spec", "affinity"});
  if (!own_affinity.empty()) model["spec"]["affinity"] = own_affinity;
  model["metadata"]["uid"] = "x";
  auto model_object = api::Object::from_tree(model);
  if (!model_object.ok()) return plan;
  const scheduler::PodPtr wanted = scheduler::read_pod(*model_object);

  std::map<std::string, NodePods> nodes;
  for (const auto& node : view.list(kNodes, "")) {
    scheduler::NodeInfo info;
    info.set_node(node);
    nodes[info.name].fit = fits(*wanted, info);
  }
  std::vector<PodView*> finished;
  for (auto& p : pods) {
    std::string_view phase = base::string_at(p.tree, {"status", "phase"});
    if (p.object->deleting()) continue;
    if (phase == "Failed" || phase == "Succeeded") {
      finished.push_back(&p);
    } else {
      nodes[node_of(p.tree)].pods.push_back(&p);
    }
  }
  if (d.object->deleting()) return plan;

  size_t index = 0;
  auto make = [&](const std::string& node) {
    std::string name =
        free_pod_name(view, key.ns, d.object->name(), base::cat(d.object->uid(), node), now, index++);
    plan.create(kPods, key.ns, daemon_pod(d, node, name));
    plan.note(d.object, "Normal", "SuccessfulCreate", "Created pod: " + name);
  };
  auto kill = [&](const PodView& pod) {
    plan.remove(kPods, *pod.object);
    plan.note(d.object, "Normal", "SuccessfulDelete", base::cat("Deleted pod: ", pod.object->name()));
  };
  keep_history(view, d, pods, plan);
  Json status = status_of(d, nodes, now, plan);
  for (PodView* p : finished) {
    if (base::string_at(p->tree, {"status", "phase"}) == "Failed") {
      plan.note(d.object, "Warning", "FailedDaemonPod",
                base::cat("Found failed daemon pod ", key.ns, "/", p->object->name(), " on node ",
                          node_of(p->tree), ", will try to kill it"));
    }
    kill(*p);
  }
  auto leaving = [&](const std::string& node) {
    return std::any_of(pods.begin(), pods.end(),
                       [&](const PodView& p) { return p.object->deleting() && node_of(p.tree) == node; });
  };
  for (auto& [name, n] : nodes) {
    if (n.fit.run && n.pods.empty() && !leaving(name)) make(name);
    if (!n.fit.keep) {
      for (PodView* p : n.pods) kill(*p);
      n.pods.clear();
      n.fit.run = false;
    }
  }
  if (!d.on_delete) roll(d, nodes, now, make, kill);
  if (status != base::object_at(d.tree, {"status"})) {
    Json next = d.tree;
    next["status"] = std::move(status);
    plan.update(kDaemonSets, std::move(next), "status");
  }
  return plan;
}

Controller make_daemonset_controller() {
  Controller c;
  c.name = "daemonset-controller";
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
  c.plan = plan_daemonset;
  return c;
}

}  // namespace orch::server
