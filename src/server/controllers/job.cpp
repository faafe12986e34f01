#include "server/controllers/job.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "api/meta.h"
#include "server/controllers/job_state.h"

namespace orch::server {

namespace {

using base::string_at;

constexpr std::string_view kOwnManager = "kubernetes.io/job-controller";

bool managed_elsewhere(const Json& job) {
  const std::string_view by = string_at(job, {"spec", "managedBy"});
  return !by.empty() && by != kOwnManager;
}

int64_t completion_index(const Json& pod) {
  const std::string_view text = api::annotation(pod, kCompletionIndex);
  int64_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  const bool good = !text.empty() && error == std::errc() && end == text.data() + text.size() && index >= 0;
  return good ? index : kNoIndex;
}

JobPod make_job_pod(PodView view, const JobSync& s) {
  JobPod p;
  const std::string_view phase = string_at(view.tree, {"status", "phase"});
  const bool ended_badly = phase == "Failed", going = view.object->deleting();
  p.succeeded = phase == "Succeeded";
  p.active = !going && !p.succeeded && !ended_badly;
  p.terminating = going && !p.succeeded && !ended_badly;
  // A pod under deletion may never get to say that it failed.
  p.failed = ended_badly || (p.terminating && !s.replaces_only_failed);
  p.tracked = api::has_finalizer(view.tree, kJobTracking);
  p.ready = pod_ready(view.tree);
  if (s.indexed) p.index = completion_index(view.tree);
  p.uid = view.object->uid();
  p.pod = std::move(view);
  return p;
}

void read_spec(JobSync& s) {
  const Json& spec = s.spec();
  auto set = [&](const char* key) {
    const Json* value = base::find_path(spec, {key});
    return value != nullptr && !value->is_null();
  };
  s.deleting = s.object->deleting();
  s.suspended = base::bool_at(spec, {"suspend"});
  s.parallelism = base::int_at(spec, {"parallelism"}, 1);
  if (set("completions")) s.completions = base::int_at(spec, {"completions"});
  s.indexed = string_at(spec, {"completionMode"}) == "Indexed" && s.completions;
  s.per_index = s.indexed && set("backoffLimitPerIndex");
  s.replaces_only_failed = string_at(spec, {"podReplacementPolicy"}) == "Failed" || set("podFailurePolicy");
  for (auto [name, out] :
       {std::pair("succeeded", &s.uncounted_succeeded), std::pair("failed", &s.uncounted_failed)}) {
    for (const Json& uid : base::array_at(s.status(), {"uncountedTerminatedPods", name})) {
      if (uid.is_string()) out->insert(uid.get<std::string>());
    }
  }
}

bool index_failed(const JobSync& s, const JobPod& p) {
  if (!p.failed) return false;
  const FailureVerdict verdict = judge_failure(s.spec(), p.pod.tree);
  return verdict.fails_index ||
         (verdict.counts && counted_index_failures(p) >= base::int_at(s.spec(), {"backoffLimitPerIndex"}));
}

void read_indexes(JobSync& s) {
  s.counted_indexes = Indexes::parse(string_at(s.status(), {"completedIndexes"}), *s.completions);
  std::vector<int64_t> succeeded, failed;
  std::set<int64_t> active;
  for (const JobPod& p : s.pods) {
    if (p.active && p.index != kNoIndex) active.insert(p.index);
    if (!p.tracked || !s.valid_index(p)) continue;
    if (p.succeeded) succeeded.push_back(p.index);
    if (s.per_index && index_failed(s, p)) failed.push_back(p.index);
  }
  s.succeeded_indexes = s.counted_indexes.united(Indexes::of(std::move(succeeded)));
  s.succeeded = s.succeeded_indexes.total();
  if (!s.per_index) return;
  s.failed_indexes = Indexes::parse(string_at(s.status(), {"failedIndexes"}), *s.completions)
                         .united(Indexes::of(std::move(failed)));
  for (size_t i = 0; i < s.pods.size(); ++i) {
    const JobPod& p = s.pods[i];
    if (!p.tracked || !p.failed || !s.valid_index(p)) continue;
    if (s.succeeded_indexes.has(p.index) || s.failed_indexes->has(p.index) || active.count(p.index) != 0)
      continue;
    auto [it, fresh] = s.replaced.emplace(p.index, i);
    if (fresh) continue;
    const JobPod& other = s.pods[it->second];
    if (index_failures(other) <= index_failures(p) && pod_end(other) <= pod_end(p)) it->second = i;
  }
}

/// Ended pods, counted or about to be.
void read_pods(JobSync& s, const Key& key, JobFailures& failures) {
  s.succeeded = base::int_at(s.status(), {"succeeded"}) + static_cast<int64_t>(s.uncounted_succeeded.size());
  s.failed = base::int_at(s.status(), {"failed"}) + static_cast<int64_t>(s.uncounted_failed.size());
  std::vector<JobFailures::Ended> failed;
  std::optional<base::WallTime> success;
  for (const JobPod& p : s.pods) {
    if (s.indexed && !s.valid_index(p)) continue;
    if (p.succeeded) {
      success = std::max(success.value_or(base::WallTime::min()), pod_end(p));
      // One that was noted down as failed when it began to go stays a failed one, though it succeeded since.
      if (p.tracked && s.uncounted_succeeded.count(p.uid) == 0 && s.uncounted_failed.count(p.uid) == 0)
        ++s.succeeded;
    }
    // A pod that is going without the finalizer was surplus.
    if (!p.failed || (!p.tracked && p.pod.object->deleting())) continue;
    failed.emplace_back(p.uid, pod_end(p));
    const bool fresh = p.tracked && s.uncounted_failed.count(p.uid) == 0;
    if (fresh && judge_failure(s.spec(), p.pod.tree).counts) ++s.failed;
  }
  s.streak = failures.add(key, std::string(s.object->uid()), failed, success);
}

std::shared_ptr<JobSync> observe(const View& view, const api::ObjectPtr& object, Json tree, const Key& key,
                                 JobFailures& failures, Plan& plan) {
  auto s = std::make_shared<JobSync>();
  s->object = object;
  s->tree = std::move(tree);
  read_spec(*s);
  const api::ObjectPtr ns = view.get(kNamespaces, "", object->ns());
  s->doomed = ns != nullptr && ns->deleting();
  const auto selector = label_selector_of(s->spec());
  for (PodView& p : claim_pods(view, kJobs, *object, selector, plan, {true, kJobTracking}))
    s->pods.push_back(make_job_pod(std::move(p), *s));
  std::stable_sort(s->pods.begin(), s->pods.end(),
                   [](const JobPod& a, const JobPod& b) { return a.index < b.index; });
  read_pods(*s, key, failures);
  if (s->indexed) read_indexes(*s);
  return s;
}

JobOutcome start(const JobSync& s, base::WallTime now) {
  JobOutcome out;
  out.status = s.status();
  if (string_at(out.status, {"startTime"}).empty() && !s.suspended)
    out.status["startTime"] = base::format_time(now);
  for (const JobPod& p : s.pods) {
    if (p.active) ++out.active;
    if (p.active && p.ready) ++out.ready;
    if (p.terminating) ++out.terminating;
  }
  return out;
}

bool complete(const JobSync& s, const JobOutcome& out) {
  if (out.active > 0) return false;
  return s.completions ? s.succeeded >= *s.completions : s.succeeded > 0;
}

/// Tells of suspension and its end. A resumed Job starts anew: its deadline counts the time it ran at a
/// stretch.
void write_suspension(const JobSync& s, JobOutcome& out, base::WallTime now) {
  const bool told =
      s.suspended ? set_job_condition(out.status, "Suspended", "True", "JobSuspended", "Job suspended", now)
                  : set_job_condition(out.status, "Suspended", "False", "JobResumed", "Job resumed", now);
  if (!told) return;
  if (!s.suspended) out.status["startTime"] = base::format_time(now);
  out.notes.push_back(s.suspended ? Note{s.object, "Normal", "Suspended", "Job suspended"}
                                  : Note{s.object, "Normal", "Resumed", "Job resumed"});
}

/// A pod that could not be made or removed. The rest of the bookkeeping does not wait for it; only the Job's
/// end does.
Plan report_failure(const std::shared_ptr<const JobSync>& s, const Write& failed, const base::Status& why,
                    base::WallTime now) {
  Plan plan;
  const bool making = failed.verb == Write::Verb::kCreate;
  if (!(failed.resource == kPods) || (!making && failed.verb != Write::Verb::kDelete)) return plan;
  if (!namespace_terminating(why)) {
    plan.note(s->object, "Warning", making ? "FailedCreate" : "FailedDelete",
              base::cat(making ? "Error creating: " : "Error deleting: ", why.message()));
  }
  track_job(*s, start(*s, now), now, plan);
  return plan;
}

}  // namespace

Plan plan_job(const View& view, const Key& key, base::WallTime now, JobFailures& failures) {
  Plan plan;
  const api::ObjectPtr object = view.get(kJobs, key.ns, key.name);
  Json tree = object != nullptr ? object->tree() : Json::object();
  if (object == nullptr || job_finished(base::object_at(tree, {"status"}))) {
    failures.forget(key);
    return plan;
  }
  if (managed_elsewhere(tree)) return plan;
  const std::shared_ptr<const JobSync> s = observe(view, object, std::move(tree), key, failures, plan);
  JobOutcome out = start(*s, now);
  out.finish = decide_finish(*s, out.status, now, plan);
  if (out.finish) {
    end_job_pods(*s, out, plan);
  } else {
    if (!s->deleting) manage_job_pods(view, *s, out, now, plan);
    if (complete(*s, out)) {
      out.finish = {JobFinish::Type::kSuccessCriteriaMet, "CompletionsReached",
                    "Reached expected number of succeeded pods"};
    } else if (!s->deleting) {
      write_suspension(*s, out, now);
    }
  }
  track_job(*s, std::move(out), now, plan);
  plan.otherwise = [s, now](const Write& failed, const base::Status& why) {
    return report_failure(s, failed, why, now);
  };
  return plan;
}

Controller make_job_controller() {
  Controller c;
  c.name = "job-controller";
  c.queue = "job";
  const auto jobs_within = [](const api::ObjectPtr&, const api::ObjectPtr& ns, const View& view) {
    Keys keys;
    if (ns == nullptr || !ns->deleting()) return keys;
    for (const auto& job : view.list(kJobs, ns->name()))
      keys.push_back({std::string(job->ns()), std::string(job->name())});
    return keys;
  };
  c.sources = {
      {kJobs, own_key, {}}, owned_pods(kJobs, "Job", label_selector_of), {kNamespaces, jobs_within, {}}};
  c.plan = [failures = std::make_shared<JobFailures>()](const View& view, const Key& key,
                                                        base::WallTime now) {
    return plan_job(view, key, now, *failures);
  };
  return c;
}

Plan plan_job_orphan(const View& view, const Key& key) {
  Plan plan;
  const api::ObjectPtr pod = view.get(kPods, key.ns, key.name);
  if (pod == nullptr || !api::has_finalizer(pod->tree(), kJobTracking)) return plan;
  const api::OwnerReference owner = api::controller_of(*pod);
  if (!owner.uid.empty()) {
    if (owner.kind != "Job" || owner.api_version != "batch/v1") return plan;
    const api::ObjectPtr job = view.get(kJobs, key.ns, owner.name);
    if (job != nullptr && job->uid() == owner.uid) {
      const Json tree = job->tree();
      if (managed_elsewhere(tree) || !job_finished(base::object_at(tree, {"status"}))) return plan;
    }
  }
  plan.patch(kPods, pod->ns(), pod->name(),
             {{"metadata",
               {{"uid", std::string(pod->uid())},
                {"$deleteFromPrimitiveList/finalizers", Json::array({std::string(kJobTracking)})}}}});
  return plan;
}

Controller make_job_orphan_controller() {
  Controller c;
  c.name = "job-orphan-pod-controller";
  c.queue = "job_orphan_pod";
  auto tracked = [](const api::ObjectPtr& pod) {
    return pod != nullptr && api::raw_metadata(*pod).find(kJobTracking) != std::string_view::npos;
  };
  auto pod_key = [tracked](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    if (!tracked(after)) return Keys();
    const api::OwnerReference owner = api::controller_of(*after);
    if (!owner.uid.empty()) {
      if (owner.kind != "Job") return Keys();
      const api::ObjectPtr job = view.get(kJobs, after->ns(), owner.name);
      // A Job that goes on looks after its pods.
      if (job != nullptr && job->uid() == owner.uid &&
          !job_finished(base::object_at(job->tree(), {"status"}))) {
        return Keys();
      }
    }
    return own_key(before, after, view);
  };
  auto pods_of = [tracked](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    Keys keys;
    const api::Object& job = after != nullptr ? *after : *before;
    if (after != nullptr && !job_finished(base::object_at(after->tree(), {"status"}))) return keys;
    const auto selector = label_selector_of(base::object_at(job.tree(), {"spec"}));
    auto take = [&](std::string_view owner, bool matching) {
      for (const auto& pod : view.by_index(kPods, "controller", owner)) {
        if (tracked(pod) && (!matching || selector.matches(*pod)))
          keys.push_back({std::string(pod->ns()), std::string(pod->name())});
      }
    };
    take(job.uid(), false);
    take(base::cat(job.ns(), "/"), true);
    return keys;
  };
  c.sources = {{kJobs, pods_of, {}}, {kPods, pod_key, {{"controller", controller_uid_index()}}}};
  c.plan = [](const View& view, const Key& key, base::WallTime) { return plan_job_orphan(view, key); };
  return c;
}

}  // namespace orch::server
