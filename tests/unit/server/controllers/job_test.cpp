#include "tests/unit/server/controllers/job_fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;

std::string phase_of(const api::Object& pod) {
  return std::string(base::string_at(pod.tree(), {"status", "phase"}));
}

TEST_CASE("a Job makes its pods, tracked by a finalizer") {
  JobRun run(job_of(R"({"completions":3,"parallelism":2})"));
  Plan p = run.plan();
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 2);
  const Json& pod = *made[0].body;
  CHECK(pod["metadata"]["finalizers"] == Json::array({"batch.kubernetes.io/job-tracking"}));
  CHECK(pod["metadata"]["generateName"] == "job-");
  CHECK(pod["metadata"]["labels"] == Json({{"app", "x"}}));
  CHECK(api::controller_of(pod).kind == "Job");
  CHECK(noted(p, "SuccessfulCreate", "Created pod: job-"));
  REQUIRE(p.batches.size() == 1);
  CHECK(p.batches[0].slow_start);
  CHECK(planned_status(p, "jobs") == json(R"({"active":2,"ready":0,"terminating":0,
      "startTime":"2026-01-01T00:00:00Z","uncountedTerminatedPods":{}})"));
}

TEST_CASE("a Job from its start to its end") {
  JobRun run(job_of(R"({"completions":3,"parallelism":2})"));
  CHECK(run.settle() == std::vector<std::string>{"SuccessfulCreate", "SuccessfulCreate"});
  REQUIRE(run.pods().size() == 2);
  const std::string first(run.pods()[0]->name()), second(run.pods()[1]->name());

  run.now += 10s;
  run.set_phase(first, "Succeeded");
  Plan p = run.plan();
  // Its uid is written down before the finalizer goes.
  CHECK(planned_status(p, "jobs")["uncountedTerminatedPods"] ==
        Json({{"succeeded", Json::array({std::string(run.view.get(kPods, "ns", first)->uid())})}}));
  CHECK_FALSE(planned_status(p, "jobs").contains("succeeded"));
  CHECK(p.writes.back().verb == Verb::kPatch);
  CHECK((*p.writes.back().body)["metadata"]["$deleteFromPrimitiveList/finalizers"] ==
        Json::array({"batch.kubernetes.io/job-tracking"}));
  run.settle();
  CHECK(run.status()["succeeded"] == 1);
  CHECK(run.status()["active"] == 2);
  CHECK(run.status()["uncountedTerminatedPods"] == Json::object());

  for (const auto& pod : run.pods()) {
    if (pod->name() != first) run.set_phase(std::string(pod->name()), "Succeeded");
  }
  p = run.plan();
  CHECK(conditions(planned_status(p, "jobs")) == "SuccessCriteriaMet/CompletionsReached");
  CHECK(message_of(planned_status(p, "jobs"), "SuccessCriteriaMet") ==
        "Reached expected number of succeeded pods");
  CHECK(run.settle() == std::vector<std::string>{"Completed"});
  const Json status = run.status();
  CHECK(conditions(status) == "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
  CHECK(status["succeeded"] == 3);
  CHECK(status["completionTime"] == "2026-01-01T00:00:10Z");
  CHECK_FALSE(status.contains("active"));
  CHECK(status["ready"] == 0);
  CHECK(run.pods().size() == 3);  // they stay to be read
}

TEST_CASE("a Job does not end before it began, even when the clock was set back") {
  JobRun run;
  run.settle();
  REQUIRE(run.status()["startTime"] == "2026-01-01T00:00:00Z");
  run.set_phase(std::string(run.pods()[0]->name()), "Succeeded");
  run.now -= 1h;
  run.settle();
  CHECK(run.status()["completionTime"] == "2026-01-01T00:00:00Z");
}

TEST_CASE("how many pods run") {
  struct Case {
    const char* what;
    std::string spec;
    int active, succeeded;
    int creates, deletes;
  };
  const std::vector<Case> cases = {
      {"all of them", R"({"completions":5,"parallelism":2})", 2, 1, 0, 0},
      {"too few", R"({"completions":5,"parallelism":2})", 1, 1, 1, 0},
      {"too many", R"({"completions":5,"parallelism":2})", 3, 0, 0, 1},
      {"no more than are wanted", R"({"completions":5,"parallelism":2})", 0, 4, 1, 0},
      {"running ones count", R"({"completions":5,"parallelism":10})", 2, 1, 2, 0},
      {"a work queue", R"({"completions":null,"parallelism":2})", 1, 0, 1, 0},
      {"a work queue after the first success", R"({"completions":null,"parallelism":2})", 1, 1, 0, 0},
      {"none in parallel", R"({"completions":5,"parallelism":0})", 1, 0, 0, 1},
      {"many at once", R"({"completions":2000,"parallelism":2000})", 0, 0, 500, 0},
      {"suspended", R"({"completions":5,"parallelism":2,"suspend":true})", 2, 0, 0, 2},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    Json job = job_of(c.spec);
    job["status"] = {{"succeeded", c.succeeded}, {"startTime", ago(60)}};
    if (c.succeeded == 0) job["status"].erase("succeeded");
    JobRun run(job);
    for (int i = 0; i < c.active; ++i) run.view.put(kPods, job_pod("p" + std::to_string(i), "Running"));
    Plan p = run.plan();
    CHECK(writes(p, Verb::kCreate, "pods").size() == static_cast<size_t>(c.creates));
    CHECK(removed(p, "pods").size() == static_cast<size_t>(c.deletes));
    // Who is removed as surplus is not counted as failed: the finalizer goes first.
    CHECK(writes(p, Verb::kPatch, "pods").size() == static_cast<size_t>(c.deletes));
    if (c.deletes > 0) CHECK(p.writes[0].verb == Verb::kPatch);
    CHECK(base::int_at(planned_status(p, "jobs"), {"active"}) == c.active + c.creates - c.deletes);
    CHECK(base::int_at(planned_status(p, "jobs"), {"terminating"}) == c.deletes);
  }
}

TEST_CASE("a work queue is done when one succeeded and none runs") {
  JobRun run(job_of(R"({"completions":null,"parallelism":2})"),
             {job_pod("a", "Succeeded"), job_pod("b", "Running")});
  run.settle();
  CHECK(conditions(run.status()).empty());
  run.set_phase("b", "Failed");
  CHECK(run.settle() == std::vector<std::string>{"Completed"});
  CHECK(run.status()["succeeded"] == 1);
  CHECK(run.status()["failed"] == 1);
}

TEST_CASE("failed pods are replaced after a pause that doubles") {
  JobRun run;
  run.settle();
  int64_t pause = 10;
  for (int failures = 1; failures <= 6; ++failures) {
    INFO(failures);
    for (const auto& pod : run.pods()) {
      if (phase_of(*pod) != "Failed") run.set_phase(std::string(pod->name()), "Failed");
    }
    run.settle();
    CHECK(run.status()["failed"] == failures);
    CHECK_FALSE(run.status().contains("active"));
    CHECK(run.plan().requeue == std::chrono::seconds(pause));
    run.now += std::chrono::seconds(pause) - 1s;
    CHECK(run.plan().requeue == 1s);
    run.now += 1s;
    run.settle();
    CHECK(run.status()["active"] == 1);
    pause *= 2;
  }
  run.set_phase(std::string(run.pods().back()->name()), "Failed");
  for (const auto& pod : run.pods()) {
    if (phase_of(*pod) != "Failed") run.set_phase(std::string(pod->name()), "Failed");
  }
  CHECK(run.settle() == std::vector<std::string>{"BackoffLimitExceeded"});
  CHECK(conditions(run.status()) == "FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded");
  CHECK(message_of(run.status(), "Failed") == "Job has reached the specified backoff limit");
  CHECK(run.status()["failed"] == 7);
  CHECK_FALSE(run.status().contains("completionTime"));
}

TEST_CASE("the pause ends with a success, has a limit, and is remembered") {
  JobFailures f;
  const server::Key key{"ns", "job"};
  auto at = [](int64_t s) { return kNow + std::chrono::seconds(s); };
  CHECK(f.add(key, "u", {}, {}).count == 0);
  CHECK(f.add(key, "u", {{"a", at(1)}}, {}).count == 1);
  CHECK(f.add(key, "u", {{"a", at(1)}}, {}).count == 1);  // seen before
  CHECK(f.add(key, "u", {{"b", at(3)}}, {}).count == 2);
  CHECK(f.add(key, "u", {}, {}).last == at(3));  // the pods are gone
  CHECK(f.add(key, "u", {}, at(2)).count == 1);  // one succeeded after the first
  CHECK(f.add(key, "u", {{"a", at(1)}}, {}).count == 1);
  CHECK(f.add(key, "other", {{"c", at(9)}}, {}).count == 1);  // another Job of that name
  f.forget(key);
  CHECK(f.add(key, "other", {}, {}).count == 0);
  for (int i = 0; i < 100; ++i) f.add(key, "u", {{std::to_string(i), at(i)}}, {});
  CHECK(f.add(key, "u", {}, {}).count == 8);
  CHECK(f.add(key, "u", {}, {}).last == at(99));
  CHECK(server::pause_left(0, at(0), at(0)) == 0s);
  CHECK(server::pause_left(1, at(0), at(0)) == 10s);
  CHECK(server::pause_left(3, at(0), at(15)) == 25s);
  CHECK(server::pause_left(6, at(0), at(0)) == 320s);
  CHECK(server::pause_left(7, at(0), at(0)) == 600s);
  CHECK(server::pause_left(1000, at(0), at(700)) == 0s);
}

TEST_CASE("when a pod ended") {
  auto end = [](const Json& pod) {
    MapView view;
    view.put(kPods, pod);
    server::JobPod p;
    p.pod.object = view.get(kPods, "ns", "p");
    p.pod.tree = p.pod.object->tree();
    return server::pod_end(p);
  };
  Json pod = job_pod("p", "Failed", -1, 50);
  CHECK(end(pod) == kNow - 50s);
  pod["status"]["containerStatuses"].push_back(
      {{"name", "d"}, {"state", {{"terminated", {{"exitCode", 0}, {"finishedAt", ago(20)}}}}}});
  CHECK(end(pod) == kNow - 20s);
  // A sidecar ends after them.
  pod["spec"]["initContainers"] = json(R"([{"name":"s","restartPolicy":"Always"},{"name":"init"}])");
  pod["status"]["initContainerStatuses"] = Json::array(
      {{{"name", "s"}, {"state", {{"terminated", {{"exitCode", 0}, {"finishedAt", ago(5)}}}}}},
       {{"name", "init"}, {"state", {{"terminated", {{"exitCode", 0}, {"finishedAt", ago(1)}}}}}}});
  CHECK(end(pod) == kNow - 5s);
  pod["status"]["initContainerStatuses"][0]["state"] = json(R"({"running":{}})");
  pod["status"]["conditions"] =
      Json::array({{{"type", "Ready"}, {"status", "False"}, {"lastTransitionTime", ago(7)}}});
  CHECK(end(pod) == kNow - 7s);
  pod["status"].erase("conditions");
  pod["metadata"]["deletionTimestamp"] = ago(0);
  pod["metadata"]["deletionGracePeriodSeconds"] = 30;
  CHECK(end(pod) == kNow - 30s);
  pod["metadata"].erase("deletionTimestamp");
  CHECK(end(pod) == kNow - 3600s);
}

TEST_CASE("restarts in place count against the limit") {
  struct Case {
    int64_t limit;
    int restarts;
    const char* policy;
    bool fails;
  };
  for (const Case& c : std::vector<Case>{{0, 0, "OnFailure", false},
                                         {0, 1, "OnFailure", true},
                                         {3, 2, "OnFailure", false},
                                         {3, 3, "OnFailure", true},
                                         {3, 9, "Never", false}}) {
    INFO(c.limit << " " << c.restarts);
    Json job = job_of(base::cat(R"({"backoffLimit":)", c.limit, "}"));
    job["spec"]["template"]["spec"]["restartPolicy"] = c.policy;
    Json pod = job_pod("p", "Running");
    pod["status"]["containerStatuses"] = Json::array({{{"name", "c"}, {"restartCount", c.restarts}}});
    JobRun run(job, {pod});
    CHECK(conditions(planned_status(run.plan(), "jobs")) ==
          (c.fails ? "FailureTarget/BackoffLimitExceeded" : ""));
    CHECK(removed(run.plan(), "pods").size() == (c.fails ? 1 : 0));
  }
}

TEST_CASE("a deadline ends what runs") {
  Json job = job_of(R"({"activeDeadlineSeconds":60,"parallelism":2,"completions":2})");
  job["status"]["startTime"] = ago(50);
  JobRun run(job, {ready(job_pod("a", "Running")), job_pod("b", "Running")});
  CHECK(run.plan().requeue == 10s);
  run.settle();
  CHECK(run.status()["ready"] == 1);
  run.now += 10s;
  Plan p = run.plan();
  Json status = planned_status(p, "jobs");
  CHECK(conditions(status) == "FailureTarget/DeadlineExceeded");
  CHECK(removed(p, "pods").size() == 2);
  // Those that run count as failed, and end in their own time.
  CHECK(status["uncountedTerminatedPods"]["failed"].size() == 2);
  CHECK(status["terminating"] == 2);
  CHECK(status["ready"] == 0);
  CHECK_FALSE(status.contains("active"));
  for (const Write& w : p.writes) CHECK((w.verb != Verb::kDelete || w.remove.grace_seconds < 0));
  CHECK(run.settle() == std::vector<std::string>{"SuccessfulDelete", "SuccessfulDelete", "DeadlineExceeded"});
  CHECK(conditions(run.status()) == "FailureTarget/DeadlineExceeded Failed/DeadlineExceeded");
  CHECK(message_of(run.status(), "Failed") == "Job was active longer than specified deadline");
  CHECK(run.status()["failed"] == 2);
}

TEST_CASE("the end waits for pods that are still ending") {
  Json job = job_of(R"({"backoffLimit":0,"parallelism":2,"completions":2})");
  JobRun run(job, {job_pod("a", "Failed"), going(untracked(job_pod("b", "Running")))});
  run.settle();
  CHECK(conditions(run.status()) == "FailureTarget/BackoffLimitExceeded");
  CHECK(run.status()["terminating"] == 1);
  CHECK(run.status()["failed"] == 1);
  run.view.drop(kPods, "ns", "b");
  CHECK(run.settle() == std::vector<std::string>{"BackoffLimitExceeded"});
  CHECK(run.status()["terminating"] == 0);
}

TEST_CASE("suspended and resumed") {
  JobRun run(job_of(R"({"suspend":true,"parallelism":2,"completions":2,"activeDeadlineSeconds":5})"));
  CHECK(run.settle() == std::vector<std::string>{"Suspended"});
  CHECK(conditions(run.status()) == "Suspended/JobSuspended");
  CHECK_FALSE(run.status().contains("startTime"));
  CHECK(run.plan().requeue.count() == 0);

  run.now += 100s;
  Json job = run.view.get(kJobs, "ns", "job")->tree();
  job["spec"]["suspend"] = false;
  run.view.put(kJobs, job);
  CHECK(run.settle() == std::vector<std::string>{"SuccessfulCreate", "SuccessfulCreate", "Resumed"});
  const Json resumed = condition({{"status", run.status()}}, "Suspended");
  CHECK(resumed["status"] == "False");
  CHECK(resumed["reason"] == "JobResumed");
  CHECK(resumed["message"] == "Job resumed");
  CHECK(resumed["lastTransitionTime"] == base::format_time(run.now));
  CHECK(run.status()["startTime"] == base::format_time(run.now));

  run.now += 1s;
  job = run.view.get(kJobs, "ns", "job")->tree();
  job["spec"]["suspend"] = true;
  run.view.put(kJobs, job);
  CHECK(run.settle() == std::vector<std::string>{"SuccessfulDelete", "SuccessfulDelete", "Suspended"});
  CHECK(run.pods().empty());
  CHECK_FALSE(run.status().contains("failed"));
  CHECK_FALSE(run.status().contains("active"));

  // They were no failures: nothing is waited for.
  job = run.view.get(kJobs, "ns", "job")->tree();
  job["spec"]["suspend"] = false;
  run.view.put(kJobs, job);
  run.settle();
  CHECK(run.pods().size() == 2);
}

TEST_CASE("a Job that fails while it is suspended and never told its start has one in the end") {
  Json job = job_of(R"({"suspend":true,"parallelism":2,"completions":2,"backoffLimit":0})");
  job["status"] = {{"failed", 3}};
  JobRun run(job);
  run.settle();
  CHECK(conditions(run.status()).find("Failed/BackoffLimitExceeded") != std::string::npos);
  CHECK(run.status()["startTime"] == base::format_time(run.now));
}

TEST_CASE("pods that are going are replaced at once or when they have ended") {
  for (const char* policy : {"TerminatingOrFailed", "Failed"}) {
    INFO(policy);
    JobRun run(job_of(base::cat(R"({"podReplacementPolicy":")", policy, "\"}")),
               {going(job_pod("p", "Running"))});
    run.now += 60s;  // the pause after a failure is over
    Plan p = run.plan();
    const bool at_once = std::string_view(policy) == "TerminatingOrFailed";
    CHECK(writes(p, Verb::kCreate, "pods").size() == (at_once ? 1 : 0));
    CHECK(planned_status(p, "jobs")["terminating"] == 1);
    CHECK(planned_status(p, "jobs")["uncountedTerminatedPods"].contains("failed") == at_once);
    if (at_once) continue;
    run.settle();
    run.set_phase("p", "Failed");
    run.now += 60s;
    run.settle();
    CHECK(run.status()["failed"] == 1);
    CHECK(run.pods().size() == 1);
  }
}

