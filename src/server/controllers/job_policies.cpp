// When a Job ends: its limits and deadlines, pod failure policy and success policy.
#include <algorithm>

#include "server/controllers/job_state.h"

namespace orch::server {

namespace {

using base::array_at;
using base::int_at;
using base::string_at;

bool exit_code_matches(int64_t code, const Json& requirement) {
  const Json& values = array_at(requirement, {"values"});
  const bool listed = std::find(values.begin(), values.end(), Json(code)) != values.end();
  return string_at(requirement, {"operator"}) == "In" ? listed : !listed;
}

/// The first container that ended with a code the rule is about; containers before init containers.
const Json* failed_container(const Json& pod, const Json& requirement) {
  const std::string_view wanted = string_at(requirement, {"containerName"});
  for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
    for (const Json& c : array_at(pod, {"status", list})) {
      const Json* ended = base::find_path(c, {"state", "terminated"});
      if (ended == nullptr || !ended->is_object()) continue;
      if (!wanted.empty() && wanted != string_at(c, {"name"})) continue;
      const int64_t code = int_at(*ended, {"exitCode"});
      if (code != 0 && exit_code_matches(code, requirement)) return &c;
    }
  }
  return nullptr;
}

const Json* matching_condition(const Json& pod, const Json& patterns) {
  for (const Json& c : array_at(pod, {"status", "conditions"})) {
    for (const Json& p : patterns) {
      if (string_at(c, {"type"}) == string_at(p, {"type"}) &&
          string_at(c, {"status"}) == string_at(p, {"status"})) {
        return &c;
      }
    }
  }
  return nullptr;
}

/// What failed according to the rule, in words; "" if the rule is not about this pod.
std::string match_rule(const Json& rule, size_t number, const Json& pod) {
  const std::string name =
      base::cat(string_at(pod, {"metadata", "namespace"}), "/", string_at(pod, {"metadata", "name"}));
  const std::string by = base::cat(" matching ", string_at(rule, {"action"}), " rule at index ", number);
  if (const Json* codes = base::find_path(rule, {"onExitCodes"})) {
    const Json* c = failed_container(pod, *codes);
    if (c == nullptr) return {};
    return base::cat("Container ", string_at(*c, {"name"}), " for pod ", name, " failed with exit code ",
                     int_at(*c, {"state", "terminated", "exitCode"}), by);
  }
  const Json* c = matching_condition(pod, array_at(rule, {"onPodConditions"}));
  if (c == nullptr) return {};
  return base::cat("Pod ", name, " has condition ", string_at(*c, {"type"}), by);
}

/// With restartPolicy OnFailure containers fail in place, and their restarts count.
bool restarted_too_often(const JobSync& s, int64_t limit) {
  if (string_at(s.spec(), {"template", "spec", "restartPolicy"}) != "OnFailure") return false;
  int64_t restarts = 0;
  for (const JobPod& p : s.pods) {
    const std::string_view phase = string_at(p.pod.tree, {"status", "phase"});
    if (phase != "Running" && phase != "Pending") continue;
    for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
      for (const Json& c : array_at(p.pod.tree, {"status", list})) restarts += int_at(c, {"restartCount"});
    }
  }
  return limit == 0 ? restarts > 0 : restarts >= limit;
}

JobFinish failure(const char* reason, std::string message) {
  return {JobFinish::Type::kFailureTarget, reason, std::move(message)};
}

/// What an earlier plan decided, or a pod that the failure policy says ends it all.
std::optional<JobFinish> finish_at_once(const JobSync& s) {
  auto seen = [](JobFinish::Type type, const Json& condition) {
    return JobFinish{type, std::string(string_at(condition, {"reason"})),
                     std::string(string_at(condition, {"message"})), true};
  };
  if (const Json* met = true_job_condition(s.status(), "SuccessCriteriaMet"))
    return seen(JobFinish::Type::kSuccessCriteriaMet, *met);
  if (const Json* target = true_job_condition(s.status(), "FailureTarget"))
    return seen(JobFinish::Type::kFailed, *target);
  for (const JobPod& p : s.pods) {
    if (!p.failed) continue;
    FailureVerdict verdict = judge_failure(s.spec(), p.pod.tree);
    if (!verdict.fails_job.empty()) return failure("PodFailurePolicy", std::move(verdict.fails_job));
  }
  return std::nullopt;
}

