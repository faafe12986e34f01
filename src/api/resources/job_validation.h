// Validation of batch/v1: jobs, cron jobs and the job specs in them, with the messages and paths of
// k8s.io/kubernetes/pkg/apis/batch/validation.
#pragma once

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// A JobSpec without the rules for its selector; `old_template` (may be null) is what its template replaces.
void validate_job_spec(const Json& spec, const Json* old_template, const FieldPath& path,
                       FieldErrors& errors);
/// `old` is null on create.
void validate_job(const Json& job, const Json* old, FieldErrors& errors);
void validate_cron_job(const Json& cron_job, const Json* old, FieldErrors& errors);

// job_status_validation.cpp
/// What may become of a job's status: counters do not go back, a finished job stays finished, …
void validate_job_status_update(const Json& job, const Json& old, FieldErrors& errors);

/// status.conditions has one of this type with this status.
bool has_job_condition(const Json& job, std::string_view type, std::string_view status = "True");

/// Index sets as in completedIndexes: "0,2-4". The problem, or "" and how many indexes there are.
std::string check_indexes(std::string_view indexes, int64_t completions, int64_t* total = nullptr);

}  // namespace orch::api