TEST_CASE("no pod is counted twice or lost") {
  Json job = job_of(R"({"completions":4,"parallelism":4})");
  job["status"] = json(R"({"succeeded":1,"failed":1,"uncountedTerminatedPods":
      {"succeeded":["uid-written","uid-gone"],"failed":["uid-f-written","uid-f-gone"]}})");
  JobRun run(job, {job_pod("written", "Succeeded"), job_pod("f-written", "Failed"),
                   job_pod("new", "Succeeded"), untracked(job_pod("counted", "Succeeded"))});
  run.now += 3600s;
  Plan p = run.plan();
  Json status = planned_status(p, "jobs");
  CHECK(status["succeeded"] == 2);
  CHECK(status["failed"] == 2);
  CHECK(status["uncountedTerminatedPods"] ==
        json(R"({"succeeded":["uid-written","uid-new"],"failed":["uid-f-written"]})"));
  CHECK(writes(p, Verb::kPatch, "pods").size() == 3);
  CHECK(conditions(status) == "SuccessCriteriaMet/CompletionsReached");
  run.settle();
  CHECK(run.status()["succeeded"] == 4);
  CHECK(run.status()["failed"] == 3);
  CHECK(conditions(run.status()) == "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
}

TEST_CASE("a pod that was given up and succeeds then does not complete its Job") {
  Json job = job_of(R"({"completions":1,"backoffLimit":6})");
  job["status"] = json(R"({"uncountedTerminatedPods":{"failed":["uid-evicted"]}})");
  JobRun run(job, {job_pod("evicted", "Succeeded")});
  run.now += 3600s;
  run.settle();
  CHECK(run.status()["failed"] == 1);
  CHECK(base::int_at(run.status(), {"succeeded"}) == 0);
  CHECK(conditions(run.status()).empty());
}

