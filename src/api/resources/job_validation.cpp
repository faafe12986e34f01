#include "api/resources/job_validation.h"

#include <algorithm>
#include <set>

#include "api/cron.h"
#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/apps_common.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_validation.h"
#include "api/resources/tree.h"
#include "api/selector.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int64_t kMaxIndexedParallelism = 100'000;
constexpr int64_t kMaxFailedIndexes = 100'000;
constexpr int64_t kManyCompletions = 100'000;
constexpr int64_t kMaxParallelismOfMany = 10'000;
constexpr int64_t kMaxFailedOfMany = 10'000;
constexpr size_t kMaxRules = 20;
constexpr size_t kMaxExitCodes = 255;
constexpr size_t kMaxConditions = 20;
constexpr size_t kMaxManagedBy = 63;
constexpr size_t kMaxIndexesText = 64 * 1024;
constexpr size_t kMaxCronJobName = 52;

const std::vector<std::string> kActions = {"Count", "FailIndex", "FailJob", "Ignore"};
const std::vector<std::string> kExitOperators = {"In", "NotIn"};
const std::vector<std::string> kStatuses = {"False", "True", "Unknown"};

bool one_of(const std::vector<std::string>& values, std::string_view value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

/// `valid values: ["a" "b"]`
std::string valid_values(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) out += (out.empty() ? "" : " ") + go_quote(value);
  return "valid values: [" + out + "]";
}

void require_one_of(const std::vector<std::string>& values, std::string_view value, const FieldPath& path,
                    FieldErrors& errors) {
  if (value.empty()) {
    errors.required(path, valid_values(values));
  } else if (!one_of(values, value)) {
    errors.not_supported(path, value, values);
  }
}

std::string at_most(int64_t limit) { return "must be less than or equal to " + std::to_string(limit); }

// --- Completion --------------------------------------------------------------------------------------

void validate_many_completions(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const std::string when = " when completions are above " + std::to_string(kManyCompletions) +
                           " and used with backoff limit per index";
  if (!has(spec, "maxFailedIndexes")) {
    errors.required(path.child("maxFailedIndexes"),
                    "must be specified when completions is above " + std::to_string(kManyCompletions));
  }
  const int64_t parallelism = number_of(spec, "parallelism");
  if (parallelism > kMaxParallelismOfMany) {
    errors.invalid(path.child("parallelism"), parallelism, at_most(kMaxParallelismOfMany) + when);
  }
  const int64_t failed = number_of(spec, "maxFailedIndexes");
  if (failed > kMaxFailedOfMany) {
    errors.invalid(path.child("maxFailedIndexes"), failed, at_most(kMaxFailedOfMany) + when);
  }
}

void validate_indexed(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "completions")) {
    errors.required(path.child("completions"), "when completion mode is Indexed");
  }
  const int64_t parallelism = number_of(spec, "parallelism");
  if (parallelism > kMaxIndexedParallelism) {
    errors.invalid(path.child("parallelism"), parallelism,
                   at_most(kMaxIndexedParallelism) + " when completion mode is Indexed");
  }
  const int64_t failed = number_of(spec, "maxFailedIndexes");
  const int64_t completions = number_of(spec, "completions");
  if (has(spec, "completions") && failed > completions) {
    errors.invalid(path.child("maxFailedIndexes"), failed, "must be less than or equal to completions");
  }
  if (failed > kMaxFailedIndexes) {
    errors.invalid(path.child("maxFailedIndexes"), failed, at_most(kMaxFailedIndexes));
  }
  if (completions > kManyCompletions && has(spec, "backoffLimitPerIndex")) {
    validate_many_completions(spec, path, errors);
  }
}

void validate_completion_mode(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const std::string_view mode = text_of(spec, "completionMode");
  if (has(spec, "completionMode") && mode != "NonIndexed" && mode != "Indexed") {
    errors.not_supported(path.child("completionMode"), mode, {"NonIndexed", "Indexed"});
  }
  if (mode == "Indexed") validate_indexed(spec, path, errors);
  if (has(spec, "completionMode") && mode != "NonIndexed") return;
  for (const char* key : {"backoffLimitPerIndex", "maxFailedIndexes"}) {
    if (has(spec, key)) {
      errors.invalid(path.child(key), number_of(spec, key), "requires indexed completion mode");
    }
  }
}

// --- podFailurePolicy --------------------------------------------------------------------------------

