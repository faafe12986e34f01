// Counting a Job's pods and telling how it stands.
#include <algorithm>

#include "api/meta.h"
#include "server/controllers/job_state.h"

namespace orch::server {

namespace {

using base::string_at;

void set_count(Json& status, const char* name, int64_t n) {
  if (n == 0) {
    status.erase(name);
  } else {
    status[name] = n;
  }
}

/// One list of status.uncountedTerminatedPods with its counter.
class Uncounted {
 public:
  Uncounted(const Json& status, const char* name) : name_(name) {
    const Json& list = base::array_at(status, {"uncountedTerminatedPods", name});
    for (const Json& uid : list) uids_.push_back(uid.is_string() ? uid.get<std::string>() : std::string());
    count_ = base::int_at(status, {name});
  }
  /// Who has no finalizer any more is counted.
  void settle(const std::set<std::string_view>& tracked) {
    const auto left = std::remove_if(uids_.begin(), uids_.end(),
                                     [&](const std::string& uid) { return tracked.count(uid) == 0; });
    count_ += uids_.end() - left;
    uids_.erase(left, uids_.end());
  }
  void add(const std::string& uid) { uids_.push_back(uid); }
  int64_t size() const { return static_cast<int64_t>(uids_.size()); }
  void write(Json& status) const {
    set_count(status, name_, count_);
    Json& lists = status["uncountedTerminatedPods"];
    if (!lists.is_object()) lists = Json::object();
    if (uids_.empty()) {
      lists.erase(name_);
    } else {
      lists[name_] = uids_;
    }
  }

 private:
  const char* name_;
  std::vector<std::string> uids_;
  int64_t count_ = 0;
};

class Tracking {
 public:
  Tracking(const JobSync& s, JobOutcome& out, base::WallTime now, Plan& plan)
      : s_(s),
        out_(out),
        now_(now),
        plan_(plan),
        succeeded_(out.status, "succeeded"),
        failed_(out.status, "failed") {}

  void run() {
    settle();
    for (const JobPod& p : s_.pods) {
      if (!p.tracked || !may_release(p)) continue;
      released_.push_back(&p);
      count(p);
      // The rest is for the next plan: the status stays small, and other Jobs have their turn.
      if (static_cast<int64_t>(new_indexes_.size()) + succeeded_.size() + failed_.size() >= kMaxUncounted) {
        full_ = true;
        break;
      }
    }
    write_counts();
    if (out_.finish) write_finish(*out_.finish);
    write();
  }

 private:
  void settle() {
    std::set<std::string_view> tracked;
    for (const JobPod& p : s_.pods) {
      if (p.tracked) tracked.insert(p.uid);
    }
    succeeded_.settle(tracked);
    failed_.settle(tracked);
  }

  bool may_release(const JobPod& p) const {
    if (s_.deleting || out_.finish || p.succeeded) return true;
    if (!p.failed) return false;
    // An index's failed pod stays until the next one has taken its count over. A namespace that waits for its
    // pods to go has no next one.
    if (s_.doomed) return true;
    const auto it = s_.replaced.find(p.index);
    return it == s_.replaced.end() || s_.pods[it->second].uid != p.uid;
  }

  void count(const JobPod& p) {
    const bool valid = !s_.indexed || s_.valid_index(p);
    if (p.succeeded && s_.uncounted_failed.count(p.uid) == 0) {
      if (s_.indexed) {
        if (valid && !s_.counted_indexes.has(p.index)) new_indexes_.push_back(p.index);
      } else if (s_.uncounted_succeeded.count(p.uid) == 0) {
        succeeded_.add(p.uid);
      }
      return;
    }
    // Once the Job has failed so has whatever still runs.
    if (!p.failed && (!out_.finish || out_.finish->success())) return;
    if (!valid || s_.uncounted_failed.count(p.uid) != 0) return;
    if (judge_failure(s_.spec(), p.pod.tree).counts) failed_.add(p.uid);
  }

  void write_counts() {
    Json& status = out_.status;
    succeeded_.write(status);
    failed_.write(status);
    set_count(status, "active", out_.active);
    status["ready"] = out_.ready;
    status["terminating"] = out_.terminating;
    if (!s_.indexed) return;
    const Indexes done = s_.succeeded_indexes.united(Indexes::of(new_indexes_));
    set_count(status, "succeeded", done.total());
    if (done.empty()) {
      status.erase("completedIndexes");
    } else {
      status["completedIndexes"] = done.text();
    }
    if (s_.failed_indexes) {
      status["failedIndexes"] = s_.failed_indexes->text();
    } else {
      status.erase("failedIndexes");
    }
  }