TEST_CASE("many ended pods are counted in parts") {
  JobRun run(job_of(R"({"completions":1200,"parallelism":1200})"));
  for (int i = 0; i < 1200; ++i) run.view.put(kPods, job_pod("p" + std::to_string(i), "Succeeded"));
  Plan p = run.plan();
  CHECK(planned_status(p, "jobs")["uncountedTerminatedPods"]["succeeded"].size() == 500);
  CHECK(writes(p, Verb::kPatch, "pods").size() == 500);
  CHECK(run.settle() == std::vector<std::string>{"Completed"});
  CHECK(run.status()["succeeded"] == 1200);
}

TEST_CASE("a pod that cannot be made holds nothing else up") {
  Json job = job_of(R"({"completions":3,"parallelism":3})");
  JobRun run(job, {job_pod("done", "Succeeded"), job_pod("b", "Running")});
  Plan p = run.plan();
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 1);
  Plan told = p.otherwise(made[0], base::Status(base::Code::kForbidden, "exceeded quota"));
  CHECK(noted(told, "FailedCreate", "Error creating: exceeded quota"));
  Json status = planned_status(told, "jobs");
  CHECK(status["active"] == 1);
  CHECK(status["uncountedTerminatedPods"]["succeeded"] == Json::array({"uid-done"}));
  CHECK(writes(told, Verb::kPatch, "pods").size() == 1);

  base::StatusDetails details;
  details.causes.push_back({"NamespaceTerminating", "", ""});
  CHECK(p.otherwise(made[0], base::Status(base::Code::kForbidden, "no", details)).notes.empty());
  // A status that could not be written is tried again as a whole.
  told = p.otherwise(writes(p, Verb::kUpdate, "jobs", "status")[0], base::Status(base::Code::kConflict, ""));
  CHECK(told.writes.empty());
}

