#include "tests/unit/server/controllers/job_fixture.h"

namespace orch::testing {
namespace {

using server::Indexes;
using server::judge_failure;
using server::success_policy_met;

TEST_CASE("what a pod failure policy says of a pod") {
  Json pod = json(R"({"metadata":{"name":"p","namespace":"ns"},"status":{
      "containerStatuses":[
        {"name":"fine","state":{"terminated":{"exitCode":0}}},
        {"name":"main","state":{"terminated":{"exitCode":5}}},
        {"name":"still","state":{"running":{}}}],
      "initContainerStatuses":[{"name":"init","state":{"terminated":{"exitCode":42}}}],
      "conditions":[{"type":"DisruptionTarget","status":"True"},{"type":"Ready","status":"False"}]}})");
  struct Case {
    const char* what;
    const char* rules;
    bool counts, fails_index;
    const char* fails_job;
  };
  const std::vector<Case> cases = {
      {"no rule", "[]", true, false, ""},
      {"fails the Job", R"([{"action":"FailJob","onExitCodes":{"operator":"In","values":[5,6]}}])", true,
       false, "Container main for pod ns/p failed with exit code 5 matching FailJob rule at index 0"},
      {"another code", R"([{"action":"FailJob","onExitCodes":{"operator":"In","values":[6]}}])", true, false,
       ""},
      {"any code but", R"([{"action":"FailJob","onExitCodes":{"operator":"NotIn","values":[6]}}])", true,
       false, "Container main for pod ns/p failed with exit code 5 matching FailJob rule at index 0"},
      {"success is no code to match",
       R"([{"action":"FailJob","onExitCodes":{"containerName":"fine","operator":"NotIn","values":[6]}}])",
       true, false, ""},
      {"of another container",
       R"([{"action":"FailJob","onExitCodes":{"containerName":"init","operator":"In","values":[5]}}])", true,
       false, ""},
      {"of an init container",
       R"([{"action":"FailJob","onExitCodes":{"containerName":"init","operator":"In","values":[42]}}])", true,
       false, "Container init for pod ns/p failed with exit code 42 matching FailJob rule at index 0"},
      {"ignored", R"([{"action":"Ignore","onExitCodes":{"operator":"In","values":[5]}}])", false, false, ""},
      {"counted", R"([{"action":"Count","onExitCodes":{"operator":"In","values":[5]}},
                      {"action":"Ignore","onExitCodes":{"operator":"In","values":[5]}}])",
       true, false, ""},
      {"fails its index", R"([{"action":"FailIndex","onExitCodes":{"operator":"In","values":[5]}}])", true,
       true, ""},
      {"by condition", R"([{"action":"Ignore","onExitCodes":{"operator":"In","values":[9]}},
                           {"action":"FailJob","onPodConditions":[{"type":"DisruptionTarget","status":"True"}]}])",
       true, false, "Pod ns/p has condition DisruptionTarget matching FailJob rule at index 1"},
      {"by a condition's other status",
       R"([{"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget","status":"False"}]}])", true,
       false, ""},
      {"by one of several",
       R"([{"action":"Ignore","onPodConditions":[{"type":"X","status":"True"},{"type":"Ready","status":"False"}]}])",
       false, false, ""},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    const auto verdict = judge_failure({{"podFailurePolicy", {{"rules", json(c.rules)}}}}, pod);
    CHECK(verdict.counts == c.counts);
    CHECK(verdict.fails_index == c.fails_index);
    CHECK(verdict.fails_job == c.fails_job);
  }
  CHECK(judge_failure(Json::object(), pod).counts);
}

TEST_CASE("a pod failure policy ends the Job, or lets it go on") {
  auto job = [](const char* action) {
    return job_of(base::cat(R"({"backoffLimit":0,"podReplacementPolicy":"Failed","podFailurePolicy":{"rules":[
        {"action":")",
                            action, R"(","onExitCodes":{"operator":"In","values":[3]}}]}})"));
  };
  JobRun fails(job("FailJob"), {with_exit(job_pod("p", "Failed"), 3)});
  CHECK(fails.settle() == std::vector<std::string>{"PodFailurePolicy"});
  CHECK(conditions(fails.status()) == "FailureTarget/PodFailurePolicy Failed/PodFailurePolicy");
  CHECK(message_of(fails.status(), "Failed") ==
        "Container c for pod ns/p failed with exit code 3 matching FailJob rule at index 0");
  CHECK(fails.status()["failed"] == 1);

  JobRun ignores(job("Ignore"), {with_exit(job_pod("p", "Failed", -1, 60), 3)});
  ignores.settle();
  CHECK(conditions(ignores.status()).empty());
  CHECK_FALSE(ignores.status().contains("failed"));
  CHECK(ignores.status()["active"] == 1);
  JobRun counts(job("Count"), {with_exit(job_pod("p", "Failed"), 3)});
  CHECK(counts.settle() == std::vector<std::string>{"BackoffLimitExceeded"});
}

TEST_CASE("when a success policy is met") {
  struct Case {
    const char* rules;
    const char* succeeded;
    const char* met;
  };
  const std::vector<Case> cases = {
      {R"([{"succeededIndexes":"0,2-3"}])", "0-2", ""},
      {R"([{"succeededIndexes":"0,2-3"}])", "0,2-5", "Matched rules at index 0"},
      {R"([{"succeededIndexes":"0-9","succeededCount":2}])", "4,7", "Matched rules at index 0"},
      {R"([{"succeededIndexes":"0-3","succeededCount":2}])", "3,7", ""},
      {R"([{"succeededCount":3}])", "4,7", ""},
      {R"([{"succeededCount":3}])", "4,7,9", "Matched rules at index 0"},
      {R"([{"succeededIndexes":"8"},{"succeededCount":1}])", "4", "Matched rules at index 1"},
      {R"([{"succeededIndexes":"x"}])", "4", ""},
      {R"([{"succeededCount":1}])", "", ""},
      {"[]", "1", ""},
  };
  for (const Case& c : cases) {
    INFO(c.rules << " " << c.succeeded);
    CHECK(success_policy_met({{"successPolicy", {{"rules", json(c.rules)}}}}, 10,
                             Indexes::parse(c.succeeded, 10))
              .value_or("") == c.met);
  }
}

TEST_CASE("a success policy ends what still runs") {
  JobRun run(job_of(R"({"completionMode":"Indexed","completions":3,"parallelism":3,
      "successPolicy":{"rules":[{"succeededIndexes":"0"}]}})"),
             {job_pod("a", "Succeeded", 0), job_pod("b", "Running", 1), job_pod("c", "Failed", 2)});
  Plan p = run.plan();
  CHECK(removed(p, "pods") == std::vector<std::string>{"b"});
  CHECK(conditions(planned_status(p, "jobs")) == "SuccessCriteriaMet/SuccessPolicy");
  CHECK(run.settle() == std::vector<std::string>{"SuccessfulDelete", "Completed"});
  const Json status = run.status();
  CHECK(conditions(status) == "SuccessCriteriaMet/SuccessPolicy Complete/SuccessPolicy");
  CHECK(message_of(status, "Complete") == "Matched rules at index 0");
  CHECK(status["completedIndexes"] == "0");
  CHECK(status["failed"] == 1);  // the one that was stopped is no failure
}

}  // namespace
}  // namespace orch::testing
