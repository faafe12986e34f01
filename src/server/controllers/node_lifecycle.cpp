#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "api/meta.h"
#include "base/json.h"
#include "server/controllers/node.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

constexpr const char* kLeaseNamespace = "kube-node-lease";
constexpr const char* kOnNode = "node";

Json taint(const char* key, const char* effect) { return {{"key", key}, {"effect", effect}}; }

/// Taint keys this controller owns; others are the users'.
bool is_ours(const Json& t) {
  static const char* const kKeys[] = {
      "node.kubernetes.io/not-ready",       "node.kubernetes.io/unreachable",
      "node.kubernetes.io/memory-pressure", "node.kubernetes.io/disk-pressure",
      "node.kubernetes.io/pid-pressure",    "node.kubernetes.io/network-unavailable",
      "node.kubernetes.io/unschedulable"};
  std::string_view key = base::string_at(t, {"key"});
  std::string_view effect = base::string_at(t, {"effect"});
  if (effect != "NoSchedule" && effect != "NoExecute") return false;
  return std::any_of(std::begin(kKeys), std::end(kKeys), [&](const char* k) { return key == k; });
}

std::string_view condition(const Json& node, std::string_view type) {
  const Json* c = api::find_condition(node, type);
  return c == nullptr ? std::string_view() : base::string_at(*c, {"status"});
}

/// The heartbeats seen, by the time they were seen.
struct Heartbeats {
  struct Seen {
    std::string renewed;
    base::MonoTime at;
  };
  std::mutex mutex;
  std::map<std::string, Seen> nodes;  // under mutex

  /// Since when the node is silent.
  base::MonoTime last(const std::string& node, std::string_view renewed, base::MonoTime now) {
    std::lock_guard lock(mutex);
    auto [it, fresh] = nodes.try_emplace(node, Seen{std::string(renewed), now});
    if (!fresh && it->second.renewed != renewed) it->second = {std::string(renewed), now};
    return it->second.at;
  }
  void forget(const std::string& node) {
    std::lock_guard lock(mutex);
    nodes.erase(node);
  }
};

void mark_unknown(Json& node, base::WallTime now) {
  for (const char* type : {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}) {
    const Json* have = api::find_condition(node, type);
    if (have == nullptr) {
      api::set_condition(
          node, {type, "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status."}, now);
    } else if (base::string_at(*have, {"status"}) != "Unknown") {
      api::set_condition(node, {type, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."},
                         now);
    }
  }
}

/// A node that is not ready has no ready pods: services stop sending to them at once.
void mark_pods_not_ready(const View& view, const std::string& node, base::WallTime now, Plan& plan) {
  for (const auto& pod : view.by_index(kPods, kOnNode, node)) {
    Json tree = pod->tree();
    if (!pod_ready(tree)) continue;
    Json next = tree;
    api::set_condition(next, {"Ready", "False", "NodeNotReady", "Node is not ready"}, now,
                       api::ConditionTimes::kProbe);
    Json patch = {{"metadata", {{"uid", std::string(pod->uid())}}},
                  {"status", {{"conditions", Json::array({*api::find_condition(next, "Ready")})}}}};
    plan.patch(kPods, pod->ns(), pod->name(), std::move(patch), "status");
  }
}

/// Replaces our taints by the wanted ones, keeping the times of those that stay. True if changed.
bool set_taints(Json& node, const std::vector<Json>& wanted, base::WallTime now) {
  Json next = Json::array();
  const Json before = base::array_at(node, {"spec", "taints"});
  for (const auto& t : before) {
    if (!is_ours(t)) next.push_back(t);
  }
  for (const auto& w : wanted) {
    Json t = w;
    for (const auto& old : before) {
      if (old.value("key", "") == w["key"] && old.value("effect", "") == w["effect"]) t = old;
    }
    if (t["effect"] == "NoExecute" && !t.contains("timeAdded")) t["timeAdded"] = base::format_time(now);
    next.push_back(std::move(t));
  }
  auto sorted = [](Json list) {
    std::sort(list.begin(), list.end());
    return list;
  };
  if (sorted(next) == sorted(before)) return false;
  if (next.empty()) {
    node["spec"].erase("taints");
  } else {
    node["spec"]["taints"] = next;
  }
  return true;
}

Plan plan_lifecycle(const View& view, const Key& key, base::WallTime now, base::MonoTime mono,
                    base::Duration grace, Heartbeats& beats) {
  Plan plan;
  api::ObjectPtr object = view.get(kNodes, "", key.name);
  if (object == nullptr) {
    beats.forget(key.name);
    return plan;
  }
  const Json before = object->tree();
  api::ObjectPtr lease = view.get(kLeases, kLeaseNamespace, key.name);
  std::string renewed;
  if (lease != nullptr) renewed = base::string_at(lease->tree(), {"spec", "renewTime"});
  // A write of the node's status is a sign of life too.
  if (const Json* ready = api::find_condition(before, "Ready"))
    renewed += base::string_at(*ready, {"lastHeartbeatTime"});
  const base::MonoTime last = beats.last(key.name, renewed, mono);
  Json node = before;
  if (mono - last >= grace) {
    mark_unknown(node, now);
  } else {
    plan.again_after(grace - (mono - last));
  }
  if (node.value("status", Json()) != before.value("status", Json())) {
    plan.note(object, "Normal", "NodeNotReady", base::cat("Node ", key.name, " status is now: NodeNotReady"));
    plan.update(kNodes, node, "status");
    mark_pods_not_ready(view, key.name, now, plan);
  } else if (condition(before, "Ready") == "False") {
    mark_pods_not_ready(view, key.name, now, plan);
  }
  Json spec = node;
  if (set_taints(spec, condition_taints(node), now)) {
    if (plan.writes.empty()) {
      plan.update(kNodes, std::move(spec));
    } else {
      // The status write before this one moved the version on: only the taints are replaced.
      Json list = base::array_at(spec, {"spec", "taints"});
      list.push_back({{"$patch", "replace"}});
      plan.patch(kNodes, "", key.name, {{"spec", {{"taints", std::move(list)}}}});
    }
  }
  return plan;
}

Keys by_name(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  return {Key{"", std::string((after ? after : before)->name())}};
}

Keys by_node(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  const api::Object& pod = after ? *after : *before;
  std::string node(pod.field(0));
  return node.empty() ? Keys() : Keys{Key{"", node}};
}

client::IndexFunction node_index() {
  return [](const api::Object& pod) -> std::vector<std::string> { return {std::string(pod.field(0))}; };
}

}  // namespace

