#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/go_text.h"
#include "api/resources/common_validation.h"
#include "api/resources/job_validation.h"
#include "api/resources/tree.h"
#include "base/clock.h"
#include "base/json.h"

namespace orch::api {
namespace {

const FieldPath kStatus("status");
const FieldPath kConditions = kStatus.child("conditions");

// --- Index sets --------------------------------------------------------------------------------------

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text = text.substr(at + 1);
  }
}

struct Interval {
  int64_t first = 0, last = 0;
  std::string problem;
};

std::string read_index(std::string_view text, int64_t completions, int64_t& index) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size()) {
    return "cannot convert string to integer for index: " + go_quote(text);
  }
  return index >= completions ? "too large index: " + go_quote(text) : std::string();
}

std::string out_of_order(int64_t previous, int64_t current) {
  return "non-increasing order, previous: " + std::to_string(previous) +
         ", current: " + std::to_string(current);
}

Interval read_interval(std::string_view text, int64_t completions) {
  const auto limits = split(text, '-');
  Interval interval;
  if (limits.size() > 2) {
    interval.problem = "the fragment " + go_quote(text) +
                       " violates the requirement that an index interval can have at most two parts "
                       "separated by '-'";
    return interval;
  }
  interval.problem = read_index(limits[0], completions, interval.first);
  interval.last = interval.first;
  if (!interval.problem.empty() || limits.size() == 1) return interval;
  interval.problem = read_index(limits[1], completions, interval.last);
  if (interval.problem.empty() && interval.first >= interval.last) {
    interval.problem = out_of_order(interval.first, interval.last);
  }
  return interval;
}

/// The intervals that can be read.
std::vector<Interval> good_intervals(std::string_view indexes, int64_t completions) {
  std::vector<Interval> intervals;
  for (const std::string_view part : split(indexes, ',')) {
    Interval interval = read_interval(part, completions);
    if (interval.problem.empty()) intervals.push_back(std::move(interval));
  }
  return intervals;
}

std::optional<int64_t> first_common_index(std::string_view completed, std::string_view failed,
                                          int64_t completions) {
  if (completed.empty() || failed.empty()) return {};
  const auto a = good_intervals(completed, completions);
  const auto b = good_intervals(failed, completions);
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].first <= b[j].last && b[j].first <= a[i].last) return std::max(a[i].first, b[j].first);
    if (a[i].first <= b[j].first) {
      ++i;
    } else {
      ++j;
    }
  }
  return {};
}

// --- The status --------------------------------------------------------------------------------------

/// What a status update changes: rules apply to what changed only, so that a status which broke one by an
/// edit of spec can still be written otherwise.
struct Change {
  const Json& job;
  const Json& old;
  const Json& spec = map_of(job, "spec");
  const Json& status = map_of(job, "status");
  const Json& old_status = map_of(old, "status");
  bool complete = has_job_condition(job, "Complete");
  bool failed = has_job_condition(job, "Failed");
  bool failure_target = has_job_condition(job, "FailureTarget");
  bool criteria_met = has_job_condition(job, "SuccessCriteriaMet");

  bool finished() const { return complete || failed; }
  bool condition_changed(std::string_view type) const {
    return has_job_condition(job, type) != has_job_condition(old, type);
  }
  bool finished_changed() const {
    return finished() != (has_job_condition(old, "Complete") || has_job_condition(old, "Failed"));
  }
  bool changed(std::string_view key) const { return !same_member(status, old_status, key); }
  bool indexed() const { return text_of(spec, "completionMode") == "Indexed"; }
};

void validate_counters(const Change& c, FieldErrors& errors) {
  for (const char* key : {"active", "succeeded", "failed", "ready", "terminating"}) {
    validate_nonnegative(number_of(c.status, key), kStatus.child(key), errors);
  }
  std::set<std::string, std::less<>> seen;
  const FieldPath path = kStatus.child("uncountedTerminatedPods");
  for (const char* key : {"succeeded", "failed"}) {
    const Json& uids = list_of(map_of(c.status, "uncountedTerminatedPods"), key);
    for (size_t i = 0; i < uids.size(); ++i) {
      const FieldPath at = path.child(key).index(i);
      if (text(uids[i]).empty()) {
        add_invalid(errors, at, "", "must not be empty");
      } else if (!seen.emplace(text(uids[i])).second) {
        errors.duplicate(at, uids[i]);
      }
    }
  }
}

