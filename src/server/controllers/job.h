// Job controller (batch/v1): runs pods until enough of them succeed, or too many fail.
//
// Pods carry the finalizer batch.kubernetes.io/job-tracking until they are counted, so that none is lost or
// counted twice: a plan first writes the uid of each ended pod into status.uncountedTerminatedPods, then
// takes the finalizers off; the next plan moves the uids whose pods have none any more into the counters. A
// Job ends in two steps for the same reason: SuccessCriteriaMet or FailureTarget first, Complete or Failed
// once every pod is counted and gone or ended.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/controllers/controller.h"

namespace orch::server {

/// What is remembered of a Job's pods that failed since one succeeded: the pause before the next pod doubles
/// with each, also when the pods themselves are gone. Thread-safe; bounded per Job.
class JobFailures {
 public:
  /// A pod's uid and when it ended.
  using Ended = std::pair<std::string, base::WallTime>;
  struct Streak {
    int64_t count = 0;
    base::WallTime last;  // of the youngest failure
  };
  /// Adds what is seen (seeing it again changes nothing) and tells how many failed in a row.
  Streak add(const Key& job, const std::string& uid, const std::vector<Ended>& failed,
             const std::optional<base::WallTime>& last_success);
  void forget(const Key& job);

 private:
  struct Record {
    std::string uid;  // of the Job: another one may take the name
    std::map<std::string, base::WallTime> failed;
    std::optional<base::WallTime> success;
  };
  std::mutex mutex_;
  std::map<Key, Record> records_;  // under mutex_
};

Controller make_job_controller();
/// Takes the tracking finalizer off pods that no Job will count any more: their Job is gone or has ended.
Controller make_job_orphan_controller();
/// The pure parts, for tests.
Plan plan_job(const View& view, const Key& key, base::WallTime now, JobFailures& failures);
Plan plan_job_orphan(const View& view, const Key& key);

}  // namespace orch::server
