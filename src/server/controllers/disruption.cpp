#include "server/controllers/disruption.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <set>

#include "api/int_or_string.h"
#include "api/meta.h"
#include "api/scan.h"
#include "api/selector.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

const client::ResourceRef kBudgets{"policy", "v1", "poddisruptionbudgets"};
/// How long the deletion of an evicted pod may take to show.
constexpr std::chrono::minutes kDeletionTimeout{2};
constexpr const char* kAllowed = "DisruptionAllowed";

/// Replicas a controller is asked for, by its uid; nothing when `ref` names none that has a scale.
using Scale = std::optional<std::pair<std::string, int64_t>>;

Scale scale_in(const View& view, const client::ResourceRef& resource, std::string_view ns,
               const api::OwnerReference& ref) {
  const api::ObjectPtr object = view.get(resource, ns, ref.name);
  if (object == nullptr || object->uid() != ref.uid) return std::nullopt;
  const std::string_view text = api::raw_value(object->bytes(), {"spec", "replicas"});
  int64_t replicas = 1;
  (void)std::from_chars(text.data(), text.data() + text.size(), replicas);
  return std::make_pair(std::string(object->uid()), replicas);
}

Scale scale_of(const View& view, std::string_view ns, const api::OwnerReference& ref) {
  const std::string_view group = api::split_api_version(ref.api_version).first;
  if (group.empty() && ref.kind == "ReplicationController")
    return scale_in(view, kReplicationControllers, ns, ref);
  if (group != "apps") return std::nullopt;
  if (ref.kind == "StatefulSet") return scale_in(view, kStatefulSets, ns, ref);
  if (ref.kind != "ReplicaSet") return std::nullopt;
  // A deployment's sets come and go during a rollout: the deployment is what counts.
  const api::ObjectPtr set = view.get(kReplicaSets, ns, ref.name);
  if (set == nullptr || set->uid() != ref.uid) return std::nullopt;
  const api::OwnerReference owner = api::controller_of(*set);
  if (owner.kind == "Deployment") {
    if (Scale deployment = scale_in(view, kDeployments, ns, owner)) return deployment;
  }
  return scale_in(view, kReplicaSets, ns, ref);
}

