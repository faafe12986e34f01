// batch/v1 Job and CronJob.
#include <limits>

#include "api/names.h"
#include "api/resources/apps_common.h"
#include "api/resources/core_pod_defaults.h"
#include "api/resources/job_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/pod_features.h"
#include "api/resources/pod_warnings.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int64_t kManyCompletions = 100'000;
constexpr int64_t kManyPods = 10'000;

// --- Job ---------------------------------------------------------------------------------------------

void default_failure_policy(Json& spec) {
  Json* policy = object_in(spec, "podFailurePolicy");
  if (!policy) return;
  each(*policy, "rules", [](Json& rule) {
    each(rule, "onPodConditions", [](Json& pattern) { default_text(pattern, "status", "True"); });
  });
}

void default_job(Json& job) {
  Json& spec = child(job, "spec");
  default_pod_template(child(spec, "template"));
  if (!has(spec, "completions") && !has(spec, "parallelism")) put(spec, "completions", 1);
  default_pointer(spec, "parallelism", 1);
  const bool per_index = has(spec, "backoffLimitPerIndex");
  default_pointer(spec, "backoffLimit", per_index ? std::numeric_limits<int32_t>::max() : 6);
  const Json& labels = labels_of(map_of(spec, "template"));
  if (!labels.empty() && labels_of(job).empty()) {
    Json copy = labels;
    put(child(job, "metadata"), "labels", std::move(copy));
  }
  default_pointer(spec, "completionMode", "NonIndexed");
  default_pointer(spec, "suspend", false);
  default_pointer(spec, "podReplacementPolicy",
                  has(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
  default_pointer(spec, "manualSelector", false);
  default_failure_policy(spec);
}

/// Makes the job's pods its own by the uid, unless the user brings a selector.
void generate_selector(Json& job) {
  Json& spec = child(job, "spec");
  if (flag_of(spec, "manualSelector")) return;
  const std::string name(name_of(job));
  const std::string uid(text_of(map_of(job, "metadata"), "uid"));
  Json& labels = child(child(child(spec, "template"), "metadata"), "labels");
  // A job without labels has its template's, also in the eyes of whoever reads what is stored. Where none
  // were sent that is only after validation, which does not complain of a name that makes no label twice.
  const bool shown = labels_of(job).empty() ? check_label_value(name).empty() : labels_of(job) == labels;
  for (const char* key : {"job-name", "batch.kubernetes.io/job-name"}) {
    if (!labels.contains(key)) labels[key] = name;
  }
  for (const char* key : {"controller-uid", "batch.kubernetes.io/controller-uid"}) {
    if (!labels.contains(key)) labels[key] = uid;
  }
  if (shown) {
    Json copy = labels;
    put(child(job, "metadata"), "labels", std::move(copy));
  }
  Json& match = child(child(spec, "selector"), "matchLabels");
  if (!match.contains("batch.kubernetes.io/controller-uid")) {
    match["batch.kubernetes.io/controller-uid"] = uid;
  }
}

void warn_job_spec(const Json& spec, const Json* old_spec, const FieldPath& path, Warnings& warnings) {
  if (text_of(spec, "completionMode") == "Indexed" && number_of(spec, "completions") > kManyCompletions &&
      number_of(spec, "parallelism") > kManyPods) {
    warnings.push_back(path.text() +
                       ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
                       "higher than 10^4, Kubernetes might not be able to track completedIndexes when a big "
                       "number of indexes fail");
  }
  for (std::string& w :
       warnings_for_template(map_of(spec, "template"), old_spec ? &map_of(*old_spec, "template") : nullptr,
                             path.child("template"))) {
    warnings.push_back(std::move(w));
  }
}

Warnings job_warnings(const Json& job, const Json* old) {
  Warnings warnings;
  if (!old) warn_pod_name(name_of(job), warnings);
  if (old && same_member(job, *old, "spec")) return warnings;
  warn_job_spec(map_of(job, "spec"), old ? &map_of(*old, "spec") : nullptr, FieldPath("spec"), warnings);
  return warnings;
}

// --- CronJob -----------------------------------------------------------------------------------------

Json& job_pod_spec(Json& cron_job) {
  Json& job_spec = child(child(child(cron_job, "spec"), "jobTemplate"), "spec");
  return child(child(job_spec, "template"), "spec");
}

const Json& job_spec_of(const Json& cron_job) {
  return map_of(map_of(map_of(cron_job, "spec"), "jobTemplate"), "spec");
}

void default_cron_job(Json& cron_job) {
  Json& spec = child(cron_job, "spec");
  Json& job_spec = child(child(spec, "jobTemplate"), "spec");
  default_pod_template(child(job_spec, "template"));
  default_failure_policy(job_spec);
  default_text(spec, "concurrencyPolicy", "Allow");
  default_pointer(spec, "suspend", false);
  default_pointer(spec, "successfulJobsHistoryLimit", 3);
  default_pointer(spec, "failedJobsHistoryLimit", 1);
}

Warnings cron_job_warnings(const Json& cron_job, const Json* old) {
  Warnings warnings;
  if (!old) warn_pod_name(name_of(cron_job), warnings);
  if (!old || !same_member(cron_job, *old, "spec")) {
    warn_job_spec(job_spec_of(cron_job), old ? &job_spec_of(*old) : nullptr,
                  FieldPath("spec").child("jobTemplate").child("spec"), warnings);
  }
  if (old && text_of(map_of(cron_job, "spec"), "schedule").find("TZ") != std::string_view::npos) {
    warnings.emplace_back(
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
        "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
  }
  return warnings;
}

}  // namespace

Strategy job_strategy() {
  Strategy s = workload_strategy();
  s.set_defaults = default_job;
  s.prepare_create = [](Json& job, const StrategyContext& context) {
    generate_selector(job);
    prepare_workload_create(job, context);
  };
  s.validate = [](const Json& job, FieldErrors& errors) { validate_job(job, nullptr, errors); };
  s.validate_update = [](const Json& job, const Json& old, FieldErrors& errors) {
    validate_job(job, &old, errors);
  };
  s.validate_status_update = validate_job_status_update;
  s.warnings = job_warnings;
  s.cells = job_cells;
  return s;
}

Strategy cron_job_strategy() {
  Strategy s = workload_strategy();
  s.set_defaults = default_cron_job;
  s.prepare_create = [](Json& cron_job, const StrategyContext&) {
    put(cron_job, "status", Json::object());
    drop_disabled_pod_fields(job_pod_spec(cron_job), nullptr);
  };
  s.prepare_update = [](Json& cron_job, const Json& old, const StrategyContext&) {
    restore(cron_job, old, "status");
    drop_disabled_pod_fields(job_pod_spec(cron_job), &map_of(map_of(job_spec_of(old), "template"), "spec"));
  };
  s.validate = [](const Json& object, FieldErrors& errors) { validate_cron_job(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_cron_job(object, &old, errors);
  };
  s.warnings = cron_job_warnings;
  s.cells = cron_job_cells;
  return s;
}

}  // namespace orch::api
