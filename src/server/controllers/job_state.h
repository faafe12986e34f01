// The parts of a Job's plan: what is observed, how it ends, what becomes of its pods. Not for other folders.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/controllers/job.h"
#include "server/controllers/job_indexes.h"
#include "server/controllers/pods.h"

namespace orch::server {

inline constexpr std::string_view kJobTracking = "batch.kubernetes.io/job-tracking";
inline constexpr const char* kCompletionIndex = "batch.kubernetes.io/job-completion-index";
inline constexpr const char* kIndexFailures = "batch.kubernetes.io/job-index-failure-count";
inline constexpr const char* kIndexIgnoredFailures = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Uids a status may list, and pods one plan makes or removes.
inline constexpr int64_t kMaxUncounted = 500;
inline constexpr int64_t kMaxPodsPerPlan = 500;
inline constexpr int64_t kNoIndex = -1;

struct JobPod {
  PodView pod;
  std::string uid;
  bool active = false;       // neither ended nor going
  bool terminating = false;  // going and not ended
  bool succeeded = false;
  bool failed = false;   // counts as failed: ended so or, where terminating pods are replaced, going
  bool tracked = false;  // has the finalizer
  bool ready = false;
  int64_t index = kNoIndex;  // of an indexed Job; kNoIndex when it has none that is a number
};

/// How a Job ends: a condition to set, or one that is set already and leads to the next.
struct JobFinish {
  enum class Type : uint8_t { kFailureTarget, kFailed, kSuccessCriteriaMet };
  Type type;
  std::string reason, message;
  bool seen = false;  // the status says so already
  bool success() const { return type == Type::kSuccessCriteriaMet; }
};

/// What is observed; no plan changes it.
struct JobSync {
  api::ObjectPtr object;
  Json tree;
  bool deleting = false, indexed = false, suspended = false;
  bool doomed = false;                // its namespace goes away: there will be no more pods
  bool per_index = false;             // spec.backoffLimitPerIndex is set
  bool replaces_only_failed = false;  // a terminating pod is replaced when it has ended
  std::optional<int64_t> completions;
  int64_t parallelism = 1;
  std::vector<JobPod> pods;  // of an indexed Job by index
  std::set<std::string, std::less<>> uncounted_succeeded, uncounted_failed;
  int64_t succeeded = 0, failed = 0;  // counted or not
  Indexes counted_indexes;            // as status.completedIndexes had them
  Indexes succeeded_indexes;
  std::optional<Indexes> failed_indexes;  // with per_index
  /// With per_index: the failed pod (in `pods`) an index's next pod takes the failure count over from.
  std::map<int64_t, size_t> replaced;
  JobFailures::Streak streak;

  const Json& spec() const { return base::object_at(tree, {"spec"}); }
  const Json& status() const { return base::object_at(tree, {"status"}); }
  /// The pod's index is one of the Job's.
  bool valid_index(const JobPod& p) const { return p.index != kNoIndex && p.index < *completions; }
};

/// What the plan makes of it.
struct JobOutcome {
  Json status;
  int64_t active = 0, ready = 0, terminating = 0;
  std::optional<JobFinish> finish;
  std::vector<Note> notes;  // for once the status is written
};

// --- job_policies.cpp ---------------------------------------------------------------------------------
/// What spec.podFailurePolicy makes of a failed pod.
struct FailureVerdict {
  bool counts = true;
  bool fails_index = false;
  std::string fails_job;  // the message, when it does
};
FailureVerdict judge_failure(const Json& spec, const Json& pod);
/// "Matched rules at index N", or nothing.
std::optional<std::string> success_policy_met(const Json& spec, int64_t completions,
                                              const Indexes& succeeded);
/// How the Job ends, if it does, as far as its pods and times tell.
std::optional<JobFinish> decide_finish(const JobSync& s, const Json& status, base::WallTime now, Plan& plan);

// --- job_pods.cpp -------------------------------------------------------------------------------------
base::WallTime pod_end(const JobPod& p);
/// The pause after that many failures in a row, less what has passed of it.
base::Duration pause_left(int64_t failures, base::WallTime last, base::WallTime now);
/// Annotations of per-index back-off; both kinds of failure together.
int64_t index_failures(const JobPod& p);
int64_t counted_index_failures(const JobPod& p);
/// Makes and removes pods.
void manage_job_pods(const View& view, const JobSync& s, JobOutcome& out, base::WallTime now, Plan& plan);
/// Removes all that run, leaving the finalizers.
void end_job_pods(const JobSync& s, JobOutcome& out, Plan& plan);

// --- job_status.cpp -----------------------------------------------------------------------------------
/// The status to write, and the finalizers to take off.
void track_job(const JobSync& s, JobOutcome out, base::WallTime now, Plan& plan);
/// Sets a condition as the Job controller does: both times are of the change. False if it was so already, or
/// if it is "False" and was never there.
bool set_job_condition(Json& status, const char* type, const char* value, std::string_view reason,
                       std::string_view message, base::WallTime now);
const Json* true_job_condition(const Json& status, std::string_view type);
bool job_finished(const Json& status);

}  // namespace orch::server