std::string no_scale_message(const api::OwnerReference& ref) {
  std::string resource = ref.kind + "s";
  std::transform(resource.begin(), resource.end(), resource.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto group = api::split_api_version(ref.api_version).first;
  return base::cat(resource, group.empty() ? "" : ".", group, " does not implement the scale subresource");
}

struct Expected {
  int64_t pods = 0, healthy = 0;
  bool unmanaged = false;  // pods without a controller are among them
  std::string failure;     // why it cannot be told
};

Expected sum_of_scales(const View& view, const std::vector<PodView>& pods) {
  Expected out;
  std::set<std::string> seen;             // owners of pods, by uid
  std::map<std::string, int64_t> scales;  // of what scales them, by its uid
  for (const auto& p : pods) {
    const api::OwnerReference ref = api::controller_of(*p.object);
    if (ref.uid.empty()) {
      out.unmanaged = true;
      continue;
    }
    if (!seen.insert(ref.uid).second) continue;
    const Scale scale = scale_of(view, p.object->ns(), ref);
    if (!scale) {
      out.failure = no_scale_message(ref);
      return out;
    }
    scales[scale->first] = scale->second;
  }
  for (const auto& [uid, n] : scales) out.pods += n;
  return out;
}

Expected expected_of(const View& view, const Json& budget, const std::vector<PodView>& pods) {
  const Json* most = base::find_path(budget, {"spec", "maxUnavailable"});
  const Json* least = base::find_path(budget, {"spec", "minAvailable"});
  if (most == nullptr && least != nullptr && least->is_number_integer()) {
    Expected out;
    out.pods = static_cast<int64_t>(pods.size());
    out.healthy = least->get<int64_t>();
    return out;
  }
  if (most == nullptr && least == nullptr) return {};
  Expected out = sum_of_scales(view, pods);
  if (!out.failure.empty()) return out;
  auto n = api::scaled_value(most != nullptr ? *most : *least, out.pods, api::Rounding::kUp);
  if (!n.ok()) {
    out.failure = n.error().message();
    return out;
  }
  out.healthy = most != nullptr ? std::max<int64_t>(0, out.pods - *n) : *n;
  return out;
}

/// Evictions whose pods are still to be deleted; the others are forgotten.
Json pending_evictions(const Json& budget, const std::vector<PodView>& pods, base::WallTime now, Plan& plan) {
  Json out = Json::object();
  const Json& recorded = base::object_at(budget, {"status", "disruptedPods"});
  for (const auto& p : pods) {
    if (p.object->deleting()) continue;
    auto it = recorded.find(std::string(p.object->name()));
    if (it == recorded.end() || !it->is_string()) continue;
    auto at = base::parse_time(it->get<std::string>());
    if (!at.ok()) continue;
    const base::WallTime due = *at + kDeletionTimeout;
    if (due < now) {
      plan.note(p.object, "Warning", "NotDeleted",
                base::cat("Pod was expected by PDB ", base::string_at(budget, {"metadata", "namespace"}), "/",
                          base::string_at(budget, {"metadata", "name"}), " to be deleted but it wasn't"));
      continue;
    }
    plan.again_after(due - now);
    out[it.key()] = *it;
  }
  return out;
}

/// metav1.Condition: unlike older kinds' it has a message always, and the generation.
void set_allowed(Json& status, const char* value, const char* reason, const std::string& message,
                 base::WallTime now) {
  Json& list = status["conditions"];
  if (!list.is_array()) list = Json::array();
  auto it = std::find_if(list.begin(), list.end(),
                         [](const Json& c) { return base::string_at(c, {"type"}) == kAllowed; });
  if (it == list.end()) {
    list.push_back({{"type", kAllowed}});
    it = std::prev(list.end());
  }
  Json& c = *it;
  if (base::string_at(c, {"status"}) != value) c["lastTransitionTime"] = base::format_time(now);
  c["status"] = value;
  c["reason"] = reason;
  c["message"] = message;
  c["observedGeneration"] = base::int_at(status, {"observedGeneration"});
}

bool is_healthy(const PodView& p, const Json& pending) {
  return !p.object->deleting() && !pending.contains(std::string(p.object->name())) && pod_ready(p.tree);
}

}  // namespace

Plan plan_disruption(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr object = view.get(kBudgets, key.ns, key.name);
  if (object == nullptr) return plan;
  const Json budget = object->tree();
  auto selector = api::LabelSelector::from_tree(base::object_at(budget, {"spec", "selector"}));
  const bool selects = base::find_path(budget, {"spec", "selector"}) != nullptr && selector.ok();
  std::vector<PodView> pods;
  for (const auto& pod : view.list(kPods, key.ns)) {
    if (selects && selector->matches(*pod)) pods.push_back({pod, pod->tree()});
  }
  const Expected expected = expected_of(view, budget, pods);
  Json next = budget;
  Json& status = next["status"];
  if (!status.is_object()) status = Json::object();
  if (!expected.failure.empty()) {
    status["disruptionsAllowed"] = 0;
    set_allowed(status, "False", "SyncFailed", expected.failure, now);
  } else {
    Json pending = pending_evictions(budget, pods, now, plan);
    const int64_t healthy =
        std::count_if(pods.begin(), pods.end(), [&](const PodView& p) { return is_healthy(p, pending); });
    // With no pods expected nothing is allowed: the first ones may be there before their count is.
    const int64_t allowed = expected.pods <= 0 ? 0 : std::max<int64_t>(0, healthy - expected.healthy);
    status["currentHealthy"] = healthy;
    status["desiredHealthy"] = expected.healthy;
    status["expectedPods"] = expected.pods;
    status["disruptionsAllowed"] = allowed;
    status["observedGeneration"] = object->generation();
    if (pending.empty()) {
      status.erase("disruptedPods");
    } else {
      status["disruptedPods"] = std::move(pending);
    }
    set_allowed(status, allowed > 0 ? "True" : "False", allowed > 0 ? "SufficientPods" : "InsufficientPods",
                "", now);
  }
  if (status == base::object_at(budget, {"status"})) return plan;
  plan.update(kBudgets, std::move(next), "status");
  if (pods.empty()) plan.note(object, "Normal", "NoPods", "No matching pods found");
  if (!expected.failure.empty()) {
    plan.note(object, "Warning", "CalculateExpectedPodCountFailed",
              "Failed to calculate the number of expected pods: " + expected.failure);
  }
  if (expected.unmanaged) {
    plan.note(object, "Warning", "UnmanagedPods",
              base::cat("Pods selected by this PodDisruptionBudget (selector: ", selector->text(),
                        ") have no controller, so how many of them there should be is not known. Give "
                        "\".spec.minAvailable\" as a number to have them counted."));
  }
  return plan;
}

