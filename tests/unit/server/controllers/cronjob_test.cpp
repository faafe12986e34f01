#include "server/controllers/cronjob.h"

#include "server/controllers/ttl_after_finished.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using base::WallTime;
using server::kCronJobs;
using server::kJobs;
using server::ScheduleState;
using server::SeenSchedules;

WallTime at(const char* text) {
  auto t = base::parse_time(text);
  REQUIRE(t.ok());
  return *t;
}
/// Rules are enough, and the same on every machine.
base::Result<base::TimeZonePtr> zones(std::string_view name) {
  if (name.empty() || name == "UTC") return base::TimeZone::utc();
  if (name == "Europe/Berlin") return base::TimeZone::from_rule("CET-1CEST,M3.5.0,M10.5.0/3");
  return base::Status(base::Code::kBadRequest, base::cat("unknown time zone ", name));
}

struct Cron {
  MapView view;
  SeenSchedules seen;
  WallTime now = at("2026-01-05T10:00:00Z");

  /// Every hour, made at 09:30; `spec` (JSON text) is put over it.
  explicit Cron(std::string_view spec = "{}", std::string_view status = "{}") { put(spec, status); }
  void put(std::string_view spec, std::string_view status = "{}") {
    Json c = {
        {"metadata", {{"name", "cj"}, {"generation", 1}, {"creationTimestamp", "2026-01-05T09:30:00Z"}}},
        {"spec", json(R"({"schedule":"0 * * * *","concurrencyPolicy":"Allow","suspend":false,
                  "successfulJobsHistoryLimit":3,"failedJobsHistoryLimit":1,
                  "jobTemplate":{"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}},
                    "spec":{"parallelism":2,"template":{"spec":{"restartPolicy":"Never"}}}}})")}};
    c["spec"].merge_patch(json(spec));
    c["status"] = json(status);
    view.put(kCronJobs, c);
  }
  Plan plan() { return server::plan_cronjob(view, {"ns", "cj"}, now, zones, seen); }
  Json status() { return view.get(kCronJobs, "ns", "cj")->tree().value("status", Json::object()); }
};

/// A Job of it, made for that time.
Json job_at(const char* time, const char* ended = nullptr) {
  const int64_t minutes = std::chrono::floor<std::chrono::minutes>(at(time).time_since_epoch()).count();
  Json job = owned_by({{"metadata",
                        {{"name", "cj-" + std::to_string(minutes)},
                         {"annotations", {{"batch.kubernetes.io/cronjob-scheduled-timestamp", time}}}}}},
                      "batch/v1", "CronJob", "cj");
  job["status"]["startTime"] = time;
  if (ended != nullptr) {
    job["status"]["conditions"] = Json::array({{{"type", ended}, {"status", "True"}}});
    if (std::string_view(ended) == "Complete") job["status"]["completionTime"] = time;
  }
  return job;
}
std::string name_of(const Json& job) { return job["metadata"]["name"]; }

TEST_CASE("a CronJob makes its Job when it is time") {
  Cron cron;
  cron.now = at("2026-01-05T09:59:59Z");
  Plan p = cron.plan();
  CHECK(p.writes.empty());
  CHECK(p.requeue == 1s + 100ms);

  cron.now = at("2026-01-05T10:00:00Z") + 100ms;
  p = cron.plan();
  REQUIRE(p.writes.size() == 1);
  const Json job = *p.writes[0].body;
  CHECK(name_of(job) == "cj-29460120");
  CHECK(job["metadata"]["labels"] == Json({{"a", "b"}}));
  CHECK(job["metadata"]["annotations"] ==
        Json({{"c", "d"}, {"batch.kubernetes.io/cronjob-scheduled-timestamp", "2026-01-05T10:00:00Z"}}));
  CHECK(api::controller_of(job).kind == "CronJob");
  CHECK(job["spec"] == json(R"({"parallelism":2,"template":{"spec":{"restartPolicy":"Never"}}})"));
  CHECK(noted(p, "SuccessfulCreate", "Created job cj-29460120"));
  CHECK(p.requeue == 1h);

  // Once it is there it is in the status, and the time is done with.
  cron.view.put(kJobs, job);
  p = cron.plan();
  Json status = planned_status(p, "cronjobs");
  CHECK(status["lastScheduleTime"] == "2026-01-05T10:00:00Z");
  REQUIRE(status["active"].size() == 1);
  CHECK(status["active"][0]["name"] == "cj-29460120");
  CHECK(status["active"][0]["kind"] == "Job");
  CHECK(status["active"][0]["uid"] == "uid-cj-29460120");
  CHECK(p.notes.empty());
  cron.view.apply(p);
  p = cron.plan();
  CHECK(p.writes.empty());
  CHECK(p.requeue == 1h);

  cron.view.put(kJobs, job_at("2026-01-05T10:00:00Z", "Complete"));
  p = cron.plan();
  CHECK(noted(p, "SawCompletedJob", "Saw completed job: cj-29460120, condition: Complete"));
  CHECK(planned_status(p, "cronjobs") ==
        json(R"({"lastScheduleTime":"2026-01-05T10:00:00Z","lastSuccessfulTime":"2026-01-05T10:00:00Z"})"));
  cron.view.apply(p);
  CHECK(cron.plan().writes.empty());
}

TEST_CASE("a day of a CronJob, the clock set on the way") {
  struct Row {
    const char* what;
    const char* spec;
    int64_t jump_hours;      // at 15:00:30 by the clock
    std::vector<int> hours;  // those that have a Job, of the day and the next
  };
  const std::vector<int> all = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33};
  std::vector<int> ahead = {10, 11, 12, 13, 14, 15, 21};  // of what was missed the last is made up for
  for (int hour = 22; hour <= 39; ++hour) ahead.push_back(hour);
  std::vector<int> late = ahead;
  late.erase(late.begin() + 6);  // it is half a minute late, which this one does not allow
  std::vector<int> back(all.begin(), all.end() - 4);  // no hour is done twice
  const Row rows[] = {{"nobody sets the clock", "{}", 0, all},
                      {"six hours ahead", "{}", 6, ahead},
                      {"six hours ahead, with a deadline", R"({"startingDeadlineSeconds":20})", 6, late},
                      {"four hours back", "{}", -4, back}};
  for (const Row& r : rows) {
    INFO(r.what);
    Cron cron(r.spec);
    std::vector<std::string> made;
    cron.now = at("2026-01-05T09:59:00Z") + 100ms;
    for (int step = 0; step < 24 * 120; ++step, cron.now += 30s) {
      if (cron.now == at("2026-01-05T15:00:30Z") + 100ms && step == 603)
        cron.now += std::chrono::hours(r.jump_hours);
      // Until there is nothing to do, as the loop would ask. A Job is over as soon as it is seen.
      for (int again = 0; again < 5; ++again) {
        const Plan p = cron.plan();
        if (p.writes.empty()) break;
        cron.view.apply(p);
        for (const server::Write& w : writes(p, Verb::kCreate, "jobs")) {
          Json job = *w.body;
          made.push_back(name_of(job));
          job["status"] = {{"startTime", base::format_time(cron.now)},
                           {"completionTime", base::format_time(cron.now)},
                           {"conditions", Json::array({{{"type", "Complete"}, {"status", "True"}}})}};
          cron.view.put(kJobs, job);
        }
      }
    }
    std::vector<std::string> wanted;
    for (const int hour : r.hours)
      wanted.push_back(base::cat("cj-", 29460120 + static_cast<int64_t>(hour - 10) * 60));
    CHECK(made == wanted);
    CHECK(cron.status().value("active", Json::array()).empty());
    CHECK(cron.view.list(kJobs, "ns").size() == 3);  // its history
  }
}

