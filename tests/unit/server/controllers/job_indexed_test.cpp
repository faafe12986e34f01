#include "server/controllers/job_indexes.h"
#include "tests/unit/server/controllers/job_fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using server::Indexes;

TEST_CASE("sets of indexes as text") {
  struct Case {
    const char* text;
    int64_t completions;
    const char* same;
    int64_t total;
  };
  const std::vector<Case> cases = {
      {"", 10, "", 0},
      {"0", 10, "0", 1},
      {"0,1", 10, "0,1", 2},
      {"0-2", 10, "0-2", 3},
      {"0,1,2", 10, "0-2", 3},
      {"0,2,4-6", 10, "0,2,4-6", 5},
      {"1-20", 10, "1-9", 9},
      {"3,12", 10, "3", 1},
      {"x,3,y-4,5", 10, "3,5", 2},
      {"0-1,3-9", 4, "0,1,3", 3},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    const Indexes indexes = Indexes::parse(c.text, c.completions);
    CHECK(indexes.text() == c.same);
    CHECK(indexes.total() == c.total);
    CHECK(indexes.empty() == (c.total == 0));
  }
}

TEST_CASE("arithmetic of indexes") {
  const Indexes some = Indexes::parse("1,3-5,8", 10);
  for (int64_t i : {1, 3, 4, 5, 8}) CHECK(some.has(i));
  for (int64_t i : {0, 2, 6, 7, 9, 100}) CHECK_FALSE(some.has(i));
  CHECK(some.united(Indexes::of({2, 9, 9, 0})).text() == "0-5,8,9");
  CHECK(Indexes().united(some).text() == "1,3-5,8");
  CHECK(some.common(Indexes::parse("0-3,5-8", 10)) == 4);
  CHECK(some.common(Indexes()) == 0);
  CHECK(some.first_missing(3, 10) == std::vector<int64_t>{0, 2, 6});
  CHECK(some.first_missing(100, 10) == std::vector<int64_t>{0, 2, 6, 7, 9});
  CHECK(some.first_missing(100, 3) == std::vector<int64_t>{0, 2});
  CHECK(Indexes().first_missing(2, 5) == std::vector<int64_t>{0, 1});
}

const char* const kIndexed = R"({"completionMode":"Indexed","completions":3,"parallelism":3})";

TEST_CASE("pods of an indexed Job know their index") {
  Json job = job_of(kIndexed);
  job["spec"]["template"]["spec"]["initContainers"] = json(R"([{"name":"i","image":"i"}])");
  job["spec"]["template"]["spec"]["containers"].push_back(
      json(R"({"name":"own","image":"i","env":[{"name":"JOB_COMPLETION_INDEX","value":"mine"}]})"));
  JobRun run(job);
  Plan p = run.plan();
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 3);
  const Json& pod = *made[1].body;
  CHECK(pod["metadata"]["generateName"] == "job-1-");
  CHECK(pod["metadata"]["name"].get<std::string>().starts_with("job-1-"));
  CHECK(pod["metadata"]["name"].get<std::string>().size() == 11);
  CHECK(pod["metadata"]["annotations"] == Json({{"batch.kubernetes.io/job-completion-index", "1"}}));
  CHECK(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1");
  CHECK(pod["spec"]["hostname"] == "job-1");
  const Json variable = json(R"([{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":
      "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}])");
  CHECK(pod["spec"]["containers"][0]["env"] == variable);
  CHECK(pod["spec"]["initContainers"][0]["env"] == variable);
  CHECK(pod["spec"]["containers"][1]["env"] == json(R"([{"name":"JOB_COMPLETION_INDEX","value":"mine"}])"));

  Json long_name = job_of(kIndexed);
  const std::string name(63, 'n');
  long_name["metadata"]["name"] = name;
  MapView view;
  JobFailures failures;
  view.put(kJobs, long_name);
  Plan q = server::plan_job(view, {"ns", name}, kNow, failures);
  const Json first = *writes(q, Verb::kCreate, "pods")[0].body;
  CHECK(first["metadata"]["name"].get<std::string>().size() == 63);
  CHECK(first["metadata"]["generateName"] == std::string(55, 'n') + "-0-");
}

