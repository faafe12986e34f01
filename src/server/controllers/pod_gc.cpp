// Pod garbage collector: pods that nobody else will end. Those of nodes that do not exist, those that were
// deleted before they got a node, those terminating on a node that is out of service, and the oldest of too
// many that ended.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/node.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

/// How long a node has to be gone: one that was deleted by mistake comes back at once.
constexpr std::chrono::seconds kQuarantine{40};
/// How many pods that ended may lie around.
constexpr size_t kTerminatedPods = 12500;
constexpr size_t kPhaseField = 5;  // of Object::field(), status.phase
constexpr const char* kOutOfService = "node.kubernetes.io/out-of-service";

/// Since when nodes are gone that pods are bound to, on the monotonic clock.
class GoneNodes {
 public:
  base::MonoTime since(const std::string& node, base::MonoTime now) {
    std::lock_guard lock(mutex_);
    return nodes_.try_emplace(node, now).first->second;
  }
  void forget(const std::string& node) {
    std::lock_guard lock(mutex_);
    nodes_.erase(node);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, base::MonoTime> nodes_;  // under mutex_
};

bool ended(const api::Object& pod) {
  const std::string_view phase = pod.field(kPhaseField);
  return phase == "Succeeded" || phase == "Failed";
}

/// Deletes without waiting for a kubelet; the phase tells controllers that the pod did not make it.
void force_delete(const api::ObjectPtr& pod, const api::Condition* why, base::WallTime now, Plan& plan) {
  if (!ended(*pod)) {
    Json status = {{"phase", "Failed"}};
    if (why != nullptr) {
      Json next = pod->tree();
      api::set_condition(next, *why, now, api::ConditionTimes::kProbe);
      status["conditions"] = Json::array({*api::find_condition(next, why->type)});
    }
    plan.patch(kPods, pod->ns(), pod->name(),
               {{"metadata", {{"uid", std::string(pod->uid())}}}, {"status", std::move(status)}}, "status");
  }
  client::DeleteOptions at_once;
  at_once.grace_seconds = 0;
  plan.remove(kPods, *pod, at_once);
}

bool out_of_service(const Json& node) {
  if (api::condition_is_true(node, "Ready")) return false;
  const Json& taints = base::array_at(node, {"spec", "taints"});
  return std::any_of(taints.begin(), taints.end(),
                     [](const Json& t) { return base::string_at(t, {"key"}) == kOutOfService; });
}

/// Key{"", node}.
Plan collect_on_node(const View& view, const std::string& node, base::WallTime now, base::MonoTime mono,
                     GoneNodes& gone) {
  Plan plan;
  const api::ObjectPtr object = view.get(kNodes, "", node);
  const auto pods = view.by_index(kPods, kPodsOnNode, node);
  if (object == nullptr && !pods.empty()) {
    const base::Duration waited = mono - gone.since(node, mono);
    if (waited < kQuarantine) return plan.again_after(kQuarantine - waited);
    const api::Condition why = {"DisruptionTarget", "True", "DeletionByPodGC",
                                "PodGC: node no longer exists"};
    for (const auto& pod : pods) force_delete(pod, &why, now, plan);
    return plan;
  }
  gone.forget(node);
  if (object == nullptr || !api::mentions(object->bytes(), kOutOfService)) return plan;
  if (!out_of_service(object->tree())) return plan;
  for (const auto& pod : pods) {
    if (pod->deleting()) force_delete(pod, nullptr, now, plan);
  }
  return plan;
}

/// Key{namespace, pod}: one that was deleted before it got a node.
Plan collect_unscheduled(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr pod = view.get(kPods, key.ns, key.name);
  if (pod != nullptr && pod->deleting() && pod->field(0).empty()) force_delete(pod, nullptr, now, plan);
  return plan;
}

/// Key{"", ""}: the oldest pods that ended, evicted ones before others, beyond the limit.
Plan collect_terminated(const View& view, base::WallTime now, size_t limit) {
  Plan plan;
  std::vector<api::ObjectPtr> pods = view.list(kPods, "");
  if (pods.size() <= limit) return plan;
  std::erase_if(pods, [](const api::ObjectPtr& p) { return !ended(*p); });
  if (pods.size() <= limit) return plan;
  auto rank = [](const api::ObjectPtr& p) {
    return std::make_tuple(base::string_at(p->tree(), {"status", "reason"}) != "Evicted",
                           api::creation_time(*p), std::string(p->name()));
  };
  std::vector<std::pair<decltype(rank(pods[0])), api::ObjectPtr>> ranked;
  ranked.reserve(pods.size());
  for (auto& p : pods) ranked.emplace_back(rank(p), std::move(p));
  std::sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i + limit < ranked.size(); ++i) force_delete(ranked[i].second, nullptr, now, plan);
  return plan;
}

Keys pod_keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  if (after == nullptr) return {};
  Keys keys;
  if (ended(*after) && (before == nullptr || !ended(*before))) keys.push_back({});
  const std::string node(after->field(0));
  if (node.empty()) {
    if (after->deleting()) keys.push_back({std::string(after->ns()), std::string(after->name())});
  } else if (after->deleting() || view.get(kNodes, "", node) == nullptr) {
    keys.push_back({"", node});
  }
  return keys;
}

Plan plan_pod_gc(const View& view, const Key& key, base::WallTime now, base::MonoTime mono, GoneNodes& gone,
                 size_t limit) {
  if (!key.ns.empty()) return collect_unscheduled(view, key, now);
  if (key.name.empty()) return collect_terminated(view, now, limit);
  return collect_on_node(view, key.name, now, mono, gone);
}

}  // namespace

Controller make_pod_gc_controller(const base::Clock& clock, size_t limit) {
  if (limit == 0) limit = kTerminatedPods;
  Controller c;
  c.name = "pod-garbage-collector";
  c.queue = "orphaned_pods_nodes";
  c.sources = {{kNodes, own_key, {}}, {kPods, pod_keys, {{kPodsOnNode, pods_on_node_index()}}}};
  c.plan = [gone = std::make_shared<GoneNodes>(), &clock, limit](const View& view, const Key& key,
                                                                 base::WallTime now) {
    return plan_pod_gc(view, key, now, clock.mono(), *gone, limit);
  };
  return c;
}

}  // namespace orch::server
