#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "api/meta.h"
#include "base/json.h"
#include "server/controllers/node.h"
#include "server/controllers/node_zones.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

/// How long a node that never told its status may be silent: it has longer to start.
constexpr std::chrono::seconds kStartGrace{60};
constexpr const char* kLeaseNamespace = "kube-node-lease";

Json taint(const char* key, const char* effect) { return {{"key", key}, {"effect", effect}}; }

/// Taint keys this controller owns; others are the users'.
bool is_ours(const Json& t) {
  static const char* const keys[] = {
      "node.kubernetes.io/not-ready",       "node.kubernetes.io/unreachable",
      "node.kubernetes.io/memory-pressure", "node.kubernetes.io/disk-pressure",
      "node.kubernetes.io/pid-pressure",    "node.kubernetes.io/network-unavailable",
      "node.kubernetes.io/unschedulable"};
  std::string_view key = base::string_at(t, {"key"});
  std::string_view effect = base::string_at(t, {"effect"});
  if (effect != "NoSchedule" && effect != "NoExecute") return false;
  return std::any_of(std::begin(keys), std::end(keys), [&](const char* k) { return key == k; });
}

std::string_view condition(const Json& node, std::string_view type) {
  const Json* c = api::find_condition(node, type);
  return c == nullptr ? std::string_view() : base::string_at(*c, {"status"});
}

/// What is known of nodes beyond their objects.
class KnownNodes {
 public:
  /// Since when the node is silent. `renewed` changes with each sign of life.
  base::MonoTime last_heartbeat(const std::string& node, std::string_view renewed, base::MonoTime now) {
    std::lock_guard lock(mutex_);
    Seen& seen = nodes_[node];
    if (seen.renewed != renewed || !seen.heard) seen.heard = now;
    seen.renewed = renewed;
    return *seen.heard;
  }
  /// True the first time this object is seen.
  bool enters(const api::ObjectPtr& node) {
    std::lock_guard lock(mutex_);
    Seen& seen = nodes_[std::string(node->name())];
    const bool fresh = seen.object == nullptr || seen.object->uid() != node->uid();
    if (fresh) seen = {};
    seen.object = node;
    return fresh;
  }
  /// The node is gone; its last object, null if it was not known.
  api::ObjectPtr leaves(const std::string& node) {
    std::lock_guard lock(mutex_);
    auto it = nodes_.find(node);
    if (it == nodes_.end()) return nullptr;
    api::ObjectPtr object = it->second.object;
    nodes_.erase(it);
    return object;
  }