void validate_exit_code_values(const Json& codes, const FieldPath& path, FieldErrors& errors) {
  const Json& values = list_of(codes, "values");
  if (values.empty()) {
    errors.invalid(path, member_of(codes, "values"), "at least one value is required");
  } else if (values.size() > kMaxExitCodes) {
    errors.too_many(path, static_cast<int>(values.size()), static_cast<int>(kMaxExitCodes));
  }
  std::set<int64_t> seen;
  bool ordered = true;
  int64_t last = INT64_MIN;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = number(values[i]);
    if (value == 0 && text_of(codes, "operator") == "In") {
      errors.invalid(path.index(i), value, "must not be 0 for the In operator");
    }
    if (!seen.insert(value).second) errors.duplicate(path.index(i), value);
    ordered = ordered && last <= value;
    last = value;
  }
  if (!ordered) errors.invalid(path, values, "must be ordered");
}

void validate_exit_codes(const Json& codes, const std::set<std::string, std::less<>>& containers,
                         const FieldPath& path, FieldErrors& errors) {
  require_one_of(kExitOperators, text_of(codes, "operator"), path.child("operator"), errors);
  const std::string_view name = text_of(codes, "containerName");
  if (has(codes, "containerName") && !containers.contains(name)) {
    add_invalid(errors, path.child("containerName"), name,
                "must be one of the container or initContainer names in the pod template");
  }
  validate_exit_code_values(codes, path.child("values"), errors);
}

void validate_condition_patterns(const Json& patterns, const FieldPath& path, FieldErrors& errors) {
  if (patterns.size() > kMaxConditions) {
    errors.too_many(path, static_cast<int>(patterns.size()), static_cast<int>(kMaxConditions));
  }
  for (size_t i = 0; i < patterns.size(); ++i) {
    validate_qualified_name(text_of(patterns[i], "type"), path.index(i).child("type"), errors);
    require_one_of(kStatuses, text_of(patterns[i], "status"), path.index(i).child("status"), errors);
  }
}

void validate_failure_rule(const Json& spec, const Json& rule,
                           const std::set<std::string, std::less<>>& containers, const FieldPath& path,
                           FieldErrors& errors) {
  const std::string_view action = text_of(rule, "action");
  if (action == "FailIndex" && !has(spec, "backoffLimitPerIndex")) {
    add_invalid(errors, path.child("action"), action, "requires the backoffLimitPerIndex to be set");
  }
  require_one_of(kActions, action, path.child("action"), errors);
  const bool on_codes = has(rule, "onExitCodes");
  const Json& conditions = list_of(rule, "onPodConditions");
  if (on_codes) {
    validate_exit_codes(map_of(rule, "onExitCodes"), containers, path.child("onExitCodes"), errors);
  }
  if (!conditions.empty()) validate_condition_patterns(conditions, path.child("onPodConditions"), errors);
  if (on_codes && !conditions.empty()) {
    add_invalid_without_value(errors, path,
                              "specifying both OnExitCodes and OnPodConditions is not supported");
  } else if (!on_codes && conditions.empty()) {
    add_invalid_without_value(errors, path, "specifying one of OnExitCodes and OnPodConditions is required");
  }
}

void validate_failure_policy(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& rules = list_of(map_of(spec, "podFailurePolicy"), "rules");
  if (rules.size() > kMaxRules) {
    errors.too_many(path, static_cast<int>(rules.size()), static_cast<int>(kMaxRules));
  }
  std::set<std::string, std::less<>> containers;
  const Json& pod = map_of(map_of(spec, "template"), "spec");
  for (const char* key : {"containers", "initContainers"}) {
    for (const Json& container : list_of(pod, key)) containers.emplace(text_of(container, "name"));
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    validate_failure_rule(spec, rules[i], containers, path.index(i), errors);
  }
}

// --- successPolicy -----------------------------------------------------------------------------------

void validate_success_rule(const Json& rule, int64_t completions, const FieldPath& path,
                           FieldErrors& errors) {
  const bool by_indexes = has(rule, "succeededIndexes");
  if (!has(rule, "succeededCount") && !by_indexes) {
    errors.required(path, "at least one of succeededCount or succeededIndexes must be specified");
  }
  int64_t total = 0;
  if (by_indexes) {
    const std::string_view indexes = text_of(rule, "succeededIndexes");
    const FieldPath at = path.child("succeededIndexes");
    if (indexes.size() > kMaxIndexesText) errors.too_long(at, static_cast<int>(kMaxIndexesText));
    const std::string problem = check_indexes(indexes, completions, &total);
    if (!problem.empty()) add_invalid(errors, at, indexes, "error parsing succeededIndexes: " + problem);
  }
  if (!has(rule, "succeededCount")) return;
  const int64_t count = number_of(rule, "succeededCount");
  const FieldPath at = path.child("succeededCount");
  validate_nonnegative(count, at, errors);
  if (count > completions) {
    errors.invalid(at, count, at_most(completions) + " (the number of specified completions)");
  }
  if (by_indexes && count > total) {
    errors.invalid(at, count,
                   at_most(total) + " (the number of indexes in the specified succeededIndexes field)");
  }
}