std::optional<JobFinish> finish_by_limits(const JobSync& s, const Json& status, base::WallTime now,
                                          Plan& plan) {
  const int64_t limit = int_at(s.spec(), {"backoffLimit"}, 6);
  if (s.failed > limit || restarted_too_often(s, limit))
    return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  const Json* deadline = base::find_path(s.spec(), {"activeDeadlineSeconds"});
  const auto started = base::parse_time(string_at(status, {"startTime"}));
  if (deadline == nullptr || deadline->is_null() || s.suspended || !started.ok()) return std::nullopt;
  const base::WallTime due = *started + std::chrono::seconds(deadline->get<int64_t>());
  if (now >= due) return failure("DeadlineExceeded", "Job was active longer than specified deadline");
  plan.again_after(due - now);
  return std::nullopt;
}

std::optional<JobFinish> finish_by_indexes(const JobSync& s) {
  if (!s.failed_indexes) return std::nullopt;
  const int64_t failed = s.failed_indexes->total();
  const Json* most = base::find_path(s.spec(), {"maxFailedIndexes"});
  if (most != nullptr && !most->is_null() && failed > most->get<int64_t>()) {
    return failure("MaxFailedIndexesExceeded",
                   "Job has exceeded the specified maximal number of failed indexes");
  }
  if (failed > 0 && failed + s.succeeded_indexes.total() >= *s.completions)
    return failure("FailedIndexes", "Job has failed indexes");
  return std::nullopt;
}

}  // namespace

FailureVerdict judge_failure(const Json& spec, const Json& pod) {
  FailureVerdict out;
  size_t number = 0;
  for (const Json& rule : array_at(spec, {"podFailurePolicy", "rules"})) {
    std::string what = match_rule(rule, number++, pod);
    if (what.empty()) continue;
    const std::string_view action = string_at(rule, {"action"});
    if (action == "Ignore") {
      out.counts = false;
    } else if (action == "FailIndex") {
      out.fails_index = true;
    } else if (action == "FailJob") {
      out.fails_job = std::move(what);
    } else if (action != "Count") {
      continue;
    }
    return out;
  }
  return out;
}

std::optional<std::string> success_policy_met(const Json& spec, int64_t completions,
                                              const Indexes& succeeded) {
  if (succeeded.empty()) return std::nullopt;
  size_t number = 0;
  for (const Json& rule : array_at(spec, {"successPolicy", "rules"})) {
    const size_t at = number++;
    const Json* count = base::find_path(rule, {"succeededCount"});
    const bool counted = count != nullptr && count->is_number_integer();
    auto enough = [&](int64_t n) { return counted && n >= count->get<int64_t>(); };
    const Json* among = base::find_path(rule, {"succeededIndexes"});
    bool met = false;
    if (among != nullptr && among->is_string()) {
      const Indexes wanted = Indexes::parse(among->get_ref<const std::string&>(), completions);
      const int64_t have = wanted.common(succeeded);
      met = !wanted.empty() && (have == wanted.total() || enough(have));
    } else {
      met = enough(succeeded.total());
    }
    if (met) return base::cat("Matched rules at index ", at);
  }
  return std::nullopt;
}

std::optional<JobFinish> decide_finish(const JobSync& s, const Json& status, base::WallTime now, Plan& plan) {
  auto finish = finish_at_once(s);
  if (!finish) finish = finish_by_limits(s, status, now, plan);
  if (!finish) finish = finish_by_indexes(s);
  if (finish || !s.indexed) return finish;
  if (auto met = success_policy_met(s.spec(), *s.completions, s.succeeded_indexes))
    return JobFinish{JobFinish::Type::kSuccessCriteriaMet, "SuccessPolicy", std::move(*met)};
  return std::nullopt;
}

}  // namespace orch::server