std::vector<Json> condition_taints(const Json& node) {
  std::vector<Json> out;
  std::string_view ready = condition(node, "Ready");
  if (ready == "False" || ready.empty()) {
    out.push_back(taint("node.kubernetes.io/not-ready", "NoSchedule"));
    if (ready == "False") out.push_back(taint("node.kubernetes.io/not-ready", "NoExecute"));
  } else if (ready == "Unknown") {
    out.push_back(taint("node.kubernetes.io/unreachable", "NoSchedule"));
    out.push_back(taint("node.kubernetes.io/unreachable", "NoExecute"));
  }
  const std::pair<const char*, const char*> pressures[] = {
      {"MemoryPressure", "node.kubernetes.io/memory-pressure"},
      {"DiskPressure", "node.kubernetes.io/disk-pressure"},
      {"PIDPressure", "node.kubernetes.io/pid-pressure"},
      {"NetworkUnavailable", "node.kubernetes.io/network-unavailable"}};
  for (const auto& [type, key] : pressures) {
    if (condition(node, type) == "True") out.push_back(taint(key, "NoSchedule"));
  }
  if (base::bool_at(node, {"spec", "unschedulable"}))
    out.push_back(taint("node.kubernetes.io/unschedulable", "NoSchedule"));
  return out;
}

Controller make_node_lifecycle_controller(const base::Clock& clock, base::Duration grace) {
  auto beats = std::make_shared<Heartbeats>();
  Controller c;
  c.name = "node-controller";
  c.sources = {{kNodes, own_key, {}},
               {kLeases,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  const api::Object& o = after ? *after : *before;
                  if (o.ns() != kLeaseNamespace) return Keys();
                  return by_name(before, after, view);
                },
                {}},
               {kPods, nullptr, {{kOnNode, node_index()}}}};
  c.plan = [beats, grace, &clock](const View& view, const Key& key, base::WallTime now) {
    return plan_lifecycle(view, key, now, clock.mono(), grace, *beats);
  };
  return c;
}

