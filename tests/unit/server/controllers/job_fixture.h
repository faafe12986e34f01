// Jobs and their pods as values, and a Job that runs plan after plan.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/controllers/job.h"
#include "server/controllers/job_state.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {

using server::JobFailures;
using server::kJobs;
using server::kPods;
using server::Write;

/// A Job "job" with defaults; `spec` (JSON text) is put over them.
inline Json job_of(std::string_view spec = "{}") {
  Json job = {
      {"metadata", {{"name", "job"}, {"generation", 1}}},
      {"spec", json(R"({"completions":1,"parallelism":1,"backoffLimit":6,"completionMode":"NonIndexed",
                  "suspend":false,"podReplacementPolicy":"TerminatingOrFailed",
                  "selector":{"matchLabels":{"app":"x"}}})")}};
  job["spec"]["template"] = template_x();
  job["spec"]["template"]["spec"]["restartPolicy"] = "Never";
  job["spec"].merge_patch(json(spec));
  return job;
}

/// A pod of it in that phase; one that ended did so at kNow, `age` seconds ago.
inline Json job_pod(const std::string& name, const char* phase, int64_t index = -1, int64_t age = 0) {
  Json p = owned_by(make_pod(name, -1), "batch/v1", "Job", "job");
  p["status"]["phase"] = phase;
  p["metadata"]["finalizers"] = Json::array({std::string(server::kJobTracking)});
  const std::string_view text = phase;
  if (text == "Failed" || text == "Succeeded") {
    p["status"]["containerStatuses"] = Json::array(
        {{{"name", "c"},
          {"state", {{"terminated", {{"exitCode", text == "Failed" ? 1 : 0}, {"finishedAt", ago(age)}}}}}}});
  }
  if (index >= 0) {
    p["metadata"]["annotations"][server::kCompletionIndex] = std::to_string(index);
    p["metadata"]["labels"][server::kCompletionIndex] = std::to_string(index);
  }
  return p;
}
inline Json ready(Json pod) {
  pod["status"]["conditions"] = Json::array({{{"type", "Ready"}, {"status", "True"}}});
  return pod;
}
inline Json going(Json pod) {
  pod["metadata"]["deletionTimestamp"] = ago(0);
  return pod;
}
inline Json untracked(Json pod) {
  pod["metadata"].erase("finalizers");
  return pod;
}
inline Json with_exit(Json pod, int code) {
  pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = code;
  return pod;
}
inline Json annotated(Json pod, const char* key, const std::string& value) {
  pod["metadata"]["annotations"][key] = value;
  return pod;
}

/// A Job over plans: what is planned is carried out on values.
struct JobRun {
  MapView view;
  JobFailures failures;
  base::WallTime now = kNow;

  explicit JobRun(const Json& job = job_of(), const std::vector<Json>& pods = {}) {
    view.put(kJobs, job);
    for (const Json& p : pods) view.put(kPods, p);
  }
  Plan plan() { return server::plan_job(view, {"ns", "job"}, now, failures); }
  /// Carries a plan out: pods that are removed go at once, unless the finalizer holds them.
  void apply(const Plan& p) {
    for (const Write& w : p.writes) {
      if (w.verb == Write::Verb::kCreate) view.put(kPods, *w.body);
      if (w.verb == Write::Verb::kUpdate) {
        Json next = view.get(kJobs, "ns", "job")->tree();
        next["status"] = (*w.body)["status"];
        view.put(kJobs, next);
      }
      if (w.verb != Write::Verb::kPatch && w.verb != Write::Verb::kDelete) continue;
      auto pod = view.get(kPods, "ns", w.name);
      if (pod == nullptr) continue;
      Json tree = pod->tree();
      if (w.verb == Write::Verb::kDelete) {
        tree["metadata"]["deletionTimestamp"] = base::format_time(now);
      } else if ((*w.body)["metadata"].contains("$deleteFromPrimitiveList/finalizers")) {
        api::remove_finalizer(tree, server::kJobTracking);
      }
      if (tree["metadata"].contains("deletionTimestamp") && !api::has_finalizer(tree, server::kJobTracking)) {
        view.drop(kPods, "ns", w.name);
      } else {
        view.put(kPods, tree);
      }
    }
  }
  /// Plans until nothing is left to do; the reasons of all events.
  std::vector<std::string> settle() {
    std::vector<std::string> reasons;
    for (int i = 0; i < 50; ++i) {
      Plan p = plan();
      for (const auto& n : p.notes) reasons.push_back(n.reason);
      if (p.writes.empty()) return reasons;
      apply(p);
    }
    FAIL("the plans do not come to an end");
    return reasons;
  }
  Json status() { return view.get(kJobs, "ns", "job")->tree().value("status", Json::object()); }
  std::vector<api::ObjectPtr> pods() { return view.list(kPods, "ns"); }
  void set_phase(const std::string& name, const char* phase) {
    Json tree = view.get(kPods, "ns", name)->tree();
    tree["status"] = job_pod(name, phase)["status"];
    if (tree["status"].contains("containerStatuses")) {
      tree["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = base::format_time(now);
    }
    view.put(kPods, tree);
  }
};

/// "FailureTarget/DeadlineExceeded Failed/DeadlineExceeded": the true conditions in order.
inline std::string conditions(const Json& status) {
  std::string out;
  for (const Json& c : base::array_at(status, {"conditions"})) {
    if (c["status"] != "True") continue;
    out += (out.empty() ? "" : " ") + c["type"].get<std::string>() + "/" + c["reason"].get<std::string>();
  }
  return out;
}
inline std::string message_of(const Json& status, const char* type) {
  return std::string(base::string_at(condition({{"status", status}}, type), {"message"}));
}

}  // namespace orch::testing
