// Pods of a Job: which ones are made and removed, and when.
#include <algorithm>
#include <charconv>
#include <limits>

#include "api/meta.h"
#include "server/controllers/job_state.h"

namespace orch::server {

namespace {

using base::array_at;
using base::string_at;

constexpr std::chrono::seconds kFirstPause{10};
constexpr std::chrono::minutes kLastPause{10};
/// What may stand before the random end of a name.
constexpr size_t kMaxGeneratedPrefix = 58;
/// Failures of one Job that are remembered: with these the pause is as long as it gets.
constexpr size_t kMaxRemembered = 8;

/// When the last of these containers ended; nothing unless all have.
bool containers_end(const Json& statuses, const std::set<std::string_view>* among,
                    std::optional<base::WallTime>& end) {
  for (const Json& c : statuses) {
    if (among != nullptr && among->count(string_at(c, {"name"})) == 0) continue;
    auto at = base::parse_time(string_at(c, {"state", "terminated", "finishedAt"}));
    if (!at.ok()) return false;
    end = std::max(end.value_or(*at), *at);
  }
  return true;
}

std::optional<base::WallTime> containers_end(const Json& pod) {
  std::set<std::string_view> sidecars;
  for (const Json& c : array_at(pod, {"spec", "initContainers"})) {
    if (string_at(c, {"restartPolicy"}) == "Always") sidecars.insert(string_at(c, {"name"}));
  }
  std::optional<base::WallTime> end;
  if (!containers_end(array_at(pod, {"status", "containerStatuses"}), nullptr, end)) end.reset();
  if (!containers_end(array_at(pod, {"status", "initContainerStatuses"}), &sidecars, end))
    return std::nullopt;
  return end;
}

int64_t annotated_count(const JobPod& p, const char* key) {
  const std::string_view text = api::annotation(p.pod.tree, key);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool good = !text.empty() && error == std::errc() && end == text.data() + text.size();
  return good && value >= 0 && value <= std::numeric_limits<int32_t>::max() ? value : 0;
}

// --- Removal -----------------------------------------------------------------------------------------

/// Plans the end of pods, which from now on are terminating.
void remove_pods(const JobSync& s, const std::vector<const JobPod*>& pods, JobOutcome& out, Plan& plan) {
  const size_t begin = plan.writes.size();
  for (const JobPod* p : pods) {
    plan.remove(kPods, *p->pod.object);
    plan.note(s.object, "Normal", "SuccessfulDelete", base::cat("Deleted pod: ", p->pod.object->name()));
    --out.active;
    ++out.terminating;
    if (p->ready) --out.ready;
  }
  plan.batch(begin);
}

/// Surplus pods are no failures: they lose the finalizer first, so that they are not counted.
void drop_pods(const JobSync& s, const std::vector<const JobPod*>& pods, JobOutcome& out, Plan& plan) {
  const size_t begin = plan.writes.size();
  for (const JobPod* p : pods) {
    if (!p->tracked) continue;
    plan.patch(kPods, p->pod.object->ns(), p->pod.object->name(),
               {{"metadata",
                 {{"uid", p->uid},
                  {"$deleteFromPrimitiveList/finalizers", Json::array({std::string(kJobTracking)})}}}});
  }
  plan.batch(begin);
  remove_pods(s, pods, out, plan);
}

/// The least advanced first.
std::vector<const JobPod*> by_progress(const std::vector<const JobPod*>& pods) {
  std::map<std::string_view, const JobPod*> of;
  std::vector<PodView> views;
  for (const JobPod* p : pods) {
    of[p->uid] = p;
    views.push_back(p->pod);
  }
  sort_by_progress(views);
  std::vector<const JobPod*> out;
  out.reserve(views.size());
  for (const PodView& v : views) out.push_back(of.at(v.object->uid()));
  return out;
}

std::vector<const JobPod*> active_pods(const JobSync& s) {
  std::vector<const JobPod*> out;
  for (const JobPod& p : s.pods) {
    if (p.active) out.push_back(&p);
  }
  return out;
}

/// Active pods that have to go, `at_least` of them: first those whose index is none of the Job's or is
/// somebody else's too.
std::vector<const JobPod*> surplus(const JobSync& s, int64_t at_least) {
  std::vector<const JobPod*> gone, left;
  if (s.indexed) {
    std::map<int64_t, std::vector<const JobPod*>> by_index;
    for (const JobPod* p : active_pods(s)) by_index[s.valid_index(*p) ? p->index : kNoIndex].push_back(p);
    for (auto& [index, pods] : by_index) {
      if (index == kNoIndex) {
        gone.insert(gone.end(), pods.begin(), pods.end());
        continue;
      }
      if (pods.size() > 1) pods = by_progress(pods);
      gone.insert(gone.end(), pods.begin(), pods.end() - 1);
      left.push_back(pods.back());
    }
  } else {
    left = active_pods(s);
  }
  const int64_t more = at_least - static_cast<int64_t>(gone.size());
  if (more > 0) {
    left = by_progress(left);
    gone.insert(gone.end(), left.begin(), left.begin() + std::min(more, static_cast<int64_t>(left.size())));
  }
  if (gone.size() > static_cast<size_t>(kMaxPodsPerPlan) && !s.suspended) gone.resize(kMaxPodsPerPlan);
  return gone;
}

// --- Creation ----------------------------------------------------------------------------------------

Json job_template(const JobSync& s) {
  Json out = base::object_at(s.spec(), {"template"});
  api::add_finalizer(out, kJobTracking);
  if (!s.indexed) return out;
  for (const char* list : {"initContainers", "containers"}) {
    auto it = out["spec"].find(list);
    if (it == out["spec"].end() || !it->is_array()) continue;
    for (Json& container : *it) {
      constexpr const char* kVariable = "JOB_COMPLETION_INDEX";
      const Json& env = array_at(container, {"env"});
      if (std::any_of(env.begin(), env.end(),
                      [&](const Json& v) { return string_at(v, {"name"}) == kVariable; })) {
        continue;
      }
      container["env"].push_back(
          {{"name", kVariable},
           {"valueFrom",
            {{"fieldRef", {{"fieldPath", base::cat("metadata.labels['", kCompletionIndex, "']")}}}}}});
    }
  }
  return out;
}

/// The next pod of an index goes on counting where the failed one stopped.
void take_over_failures(const JobSync& s, int64_t index, Json& annotations) {
  int64_t counted = 0, ignored = 0;
  if (auto it = s.replaced.find(index); it != s.replaced.end()) {
    const JobPod& before = s.pods[it->second];
    counted = counted_index_failures(before);
    ignored = annotated_count(before, kIndexIgnoredFailures);
    ++(judge_failure(s.spec(), before.pod.tree).counts ? counted : ignored);
  }
  annotations[kIndexFailures] = std::to_string(counted);
  if (ignored > 0) annotations[kIndexIgnoredFailures] = std::to_string(ignored);
}

void give_index(const JobSync& s, int64_t index, const std::string& prefix, Json& pod) {
  const std::string text = std::to_string(index);
  Json& meta = pod["metadata"];
  meta["generateName"] = prefix + "-";
  meta["labels"][kCompletionIndex] = text;
  meta["annotations"][kCompletionIndex] = text;
  if (s.per_index) take_over_failures(s, index, meta["annotations"]);
  pod["spec"]["hostname"] = base::cat(s.object->name(), "-", text);
}

/// "<job>-<index>", cut so that with its random end it is a name.
std::string index_prefix(std::string_view job, int64_t index) {
  const std::string end = base::cat("-", index);
  return base::cat(job.substr(0, kMaxGeneratedPrefix - 1 - end.size()), end);
}

void make_pods(const View& view, const JobSync& s, const std::vector<int64_t>& indexes, JobOutcome& out,
               base::WallTime now, Plan& plan) {
  const Json pod_template = job_template(s);
  const size_t begin = plan.writes.size();
  for (size_t i = 0; i < indexes.size(); ++i) {
    const int64_t index = indexes[i];
    const std::string prefix =
        index == kNoIndex ? std::string(s.object->name()) : index_prefix(s.object->name(), index);
    const std::string name = free_pod_name(view, s.object->ns(), prefix, s.object->uid(), now, i);
    Json pod = pod_from_template(*s.object, pod_template, name);
    if (index != kNoIndex) give_index(s, index, prefix, pod);
    plan.create(kPods, s.object->ns(), std::move(pod));
    plan.note(s.object, "Normal", "SuccessfulCreate", base::cat("Created pod: ", name));
    ++out.active;
  }
  plan.batch(begin, true);
}

/// The lowest indexes without a pod.
std::vector<int64_t> pending_indexes(const JobSync& s, int64_t count) {
  std::vector<int64_t> taken;
  for (const JobPod& p : s.pods) {
    if (p.index != kNoIndex && (p.active || (s.replaces_only_failed && p.terminating)))
      taken.push_back(p.index);
  }
  Indexes done = s.succeeded_indexes.united(Indexes::of(std::move(taken)));
  if (s.failed_indexes) done = done.united(*s.failed_indexes);
  return done.first_missing(count, *s.completions);
}

/// With a back-off per index each one waits on its own.
std::vector<int64_t> rested_indexes(const JobSync& s, const std::vector<int64_t>& indexes, base::WallTime now,
                                    Plan& plan) {
  std::vector<int64_t> out;
  for (const int64_t index : indexes) {
    base::Duration wait{0};
    if (auto it = s.replaced.find(index); it != s.replaced.end()) {
      const JobPod& failed = s.pods[it->second];
      wait = pause_left(index_failures(failed) + 1, pod_end(failed), now);
    }
    if (wait.count() == 0) {
      out.push_back(index);
    } else {
      plan.again_after(wait);
    }
  }
  return out;
}

int64_t wanted_active(const JobSync& s, int64_t active) {
  // Without a number of completions the first success ends the work: whoever still runs may finish.
  if (!s.completions) return s.succeeded > 0 ? active : s.parallelism;
  return std::max<int64_t>(0, std::min(*s.completions - s.succeeded, s.parallelism));
}

}  // namespace

JobFailures::Streak JobFailures::add(const Key& job, const std::string& uid, const std::vector<Ended>& failed,
                                     const std::optional<base::WallTime>& last_success) {
  const std::lock_guard lock(mutex_);
  if (failed.empty() && records_.count(job) == 0) return {};
  Record& r = records_[job];
  if (r.uid != uid) r = {uid, {}, {}};
  if (last_success) r.success = std::max(r.success.value_or(*last_success), *last_success);
  for (const auto& [pod, end] : failed) r.failed[pod] = end;
  if (r.success) std::erase_if(r.failed, [&](const auto& f) { return f.second <= *r.success; });
  while (r.failed.size() > kMaxRemembered) {
    r.failed.erase(std::min_element(r.failed.begin(), r.failed.end(),
                                    [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  Streak out;
  out.count = static_cast<int64_t>(r.failed.size());
  for (const auto& [pod, end] : r.failed) out.last = std::max(out.last, end);
  return out;
}

void JobFailures::forget(const Key& job) {
  const std::lock_guard lock(mutex_);
  records_.erase(job);
}

base::WallTime pod_end(const JobPod& p) {
  const Json& pod = p.pod.tree;
  if (auto end = containers_end(pod)) return *end;
  if (const Json* ready = api::find_condition(pod, "Ready");
      ready != nullptr && string_at(*ready, {"status"}) == "False") {
    if (auto since = base::parse_time(string_at(*ready, {"lastTransitionTime"})); since.ok()) return *since;
  }
  if (auto deleted = base::parse_time(string_at(pod, {"metadata", "deletionTimestamp"})); deleted.ok())
    return *deleted - std::chrono::seconds(base::int_at(pod, {"metadata", "deletionGracePeriodSeconds"}));
  return api::creation_time(pod);
}

base::Duration pause_left(int64_t failures, base::WallTime last, base::WallTime now) {
  if (failures <= 0) return base::Duration(0);
  base::Duration pause = kFirstPause;
  for (int64_t i = 1; i < failures && pause < kLastPause; ++i) pause *= 2;
  pause = std::min<base::Duration>(pause, kLastPause);
  return std::max(base::Duration(0), pause - base::Duration(now - last));
}

int64_t counted_index_failures(const JobPod& p) { return annotated_count(p, kIndexFailures); }
int64_t index_failures(const JobPod& p) {
  return counted_index_failures(p) + annotated_count(p, kIndexIgnoredFailures);
}

void end_job_pods(const JobSync& s, JobOutcome& out, Plan& plan) {
  remove_pods(s, active_pods(s), out, plan);
}

void manage_job_pods(const View& view, const JobSync& s, JobOutcome& out, base::WallTime now, Plan& plan) {
  const int64_t active = out.active;
  if (s.suspended) return drop_pods(s, surplus(s, active), out, plan);
  const int64_t wanted = wanted_active(s, active);
  // Either pods go or pods come; those that come see the others gone.
  const auto gone = surplus(s, active - wanted);
  if (!gone.empty()) return drop_pods(s, gone, out, plan);

  int64_t missing = wanted - active - (s.replaces_only_failed ? out.terminating : 0);
  if (missing <= 0) return;
  if (!s.per_index) {
    const base::Duration wait = pause_left(s.streak.count, s.streak.last, now);
    if (wait.count() > 0) {
      plan.again_after(wait);
      return;
    }
  }
  missing = std::min(missing, kMaxPodsPerPlan);
  std::vector<int64_t> indexes(static_cast<size_t>(missing), kNoIndex);
  if (s.indexed) indexes = pending_indexes(s, missing);
  if (s.per_index) indexes = rested_indexes(s, indexes, now, plan);
  make_pods(view, s, indexes, out, now, plan);
}

}  // namespace orch::server