TEST_CASE("a Job that ended before it was seen to run") {
  Cron cron;
  cron.now += 1min;
  cron.view.put(kJobs, job_at("2026-01-05T10:00:00Z", "Failed"));
  Plan p = cron.plan();
  CHECK(noted(p, "SawCompletedJob", "condition: Failed"));
  CHECK(planned_status(p, "cronjobs") == json(R"({"lastScheduleTime":"2026-01-05T10:00:00Z"})"));
  cron.view.apply(p);
  CHECK(cron.plan().notes.empty());
}

TEST_CASE("concurrency policies") {
  const char* status =
      R"({"active":[{"kind":"Job","namespace":"ns","name":"cj-29460060","uid":"uid-cj-29460060"}],
      "lastScheduleTime":"2026-01-05T09:00:00Z"})";
  struct Case {
    const char* policy;
    bool makes, removes;
  };
  for (const Case& c :
       std::vector<Case>{{"Allow", true, false}, {"Forbid", false, false}, {"Replace", true, true}}) {
    INFO(c.policy);
    Cron cron(base::cat(R"({"concurrencyPolicy":")", c.policy, "\"}"), status);
    cron.view.put(kJobs, job_at("2026-01-05T09:00:00Z"));
    Plan p = cron.plan();
    CHECK(writes(p, Verb::kCreate, "jobs").size() == (c.makes ? 1 : 0));
    CHECK(removed(p, "jobs").size() == (c.removes ? 1 : 0));
    CHECK(p.requeue == 1h + 100ms);
    CHECK(noted(p, "JobAlreadyActive",
                "Not starting job because prior execution is running and concurrency policy is Forbid") ==
          (!c.makes));
    if (!c.removes) continue;
    CHECK(writes(p, Verb::kDelete, "jobs")[0].remove.propagation == "Background");
    CHECK(noted(p, "SuccessfulDelete", "Deleted job cj-29460060"));
    CHECK_FALSE(planned_status(p, "cronjobs").contains("active"));
    CHECK(p.writes[0].verb == Verb::kDelete);
    CHECK(p.writes.back().verb == Verb::kCreate);
  }
}

