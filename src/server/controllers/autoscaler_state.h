// The parts of an autoscaler's plan. Not for other folders.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/controllers/autoscaler.h"

namespace orch::server {

struct Tolerances {
  double down = 0.1, up = 0.1;
  bool within(double ratio) const { return 1.0 - down <= ratio && ratio <= 1.0 + up; }
};

/// How many replicas one metric asks for, and the metric's entry for status.currentMetrics.
struct Proposal {
  int64_t replicas = 0;
  std::string metric;  // named in events and conditions
  Json status;
};

/// What stood in the way of a proposal.
struct ProposalError {
  std::string reason;   // of the condition ScalingActive; empty when no condition is for it
  std::string inner;    // what failed; the condition's and the event's message
  std::string message;  // the same, with what was to be done
};

struct Calculation {
  const AutoscalerFacts& facts;
  const AutoscalerOptions& options;
  base::WallTime now;
  int64_t spec_replicas = 0, status_replicas = 0;
  Tolerances tolerances;
};

/// Pure arithmetic of one entry of spec.metrics.
std::variant<Proposal, ProposalError> propose(const Calculation& c, const Json& metric,
                                              const MetricAnswer& answer);

/// A number of replicas after bounds, rates and stabilization, and what is said about it.
struct Normalized {
  int64_t replicas = 0;
  std::string able_reason, able_message;  // AbleToScale
  bool limited = false;
  std::string limited_reason, limited_message;  // ScalingLimited
};
struct Bounds {
  int64_t current = 0, desired = 0, least = 1, most = 1;
};
/// `behavior` null: the flags' window and the doubling limit.
Normalized normalize(const Json* behavior, const AutoscalerOptions& options, AutoscalerHistory& history,
                     const Bounds& bounds, base::WallTime now);
/// Remembers a change of size for the policies of `behavior`.
void record_scaling(const Json* behavior, AutoscalerHistory& history, int64_t before, int64_t after,
                    base::WallTime now);

/// metav1.LabelSelector as Go prints it ("%+v").
std::string go_selector_text(const Json* selector);

}  // namespace orch::server
