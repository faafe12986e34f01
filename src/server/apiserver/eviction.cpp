// The eviction subresource of pods (policy/v1 Eviction): a deletion that PodDisruptionBudgets have a say in.
#include "server/apiserver/eviction.h"
#include "api/meta.h"
#include "api/selector.h"
#include "base/json.h"
#include "server/apiserver/call.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

/// Evictions a budget may have under way; its controller forgets them when they are through.
constexpr size_t kMaxDisrupted = 2000;
constexpr int kRetryAfterSeconds = 10;

Status too_many_requests(const std::string& cause, int retry_after) {
  base::StatusDetails details;
  details.causes.push_back({"DisruptionBudget", cause, ""});
  details.retry_after_seconds = retry_after;
  return Status(Code::kTooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.",
                details);
}

Status still_processed(std::string_view budget) {
  return too_many_requests(
      base::cat("The disruption budget ", budget, " is still being processed by the server."),
      kRetryAfterSeconds);
}

Status forbidden(std::string_view budget, std::string_view why) {
  base::StatusDetails details;
  details.name = budget;
  details.kind = "poddisruptionbudget";
  details.group = "policy";
  return Status(Code::kForbidden,
                base::cat("poddisruptionbudget.policy \"", budget, "\" is forbidden: ", why), details);
}

Status used_up(const Json& budget, std::string_view name) {
  const int64_t desired = base::int_at(budget, {"status", "desiredHealthy"});
  const int64_t healthy = base::int_at(budget, {"status", "currentHealthy"});
  const Json* c = api::find_condition(budget, "DisruptionAllowed");
  const bool told =
      c != nullptr && base::string_at(*c, {"status"}) == "False" && !base::string_at(*c, {"message"}).empty();
  const std::string_view reason = told ? base::string_at(*c, {"reason"}) : std::string_view();
  const std::string_view message = told ? base::string_at(*c, {"message"}) : std::string_view();
  std::string cause = base::cat("The disruption budget ", name);
  if (reason == "SyncFailed") {
    cause += base::cat(" does not allow evicting pods currently because it failed sync: ", message);
  } else if (healthy <= desired) {
    cause += base::cat(" needs ", desired, " healthy pods and has ", healthy, " currently");
  } else if (told) {
    cause += base::cat(" does not allow evicting pods currently (", reason, "): ", message);
  } else {
    cause += " does not allow evicting pods currently";
  }
  return too_many_requests(cause, 0);
}

bool is_unprotected(const api::Object& pod, const Json& tree) {
  const std::string_view phase = base::string_at(tree, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed" || phase == "Pending" || pod.deleting();
}

DeleteParams params_of(const Json& eviction) {
  DeleteParams params;
  const Json& options = base::object_at(eviction, {"deleteOptions"});
  if (options.contains("gracePeriodSeconds"))
    params.grace_seconds = base::int_at(options, {"gracePeriodSeconds"});
  params.propagation = base::string_at(options, {"propagationPolicy"});
  params.uid = base::string_at(options, {"preconditions", "uid"});
  params.resource_version = base::string_at(options, {"preconditions", "resourceVersion"});
  return params;
}

}  // namespace

bool spares_budget(const Json& budget, const Json& pod) {
  if (api::condition_is_true(pod, "Ready")) return false;
  if (base::string_at(budget, {"spec", "unhealthyPodEvictionPolicy"}) == "AlwaysAllow") return true;
  const int64_t desired = base::int_at(budget, {"status", "desiredHealthy"});
  return base::int_at(budget, {"status", "currentHealthy"}) >= desired && desired > 0;
}

Result<Json> charge_budget(const Json& budget, const std::string& pod, base::WallTime now) {
  const std::string_view name = base::string_at(budget, {"metadata", "name"});
  if (base::int_at(budget, {"status", "observedGeneration"}) <
      base::int_at(budget, {"metadata", "generation"}))
    return still_processed(name);
  const int64_t allowed = base::int_at(budget, {"status", "disruptionsAllowed"});
  if (allowed < 0) return forbidden(name, "pdb disruptions allowed is negative");
  if (base::object_at(budget, {"status", "disruptedPods"}).size() > kMaxDisrupted) {
    return forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  }
  if (allowed == 0) return used_up(budget, name);
  Json next = budget;
  next["status"]["disruptionsAllowed"] = allowed - 1;
  next["status"]["disruptedPods"][pod] = base::format_time(now);
  return next;
}