Plan plan_stale_disruption(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr pod = view.get(kPods, key.ns, key.name);
  if (pod == nullptr || pod->deleting()) return plan;
  const Json tree = pod->tree();
  const Json* c = api::find_condition(tree, "DisruptionTarget");
  if (c == nullptr || base::string_at(*c, {"status"}) != "True") return plan;
  // The kubelet takes as long as it takes, and a pod that ended keeps the reason.
  if (base::string_at(*c, {"reason"}) == "TerminationByKubelet" || !pod_active(*pod, tree)) return plan;
  auto since = base::parse_time(base::string_at(*c, {"lastTransitionTime"}));
  const base::WallTime due = (since.ok() ? *since : now) + kDeletionTimeout;
  if (due > now) return plan.again_after(due - now);
  Json next = tree;
  api::set_condition(next, {"DisruptionTarget", "False", "", ""}, now, api::ConditionTimes::kProbe);
  plan.update(kPods, std::move(next), "status");
  return plan;
}

Controller make_disruption_controller() {
  Controller c;
  c.name = "controllermanager";
  c.queue = "disruption";
  auto pod_keys = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    Keys keys;
    const api::Object& any = after ? *after : *before;
    for (const auto& budget : view.list(kBudgets, any.ns())) {
      const Json tree = budget->tree();
      auto selector = api::LabelSelector::from_tree(base::object_at(tree, {"spec", "selector"}));
      if (selector.ok() && ((before && selector->matches(*before)) || (after && selector->matches(*after))))
        keys.push_back({std::string(budget->ns()), std::string(budget->name())});
    }
    return keys;
  };
  // A changed scale changes what is expected, before any pod does.
  auto scale_keys = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    Keys keys;
    if (before && after && before->generation() == after->generation()) return keys;
    for (const auto& budget : view.list(kBudgets, (after ? after : before)->ns()))
      keys.push_back({std::string(budget->ns()), std::string(budget->name())});
    return keys;
  };
  c.sources = {{kBudgets, own_key, {}},         {kPods, pod_keys, {}},
               {kReplicaSets, scale_keys, {}},  {kDeployments, scale_keys, {}},
               {kStatefulSets, scale_keys, {}}, {kReplicationControllers, scale_keys, {}}};
  c.plan = plan_disruption;
  return c;
}

Controller make_stale_disruption_controller() {
  Controller c;
  c.name = "stale-pod-disruption";
  c.queue = "stale_pod_disruption";
  c.sources = {{kPods,
                [](const api::ObjectPtr&, const api::ObjectPtr& after, const View&) -> Keys {
                  if (!after || after->deleting()) return {};
                  if (!api::mentions(after->bytes(), "\"DisruptionTarget\"")) return {};
                  return {Key{std::string(after->ns()), std::string(after->name())}};
                },
                {}}};
  c.plan = plan_stale_disruption;
  return c;
}

}  // namespace orch::server