TEST_CASE("a Job that cannot remove its pods has not ended yet") {
  Json job = job_of(R"({"backoffLimit":0,"completions":2,"parallelism":2})");
  JobRun run(job, {job_pod("a", "Failed"), job_pod("b", "Running")});
  Plan p = run.plan();
  CHECK(conditions(planned_status(p, "jobs")) == "FailureTarget/BackoffLimitExceeded");
  Plan told =
      p.otherwise(writes(p, Verb::kDelete, "pods")[0], base::Status(base::Code::kInternal, "disk full"));
  CHECK(noted(told, "FailedDelete", "Error deleting: disk full"));
  CHECK(conditions(planned_status(told, "jobs")).empty());
  CHECK(planned_status(told, "jobs")["active"] == 1);
}

TEST_CASE("orphans are adopted, strangers let go") {
  Json orphan = untracked(job_pod("orphan", "Running"));
  orphan["metadata"].erase("ownerReferences");
  Json ended = untracked(job_pod("ended", "Succeeded"));
  ended["metadata"].erase("ownerReferences");
  Json stray = job_pod("stray", "Running");
  stray["metadata"]["labels"] = {{"app", "y"}};
  JobRun run(job_of(R"({"completions":2,"parallelism":2})"), {orphan, ended, stray});
  Plan p = run.plan();
  auto patches = writes(p, Verb::kPatch, "pods");
  REQUIRE(patches.size() == 4);
  CHECK(patches[0].name == "stray");
  CHECK((*patches[0].body)["metadata"]["$deleteFromPrimitiveList/finalizers"].size() == 1);
  CHECK((*patches[0].body)["metadata"]["ownerReferences"][0]["$patch"] == "delete");
  CHECK(patches[1].name == "ended");
  CHECK((*patches[1].body)["metadata"]["finalizers"] == Json::array({"batch.kubernetes.io/job-tracking"}));
  CHECK(patches[2].name == "orphan");
  CHECK(patches[3].name == "ended");  // counted as if it had always been here
  CHECK(planned_status(p, "jobs")["uncountedTerminatedPods"]["succeeded"] == Json::array({"uid-ended"}));
  CHECK(writes(p, Verb::kCreate, "pods").empty());
}