  void write_finish(const JobFinish& f) {
    if (!f.seen) {
      set_job_condition(out_.status, f.success() ? "SuccessCriteriaMet" : "FailureTarget", "True", f.reason,
                        f.message, now_);
      return;
    }
    // What was decided before comes to pass when every pod is counted, and none is still ending.
    if (full_ || !released_.empty() || succeeded_.size() + failed_.size() > 0 || out_.terminating > 0) return;
    set_job_condition(out_.status, f.success() ? "Complete" : "Failed", "True", f.reason, f.message, now_);
    // The API wants a start of what is over. A Job that was suspended before its first status was written has
    // none; one without completions needs none.
    if (string_at(out_.status, {"startTime"}).empty() && !(s_.suspended && s_.completions == 0))
      out_.status["startTime"] = base::format_time(now_);
    if (!f.success()) {
      note("Warning", f.reason, f.message);
      return;
    }
    // The API refuses an end before the start, which a clock that was set back would have told.
    out_.status["completionTime"] =
        std::max(base::format_time(now_), std::string(string_at(out_.status, {"startTime"})));
    if (s_.completions && base::int_at(out_.status, {"succeeded"}) > *s_.completions) {
      note("Warning", "TooManySucceededPods",
           "Too many succeeded pods running after completion count reached");
    }
    note("Normal", "Completed", "Job completed");
  }

  void note(const char* type, const std::string& reason, const std::string& message) {
    out_.notes.push_back({s_.object, type, reason, message});
  }

  /// First what is counted, then the finalizers: who loses his is in the books.
  void write() {
    if (out_.status != s_.status()) {
      Json next = s_.tree;
      next["status"] = std::move(out_.status);
      plan_.update(kJobs, std::move(next), "status");
    }
    for (Note& n : out_.notes) plan_.note(n.about, n.type, n.reason, n.message);
    const size_t begin = plan_.writes.size();
    for (const JobPod* p : released_) {
      plan_.patch(kPods, p->pod.object->ns(), p->pod.object->name(),
                  {{"metadata",
                    {{"uid", p->uid},
                     {"$deleteFromPrimitiveList/finalizers", Json::array({std::string(kJobTracking)})}}}});
    }
    plan_.batch(begin);
  }

  const JobSync& s_;
  JobOutcome& out_;
  const base::WallTime now_;
  Plan& plan_;
  Uncounted succeeded_, failed_;
  std::vector<const JobPod*> released_;
  std::vector<int64_t> new_indexes_;
  bool full_ = false;
};

}  // namespace

const Json* true_job_condition(const Json& status, std::string_view type) {
  for (const Json& c : base::array_at(status, {"conditions"})) {
    if (string_at(c, {"type"}) == type && string_at(c, {"status"}) == "True") return &c;
  }
  return nullptr;
}

bool job_finished(const Json& status) {
  return true_job_condition(status, "Complete") != nullptr || true_job_condition(status, "Failed") != nullptr;
}

bool set_job_condition(Json& status, const char* type, const char* value, std::string_view reason,
                       std::string_view message, base::WallTime now) {
  const std::string time = base::format_time(now);
  const Json wanted = {{"type", type},
                       {"status", value},
                       {"lastProbeTime", time},
                       {"lastTransitionTime", time},
                       {"reason", std::string(reason)},
                       {"message", std::string(message)}};
  Json& list = status["conditions"];
  if (!list.is_array()) list = Json::array();
  for (Json& c : list) {
    if (string_at(c, {"type"}) != type) continue;
    const bool same = string_at(c, {"status"}) == value && string_at(c, {"reason"}) == reason &&
                      string_at(c, {"message"}) == message;
    if (!same) c = wanted;
    return !same;
  }
  const bool worth = std::string_view(value) != "False";
  if (worth) list.push_back(wanted);
  if (list.empty()) status.erase("conditions");
  return worth;
}

void track_job(const JobSync& s, JobOutcome out, base::WallTime now, Plan& plan) {
  Tracking(s, out, now, plan).run();
}

}  // namespace orch::server
