// What a Deployment says of its rollout, and its deadline.
#include "tests/unit/server/controllers/deployment_fixture.h"

namespace orch::testing {
namespace {

TEST_CASE("conditions of a deployment") {
  MapView view;
  Json d = deployment_of(2, "new");
  const auto progressing = [&](base::WallTime now = kNow) {
    Plan p = plan(view, now);
    Json status = planned_status(p, "deployments");
    return status.is_null()
               ? std::string("(as it was)")
               : std::string(base::string_at(condition({{"status", status}}, "Progressing"), {"reason"}));
  };
  SECTION("on the way, then too late") {
    view.put(kDeployments, d);
    view.put(kReplicaSets, set_of("new", "new", 2, 0, 1, 10, 2, 3));
    Plan p = plan(view);
    view.apply(p);
    Json status = planned_status(p, "deployments");
    CHECK(condition({{"status", status}}, "Progressing")["reason"] == "ReplicaSetUpdated");
    CHECK(condition({{"status", status}}, "Available")["status"] == "False");
    CHECK(status["unavailableReplicas"] == 2);
    CHECK(p.requeue == std::chrono::seconds(601));
    CHECK(progressing(kNow + std::chrono::seconds(600)) == "(as it was)");
    Plan late = plan(view, kNow + std::chrono::seconds(601));
    Json c = condition({{"status", planned_status(late, "deployments")}}, "Progressing");
    CHECK(c["reason"] == "ProgressDeadlineExceeded");
    CHECK(c["status"] == "False");
    CHECK(c["message"] == "ReplicaSet \"new\" has timed out progressing.");
  }
  SECTION("done") {
    view.put(kDeployments, d);
    view.put(kReplicaSets, set_of("new", "new", 2, 2, 1, 10, 2, 3));
    Plan p = plan(view);
    Json status = planned_status(p, "deployments");
    CHECK(status["replicas"] == 2);
    CHECK(status["updatedReplicas"] == 2);
    CHECK(status["readyReplicas"] == 2);
    CHECK(status["availableReplicas"] == 2);
    CHECK(status["observedGeneration"] == 1);
    CHECK_FALSE(status.contains("unavailableReplicas"));
    CHECK(condition({{"status", status}}, "Available")["status"] == "True");
    Json c = condition({{"status", status}}, "Progressing");
    CHECK(c["reason"] == "NewReplicaSetAvailable");
    CHECK(c["message"] == "ReplicaSet \"new\" has successfully progressed.");
    view.apply(p);
    // A pod that is lost later is no rollout, and never times out.
    view.put(kReplicaSets, set_of("new", "new", 2, 1, 1, 10, 2, 3));
    p = plan(view, kNow + std::chrono::hours(3));
    CHECK(condition({{"status", planned_status(p, "deployments")}}, "Progressing")["reason"] ==
          "NewReplicaSetAvailable");
  }
  SECTION("without a deadline there is no such condition") {
    d["spec"]["progressDeadlineSeconds"] = 2147483647;
    view.put(kDeployments, d);
    view.put(kReplicaSets, set_of("new", "new", 2, 0, 1, 10, 2, 3));
    CHECK(progressing().empty());
  }
}

/// Reason of condition Progressing that the plan writes, or "(as it was)".
std::string progressing(const Plan& p) {
  const Json status = planned_status(p, "deployments");
  if (status.is_null()) return "(as it was)";
  return std::string(base::string_at(condition({{"status", status}}, "Progressing"), {"reason"}));
}

TEST_CASE("what is told of a rollout's beginning") {
  MapView view;
  Json d = deployment_of(3);
  view.put(kDeployments, d);
  Plan p = plan(view);
  const auto made = writes(p, Verb::kCreate, "replicasets");
  REQUIRE(made.size() == 1);
  const std::string name(base::string_at(*made[0].body, {"metadata", "name"}));
  Json c = condition({{"status", planned_status(p, "deployments")}}, "Progressing");
  CHECK(c["reason"] == "NewReplicaSetCreated");
  CHECK(c["message"] == base::cat("Created new replica set \"", name, "\""));

  // A deployment that takes over a set that is there already.
  MapView other;
  other.put(kDeployments, d);
  other.put(kReplicaSets, set_of("found", "i", 3, 0, 1, 10, 3, 4));
  Json set = other.get(kReplicaSets, "ns", "found")->tree();
  set["status"] = {{"replicas", 0}, {"observedGeneration", 1}};
  other.put(kReplicaSets, set);
  CHECK(progressing(plan(other)) == "FoundNewReplicaSet");
}

TEST_CASE("the deadline counts from the last progress") {
  MapView view;
  view.put(kDeployments, deployment_of(3, "new"));
  base::WallTime now = kNow;
  // One pod becomes ready each 400 seconds, of 600 allowed.
  for (int available = 0; available < 3; ++available) {
    INFO(available);
    view.put(kReplicaSets, set_of("new", "new", 3, available, 1, 10, 3, 4));
    Plan p = plan(view, now);
    CHECK(progressing(p) == "ReplicaSetUpdated");
    CHECK(condition({{"status", planned_status(p, "deployments")}}, "Progressing")["lastUpdateTime"] ==
          base::format_time(now));
    view.apply(p);
    now += std::chrono::seconds(400);
    CHECK(progressing(plan(view, now)) == "(as it was)");
  }
  Plan late = plan(view, now + std::chrono::seconds(202));
  CHECK(progressing(late) == "ProgressDeadlineExceeded");
  view.apply(late);
  // Late is not never.
  view.put(kReplicaSets, set_of("new", "new", 3, 3, 1, 10, 3, 4));
  CHECK(progressing(plan(view, now + std::chrono::hours(1))) == "NewReplicaSetAvailable");
}

TEST_CASE("pausing stops the clock, resuming starts it anew") {
  MapView view;
  Json d = deployment_of(2, "new");
  view.put(kDeployments, d);
  view.put(kReplicaSets, set_of("new", "new", 2, 1, 1, 10, 2, 3));
  view.apply(plan(view));
  auto pause = [&](bool paused) {
    Json next = view.get(kDeployments, "ns", "d")->tree();
    next["spec"]["paused"] = paused;
    view.put(kDeployments, next);
  };
  pause(true);
  Plan p = plan(view, kNow + std::chrono::seconds(100));
  CHECK(progressing(p) == "DeploymentPaused");
  view.apply(p);
  CHECK(progressing(plan(view, kNow + std::chrono::hours(5))) == "(as it was)");
  pause(false);
  const base::WallTime resumed = kNow + std::chrono::hours(5);
  p = plan(view, resumed);
  CHECK(progressing(p) == "DeploymentResumed");
  view.apply(p);
  CHECK(progressing(plan(view, resumed + std::chrono::seconds(600))) == "(as it was)");
  CHECK(progressing(plan(view, resumed + std::chrono::seconds(601))) == "ProgressDeadlineExceeded");
}

TEST_CASE("scaling is no progress and no lack of it") {
  MapView view;
  view.put(kDeployments, deployment_of(2, "new"));
  view.put(kReplicaSets, set_of("new", "new", 2, 2, 1, 10, 2, 3));
  view.apply(plan(view));
  Json d = view.get(kDeployments, "ns", "d")->tree();
  d["spec"]["replicas"] = 5;
  view.put(kDeployments, d);
  Plan p = plan(view, kNow + std::chrono::hours(1));
  CHECK(scales(p) == "new=5");
  CHECK(progressing(p) == "NewReplicaSetAvailable");
}

TEST_CASE("a set that cannot be made, and one that cannot make pods") {
  MapView view;
  view.put(kDeployments, deployment_of(2));
  Plan p = plan(view);
  REQUIRE(p.otherwise);
  const server::Write& made = p.writes[0];
  const std::string name(base::string_at(*made.body, {"metadata", "name"}));
  const std::string message = base::cat("Failed to create new replica set \"", name, "\": exceeded quota");
  Plan told = p.otherwise(made, base::Status(base::Code::kForbidden, "exceeded quota"));
  CHECK(noted(told, "ReplicaSetCreateError", message));
  Json c = condition({{"status", planned_status(told, "deployments")}}, "Progressing");
  CHECK(c["status"] == "False");
  CHECK(c["reason"] == "ReplicaSetCreateError");
  CHECK(c["message"] == message);

  Json set = set_of("new", "i", 2, 0, 1, 10, 2, 3);
  set["status"]["conditions"] = json(
      R"([{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"no room",
           "lastTransitionTime":"2026-01-01T00:00:00Z"}])");
  view.put(kReplicaSets, set);
  p = plan(view);
  c = condition({{"status", planned_status(p, "deployments")}}, "ReplicaFailure");
  CHECK(c["reason"] == "FailedCreate");
  CHECK(c["message"] == "no room");
  view.apply(p);
  set["status"].erase("conditions");
  view.put(kReplicaSets, set);
  CHECK(condition({{"status", planned_status(plan(view), "deployments")}}, "ReplicaFailure").is_null());
}

}  // namespace
}  // namespace orch::testing