TEST_CASE("what a Job controller keeps its hands off") {
  JobRun elsewhere(job_of(R"({"managedBy":"example.com/other"})"));
  CHECK(elsewhere.plan().writes.empty());
  JobRun own(job_of(R"({"managedBy":"kubernetes.io/job-controller"})"));
  CHECK(own.plan().writes.size() == 2);
  Json finished = job_of();
  finished["status"]["conditions"] = json(R"([{"type":"Failed","status":"True"}])");
  JobRun ended(finished, {job_pod("p", "Running")});
  CHECK(ended.plan().writes.empty());
  Json going_job = job_of(R"({"completions":3,"parallelism":3})");
  going_job["metadata"]["deletionTimestamp"] = ago(1);
  JobRun going_run(going_job, {job_pod("p", "Running")});
  Plan p = going_run.plan();
  CHECK(writes(p, Verb::kCreate, "pods").empty());
  CHECK(removed(p, "pods").empty());
  CHECK(writes(p, Verb::kPatch, "pods").size() == 1);  // nobody will count it
}

TEST_CASE("finalizers nobody takes off any more") {
  struct Case {
    const char* what;
    Json pod;
    bool taken;
  };
  Json free = job_pod("p", "Running");
  free["metadata"].erase("ownerReferences");
  Json foreign = owned_by(job_pod("p", "Running"), "apps/v1", "ReplicaSet", "x");
  Json finished = owned_by(job_pod("p", "Succeeded"), "batch/v1", "Job", "finished");
  Json gone = owned_by(job_pod("p", "Succeeded"), "batch/v1", "Job", "gone");
  Json other = owned_by(job_pod("p", "Succeeded"), "batch/v1", "Job", "job");
  other["metadata"]["ownerReferences"][0]["uid"] = "an older one";
  Json outside = owned_by(job_pod("p", "Succeeded"), "batch/v1", "Job", "outside");
  const std::vector<Case> cases = {
      {"of a running Job", job_pod("p", "Running"), false},
      {"without owner", free, true},
      {"of another kind", foreign, false},
      {"of an ended Job", finished, true},
      {"of a Job that is gone", gone, true},
      {"of a Job that had the name", other, true},
      {"managed by another", outside, false},
      {"without", untracked(free), false},
  };
  auto controller = server::make_job_orphan_controller();
  for (const Case& c : cases) {
    INFO(c.what);
    JobRun run(job_of(), {c.pod});
    Json j = job_of();
    j["metadata"]["name"] = "finished";
    j["status"]["conditions"] = json(R"([{"type":"Complete","status":"True"}])");
    run.view.put(kJobs, j);
    j["metadata"]["name"] = "outside";
    j["spec"]["managedBy"] = "example.com/other";
    run.view.put(kJobs, j);
    Plan p = server::plan_job_orphan(run.view, {"ns", "p"});
    CHECK(writes(p, Verb::kPatch, "pods").size() == (c.taken ? 1 : 0));
    const auto pod = run.view.get(kPods, "ns", "p");
    if (c.taken) CHECK(controller.sources[1].keys(nullptr, pod, run.view) == server::Keys{{"ns", "p"}});
  }
}

TEST_CASE("a Job's end wakes those that wait for it") {
  JobRun run(job_of(), {job_pod("p", "Succeeded"), untracked(job_pod("q", "Succeeded"))});
  auto controller = server::make_job_orphan_controller();
  const auto job = run.view.get(kJobs, "ns", "job");
  const auto& keys = controller.sources[0].keys;
  CHECK(keys(nullptr, job, run.view).empty());
  CHECK(keys(job, nullptr, run.view) == server::Keys{{"ns", "p"}});
  Json ended = job->tree();
  ended["status"]["conditions"] = json(R"([{"type":"Complete","status":"True"}])");
  run.view.put(kJobs, ended);
  CHECK(keys(job, run.view.get(kJobs, "ns", "job"), run.view) == server::Keys{{"ns", "p"}});
}

}  // namespace
}  // namespace orch::testing
