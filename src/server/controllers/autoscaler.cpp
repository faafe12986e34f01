#include "server/controllers/autoscaler.h"

#include <algorithm>
#include <variant>

#include "api/meta.h"
#include "api/quantity.h"
#include "server/controllers/autoscaler_state.h"

namespace orch::server {

namespace {

constexpr const char* kAble = "AbleToScale";
constexpr const char* kActive = "ScalingActive";
constexpr const char* kLimited = "ScalingLimited";

int64_t least_of(const Json& autoscaler) { return base::int_at(autoscaler, {"spec", "minReplicas"}, 1); }

int64_t most_of(const Json& autoscaler) { return base::int_at(autoscaler, {"spec", "maxReplicas"}); }

const Json* behavior_of(const Json& autoscaler) {
  const Json* behavior = base::find_path(autoscaler, {"spec", "behavior"});
  return behavior != nullptr && behavior->is_object() ? behavior : nullptr;
}

Tolerances tolerances_of(const Json& autoscaler, const AutoscalerOptions& options) {
  Tolerances out{options.tolerance, options.tolerance};
  if (const Json* t = base::find_path(autoscaler, {"spec", "behavior", "scaleDown", "tolerance"}))
    out.down = api::Quantity::of(t).approximate();
  if (const Json* t = base::find_path(autoscaler, {"spec", "behavior", "scaleUp", "tolerance"}))
    out.up = api::Quantity::of(t).approximate();
  return out;
}

/// One run of one autoscaler: `next` is the object with the status as it will be.
struct Run {
  const AutoscalerFacts& facts;
  const AutoscalerOptions& options;
  AutoscalerHistory& history;
  base::WallTime now;
  Plan& plan;
  Json before, next;
  Json metrics;  // of the status; null: none
  int64_t current = 0;