void validate_success_policy(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const Json& policy = map_of(spec, "successPolicy");
  if (text_of(spec, "completionMode") != "Indexed") {
    errors.invalid(path, policy, "requires indexed completion mode");
    return;
  }
  const Json& rules = list_of(policy, "rules");
  const FieldPath at = path.child("rules");
  if (rules.empty()) {
    errors.required(at, "at least one rules must be specified when the successPolicy is specified");
  }
  if (rules.size() > kMaxRules) {
    errors.too_many(at, static_cast<int>(rules.size()), static_cast<int>(kMaxRules));
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    validate_success_rule(rules[i], number_of(spec, "completions"), at.index(i), errors);
  }
}

// --- The rest of a job spec --------------------------------------------------------------------------

void validate_replacement_policy(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "podReplacementPolicy")) return;
  const std::string_view policy = text_of(spec, "podReplacementPolicy");
  std::vector<std::string> supported = {"Failed"};
  if (!has(spec, "podFailurePolicy")) supported.emplace_back("TerminatingOrFailed");
  if (!one_of(supported, policy)) errors.not_supported(path, policy, supported);
}

void validate_restart_policy(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  const std::string_view policy = text_of(map_of(map_of(spec, "template"), "spec"), "restartPolicy");
  if (policy.empty() || policy == "Always") {
    errors.required(path, "valid values: \"OnFailure\", \"Never\"");
  } else if (policy != "OnFailure" && policy != "Never") {
    errors.not_supported(path, policy, {"OnFailure", "Never"});
  } else if (policy != "Never" && has(spec, "podFailurePolicy")) {
    add_invalid(errors, path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
  }
}

// --- Selectors of jobs -------------------------------------------------------------------------------

struct GeneratedLabel {
  const char* key;
  bool is_uid;
  bool prefixed;
};
constexpr GeneratedLabel kGeneratedLabels[] = {{"controller-uid", true, false},
                                               {"job-name", false, false},
                                               {"batch.kubernetes.io/controller-uid", true, true},
                                               {"batch.kubernetes.io/job-name", false, true}};

/// ValidateHasLabel
void validate_has_label(const Json& metadata, const char* key, const std::string& value,
                        const FieldPath& path, FieldErrors& errors) {
  const Json& labels = map_of(metadata, "labels");
  const FieldPath at = path.child("labels");
  if (!labels.contains(key)) {
    errors.required(at.key(key), "must be '" + value + "'");
  } else if (text_of(labels, key) != value) {
    errors.invalid(at.key(key), labels, "must be '" + value + "'");
  }
}

void validate_generated_selector(const Json& job, bool prefixed, FieldErrors& errors) {
  const Json& spec = map_of(job, "spec");
  if (flag_of(spec, "manualSelector") || !has(spec, "selector")) return;
  const std::string uid(text_of(map_of(job, "metadata"), "uid"));
  if (uid.empty()) errors.required(FieldPath("metadata").child("uid"));
  Json expected = Json::object();
  for (const GeneratedLabel& label : kGeneratedLabels) {
    if (label.prefixed && !prefixed) continue;
    const std::string value = label.is_uid ? uid : std::string(name_of(job));
    expected[label.key] = value;
    validate_has_label(map_of(map_of(spec, "template"), "metadata"), label.key, value,
                       FieldPath("spec").child("template").child("metadata"), errors);
  }
  const auto selector = LabelSelector::from_tree(member_of(spec, "selector"));
  if (selector.ok() && !selector->matches(expected)) {
    errors.invalid(FieldPath("spec").child("selector"), member_of(spec, "selector"),
                   "`selector` not auto-generated");
  }
}

void validate_job_selector(const Json& spec, const Json* old, const FieldPath& path, FieldErrors& errors) {
  const Json& selector = member_of(spec, "selector");
  if (!has(spec, "selector")) {
    errors.required(path.child("selector"));
    // A missing selector matches nothing.
    errors.invalid(path.child("template").child("metadata").child("labels"),
                   member_of(map_of(map_of(spec, "template"), "metadata"), "labels"),
                   "`selector` does not match template `labels`");
    return;
  }
  const bool keep = old && has_invalid_selector_value(member_of(map_of(*old, "spec"), "selector"));
  validate_label_selector(selector, path.child("selector"), errors, {keep});
  validate_selector_matches(selector, map_of(spec, "template"), path.child("template"), errors);
}

// --- Updates of jobs ---------------------------------------------------------------------------------

void validate_completions_update(const Json& spec, const Json& old, const FieldPath& path,
                                 FieldErrors& errors) {
  if (text_of(spec, "completionMode") != "Indexed") {
    return validate_immutable_member(spec, old, "completions", FieldPath("spec"), errors);
  }
  if (same_member(spec, old, "completions") || !has(spec, "completions")) return;
  if (number_of(spec, "completions") != number_of(spec, "parallelism")) {
    errors.invalid(path, number_of(spec, "completions"),
                   "can only be modified in tandem with spec.parallelism");
  }
}

/// What a job that never started may still change in its template.
void adopt_scheduling(Json& old_template, const Json& pod_template) {
  Json& old_spec = child(old_template, "spec");
  const Json& spec = map_of(pod_template, "spec");
  Json affinity = map_of(old_spec, "affinity");
  restore(affinity, map_of(spec, "affinity"), "nodeAffinity");
  if (affinity.empty() && !has(spec, "affinity")) {
    drop(old_spec, "affinity");
  } else {
    put(old_spec, "affinity", std::move(affinity));
  }
  for (const char* key : {"nodeSelector", "tolerations", "schedulingGates"}) restore(old_spec, spec, key);
  for (const char* key : {"annotations", "labels"}) {
    restore(child(old_template, "metadata"), map_of(pod_template, "metadata"), key);
  }
}

void validate_template_update(const Json& job, const Json& old, FieldErrors& errors) {
  const Json& pod_template = map_of(map_of(job, "spec"), "template");
  Json old_template = map_of(map_of(old, "spec"), "template");
  const bool never_started =
      flag_of(map_of(old, "spec"), "suspend") && !has(map_of(old, "status"), "startTime");
  if (never_started) adopt_scheduling(old_template, pod_template);
  validate_immutable(pod_template, old_template, FieldPath("spec").child("template"), errors);
}

void validate_job_update(const Json& job, const Json& old, FieldErrors& errors) {
  const Json& spec = map_of(job, "spec");
  const Json& old_spec = map_of(old, "spec");
  const FieldPath path("spec");
  validate_completions_update(spec, old_spec, path.child("completions"), errors);
  validate_immutable_member(spec, old_spec, "selector", path, errors);
  validate_template_update(job, old, errors);
  for (const char* key :
       {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"}) {
    validate_immutable_member(spec, old_spec, key, path, errors);
  }
}

// --- CronJob -----------------------------------------------------------------------------------------

void validate_schedule(const Json& spec, const Json* old_spec, const FieldPath& path, FieldErrors& errors) {
  const std::string_view schedule = text_of(spec, "schedule");
  if (schedule.empty()) return errors.required(path);
  const auto parsed = CronSchedule::parse(schedule);
  if (!parsed.ok()) add_invalid(errors, path, schedule, parsed.error().message());
  if (schedule.find("TZ") == std::string_view::npos) return;
  const bool had_zone = old_spec && text_of(*old_spec, "schedule").find("TZ") != std::string_view::npos;
  if (!had_zone) {
    add_invalid(errors, path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  } else if (has(spec, "timeZone")) {
    add_invalid(errors, path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
  }
}

bool is_zone_part(std::string_view part) {
  constexpr size_t kMaxLength = 14;
  if (part.empty() || part.size() > kMaxLength || part == "." || part == ".." || part.front() == '-') {
    return false;
  }
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == '+';
  });
}

void validate_zone_field(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  if (!has(spec, "timeZone")) return;
  const std::string_view zone = text_of(spec, "timeZone");
  if (zone.empty()) return add_invalid(errors, path, zone, "timeZone must be nil or non-empty string");
  for (size_t begin = 0; begin <= zone.size();) {
    const size_t end = std::min(zone.find('/', begin), zone.size());
    if (!is_zone_part(zone.substr(begin, end - begin))) {
      return add_invalid(errors, path, zone, "unknown time zone " + std::string(zone));
    }
    begin = end + 1;
  }
  std::string lower(zone);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
  if (lower == "local") {
    add_invalid(errors, path, zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  }
  const base::Status known = check_time_zone(zone);
  if (!known.ok()) add_invalid(errors, path, zone, known.message());
}

void validate_job_template(const Json& job_template, const Json* old, const FieldPath& path,
                           FieldErrors& errors) {
  const Json& spec = map_of(job_template, "spec");
  validate_job_spec(spec, old ? &map_of(map_of(*old, "spec"), "template") : nullptr, path.child("spec"),
                    errors);
  if (has(spec, "selector")) {
    errors.invalid(path.child("spec").child("selector"), member_of(spec, "selector"),
                   "`selector` will be auto-generated");
  }
  if (flag_of(spec, "manualSelector")) {
    add_cause(errors, "FieldValueNotSupported", path.child("spec").child("manualSelector"),
              "Unsupported value: true: supported values: \"nil\", \"false\"");
  }
}

}  // namespace

void validate_job_spec(const Json& spec, const Json* old_template, const FieldPath& path,
                       FieldErrors& errors) {
  for (const char* key : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                          "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"}) {
    validate_nonnegative(number_of(spec, key), path.child(key), errors);
  }
  if (has(spec, "maxFailedIndexes") && !has(spec, "backoffLimitPerIndex")) {
    errors.required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
  }
  if (has(spec, "managedBy")) {
    const std::string_view manager = text_of(spec, "managedBy");
    validate_domain_prefixed_path(manager, path.child("managedBy"), errors);
    if (manager.size() > kMaxManagedBy) errors.too_long(path.child("managedBy"), kMaxManagedBy);
  }
  validate_completion_mode(spec, path, errors);
  if (has(spec, "podFailurePolicy")) {
    validate_failure_policy(spec, path.child("podFailurePolicy").child("rules"), errors);
  }
  if (has(spec, "successPolicy")) validate_success_policy(spec, path.child("successPolicy"), errors);
  validate_replacement_policy(spec, path.child("podReplacementPolicy"), errors);
  const FieldPath template_path = path.child("template");
  validate_pod_template(map_of(spec, "template"), old_template, template_path, errors);
  validate_restart_policy(spec, template_path.child("spec").child("restartPolicy"), errors);
}

void validate_job(const Json& job, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(job, "spec");
  const Json* old_template = old ? &map_of(map_of(*old, "spec"), "template") : nullptr;
  // Jobs from before these labels go on without them.
  const bool prefixed = !old || (labels_of(*old_template).contains("batch.kubernetes.io/job-name") &&
                                 labels_of(*old_template).contains("batch.kubernetes.io/controller-uid"));
  validate_generated_selector(job, prefixed, errors);
  validate_job_spec(spec, old_template, FieldPath("spec"), errors);
  validate_job_selector(spec, old, FieldPath("spec"), errors);
  const int64_t completions = number_of(spec, "completions");
  if (text_of(spec, "completionMode") == "Indexed" && completions > 0) {
    const std::string host = std::string(name_of(job)) + "-" + std::to_string(completions - 1);
    if (!check_dns1123_label(host).empty()) {
      add_invalid(errors, FieldPath("metadata").child("name"), name_of(job),
                  "will not able to create pod with invalid DNS label: " + host);
    }
  }
  if (!old) return;
  // kube-apiserver validates the specification again as part of the update's rules.
  validate_job_spec(spec, old_template, FieldPath("spec"), errors);
  validate_job_selector(spec, old, FieldPath("spec"), errors);
  validate_job_update(job, *old, errors);
}

void validate_cron_job(const Json& cron_job, const Json* old, FieldErrors& errors) {
  const Json& spec = map_of(cron_job, "spec");
  const Json* old_spec = old ? &map_of(*old, "spec") : nullptr;
  const FieldPath path("spec");
  validate_schedule(spec, old_spec, path.child("schedule"), errors);
  validate_nonnegative(number_of(spec, "startingDeadlineSeconds"), path.child("startingDeadlineSeconds"),
                       errors);
  if (!old_spec || !same_member(spec, *old_spec, "timeZone")) {
    validate_zone_field(spec, path.child("timeZone"), errors);
  }
  const std::string_view policy = text_of(spec, "concurrencyPolicy");
  if (policy.empty()) {
    errors.required(path.child("concurrencyPolicy"));
  } else if (!one_of({"Allow", "Forbid", "Replace"}, policy)) {
    errors.not_supported(path.child("concurrencyPolicy"), policy, {"Allow", "Forbid", "Replace"});
  }
  validate_job_template(map_of(spec, "jobTemplate"), old_spec ? &map_of(*old_spec, "jobTemplate") : nullptr,
                        path.child("jobTemplate"), errors);
  for (const char* key : {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"}) {
    validate_nonnegative(number_of(spec, key), path.child(key), errors);
  }
  if (!old && name_of(cron_job).size() > kMaxCronJobName) {
    add_invalid(errors, FieldPath("metadata").child("name"), name_of(cron_job),
                "must be no more than 52 characters");
  }
}

}  // namespace orch::api
