// HorizontalPodAutoscaler controller (autoscaling/v2): sizes a workload by metrics. What
// kube-controller-manager v1.35 does, with its gates at their defaults (HPAConfigurableTolerance on,
// HPAScaleToZero off).
//
// observe (autoscaler_observe.cpp) asks the API for the target's scale and for metrics; everything else is
// the pure plan_autoscaler over what was observed.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "api/selector.h"
#include "base/json.h"
#include "server/controllers/controller.h"
#include "server/controllers/manager_options.h"
#include "server/controllers/pods.h"

namespace orch::server {

inline const client::ResourceRef kAutoscalers{"autoscaling", "v2", "horizontalpodautoscalers"};

/// A figure of one pod, in thousandths.
struct PodMetric {
  base::WallTime time;
  base::Duration window{0};
  int64_t value = 0;
};

/// What was learnt for one entry of spec.metrics.
struct MetricAnswer {
  base::Status error;  // not ok: nothing was, and why, as the API clients of Kubernetes say it
  std::map<std::string, PodMetric> pods;  // by pod name: resources and metrics of pods
  std::vector<int64_t> values;            // in thousandths: one of an object, any number of external ones
};

/// What an autoscaler remembers between its runs: the times are what the stabilization windows and the
/// policies' periods are measured against.
struct AutoscalerHistory {
  struct Recommendation {
    int64_t replicas = 0;
    base::WallTime time;
  };
  struct Scaling {
    int64_t change = 0;  // not negative
    base::WallTime time;
  };
  std::vector<Recommendation> recommendations;
  std::vector<Scaling> ups, downs;
};

struct AutoscalerFacts {
  api::ObjectPtr object;
  client::ResourceRef target;  // what the reference names, when the scale was found
  base::Result<Json> scale = base::Status(base::Code::kUnknown, "");  // autoscaling/v1 Scale
  std::vector<PodView> pods;                                          // that the scale's selector selects
  std::vector<std::string> others;  // autoscalers of the namespace that select one of these pods, "{name ns}"
  std::vector<MetricAnswer> metrics;  // as many as spec.metrics, when needs_metrics()
};

/// Whether the plan depends on metrics: not when the target is switched off or outside its bounds.
bool needs_metrics(const Json& autoscaler, const Json& scale);

/// Adds to `history` what it decides.
Plan plan_autoscaler(const AutoscalerFacts& facts, const AutoscalerOptions& options,
                     AutoscalerHistory& history, base::WallTime now);

Controller make_autoscaler_controller(AutoscalerOptions options, ApiCall call, KindLookup kinds);

}  // namespace orch::server