TEST_CASE("suspended, going and broken CronJobs make no Jobs") {
  struct Case {
    const char* spec;
    const char* reason;
    const char* message;
  };
  const std::vector<Case> cases = {
      {R"({"suspend":true})", nullptr, ""},
      {R"({"timeZone":"Nowhere/Land"})", "UnknownTimeZone",
       "invalid timeZone: \"Nowhere/Land\": unknown time zone Nowhere/Land"},
      {R"({"schedule":"* * *"})", "UnparseableSchedule",
       "unparseable schedule: \"* * *\" : expected exactly 5 fields, found 3: [* * *]"},
      {R"({"schedule":"59 23 31 2 *"})", "InvalidSchedule",
       "invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"},
  };
  for (const Case& c : cases) {
    INFO(c.spec);
    Cron cron(c.spec);
    Plan p = cron.plan();
    CHECK(p.writes.empty());
    CHECK(p.requeue.count() == 0);
    if (c.reason != nullptr) CHECK(noted(p, c.reason, c.message));
    if (c.reason == nullptr) CHECK(p.notes.empty());
  }
  Cron cron;
  Json tree = cron.view.get(kCronJobs, "ns", "cj")->tree();
  tree["metadata"]["deletionTimestamp"] = ago(1);
  cron.view.put(kCronJobs, tree);
  CHECK(cron.plan().writes.empty());
}