void validate_conditions_together(const Change& c, FieldErrors& errors) {
  const auto refuse = [&](bool when, std::string_view detail) {
    if (when) add_invalid_without_value(errors, kConditions, detail);
  };
  const bool complete_changed = c.condition_changed("Complete");
  const bool failed_changed = c.condition_changed("Failed");
  refuse((complete_changed || failed_changed) && c.complete && c.failed,
         "cannot set Complete=True and Failed=true conditions");
  refuse((complete_changed || c.condition_changed("FailureTarget")) && c.complete && c.failure_target,
         "cannot set Complete=True and FailureTarget=true conditions");
  refuse((failed_changed || c.changed("failedIndexes")) && c.failed && !c.failure_target,
         "cannot set Failed=True condition without the FailureTarget=true condition");
  refuse((complete_changed || c.condition_changed("SuccessCriteriaMet")) && c.complete && !c.criteria_met,
         "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
  refuse(c.criteria_met && c.failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
  refuse(c.criteria_met && c.failure_target,
         "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  refuse(has(c.spec, "successPolicy") && !c.criteria_met && c.complete,
         "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
}

bool time_before(const Json& a, const Json& b) {
  const auto first = base::parse_time(text(a));
  const auto second = base::parse_time(text(b));
  return first.ok() && second.ok() && *first < *second;
}

void validate_times(const Change& c, FieldErrors& errors) {
  const FieldPath path = kStatus.child("completionTime");
  const Json& start = member_of(c.status, "startTime");
  const Json& end = member_of(c.status, "completionTime");
  if (c.condition_changed("Complete") || c.changed("completionTime")) {
    if (!end.is_null() && !c.complete) {
      errors.invalid(path, end, "cannot set completionTime when there is no Complete=True condition");
    }
    if (end.is_null() && c.complete) {
      errors.required(path, "completionTime is required for Complete jobs");
    }
  }
  if ((c.changed("startTime") || c.changed("completionTime")) && time_before(end, start)) {
    errors.invalid(path, end, "must be equal to or after `startTime`");
  }
  const bool empty_and_suspended =
      flag_of(c.spec, "suspend") && has(c.spec, "completions") && number_of(c.spec, "completions") == 0;
  if ((c.finished_changed() || c.changed("startTime")) && !empty_and_suspended && start.is_null() &&
      c.finished()) {
    errors.required(kStatus.child("startTime"), "startTime is required for finished job");
  }
}

void validate_running_pods(const Change& c, FieldErrors& errors) {
  const bool finished_changed = c.finished_changed();
  const int64_t active = number_of(c.status, "active");
  const int64_t ready = number_of(c.status, "ready");
  const int64_t terminating = number_of(c.status, "terminating");
  if ((finished_changed || c.changed("active")) && active > 0 && c.finished()) {
    errors.invalid(kStatus.child("active"), active, "active>0 is invalid for finished job");
  }
  const Json& uncounted = map_of(c.status, "uncountedTerminatedPods");
  if ((finished_changed || c.changed("uncountedTerminatedPods")) && c.finished() &&
      (has_items(uncounted, "succeeded") || has_items(uncounted, "failed"))) {
    errors.invalid(kStatus.child("uncountedTerminatedPods"), uncounted, "must be empty for finished job");
  }
  if ((finished_changed || c.changed("terminating")) && terminating > 0 && c.finished()) {
    errors.invalid(kStatus.child("terminating"), terminating, "terminating>0 is invalid for finished job");
  }
  if ((c.changed("ready") || c.changed("active")) && has(c.status, "ready") && ready > active) {
    errors.invalid(kStatus.child("ready"), ready, "cannot set more ready pods than active");
  }
}

void validate_index_members(const Change& c, FieldErrors& errors) {
  const std::string_view completed = text_of(c.status, "completedIndexes");
  const std::string_view failed = text_of(c.status, "failedIndexes");
  const bool has_failed = has(c.status, "failedIndexes");
  const bool per_index = has(c.spec, "backoffLimitPerIndex");
  const bool has_completions = has(c.spec, "completions");
  const int64_t completions = number_of(c.spec, "completions");
  const FieldPath completed_path = kStatus.child("completedIndexes");
  const FieldPath failed_path = kStatus.child("failedIndexes");
  const bool completed_changed = c.changed("completedIndexes");
  const bool failed_changed = c.changed("failedIndexes");
  const auto check = [&](std::string_view indexes, const char* name, const FieldPath& path) {
    const std::string problem = check_indexes(indexes, completions);
    if (!problem.empty()) {
      add_invalid(errors, path, indexes, std::string("error parsing ") + name + ": " + problem);
    }
  };
  if (completed_changed && has_completions) check(completed, "completedIndexes", completed_path);
  if (failed_changed && has_completions && per_index && has_failed) {
    check(failed, "failedIndexes", failed_path);
  }
  if (completed_changed && !completed.empty() && !c.indexed()) {
    add_invalid(errors, completed_path, completed,
                "cannot set non-empty completedIndexes when non-indexed completion mode");
  }
  if (failed_changed && !per_index && has_failed) {
    add_invalid(errors, failed_path, failed,
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
  }
  if (!(completed_changed || failed_changed) || !has_completions || !has_failed) return;
  if (const auto common = first_common_index(completed, failed, completions)) {
    add_invalid(errors, failed_path, failed,
                "failedIndexes and completedIndexes overlap at index: " + std::to_string(*common));
  }
}

void validate_no_way_back(const Change& c, FieldErrors& errors) {
  for (const char* type : {"Failed", "Complete", "FailureTarget"}) {
    if (has_job_condition(c.old, type) && !has_job_condition(c.job, type)) {
      add_invalid_without_value(errors, kConditions,
                                std::string("cannot disable the terminal ") + type + "=True condition");
    }
  }
  const auto keep_growing = [&](const char* key) {
    if (number_of(c.status, key) < number_of(c.old_status, key)) {
      errors.invalid(kStatus.child(key), number_of(c.status, key),
                     std::string("cannot decrease the ") + key + " counter");
    }
  };
  keep_growing("failed");
  // Indexed jobs scale down when both numbers are lowered.
  if (!c.indexed() || !same(member_of(c.spec, "completions"), member_of(c.spec, "parallelism"))) {
    keep_growing("succeeded");
  }
  if (has(c.status, "completionTime") && has(c.old_status, "completionTime")) {
    validate_immutable_member(c.status, c.old_status, "completionTime", kStatus, errors);
  }
  const bool resuming =
      has_job_condition(c.old, "Suspended") && has_job_condition(c.job, "Suspended", "False");
  if (c.changed("startTime") && !resuming && has(c.old_status, "startTime") && !flag_of(c.spec, "suspend")) {
    errors.required(kStatus.child("startTime"), "startTime cannot be removed for unsuspended job");
  }
  const bool had_criteria_met = has_job_condition(c.old, "SuccessCriteriaMet");
  if (had_criteria_met && !c.criteria_met) {
    add_invalid_without_value(errors, kConditions, "cannot disable the SuccessCriteriaMet=True condition");
  }
  if (has_job_condition(c.old, "Complete") && !had_criteria_met && c.criteria_met) {
    add_invalid_without_value(
        errors, kConditions,
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
  }
}

}  // namespace

bool has_job_condition(const Json& job, std::string_view type, std::string_view status) {
  for (const Json& condition : list_of(map_of(job, "status"), "conditions")) {
    if (text_of(condition, "type") == type && text_of(condition, "status") == status) return true;
  }
  return false;
}

std::string check_indexes(std::string_view indexes, int64_t completions, int64_t* total) {
  if (indexes.empty()) return {};
  std::optional<int64_t> last;
  int64_t count = 0;
  for (const std::string_view part : split(indexes, ',')) {
    const Interval interval = read_interval(part, completions);
    if (!interval.problem.empty()) return interval.problem;
    if (last && *last >= interval.first) return out_of_order(*last, interval.first);
    count += interval.last - interval.first + 1;
    last = interval.last;
  }
  if (total) *total = count;
  return {};
}

void validate_job_status_update(const Json& job, const Json& old, FieldErrors& errors) {
  const Change change{job, old};
  validate_counters(change, errors);
  validate_conditions_together(change, errors);
  validate_times(change, errors);
  validate_running_pods(change, errors);
  validate_index_members(change, errors);
  validate_no_way_back(change, errors);
}

}  // namespace orch::api
