#include "server/controllers/cronjob.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <vector>

#include "api/go_text.h"
#include "api/meta.h"
#include "server/controllers/job_state.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

using base::string_at;
using base::WallTime;

constexpr const char* kScheduledTimestamp = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Added to each wait, so that a clock that is a little slow does not wake the plan too early.
constexpr std::chrono::milliseconds kMargin{100};
/// More missed times than that are worth a warning.
constexpr int64_t kManyMissed = 100;

std::optional<WallTime> time_at(const Json& tree, std::initializer_list<std::string_view> path) {
  auto t = base::parse_time(string_at(tree, path));
  if (!t.ok()) return std::nullopt;
  return *t;
}

std::string job_name(std::string_view cron_job, WallTime scheduled) {
  return base::cat(cron_job, "-",
                   std::chrono::floor<std::chrono::minutes>(scheduled.time_since_epoch()).count());
}

/// RFC 1123 with a numeric zone, in UTC.
std::string long_time(WallTime t) {
  static const char* const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static const char* const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const base::CivilTime c = base::TimeZone::utc()->civil(t);
  char out[64];
  std::snprintf(out, sizeof out, "%s, %02d %s %04lld %02d:%02d:%02d +0000", days[c.weekday], c.day,
                months[c.month - 1], static_cast<long long>(c.year), c.hour, c.minute, c.second);
  return out;
}

/// A Job of the CronJob.
struct Child {
  api::ObjectPtr object;
  Json tree;
  bool finished = false, succeeded = false;
  std::optional<WallTime> scheduled;  // made by this controller, for that time
};

class CronPlan {
 public:
  CronPlan(const View& view, api::ObjectPtr object, WallTime now, const ZoneSource& zones, bool rescheduled)
      : view_(view), object_(std::move(object)), now_(now), zones_(zones), rescheduled_(rescheduled) {
    tree_ = object_->tree();
    status_ = base::object_at(tree_, {"status"});
    for (const auto& job : view.by_index(kJobs, "controller", object_->uid()))
      children_.push_back(child(job));
  }

  Plan run() {
    drop_history();
    for (const Child& c : children_) observe(c);
    drop_missing();
    std::optional<Json> job;
    if (!object_->deleting()) job = schedule();
    write_status();
    if (job) {
      const std::string name(string_at(*job, {"metadata", "name"}));
      plan_.create(kJobs, object_->ns(), std::move(*job));
      note("Normal", "SuccessfulCreate", "Created job " + name);
    }
    plan_.otherwise = [object = object_](const Write& failed, const base::Status& why) {
      return report_failure(object, failed, why);
    };
    return std::move(plan_);
  }

 private:
  const Json& spec() const { return base::object_at(tree_, {"spec"}); }
  void note(const char* type, const char* reason, std::string message) {
    plan_.note(object_, type, reason, std::move(message));
  }

  Child child(const api::ObjectPtr& job) const {
    Child c;
    c.object = job;
    c.tree = job->tree();
    const Json& status = base::object_at(c.tree, {"status"});
    c.finished = job_finished(status);
    c.succeeded = true_job_condition(status, "Complete") != nullptr;
    const auto at = base::parse_time(api::annotation(c.tree, kScheduledTimestamp));
    if (at.ok() && job->name() == job_name(object_->name(), *at)) c.scheduled = *at;
    return c;
  }

  // --- status.active ---
  Json& active() {
    Json& list = status_["active"];
    if (!list.is_array()) list = Json::array();
    return list;
  }
  bool is_active(std::string_view uid) const {
    const Json& list = base::array_at(status_, {"active"});
    return std::any_of(list.begin(), list.end(), [&](const Json& r) { return string_at(r, {"uid"}) == uid; });
  }
  void deactivate(const std::string& uid) {
    Json left = Json::array();
    for (const Json& r : base::array_at(status_, {"active"})) {
      if (string_at(r, {"uid"}) != uid) left.push_back(r);
    }
    if (left.empty()) {
      status_.erase("active");
    } else {
      status_["active"] = std::move(left);
    }
  }

  void remove_job(const api::ObjectPtr& job) {
    client::DeleteOptions options;
    options.propagation = "Background";
    plan_.remove(kJobs, *job, options);
    note("Normal", "SuccessfulDelete", base::cat("Deleted job ", job->name()));
    deactivate(std::string(job->uid()));
  }