namespace {

/// How long a pod may stay on a node with these NoExecute taints: nothing = for ever.
std::optional<base::WallTime> evict_at(const Json& pod, const std::vector<Json>& taints, base::WallTime now) {
  std::optional<base::WallTime> due;
  auto sooner = [&](base::WallTime t) {
    if (!due || t < *due) due = t;
  };
  for (const auto& t : taints) {
    bool tolerated = false;
    for (const auto& toleration : base::array_at(pod, {"spec", "tolerations"})) {
      std::string_view effect = base::string_at(toleration, {"effect"});
      if (!effect.empty() && effect != "NoExecute") continue;
      std::string_view key = base::string_at(toleration, {"key"});
      const bool exists = base::string_at(toleration, {"operator"}) == "Exists";
      if (key.empty() ? !exists : key != base::string_at(t, {"key"})) continue;
      if (!exists && base::string_at(toleration, {"value"}) != base::string_at(t, {"value"})) continue;
      tolerated = true;
      if (!toleration.contains("tolerationSeconds")) continue;
      auto added = base::parse_time(base::string_at(t, {"timeAdded"}));
      sooner((added.ok() ? *added : now) +
             std::chrono::seconds(base::int_at(toleration, {"tolerationSeconds"})));
    }
    if (!tolerated) sooner(now);
  }
  return due;
}

Plan plan_eviction(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  api::ObjectPtr object = view.get(kNodes, "", key.name);
  if (object == nullptr) return plan;
  std::vector<Json> taints;
  const Json node = object->tree();
  for (const auto& t : base::array_at(node, {"spec", "taints"})) {
    if (base::string_at(t, {"effect"}) == "NoExecute") taints.push_back(t);
  }
  if (taints.empty()) return plan;
  for (const auto& pod : view.by_index(kPods, kOnNode, key.name)) {
    if (pod->deleting()) continue;
    const Json tree = pod->tree();
    auto due = evict_at(tree, taints, now);
    if (!due) continue;
    if (*due > now) {
      plan.again_after(*due - now);
      continue;
    }
    Json next = tree;
    api::set_condition(next,
                       {"DisruptionTarget", "True", "DeletionByTaintManager",
                        "Taint manager: deleting due to NoExecute taint"},
                       now, api::ConditionTimes::kProbe);
    plan.patch(kPods, pod->ns(), pod->name(),
               {{"metadata", {{"uid", std::string(pod->uid())}}},
                {"status", {{"conditions", Json::array({*api::find_condition(next, "DisruptionTarget")})}}}},
               "status");
    plan.remove(kPods, *pod);
    plan.note(pod, "Normal", "TaintManagerEviction",
              base::cat("Marking for deletion Pod ", pod->ns(), "/", pod->name()));
  }
  return plan;
}

}  // namespace

Controller make_taint_eviction_controller() {
  Controller c;
  c.name = "taint-eviction-controller";
  c.sources = {{kNodes, own_key, {}}, {kPods, by_node, {{kOnNode, node_index()}}}};
  c.plan = plan_eviction;
  return c;
}

namespace {

constexpr std::chrono::seconds kGoneFor{40};

/// A node that was deleted by mistake comes back at once: its pods wait a little.
Plan plan_pod_gc(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  if (key.name.empty() || view.get(kNodes, "", key.name) != nullptr) return plan;
  for (const auto& pod : view.by_index(kPods, kOnNode, key.name)) {
    const Json tree = pod->tree();
    base::WallTime since = api::creation_time(tree);
    if (now < since + kGoneFor) {
      plan.again_after(since + kGoneFor - now);
      continue;
    }
    std::string_view phase = base::string_at(tree, {"status", "phase"});
    if (phase != "Succeeded" && phase != "Failed") {
      Json next = tree;
      api::set_condition(next,
                         {"DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists"}, now,
                         api::ConditionTimes::kProbe);
      plan.patch(kPods, pod->ns(), pod->name(),
                 {{"metadata", {{"uid", std::string(pod->uid())}}},
                  {"status",
                   {{"phase", "Failed"},
                    {"conditions", Json::array({*api::find_condition(next, "DisruptionTarget")})}}}},
                 "status");
    }
    client::DeleteOptions now_options;
    now_options.grace_seconds = 0;
    plan.remove(kPods, *pod, now_options);
  }
  return plan;
}

}  // namespace

Controller make_pod_gc_controller() {
  Controller c;
  c.name = "pod-garbage-collector";
  c.sources = {{kNodes,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  return after == nullptr ? by_name(before, after, view) : Keys();
                },
                {}},
               {kPods,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  if (after == nullptr) return Keys();
                  Keys keys = by_node(before, after, view);
                  if (!keys.empty() && view.get(kNodes, "", keys[0].name) != nullptr) keys.clear();
                  return keys;
                },
                {{kOnNode, node_index()}}}};
  c.plan = plan_pod_gc;
  return c;
}

}  // namespace orch::server