  void condition(const char* type, bool is_true, std::string_view reason, std::string_view message) {
    api::set_condition(next, {type, is_true ? "True" : "False", reason, message}, now);
  }
  void warn(const std::string& reason, const std::string& message) {
    plan.note(facts.object, "Warning", reason, message);
  }
  /// The rest of the status: sizes, metrics, and the time of a change of size.
  void set_status(int64_t desired, bool rescaled) {
    Json status = Json::object();
    const Json& had = base::object_at(next, {"status"});
    for (const char* kept : {"lastScaleTime", "conditions"}) {
      if (had.contains(kept)) status[kept] = had[kept];
    }
    if (current != 0) status["currentReplicas"] = current;
    status["desiredReplicas"] = desired;
    status["currentMetrics"] = metrics;
    if (rescaled) status["lastScaleTime"] = base::format_time(now);
    next["status"] = std::move(status);
  }
  void set_status_unchanged_size() { set_status(base::int_at(before, {"status", "desiredReplicas"}), false); }
  void write(Plan& into) const {
    Json was = base::object_at(before, {"status"}), is = base::object_at(next, {"status"});
    // As the API has it either way: nothing, or an empty list.
    for (Json* s : {&was, &is}) {
      if (s->is_object() && s->value("currentMetrics", Json()).is_null()) s->erase("currentMetrics");
    }
    if (was != is) into.update(kAutoscalers, next, "status");
  }
};

// --- Metrics --------------------------------------------------------------------------------------------

/// False: the selector is no use; the condition and the event say why. `why` gets the same.
bool check_selector(Run& run, std::string& why) {
  const std::string text(base::string_at(*run.facts.scale, {"status", "selector"}));
  if (text.empty()) {
    why = "selector is required";
    run.warn("SelectorRequired", why);
    run.condition(kActive, false, "InvalidSelector", "the HPA target's scale is missing a selector");
    return false;
  }
  if (auto parsed = api::LabelSelector::parse(text); !parsed.ok()) {
    why = base::cat("couldn't convert selector into a corresponding internal selector object: ",
                    parsed.error().message());
    run.warn("InvalidSelector", why);
    run.condition(kActive, false, "InvalidSelector", why);
    return false;
  }
  if (run.facts.others.size() > 1) {
    std::string names;
    for (const auto& o : run.facts.others) names += base::cat(names.empty() ? "" : " ", o);
    why = base::cat("pods by selector ", text, " are controlled by multiple HPAs: [", names, "]");
    run.warn("AmbiguousSelector", why);
    run.condition(kActive, false, "AmbiguousSelector", why);
    return false;
  }
  return true;
}

struct Wanted {
  int64_t replicas = -1;  // -1: nothing can be said
  std::string metric;
  std::string error;
};

/// The largest of what the metrics ask for. A metric that fails vetoes shrinking, but not growing.
Wanted ask_metrics(Run& run) {
  Wanted out;
  if (!check_selector(run, out.error)) return out;
  const Json& specs = base::array_at(run.before, {"spec", "metrics"});
  Calculation c{run.facts,
                run.options,
                run.now,
                run.current,
                base::int_at(*run.facts.scale, {"status", "replicas"}),
                tolerances_of(run.before, run.options)};
  run.metrics = Json::array();
  size_t failures = 0;
  ProposalError first;
  int64_t replicas = 0;
  const MetricAnswer nothing;
  for (size_t i = 0; i < specs.size(); ++i) {
    auto outcome = propose(c, specs[i], i < run.facts.metrics.size() ? run.facts.metrics[i] : nothing);
    if (auto* error = std::get_if<ProposalError>(&outcome)) {
      run.warn(error->reason, error->inner);
      run.metrics.push_back({{"type", ""}});
      if (failures++ == 0) first = std::move(*error);
      continue;
    }
    auto& proposal = std::get<Proposal>(outcome);
    run.metrics.push_back(std::move(proposal.status));
    if (replicas == 0 || proposal.replicas > replicas) {
      replicas = proposal.replicas;
      out.metric = std::move(proposal.metric);
    }
  }
  if (failures > 0) {
    out.error = base::cat("invalid metrics (", failures, " invalid out of ", specs.size(),
                          "), first error is: ", first.message);
  }
  if (failures >= specs.size() || (failures > 0 && replicas < run.current)) {
    run.condition(kActive, false, first.reason,
                  base::cat("the HPA was unable to compute the replica count: ", first.inner));
    return out;
  }
  run.condition(kActive, true, "ValidMetricFound",
                base::cat("the HPA was able to successfully calculate a replica count from ", out.metric));
  out.replicas = replicas;
  return out;
}

// --- Size -----------------------------------------------------------------------------------------------

struct Decision {
  int64_t replicas = 0;
  bool rescale = false;
  std::string reason;
};

/// Nothing when the metrics say nothing; the plan tells then.
std::optional<Decision> decide(Run& run) {
  const int64_t least = least_of(run.before), most = most_of(run.before);
  if (run.current == 0 && least != 0) {
    run.condition(kActive, false, "ScalingDisabled",
                  "scaling is disabled since the replica count of the target is zero");
    return Decision{0, false, {}};
  }
  if (run.current > most) return Decision{most, true, "Current number of replicas above Spec.MaxReplicas"};
  if (run.current < least) return Decision{least, true, "Current number of replicas below Spec.MinReplicas"};
  const Wanted wanted = ask_metrics(run);
  if (wanted.replicas < 0) {
    run.set_status_unchanged_size();
    run.write(run.plan);
    run.warn("FailedComputeMetricsReplicas", wanted.error);
    return std::nullopt;
  }
  Decision d;
  if (wanted.replicas > run.current) d.reason = wanted.metric + " above target";
  if (wanted.replicas < run.current) d.reason = "All metrics below target";
  const Normalized n = normalize(behavior_of(run.before), run.options, run.history,
                                 {run.current, wanted.replicas, least, most}, run.now);
  run.condition(kAble, true, n.able_reason, n.able_message);
  run.condition(kLimited, n.limited, n.limited_reason, n.limited_message);
  d.replicas = n.replicas;
  d.rescale = n.replicas != run.current;
  return d;
}

void rescale(Run& run, const Decision& d) {
  Json scale = *run.facts.scale;
  // What somebody else changed meanwhile does not matter: the size is the autoscaler's to say.
  scale["metadata"].erase("resourceVersion");
  scale["spec"]["replicas"] = d.replicas;
  Write w;
  w.verb = Write::Verb::kPost;
  w.resource = run.facts.target;
  w.ns = run.facts.object->ns();
  w.name = base::string_at(run.before, {"spec", "scaleTargetRef", "name"});
  w.subresource = "scale";
  w.body = std::make_shared<const Json>(std::move(scale));
  run.plan.writes.push_back(std::move(w));
  run.plan.note(run.facts.object, "Normal", "SuccessfulRescale",
                base::cat("New size: ", d.replicas, "; reason: ", d.reason));
}

/// The target could not be resized: the conditions say so.
Plan report_failure(const AutoscalerFacts& facts, const Json& before, const Json& next, const Json& metrics,
                    int64_t current, const Decision& d, const std::string& why, base::WallTime now) {
  Plan plan;
  plan.note(facts.object, "Warning", "FailedRescale",
            base::cat("New size: ", d.replicas, "; reason: ", d.reason, "; error: ", why));
  AutoscalerOptions options;
  AutoscalerHistory history;
  Run run{facts, options, history, now, plan, before, next, metrics, current};
  run.condition(kAble, false, "FailedUpdateScale",
                base::cat("the HPA controller was unable to update the target scale: ", why));
  run.set_status_unchanged_size();
  run.write(plan);
  return plan;
}

}  // namespace

bool needs_metrics(const Json& autoscaler, const Json& scale) {
  const int64_t current = base::int_at(scale, {"spec", "replicas"});
  if (current == 0 && least_of(autoscaler) != 0) return false;
  return current <= most_of(autoscaler) && current >= least_of(autoscaler);
}

Plan plan_autoscaler(const AutoscalerFacts& facts, const AutoscalerOptions& options,
                     AutoscalerHistory& history, base::WallTime now) {
  Plan plan;
  Json before = facts.object->tree();
  Run run{facts, options, history, now, plan, before, before, Json(), 0};
  if (!facts.scale.ok()) {
    const std::string why = facts.scale.error().message();
    run.warn("FailedGetScale", why);
    run.condition(kAble, false, "FailedGetScale",
                  base::cat("the HPA controller was unable to get the target's current scale: ", why));
    run.write(plan);
    return plan;
  }
  run.condition(kAble, true, "SucceededGetScale",
                "the HPA controller was able to get the target's current scale");
  run.current = base::int_at(*facts.scale, {"spec", "replicas"});
  if (history.recommendations.empty()) history.recommendations.push_back({run.current, now});
  const std::optional<Decision> d = decide(run);
  if (!d) return plan;
  const Json conditions = run.next;
  if (d->rescale) {
    rescale(run, *d);
    run.condition(kAble, true, "SucceededRescale",
                  base::cat("the HPA controller was able to update the target scale to ", d->replicas));
    const AutoscalerHistory unchanged = history;
    record_scaling(behavior_of(before), history, run.current, d->replicas, now);
    plan.otherwise = [facts, before, conditions, metrics = run.metrics, current = run.current, d = *d, now,
                      &history, unchanged](const Write& failed, const base::Status& why) {
      if (failed.subresource != "scale") return Plan();
      history = unchanged;
      return report_failure(facts, before, conditions, metrics, current, d, why.message(), now);
    };
  }
  run.set_status(d->rescale ? d->replicas : run.current, d->rescale);
  run.write(plan);
  return plan;
}

}  // namespace orch::server
