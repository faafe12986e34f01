// Taint eviction: pods leave a node whose NoExecute taints they do not tolerate, or not for longer.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/node.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

/// The pods that will have to go, and since when that is known. Time is counted on the monotonic clock: a
/// machine that finds out at last what year it is evicts nobody for that.
class Pending {
 public:
  base::MonoTime since(const api::ObjectPtr& pod, const std::string& node, base::MonoTime now) {
    std::lock_guard lock(mutex_);
    return nodes_[node].try_emplace(std::string(pod->uid()), pod, now).first->second.second;
  }
  /// Keeps those of `uids`; returns the others, which may stay after all or are gone.
  std::vector<api::ObjectPtr> keep(const std::string& node, const std::set<std::string, std::less<>>& uids) {
    std::lock_guard lock(mutex_);
    std::vector<api::ObjectPtr> spared;
    auto it = nodes_.find(node);
    if (it == nodes_.end()) return spared;
    std::erase_if(it->second, [&](const auto& entry) {
      if (uids.count(entry.first) != 0) return false;
      spared.push_back(entry.second.first);
      return true;
    });
    if (it->second.empty()) nodes_.erase(it);
    return spared;
  }

 private:
  std::mutex mutex_;
  /// By node, then pod uid.
  std::map<std::string, std::map<std::string, std::pair<api::ObjectPtr, base::MonoTime>>> nodes_;
};

bool tolerates(const Json& toleration, const Json& taint) {
  std::string_view effect = base::string_at(toleration, {"effect"});
  if (!effect.empty() && effect != base::string_at(taint, {"effect"})) return false;
  std::string_view key = base::string_at(toleration, {"key"});
  const bool exists = base::string_at(toleration, {"operator"}) == "Exists";
  if (key.empty()) return exists;
  if (key != base::string_at(taint, {"key"})) return false;
  return exists || base::string_at(toleration, {"value"}) == base::string_at(taint, {"value"});
}

/// Whether the node may have a taint that pods have to leave for.
bool drives_out(const api::Object& node) { return api::mentions(node.bytes(), "\"NoExecute\""); }

/// The node of a pod is of interest while it drives pods out: when that begins or ends, the node itself says
/// so.
Keys node_of_pod(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  const std::string_view name = (after ? after : before)->field(0);
  const api::ObjectPtr node = name.empty() ? nullptr : view.get(kNodes, "", name);
  return node != nullptr && drives_out(*node) ? Keys{Key{"", std::string(name)}} : Keys();
}

Plan evict(const View& view, const api::Object& node, const std::vector<Json>& taints, base::WallTime now,
           base::MonoTime mono, Pending& pending) {
  Plan plan;
  const std::string name(node.name());
  std::set<std::string, std::less<>> leaving;
  const auto pods = taints.empty() ? std::vector<api::ObjectPtr>() : view.by_index(kPods, kPodsOnNode, name);
  for (const auto& pod : pods) {
    if (pod->deleting()) continue;
    const Json tree = pod->tree();
    const std::optional<base::Duration> stay = toleration_time(tree, taints);
    if (!stay) continue;
    leaving.insert(std::string(pod->uid()));
    const base::Duration waited = mono - pending.since(pod, name, mono);
    if (waited < *stay) {
      plan.again_after(*stay - waited);
      continue;
    }
    Json next = tree;
    api::set_condition(next,
                       {"DisruptionTarget", "True", "DeletionByTaintManager",
                        "Taint manager: deleting due to NoExecute taint"},
                       now, api::ConditionTimes::kProbe);
    plan.note(pod, "Normal", "TaintManagerEviction",
              base::cat("Marking for deletion Pod ", pod->ns(), "/", pod->name()));
    plan.patch(kPods, pod->ns(), pod->name(),
               {{"metadata", {{"uid", std::string(pod->uid())}}},
                {"status", {{"conditions", Json::array({*api::find_condition(next, "DisruptionTarget")})}}}},
               "status");
    plan.remove(kPods, *pod);
  }
  for (const auto& spared : pending.keep(name, leaving)) {
    api::ObjectPtr pod = view.get(kPods, spared->ns(), spared->name());
    if (pod == nullptr || pod->uid() != spared->uid() || pod->deleting()) continue;
    plan.note(pod, "Normal", "TaintManagerEviction",
              base::cat("Cancelling deletion of Pod ", pod->ns(), "/", pod->name()));
  }
  return plan;
}

Plan plan_eviction(const View& view, const Key& key, base::WallTime now, base::MonoTime mono,
                   Pending& pending) {
  api::ObjectPtr object = view.get(kNodes, "", key.name);
  if (object == nullptr) {
    pending.keep(key.name, {});
    return {};
  }
  std::vector<Json> taints;
  if (drives_out(*object)) {
    const Json node = object->tree();
    for (const auto& t : base::array_at(node, {"spec", "taints"})) {
      if (base::string_at(t, {"effect"}) == "NoExecute") taints.push_back(t);
    }
  }
  return evict(view, *object, taints, now, mono, pending);
}

}  // namespace

std::optional<base::Duration> toleration_time(const Json& pod, const std::vector<Json>& taints) {
  std::optional<int64_t> seconds;
  for (const auto& taint : taints) {
    bool tolerated = false;
    for (const auto& toleration : base::array_at(pod, {"spec", "tolerations"})) {
      if (!tolerates(toleration, taint)) continue;
      tolerated = true;
      if (!toleration.contains("tolerationSeconds")) continue;
      const int64_t n = std::max<int64_t>(0, base::int_at(toleration, {"tolerationSeconds"}));
      seconds = seconds ? std::min(*seconds, n) : n;
    }
    if (!tolerated) return base::Duration(0);
  }
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(*seconds);
}

Controller make_taint_eviction_controller(const base::Clock& clock) {
  Controller c;
  c.name = "taint-eviction-controller";
  c.queue = "noexec_taint_pod";
  c.sources = {{kNodes, own_key, {}}, {kPods, node_of_pod, {{kPodsOnNode, pods_on_node_index()}}}};
  c.plan = [pending = std::make_shared<Pending>(), &clock](const View& view, const Key& key,
                                                           base::WallTime now) {
    return plan_eviction(view, key, now, clock.mono(), *pending);
  };
  return c;
}

}  // namespace orch::server