  /// Ended Jobs beyond the limits, the oldest first.
  void drop_history() {
    const size_t begin = plan_.writes.size();
    std::set<std::string> gone;
    for (const bool good : {true, false}) {
      const Json* limit =
          base::find_path(spec(), {good ? "successfulJobsHistoryLimit" : "failedJobsHistoryLimit"});
      if (limit == nullptr || limit->is_null()) continue;
      std::vector<const Child*> ended;
      for (const Child& c : children_) {
        if (c.finished && c.succeeded == good && !c.object->deleting()) ended.push_back(&c);
      }
      std::sort(ended.begin(), ended.end(), [](const Child* a, const Child* b) {
        const auto s = time_at(a->tree, {"status", "startTime"}),
                   t = time_at(b->tree, {"status", "startTime"});
        if (s.has_value() != t.has_value()) return s.has_value();
        return s != t ? *s < *t : a->object->name() < b->object->name();
      });
      const int64_t surplus = static_cast<int64_t>(ended.size()) - limit->get<int64_t>();
      for (int64_t i = 0; i < surplus; ++i) {
        remove_job(ended[static_cast<size_t>(i)]->object);
        gone.emplace(ended[static_cast<size_t>(i)]->object->uid());
      }
    }
    plan_.batch(begin);
    std::erase_if(children_, [&](const Child& c) { return gone.count(std::string(c.object->uid())) != 0; });
  }

  void observe(const Child& c) {
    const std::string uid(c.object->uid());
    const auto last = time_at(status_, {"lastScheduleTime"});
    const bool fresh = c.scheduled && (!last || *c.scheduled > *last);
    const bool listed = is_active(uid);
    if (fresh) status_["lastScheduleTime"] = base::format_time(*c.scheduled);
    if (!c.finished) {
      if (listed) return;
      if (c.scheduled) {
        active().push_back(api::object_reference(*c.object));
      } else {
        note("Warning", "UnexpectedJob",
             base::cat("Saw a job that the controller did not create or forgot: ", c.object->name()));
      }
      return;
    }
    if (listed || fresh) {
      deactivate(uid);
      note("Normal", "SawCompletedJob",
           base::cat("Saw completed job: ", c.object->name(),
                     ", condition: ", c.succeeded ? "Complete" : "Failed"));
    }
    const auto done = time_at(c.tree, {"status", "completionTime"});
    if (!c.succeeded || !done) return;
    const auto before = time_at(status_, {"lastSuccessfulTime"});
    if (!before || *done > *before) status_["lastSuccessfulTime"] = base::format_time(*done);
  }

  void drop_missing() {
    const Json list = base::array_at(status_, {"active"});
    for (const Json& r : list) {
      const std::string uid(string_at(r, {"uid"}));
      if (std::any_of(children_.begin(), children_.end(),
                      [&](const Child& c) { return c.object->uid() == uid; }) ||
          view_.get(kJobs, string_at(r, {"namespace"}), string_at(r, {"name"})) != nullptr) {
        continue;
      }
      note("Normal", "MissingJob", base::cat("Active job went missing: ", string_at(r, {"name"})));
      deactivate(uid);
    }
  }

  void write_status() {
    if (status_ == base::object_at(tree_, {"status"})) return;
    Json next = tree_;
    next["status"] = status_;
    plan_.update(kCronJobs, std::move(next), "status");
  }