TEST_CASE("schedules in a time zone") {
  // Half past two on the day clocks are set forward does not exist; at noon it is summer.
  Cron cron(R"({"schedule":"0 12 * * *","timeZone":"Europe/Berlin"})",
            R"({"lastScheduleTime":"2026-03-28T11:00:00Z"})");
  cron.now = at("2026-03-29T10:00:00Z");
  Plan p = cron.plan();
  REQUIRE(writes(p, Verb::kCreate, "jobs").size() == 1);
  CHECK((*p.writes[0].body)["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] ==
        "2026-03-29T12:00:00+02:00");
  CHECK(p.requeue == 24h + 100ms);

  Cron old(R"({"schedule":"TZ=Europe/Berlin 0 12 * * *"})", R"({"lastScheduleTime":"2026-03-28T11:00:00Z"})");
  old.now = at("2026-03-29T10:00:00Z");
  p = old.plan();
  CHECK(
      noted(p, "UnsupportedSchedule",
            "CRON_TZ or TZ used in schedule \"TZ=Europe/Berlin 0 12 * * *\" is not officially supported, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"));
  REQUIRE(writes(p, Verb::kCreate, "jobs").size() == 1);
  CHECK((*p.writes[0].body)["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] ==
        "2026-03-29T10:00:00Z");
}

TEST_CASE("where a schedule stands") {
  struct Case {
    const char* what;
    const char* schedule;
    const char* last;
    const char* oldest;  // or null
    const char* now;
    const char* due;  // or null
    const char* next;
    int64_t missed;
  };
  const std::vector<Case> cases = {
      {"not yet", "0 * * * *", "2026-01-05T09:30:00Z", nullptr, "2026-01-05T09:59:00Z", nullptr,
       "2026-01-05T10:00:00Z", 0},
      {"just now", "0 * * * *", "2026-01-05T09:30:00Z", nullptr, "2026-01-05T10:00:00Z",
       "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", 1},
      {"a few", "0 * * * *", "2026-01-05T09:30:00Z", nullptr, "2026-01-05T13:10:00Z", "2026-01-05T13:00:00Z",
       "2026-01-05T14:00:00Z", 4},
      {"since 1970", "*/5 * * * *", "1970-01-01T00:00:00Z", nullptr, "2026-01-05T13:11:00Z",
       "2026-01-05T13:10:00Z", "2026-01-05T13:15:00Z", 5892062},
      {"with a deadline", "*/5 * * * *", "1970-01-01T00:00:00Z", "2026-01-05T13:06:00Z",
       "2026-01-05T13:11:00Z", "2026-01-05T13:10:00Z", "2026-01-05T13:15:00Z", 1},
      {"with a deadline that is over", "0 * * * *", "2026-01-05T09:30:00Z", "2026-01-05T10:01:00Z",
       "2026-01-05T10:30:00Z", nullptr, "2026-01-05T11:00:00Z", 0},
      {"the clock went back", "0 * * * *", "2026-01-05T12:00:00Z", nullptr, "2026-01-05T09:10:00Z", nullptr,
       "2026-01-05T13:00:00Z", 0},
      {"uneven steps", "30 6-16/4 * * 1-5", "2026-01-02T14:30:00Z", nullptr, "2026-01-05T11:00:00Z",
       "2026-01-05T10:30:00Z", "2026-01-05T14:30:00Z", 2},
      {"every so often", "@every 90m", "2026-01-05T09:10:20Z", nullptr, "2026-01-05T13:00:00Z",
       "2026-01-05T12:10:20Z", "2026-01-05T13:40:20Z", 2},
      {"every so often, deadline or not", "@every 1h", "2026-01-05T09:00:00Z", "2026-01-05T10:29:30Z",
       "2026-01-05T10:30:00Z", "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", 1},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    auto schedule = api::CronSchedule::parse(c.schedule);
    REQUIRE(schedule.ok());
    std::optional<WallTime> oldest;
    if (c.oldest != nullptr) oldest = at(c.oldest);
    const ScheduleState s =
        server::schedule_state(*schedule, *base::TimeZone::utc(), at(c.last), oldest, at(c.now));
    CHECK((s.due ? base::format_time(*s.due) : "") == (c.due != nullptr ? c.due : ""));
    REQUIRE(s.next);
    CHECK(base::format_time(*s.next) == c.next);
    CHECK(s.missed == c.missed);
    CHECK(s.error.empty());
  }
}

TEST_CASE("missed times: one is made up for, many are worth a word, late is late") {
  Cron few("{}", R"({"lastScheduleTime":"2026-01-05T05:00:00Z"})");
  Plan p = few.plan();
  CHECK(writes(p, Verb::kCreate, "jobs").size() == 1);
  CHECK_FALSE(noted(p, "TooManyMissedTimes"));

  Cron many("{}", R"({"lastScheduleTime":"1970-01-01T00:00:00Z"})");
  p = many.plan();
  CHECK(noted(
      p, "TooManyMissedTimes",
      "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"));
  REQUIRE(writes(p, Verb::kCreate, "jobs").size() == 1);
  CHECK(name_of(*p.writes[0].body) == "cj-29460120");

  Cron late(R"({"schedule":"@every 1h","startingDeadlineSeconds":10})",
            R"({"lastScheduleTime":"2026-01-05T08:30:00Z"})");
  p = late.plan();
  CHECK(p.writes.empty());
  CHECK(noted(p, "MissSchedule", "Missed scheduled time to start a job: Mon, 05 Jan 2026 09:30:00 +0000"));
  CHECK(p.requeue == 30min + 100ms);
}

TEST_CASE("a new schedule counts from its next time on") {
  Cron cron("{}", R"({"lastScheduleTime":"2026-01-05T10:00:00Z"})");
  cron.now = at("2026-01-05T10:32:00Z");
  CHECK(cron.plan().requeue == 28min + 100ms);
  cron.put(R"({"schedule":"*/5 * * * *"})", R"({"lastScheduleTime":"2026-01-05T10:00:00Z"})");
  Plan p = cron.plan();
  CHECK(p.writes.empty());
  CHECK(p.requeue == 3min + 100ms);
  cron.now += 3min;
  CHECK(writes(cron.plan(), Verb::kCreate, "jobs").size() == 1);
}

TEST_CASE("Jobs beyond the limits go, the oldest first") {
  Cron cron("{}",
            R"({"lastScheduleTime":"2026-01-05T10:00:00Z","lastSuccessfulTime":"2026-01-05T10:00:00Z"})");
  for (const char* t : {"2026-01-05T01:00:00Z", "2026-01-05T02:00:00Z", "2026-01-05T03:00:00Z",
                        "2026-01-05T04:00:00Z", "2026-01-05T05:00:00Z"}) {
    cron.view.put(kJobs, job_at(t, "Complete"));
  }
  for (const char* t : {"2026-01-05T06:00:00Z", "2026-01-05T07:00:00Z"})
    cron.view.put(kJobs, job_at(t, "Failed"));
  Plan p = cron.plan();
  const std::vector<std::string> gone = {name_of(job_at("2026-01-05T01:00:00Z")),
                                         name_of(job_at("2026-01-05T02:00:00Z")),
                                         name_of(job_at("2026-01-05T06:00:00Z"))};
  CHECK(removed(p, "jobs") == gone);
  CHECK(noted(p, "SuccessfulDelete", "Deleted job " + gone[0]));
  CHECK(writes(p, Verb::kDelete, "jobs")[0].remove.propagation == "Background");
}

TEST_CASE("Jobs that are not its own, and ones that went missing") {
  Cron cron("{}", R"({"active":[{"namespace":"ns","name":"gone","uid":"uid-gone"}],
      "lastScheduleTime":"2026-01-05T10:00:00Z"})");
  Json manual = job_at("2026-01-05T09:00:00Z");
  manual["metadata"]["name"] = "by-hand";
  manual["metadata"].erase("annotations");
  cron.view.put(kJobs, manual);
  Plan p = cron.plan();
  CHECK(noted(p, "UnexpectedJob", "Saw a job that the controller did not create or forgot: by-hand"));
  CHECK(noted(p, "MissingJob", "Active job went missing: gone"));
  CHECK_FALSE(planned_status(p, "cronjobs").contains("active"));

  // Somebody else's Job has the name: nothing is made, the next time comes.
  Cron taken;
  Json other = job_at("2026-01-05T10:00:00Z");
  other["metadata"].erase("ownerReferences");
  taken.view.put(kJobs, other);
  p = taken.plan();
  CHECK(p.writes.empty());
  CHECK(p.notes.empty());
  CHECK(p.requeue == 1h + 100ms);
}

TEST_CASE("a Job that could not be made") {
  Cron cron;
  Plan p = cron.plan();
  Plan told = p.otherwise(p.writes[0], base::Status(base::Code::kForbidden, "exceeded quota"));
  CHECK(noted(told, "FailedCreate", "Error creating job: exceeded quota"));
  base::StatusDetails details;
  details.causes.push_back({"NamespaceTerminating", "", ""});
  CHECK(p.otherwise(p.writes[0], base::Status(base::Code::kForbidden, "no", details)).notes.empty());
}

TEST_CASE("ended Jobs go when their time to live is over") {
  auto job = [](const char* spec, const char* ended) {
    Json j = {{"metadata", {{"name", "j"}}}, {"spec", json(spec)}};
    if (ended != nullptr) {
      j["status"]["conditions"] =
          Json::array({{{"type", ended}, {"status", "True"}, {"lastTransitionTime", ago(60)}}});
    }
    return j;
  };
  struct Case {
    const char* what;
    Json job;
    bool gone;
    std::chrono::seconds wait;
  };
  Json going = job(R"({"ttlSecondsAfterFinished":0})", "Complete");
  going["metadata"]["deletionTimestamp"] = ago(1);
  const std::vector<Case> cases = {
      {"runs", job(R"({"ttlSecondsAfterFinished":0})", nullptr), false, 0s},
      {"stays", job("{}", "Complete"), false, 0s},
      {"waits", job(R"({"ttlSecondsAfterFinished":100})", "Complete"), false, 40s},
      {"is over", job(R"({"ttlSecondsAfterFinished":60})", "Failed"), true, 0s},
      {"at once", job(R"({"ttlSecondsAfterFinished":0})", "Complete"), true, 0s},
      {"goes already", going, false, 0s},
  };
  const auto controller = server::make_ttl_after_finished_controller();
  for (const Case& c : cases) {
    INFO(c.what);
    MapView view;
    view.put(kJobs, c.job);
    Plan p = server::plan_ttl_after_finished(view, {"ns", "j"}, kNow);
    CHECK(removed(p, "jobs").size() == (c.gone ? 1 : 0));
    CHECK(p.requeue == c.wait);
    if (c.gone) {
      CHECK(p.writes[0].remove.propagation == "Foreground");
      CHECK(p.writes[0].remove.uid == "uid-j");
    }
    const bool wakes = !controller.sources[0].keys(nullptr, view.get(kJobs, "ns", "j"), view).empty();
    CHECK(wakes == c.job["spec"].contains("ttlSecondsAfterFinished"));
  }
}

}  // namespace
}  // namespace orch::testing