Result<Json> ApiServer::evict_pod(std::string_view ns, std::string_view name, const Json& eviction,
                                  const WriteContext& admitted) {
  auto pods = registry_.table().find("", "v1", "pods");
  if (base::string_at(eviction, {"metadata", "name"}) != name) {
    return Status(Code::kBadRequest, "name in URL does not match name in Eviction object");
  }
  auto pod = registry_.get(*pods, ns, name);
  if (!pod.ok()) return pod.error();
  WriteContext context;
  context.user = admitted.user;
  context.dry_run = admitted.dry_run;
  context.skip_admission = true;  // the eviction went through it
  DeleteParams params = params_of(eviction);
  const Json tree = (*pod)->tree();
  std::string budget;
  bool spared = false;
  if (!is_unprotected(**pod, tree)) {
    auto covering = covering_budget(**pod);
    if (!covering.ok()) return covering.error();
    if (*covering != nullptr) {
      budget = (*covering)->name();
      spared = spares_budget((*covering)->tree(), tree);
      if (!spared) ORCH_RETURN_IF_ERROR(spend_budget(**covering, std::string(name), context));
    }
  }
  if (!context.dry_run) {
    Status marked = mark_evicted(*pods, **pod, spared && params.resource_version.empty(), params, context);
    if (!marked.ok()) {
      // It was let go because it was not ready; it may be now.
      return spared && marked.code() == Code::kConflict ? still_processed(budget) : marked;
    }
  }
  auto outcome = registry_.remove(*pods, ns, name, params, context);
  if (!outcome.ok()) return outcome.error();
  return created_status();
}

/// Says in the pod's status why it is going, and moves a precondition of the deletion on to the version that
/// says it. With `unchanged`, only if the pod is as it was judged.
Status ApiServer::mark_evicted(const api::Resource& pods, const api::Object& pod, bool unchanged,
                               DeleteParams& params, const WriteContext& context) {
  if (pod.deleting()) return {};
  auto marked = registry_.update(
      pods, pod.ns(), pod.name(), "status",
      [&](const Json& current) -> Result<Json> {
        const std::string_view uid = base::string_at(current, {"metadata", "uid"});
        const std::string_view version = base::string_at(current, {"metadata", "resourceVersion"});
        const bool other = (!params.uid.empty() && uid != params.uid) ||
                           (!params.resource_version.empty() && version != params.resource_version) ||
                           (unchanged && version != std::to_string(pod.revision()));
        if (other) return Status(Code::kConflict, "the pod changed while it was being evicted");
        Json next = current;
        next["metadata"].erase("resourceVersion");
        api::set_condition(next,
                           {"DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting"},
                           registry_.clock().now(), api::ConditionTimes::kProbe);
        return next;
      },
      context);
  if (!marked.ok()) return marked.error();
  if (unchanged || !params.resource_version.empty())
    params.resource_version = std::to_string((*marked)->revision());
  return {};
}

Result<ObjectPtr> ApiServer::covering_budget(const api::Object& pod) {
  auto budgets = registry_.table().find("policy", "v1", "poddisruptionbudgets");
  if (budgets == nullptr) return ObjectPtr();
  Filter filter;
  filter.ns = pod.ns();
  ObjectPtr covering;
  for (const auto& object : registry_.cache(*budgets)->list(filter).items) {
    const Json tree = object->tree();
    const Json* selector_tree = base::find_path(tree, {"spec", "selector"});
    if (selector_tree == nullptr) continue;
    auto selector = api::LabelSelector::from_tree(*selector_tree);
    if (!selector.ok() || !selector->matches(pod)) continue;
    if (covering != nullptr) {
      return Status(Code::kUnknown,
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
                    "support.");
    }
    covering = object;
  }
  return covering;
}

Status ApiServer::spend_budget(const api::Object& budget, const std::string& pod,
                               const WriteContext& context) {
  auto budgets = registry_.table().find("policy", "v1", "poddisruptionbudgets");
  return registry_
      .update(
          *budgets, budget.ns(), budget.name(), "status",
          [&](const Json& current) -> Result<Json> {
            auto next = charge_budget(current, pod, registry_.clock().now());
            if (next.ok()) (*next)["metadata"].erase("resourceVersion");
            return next;
          },
          context)
      .status();
}

}  // namespace orch::server