  /// The Job to make now, if any; and when to look again.
  std::optional<Json> schedule() {
    const std::string text(string_at(spec(), {"schedule"}));
    const std::string zone_name(string_at(spec(), {"timeZone"}));
    base::TimeZonePtr zone;
    if (!zone_name.empty()) {
      auto found = zones_(zone_name);
      if (!found.ok()) {
        note("Warning", "UnknownTimeZone",
             base::cat("invalid timeZone: ", api::go_quote(zone_name), ": ", found.status().message()));
        return std::nullopt;
      }
      zone = *found;
    }
    if (base::bool_at(spec(), {"suspend"})) return std::nullopt;
    if (text.find("TZ") != std::string::npos) {
      note(
          "Warning", "UnsupportedSchedule",
          base::cat("CRON_TZ or TZ used in schedule ", api::go_quote(text),
                    " is not officially supported, see "
                    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"));
    }
    auto parsed = api::CronSchedule::parse(text);
    base::Result<base::TimeZonePtr> own = base::TimeZone::utc();
    if (parsed.ok() && (zone == nullptr || !parsed->time_zone.empty())) own = zones_(parsed->time_zone);
    if (!parsed.ok() || !own.ok()) {
      const base::Status& why = parsed.ok() ? own.status() : parsed.status();
      note("Warning", "UnparseableSchedule",
           base::cat("unparseable schedule: ", api::go_quote(text), " : ", why.message()));
      return std::nullopt;
    }
    if (zone == nullptr || !parsed->time_zone.empty()) zone = *own;
    return job_now(*parsed, *zone, text, zone_name);
  }

  std::optional<Json> job_now(const api::CronSchedule& schedule, const base::TimeZone& zone,
                              const std::string& text, const std::string& zone_name) {
    const Json* deadline = base::find_path(spec(), {"startingDeadlineSeconds"});
    std::optional<WallTime> oldest;
    if (deadline != nullptr && !deadline->is_null())
      oldest = now_ - std::chrono::seconds(deadline->get<int64_t>());
    const WallTime last = time_at(status_, {"lastScheduleTime"}).value_or(api::creation_time(tree_));
    const ScheduleState state = schedule_state(schedule, zone, last, oldest, now_);
    if (state.next) plan_.again_after(*state.next - now_ + kMargin);
    if (!state.error.empty()) {
      note("Warning", "InvalidSchedule", base::cat("invalid schedule: ", text, " : ", state.error));
      return std::nullopt;
    }
    if (rescheduled_ || !state.due) return std::nullopt;
    if (state.missed > kManyMissed) {
      note("Warning", "TooManyMissedTimes",
           "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
    }
    if (oldest && *state.due < *oldest) {
      note("Warning", "MissSchedule", "Missed scheduled time to start a job: " + long_time(*state.due));
      return std::nullopt;
    }
    return make_room(*state.due) ? std::optional(job_for(*state.due, zone_name)) : std::nullopt;
  }

  /// By the concurrency policy, and unless there is a Job of that name.
  bool make_room(WallTime scheduled) {
    if (view_.get(kJobs, object_->ns(), job_name(object_->name(), scheduled)) != nullptr) return false;
    const Json running = base::array_at(status_, {"active"});
    const std::string_view policy = string_at(spec(), {"concurrencyPolicy"});
    if (policy == "Forbid" && !running.empty()) {
      note("Normal", "JobAlreadyActive",
           "Not starting job because prior execution is running and concurrency policy is Forbid");
      return false;
    }
    if (policy != "Replace") return true;
    const size_t begin = plan_.writes.size();
    for (const Json& r : running) {
      if (auto job = view_.get(kJobs, string_at(r, {"namespace"}), string_at(r, {"name"}))) remove_job(job);
    }
    plan_.batch(begin);
    return true;
  }

  Json job_for(WallTime scheduled, const std::string& zone_name) const {
    const Json& from = base::object_at(spec(), {"jobTemplate"});
    Json job = {{"kind", "Job"}, {"apiVersion", "batch/v1"}};
    Json& meta = job["metadata"];
    for (const char* key : {"labels", "annotations"}) {
      const Json& map = base::object_at(from, {"metadata", key});
      if (!map.empty()) meta[key] = map;
    }
    // In words of the CronJob's own zone; in UTC if it names none.
    auto zone = zones_(zone_name.empty() ? "UTC" : zone_name);
    meta["annotations"][kScheduledTimestamp] =
        base::format_time_in(scheduled, zone.ok() ? **zone : *base::TimeZone::utc());
    meta["name"] = job_name(object_->name(), scheduled);
    meta["namespace"] = std::string(object_->ns());
    meta["ownerReferences"] = Json::array({api::controller_reference(*object_)});
    job["spec"] = base::object_at(from, {"spec"});
    return job;
  }

  static Plan report_failure(const api::ObjectPtr& object, const Write& failed, const base::Status& why) {
    Plan plan;
    if (!(failed.resource == kJobs) || namespace_terminating(why)) return plan;
    if (failed.verb == Write::Verb::kCreate) {
      plan.note(object, "Warning", "FailedCreate", "Error creating job: " + why.message());
    } else {
      plan.note(object, "Warning", "FailedDelete", "Deleted job: " + why.message());
    }
    return plan;
  }

  const View& view_;
  const api::ObjectPtr object_;
  const WallTime now_;
  const ZoneSource& zones_;
  const bool rescheduled_;
  Json tree_, status_;  // as it is; as it will be
  std::vector<Child> children_;
  Plan plan_;
};

}  // namespace

bool SeenSchedules::changed(const Key& key, const std::string& schedule) {
  const std::lock_guard lock(mutex_);
  auto [it, fresh] = seen_.emplace(key, schedule);
  if (fresh || it->second == schedule) return false;
  it->second = schedule;
  return true;
}

void SeenSchedules::forget(const Key& key) {
  const std::lock_guard lock(mutex_);
  seen_.erase(key);
}

ScheduleState schedule_state(const api::CronSchedule& schedule, const base::TimeZone& zone, WallTime last,
                             const std::optional<WallTime>& oldest, WallTime now) {
  ScheduleState out;
  // "@every" counts from the last time, whatever is of interest.
  const WallTime from = oldest && !schedule.every ? std::max(last, *oldest) : last;
  const auto first = schedule.next(from, zone);
  const auto second = first ? schedule.next(*first, zone) : std::nullopt;
  if (first && now < *first) {
    out.next = first;
    return out;
  }
  if (first && second && now < *second) {
    out.due = first;
    out.missed = 1;
    out.next = second;
    return out;
  }
  if (!second || *second - *first < std::chrono::seconds(1)) {
    out.error = "time difference between two schedules is less than 1 second";
    return out;
  }
  // How many were missed is estimated from the first step, so that decades (a clock that was wrong) cost
  // nothing; the last one is then looked for from two steps before.
  const auto step = std::chrono::round<std::chrono::seconds>(*second - *first);
  out.missed = std::chrono::floor<std::chrono::seconds>(now - *first) / step + 1;
  for (auto t = schedule.next(*first + (out.missed - 2) * step, zone); t && *t <= now;
       t = schedule.next(*t, zone)) {
    out.due = t;
  }
  out.next = schedule.next(out.due.value_or(now), zone);
  return out;
}

Plan plan_cronjob(const View& view, const Key& key, WallTime now, const ZoneSource& zones,
                  SeenSchedules& seen) {
  api::ObjectPtr object = view.get(kCronJobs, key.ns, key.name);
  if (object == nullptr) {
    seen.forget(key);
    return {};
  }
  const Json spec = base::object_at(object->tree(), {"spec"});
  const bool rescheduled = seen.changed(
      key, base::cat(object->uid(), "|", string_at(spec, {"timeZone"}), "|", string_at(spec, {"schedule"})));
  return CronPlan(view, std::move(object), now, zones, rescheduled).run();
}

Controller make_cronjob_controller() {
  Controller c;
  c.name = "cronjob-controller";
  c.queue = "cronjob";
  c.sources = {{kCronJobs, own_key, {}},
               {kJobs, owner_key("CronJob"), {{"controller", controller_uid_index()}}}};
  // Files are read once: what a zone's clocks say changes with the machine's software.
  struct Zones {
    std::mutex mutex;
    std::map<std::string, base::TimeZonePtr, std::less<>> known;  // under mutex
  };
  ZoneSource zones =
      [z = std::make_shared<Zones>()](std::string_view name) -> base::Result<base::TimeZonePtr> {
    const std::lock_guard lock(z->mutex);
    auto it = z->known.find(name);
    if (it != z->known.end()) return it->second;
    auto zone = base::load_time_zone(name.empty() ? "Local" : name);
    if (zone.ok()) z->known.emplace(name, *zone);
    return zone;
  };
  c.plan = [zones = std::move(zones), seen = std::make_shared<SeenSchedules>()](
               const View& view, const Key& key, WallTime now) {
    return plan_cronjob(view, key, now, zones, *seen);
  };
  return c;
}

}  // namespace orch::server