TEST_CASE("an indexed Job from start to end") {
  JobRun run(job_of(R"({"completionMode":"Indexed","completions":4,"parallelism":2})"));
  run.settle();
  auto pod_of = [&](int64_t index) {
    for (const auto& pod : run.pods()) {
      if (api::annotation(*pod, server::kCompletionIndex) == std::to_string(index) && !pod->deleting())
        return std::string(pod->name());
    }
    return std::string();
  };
  CHECK_FALSE(pod_of(1).empty());
  CHECK(pod_of(2).empty());
  run.set_phase(pod_of(1), "Succeeded");
  run.settle();
  CHECK(run.status()["completedIndexes"] == "1");
  CHECK(run.status()["succeeded"] == 1);
  CHECK(run.status()["uncountedTerminatedPods"] == Json::object());
  CHECK_FALSE(pod_of(2).empty());
  run.now += 1s;
  run.set_phase(pod_of(0), "Failed");
  run.settle();
  CHECK(run.status()["failed"] == 1);
  CHECK(run.pods().size() == 3);  // a pause for all
  run.now += 10s;
  run.view.drop(kPods, "ns", pod_of(0));
  run.settle();
  CHECK_FALSE(pod_of(0).empty());
  run.set_phase(pod_of(0), "Succeeded");
  run.set_phase(pod_of(2), "Succeeded");
  run.settle();
  CHECK(run.status()["completedIndexes"] == "0-2");
  run.set_phase(pod_of(3), "Succeeded");
  CHECK(run.settle() == std::vector<std::string>{"Completed"});
  CHECK(run.status()["completedIndexes"] == "0-3");
  CHECK(run.status()["succeeded"] == 4);
}

TEST_CASE("pods whose index is nobody's or somebody else's go") {
  JobRun run(job_of(kIndexed), {job_pod("zero", "Running", 0), job_pod("zero-too", "Pending", 0),
                                job_pod("beyond", "Running", 7), job_pod("none", "Running")});
  CHECK(removed(run.plan(), "pods") == std::vector<std::string>{"beyond", "none", "zero-too"});
  CHECK(writes(run.plan(), Verb::kCreate, "pods").empty());  // one thing after the other
}

TEST_CASE("an index that succeeded twice is one; outside ones count for nothing") {
  Json job = job_of(kIndexed);
  job["status"] = json(R"({"completedIndexes":"1","succeeded":1})");
  JobRun run(job, {job_pod("a", "Succeeded", 0), job_pod("b", "Succeeded", 0), job_pod("c", "Succeeded", 1),
                   job_pod("d", "Succeeded", 9), job_pod("e", "Failed", 9), job_pod("f", "Succeeded")});
  Plan p = run.plan();
  Json status = planned_status(p, "jobs");
  CHECK(status["completedIndexes"] == "0,1");
  CHECK(status["succeeded"] == 2);
  CHECK(status["uncountedTerminatedPods"] == Json::object());
  CHECK(writes(p, Verb::kPatch, "pods").size() == 6);
}

TEST_CASE("an indexed Job can grow and shrink") {
  Json job = job_of(R"({"completionMode":"Indexed","completions":2,"parallelism":2})");
  job["status"] = json(R"({"completedIndexes":"0-3","succeeded":4})");
  JobRun run(job);
  Json status = planned_status(run.plan(), "jobs");
  CHECK(status["completedIndexes"] == "0,1");
  CHECK(status["succeeded"] == 2);
  CHECK(conditions(status) == "SuccessCriteriaMet/CompletionsReached");
  job["spec"]["completions"] = job["spec"]["parallelism"] = 6;
  run.view.put(kJobs, job);
  CHECK(writes(run.plan(), Verb::kCreate, "pods").size() == 2);
}

// --- Back-off per index ------------------------------------------------------------------------------

Json per_index(std::string_view more = "{}") {
  Json job = job_of(kIndexed);
  job["spec"]["backoffLimit"] = 2147483647;
  job["spec"]["backoffLimitPerIndex"] = 1;
  job["spec"].merge_patch(json(more));
  return job;
}