 private:
  struct Seen {
    std::string renewed;
    std::optional<base::MonoTime> heard;
    api::ObjectPtr object;
  };
  std::mutex mutex_;
  std::map<std::string, Seen> nodes_;  // under mutex_
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

/// Nothing is known of the pods of a silent node, so services stop sending to them. (A node that says itself
/// that it is not ready goes on telling about its pods.)
void mark_pods_not_ready(const View& view, const std::string& node, base::WallTime now, Plan& plan) {
  for (const auto& pod : view.by_index(kPods, kPodsOnNode, node)) {
    const Json tree = pod->tree();
    if (!pod_ready(tree)) continue;
    Json ready = *api::find_condition(tree, "Ready");
    ready["status"] = "False";
    ready["lastTransitionTime"] = base::format_time(now);
    plan.patch(kPods, pod->ns(), pod->name(),
               {{"metadata", {{"uid", std::string(pod->uid())}}},
                {"status", {{"conditions", Json::array({std::move(ready)})}}}},
               "status");
    plan.note(pod, "Warning", "NodeNotReady", "Node is not ready");
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
      if (base::string_at(old, {"key"}) == base::string_at(w, {"key"}) &&
          base::string_at(old, {"effect"}) == base::string_at(w, {"effect"}))
        t = old;
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

/// Whether a node that is not ready may have taints that drive its pods out.
bool may_evict(const Json& node, const std::string& name, NodeZones& zones, base::MonoTime mono, Plan& plan) {
  const std::string_view ready = condition(node, "Ready");
  if (ready == "True") return false;
  const Json& taints = base::array_at(node, {"spec", "taints"});
  const bool has = std::any_of(taints.begin(), taints.end(), [](const Json& t) {
    return is_ours(t) && base::string_at(t, {"effect"}) == "NoExecute";
  });
  const NodeZones::Turn turn = zones.ask(name, !ready.empty() && !has, mono);
  if (turn.wait.count() > 0) plan.again_after(turn.wait);
  return turn.now;
}

Plan plan_lifecycle(const View& view, const Key& key, base::WallTime now, base::MonoTime mono,
                    base::Duration usual_grace, KnownNodes& known, NodeZones& zones) {
  Plan plan;
  api::ObjectPtr object = view.get(kNodes, "", key.name);
  if (object == nullptr) {
    if (api::ObjectPtr last = known.leaves(key.name)) {
      plan.note(last, "Normal", "RemovingNode",
                base::cat("Node ", key.name, " event: Removing Node ", key.name, " from Controller"));
    }
    return plan;
  }
  if (known.enters(object)) {
    plan.note(object, "Normal", "RegisteredNode",
              base::cat("Node ", key.name, " event: Registered Node ", key.name, " in Controller"));
  }
  const Json before = object->tree();
  api::ObjectPtr lease = view.get(kLeases, kLeaseNamespace, key.name);
  std::string renewed;
  if (lease != nullptr) renewed = base::string_at(lease->tree(), {"spec", "renewTime"});
  // A write of the node's status is a sign of life too.
  const Json* ready = api::find_condition(before, "Ready");
  if (ready != nullptr) renewed += base::string_at(*ready, {"lastHeartbeatTime"});
  const base::Duration grace = ready != nullptr ? usual_grace : kStartGrace;
  const base::Duration silent = mono - known.last_heartbeat(key.name, renewed, mono);
  Json node = before;
  if (silent >= grace) {
    mark_unknown(node, now);
  } else {
    plan.again_after(grace - silent);
  }
  const bool told = node.value("status", Json()) != before.value("status", Json());
  if (told) {
    if (ready != nullptr && base::string_at(*ready, {"status"}) == "True") {
      plan.note(object, "Normal", "NodeNotReady",
                base::cat("Node ", key.name, " status is now: NodeNotReady"));
    }
    plan.update(kNodes, node, "status");
  }
  if (condition(node, "Ready") == "Unknown") mark_pods_not_ready(view, key.name, now, plan);
  // Taints are replaced as a whole, so only on condition of the version they were read with. A status that is
  // written ends that version; its event brings the node here again.
  if (!told && set_taints(node, condition_taints(node, may_evict(node, key.name, zones, mono, plan)), now))
    plan.update(kNodes, std::move(node));
  return plan;
}

/// The node itself, and those whose turn to be tainted comes, or is over, by what became of it.
Keys node_keys(const api::ObjectPtr& before, const api::ObjectPtr& after, NodeZones& zones,
               base::MonoTime mono) {
  const std::string name((after ? after : before)->name());
  Keys keys = {{"", name}};
  for (std::string& other : zones.note(name, after, mono)) keys.push_back({"", std::move(other)});
  return keys;
}

Keys lease_keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  const api::Object& lease = after ? *after : *before;
  if (lease.ns() != kLeaseNamespace) return {};
  return {Key{"", std::string(lease.name())}};
}

}  // namespace

client::IndexFunction pods_on_node_index() {
  return [](const api::Object& pod) -> std::vector<std::string> { return {std::string(pod.field(0))}; };
}

std::vector<Json> condition_taints(const Json& node, bool evict) {
  std::vector<Json> out;
  std::string_view ready = condition(node, "Ready");
  if (ready == "False" || ready.empty()) {
    out.push_back(taint("node.kubernetes.io/not-ready", "NoSchedule"));
    if (ready == "False" && evict) out.push_back(taint("node.kubernetes.io/not-ready", "NoExecute"));
  } else if (ready == "Unknown") {
    out.push_back(taint("node.kubernetes.io/unreachable", "NoSchedule"));
    if (evict) out.push_back(taint("node.kubernetes.io/unreachable", "NoExecute"));
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

Controller make_node_lifecycle_controller(const base::Clock& clock, base::Duration grace,
                                          const EvictionOptions& eviction, base::Metrics* metrics) {
  Controller c;
  c.name = "node-controller";
  c.queue = "node_lifecycle_controller";
  const auto zones = std::make_shared<NodeZones>(eviction, metrics);
  c.sources = {{kNodes,
                [zones, &clock](const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
                  return node_keys(before, after, *zones, clock.mono());
                },
                {}},
               {kLeases, lease_keys, {}},
               {kPods, nullptr, {{kPodsOnNode, pods_on_node_index()}}}};
  c.plan = [known = std::make_shared<KnownNodes>(), zones, grace, &clock](const View& view, const Key& key,
                                                                          base::WallTime now) {
    return plan_lifecycle(view, key, now, clock.mono(), grace, *known, *zones);
  };
  return c;
}

}  // namespace orch::server