TEST_CASE("each index has its own limit and pause") {
  JobRun run(per_index(),
             {job_pod("a", "Failed", 0, 4), job_pod("b", "Running", 1), job_pod("c", "Running", 2)});
  // The failed pod stays tracked until the next has its count.
  Plan p = run.plan();
  CHECK(writes(p, Verb::kCreate, "pods").empty());
  CHECK(writes(p, Verb::kPatch, "pods").empty());
  CHECK(p.requeue == 6s);
  CHECK(planned_status(p, "jobs")["failedIndexes"] == "");
  run.now += 6s;
  p = run.plan();
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 1);
  CHECK((*made[0].body)["metadata"]["annotations"] ==
        Json({{"batch.kubernetes.io/job-completion-index", "0"},
              {"batch.kubernetes.io/job-index-failure-count", "1"}}));
  run.settle();
  CHECK(run.status()["failed"] == 1);
  std::string again(made[0].body->at("metadata")["name"].get<std::string>());
  for (const auto& pod : run.pods()) {
    if (std::string_view(pod->name()).starts_with("job-0-")) again = pod->name();
  }
  run.set_phase(again, "Failed");
  run.settle();
  CHECK(run.status()["failedIndexes"] == "0");
  CHECK(run.status()["failed"] == 2);
  run.set_phase("b", "Succeeded");
  run.set_phase("c", "Succeeded");
  CHECK(run.settle() == std::vector<std::string>{"FailedIndexes"});
  CHECK(conditions(run.status()) == "FailureTarget/FailedIndexes Failed/FailedIndexes");
  CHECK(message_of(run.status(), "Failed") == "Job has failed indexes");
  CHECK(run.status()["completedIndexes"] == "1,2");
}

TEST_CASE("an index's failed pod does not wait for the next in a namespace that goes away") {
  JobRun run(per_index(R"({"suspend":true})"), {going(job_pod("a", "Failed", 0, 4))});
  const Json ns = {{"metadata", {{"name", "ns"}}}};
  run.view.put(server::kNamespaces, ns);
  run.settle();
  CHECK(run.pods().size() == 1);
  run.view.put(server::kNamespaces, going(ns));
  run.settle();
  CHECK(run.pods().empty());
  CHECK(run.status()["failed"] == 1);

  const server::Controller c = server::make_job_controller();
  const auto& source = *std::find_if(c.sources.begin(), c.sources.end(),
                                     [](const auto& s) { return s.resource == server::kNamespaces; });
  MapView other;
  other.put(server::kNamespaces, ns);
  CHECK(source.keys(nullptr, other.get(server::kNamespaces, "", "ns"), run.view).empty());
  CHECK(source.keys(nullptr, run.view.get(server::kNamespaces, "", "ns"), run.view) ==
        server::Keys{{"ns", "job"}});
}

TEST_CASE("too many failed indexes end the Job") {
  const char* count = server::kIndexFailures;
  JobRun run(per_index(R"({"maxFailedIndexes":1})"),
             {annotated(job_pod("a", "Failed", 0), count, "1"),
              annotated(job_pod("b", "Failed", 1), count, "1"), job_pod("c", "Running", 2)});
  Plan p = run.plan();
  CHECK(planned_status(p, "jobs")["failedIndexes"] == "0,1");
  CHECK(conditions(planned_status(p, "jobs")) == "FailureTarget/MaxFailedIndexesExceeded");
  CHECK(message_of(planned_status(p, "jobs"), "FailureTarget") ==
        "Job has exceeded the specified maximal number of failed indexes");
  CHECK(removed(p, "pods") == std::vector<std::string>{"c"});
}

TEST_CASE("ignored failures of an index are counted apart") {
  Json job = per_index(R"({"podFailurePolicy":{"rules":[
      {"action":"Ignore","onExitCodes":{"operator":"In","values":[7]}},
      {"action":"FailIndex","onExitCodes":{"operator":"In","values":[8]}}]}})");
  JobRun run(job, {with_exit(annotated(job_pod("a", "Failed", 0, 100), server::kIndexFailures, "1"), 7),
                   with_exit(job_pod("b", "Failed", 1, 100), 8), job_pod("c", "Running", 2)});
  Plan p = run.plan();
  CHECK(planned_status(p, "jobs")["failedIndexes"] == "1");
  auto made = writes(p, Verb::kCreate, "pods");
  REQUIRE(made.size() == 1);
  CHECK((*made[0].body)["metadata"]["annotations"] ==
        Json({{"batch.kubernetes.io/job-completion-index", "0"},
              {"batch.kubernetes.io/job-index-failure-count", "1"},
              {"batch.kubernetes.io/job-index-ignored-failure-count", "1"}}));
}

}  // namespace
}  // namespace orch::testing
