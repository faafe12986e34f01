#include "agent/kubelet/pod_status.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

using base::find_path;
using base::string_at;
using std::chrono::seconds;

const base::WallTime kNow{seconds(1'800'000'000)};
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kNowNs = 1'800'000'000 * kSecond;

Json make_pod(Json spec) {
  if (!spec.contains("containers")) {
    spec["containers"] = Json::array({{{"name", "a"}, {"image", "img:1"}}});
  }
  return Json{{"metadata", {{"name", "p"}, {"namespace", "n"}, {"uid", "u"}, {"generation", 2}}},
              {"spec", std::move(spec)},
              {"status", {{"phase", "Pending"}}}};
}

ContainerStatus container(const std::string& name, ContainerState state, int code = 0, int restarts = 0) {
  ContainerStatus c;
  c.id = name + std::to_string(restarts);
  c.name = name;
  c.sandbox_id = "s";
  c.state = state;
  c.exit_code = code;
  c.image = "img:1";
  c.image_ref = "img@sha256:1";
  c.created_at_ns = kNowNs - 100 * kSecond + restarts * kSecond;
  c.started_at_ns = c.created_at_ns + kSecond;
  if (state == ContainerState::kExited) c.finished_at_ns = c.started_at_ns + kSecond;
  c.annotations[label::kRestartCount] = std::to_string(restarts);
  return c;
}

PodRuntime runtime_of(std::vector<ContainerStatus> containers, bool ready = true) {
  PodRuntime r;
  SandboxStatus s;
  s.id = "s";
  s.ready = ready;
  s.ips = {"10.0.0.9"};
  r.sandboxes = {s};
  r.containers = std::move(containers);
  r.sort();
  return r;
}

StatusInput input() {
  StatusInput in;
  in.now = kNow;
  in.host_ips = {"192.0.2.1"};
  return in;
}

std::string condition(const Json& status, const char* type) {
  for (const Json& c : base::array_at(status, {"conditions"})) {
    if (string_at(c, {"type"}) == type) {
      return base::cat(string_at(c, {"status"}), " ", string_at(c, {"reason"}), " ",
                       string_at(c, {"message"}));
    }
  }
  return "none";
}

TEST_CASE("pod status: before anything runs") {
  const Json tree = make_pod(Json::object());
  const Json s = pod_status(Pod(tree), PodRuntime(), Json::object(), input());
  CHECK(s["phase"] == "Pending");
  CHECK(s["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating");
  CHECK(s["containerStatuses"][0]["imageID"] == "");
  CHECK(s["containerStatuses"][0]["ready"] == false);
  CHECK(s["containerStatuses"][0]["started"] == false);
  CHECK(s["startTime"] == "2027-01-15T08:00:00Z");
  CHECK(s["hostIP"] == "192.0.2.1");
  CHECK(s["qosClass"] == "BestEffort");
  CHECK(s["observedGeneration"] == 2);
  CHECK_FALSE(s.contains("podIP"));
  CHECK(condition(s, "PodReadyToStartContainers") == "False  ");
  CHECK(condition(s, "Initialized") == "True  ");
  CHECK(condition(s, "Ready") == "False ContainersNotReady containers with unready status: [a]");
  CHECK(condition(s, "PodScheduled") == "True  ");
}

TEST_CASE("pod status: running") {
  const Json tree = make_pod(Json::object());
  const PodRuntime r = runtime_of({container("a", ContainerState::kRunning)});
  const Json s = pod_status(Pod(tree), r, Json::object(), input());
  CHECK(s["phase"] == "Running");
  CHECK(s["podIP"] == "10.0.0.9");
  CHECK(s["podIPs"] == Json::array({{{"ip", "10.0.0.9"}}}));
  const Json& c = s["containerStatuses"][0];
  CHECK(c["containerID"] == "containerd://a0");
  CHECK(c["imageID"] == "img@sha256:1");
  CHECK(c["ready"] == true);
  CHECK(c["started"] == true);
  CHECK(c["state"]["running"]["startedAt"] == "2027-01-15T07:58:21Z");
  CHECK(condition(s, "Ready") == "True  ");
  CHECK(condition(s, "ContainersReady") == "True  ");
}

TEST_CASE("pod status: phases") {
  struct Row {
    const char* what;
    const char* policy;
    std::vector<ContainerStatus> containers;
    bool finished;
    const char* phase;
  };
  const auto run = ContainerState::kRunning;
  const auto end = ContainerState::kExited;
  const std::vector<Row> rows{
      {"both run", "Always", {container("a", run), container("b", run)}, false, "Running"},
      {"one is missing", "Always", {container("a", run)}, false, "Pending"},
      {"one ended and comes back", "Always", {container("a", run), container("b", end, 1)}, false, "Running"},
      {"all ended and come back",
       "Always",
       {container("a", end, 0), container("b", end, 1)},
       false,
       "Running"},
      {"all succeeded", "OnFailure", {container("a", end, 0), container("b", end, 0)}, false, "Succeeded"},
      {"one failed and comes back",
       "OnFailure",
       {container("a", end, 0), container("b", end, 1)},
       false,
       "Running"},
      {"one failed for good", "Never", {container("a", end, 0), container("b", end, 1)}, false, "Failed"},
      {"one still runs", "Never", {container("a", run), container("b", end, 1)}, false, "Running"},
      {"ended by the node after success",
       "Always",
       {container("a", end, 0), container("b", end, 0)},
       true,
       "Succeeded"},
      {"ended by the node", "Always", {container("a", end, 0), container("b", end, 143)}, true, "Failed"},
  };
  for (const Row& row : rows) {
    Json tree = make_pod(
        {{"restartPolicy", row.policy}, {"containers", Json::array({{{"name", "a"}}, {{"name", "b"}}})}});
    StatusInput in = input();
    in.finished = row.finished;
    INFO(row.what);
    CHECK(pod_status(Pod(tree), runtime_of(row.containers), Json::object(), in)["phase"] == row.phase);
  }
}

TEST_CASE("pod status: init containers") {
  const Json tree = make_pod(
      {{"initContainers", Json::array({{{"name", "i"}}, {{"name", "side"}, {"restartPolicy", "Always"}}})}});
  Json s =
      pod_status(Pod(tree), runtime_of({container("i", ContainerState::kRunning)}), Json::object(), input());
  CHECK(s["phase"] == "Pending");
  CHECK(s["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing");
  CHECK(condition(s, "Initialized") ==
        "False ContainersNotInitialized containers with incomplete status: [i side]");

  s = pod_status(
      Pod(tree),
      runtime_of({container("i", ContainerState::kExited), container("side", ContainerState::kRunning)}),
      Json::object(), input());
  CHECK(s["initContainerStatuses"][0]["ready"] == true);
  CHECK(s["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed");
  CHECK(s["initContainerStatuses"][1]["started"] == true);
  CHECK(condition(s, "Initialized") == "True  ");

  Json never = tree;
  never["spec"]["restartPolicy"] = "Never";
  s = pod_status(Pod(never), runtime_of({container("i", ContainerState::kExited, 1)}), Json::object(),
                 input());
  CHECK(s["phase"] == "Failed");
  s = pod_status(Pod(tree), runtime_of({container("i", ContainerState::kExited, 1)}), Json::object(),
                 input());
  CHECK(s["phase"] == "Pending");
}

TEST_CASE("pod status: crash loop, last state, messages") {
  const Json tree = make_pod(Json::object());
  StatusInput in = input();
  in.waiting["a"] = {"CrashLoopBackOff", "back-off 10s restarting failed container=a pod=p_n(u)"};
  in.termination_messages["a1"] = "it broke";
  const PodRuntime r = runtime_of(
      {container("a", ContainerState::kExited, 3, 0), container("a", ContainerState::kExited, 7, 1)});
  Json s = pod_status(Pod(tree), r, Json::object(), in);
  const Json& c = s["containerStatuses"][0];
  CHECK(c["restartCount"] == 1);
  CHECK(c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
  CHECK(c["lastState"]["terminated"]["exitCode"] == 7);
  CHECK(c["lastState"]["terminated"]["message"] == "it broke");
  CHECK(c["lastState"]["terminated"]["reason"] == "Error");
  CHECK(s["phase"] == "Running");

  in.waiting.clear();
  s = pod_status(Pod(tree), r, Json::object(), in);
  CHECK(s["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7);
  CHECK(s["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3);
}

TEST_CASE("pod status: readiness and startup") {
  const Json tree = make_pod({{"containers", Json::array({{{"name", "a"},
                                                           {"readinessProbe", Json::object()},
                                                           {"startupProbe", Json::object()}}})}});
  const PodRuntime r = runtime_of({container("a", ContainerState::kRunning)});
  StatusInput in = input();
  const auto flags = [&] {
    const Json s = pod_status(Pod(tree), r, Json::object(), in);
    return base::cat(s["containerStatuses"][0]["started"].get<bool>() ? "started " : "",
                     s["containerStatuses"][0]["ready"].get<bool>() ? "ready" : "");
  };
  CHECK(flags() == "");
  in.startup["a0"] = Health::kSuccess;
  CHECK(flags() == "started ");
  in.readiness["a0"] = Health::kSuccess;
  CHECK(flags() == "started ready");
  in.readiness["a0"] = Health::kFailure;
  CHECK(flags() == "started ");
}

TEST_CASE("pod status: what is lost, and what never changes") {
  const Json tree = make_pod(Json::object());
  Json previous{{"phase", "Running"},
                {"startTime", "2026-01-01T00:00:00Z"},
                {"containerStatuses", Json::array({{{"name", "a"},
                                                    {"restartCount", 2},
                                                    {"state", {{"running", {{"startedAt", "x"}}}}},
                                                    {"lastState", Json::object()}}})}};
  Json s = pod_status(Pod(tree), PodRuntime(), previous, input());
  CHECK(s["startTime"] == "2026-01-01T00:00:00Z");
  CHECK(s["containerStatuses"][0]["restartCount"] == 3);
  CHECK(s["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown");
  CHECK(s["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137);

  StatusInput in = input();
  in.finished = true;
  in.end_reason = "DeadlineExceeded";
  in.end_message = "too long";
  s = pod_status(Pod(tree), runtime_of({container("a", ContainerState::kExited, 0)}), previous, in);
  CHECK(s["phase"] == "Failed");
  CHECK(s["reason"] == "DeadlineExceeded");
  CHECK(condition(s, "Ready") == "False PodFailed ");

  previous["phase"] = "Failed";
  previous["reason"] = "Evicted";
  s = pod_status(Pod(tree), runtime_of({container("a", ContainerState::kRunning)}), previous, input());
  CHECK(s["phase"] == "Failed");
  CHECK(s["reason"] == "Evicted");
}

TEST_CASE("pod status: transition times and conditions of others") {
  Json tree = make_pod({{"readinessGates", Json::array({{{"conditionType", "lb"}}})}});
  tree["status"]["conditions"] = Json::array({{{"type", "lb"}, {"status", "False"}}});
  const PodRuntime r = runtime_of({container("a", ContainerState::kRunning)});
  const Json first = pod_status(Pod(tree), r, Json::object(), input());
  CHECK(condition(first, "Ready") ==
        "False ReadinessGatesNotReady the status of pod readiness gate \"lb\" is not \"True\", but False");
  CHECK(condition(first, "lb") == "False  ");
  StatusInput later = input();
  later.now = kNow + seconds(60);
  const Json second = pod_status(Pod(tree), r, first, later);
  CHECK(second == first);
  CHECK(status_patch(first, second, "u").is_null());

  tree["status"]["conditions"][0]["status"] = "True";
  const Json third = pod_status(Pod(tree), r, second, later);
  const Json patch = status_patch(second, third, "u");
  CHECK(patch["metadata"]["uid"] == "u");
  REQUIRE(patch["status"]["conditions"].size() == 1);
  CHECK(patch["status"]["conditions"][0]["type"] == "Ready");
  CHECK(patch["status"]["conditions"][0]["lastTransitionTime"] == "2027-01-15T08:01:00Z");
  CHECK(patch["status"]["conditions"][0]["reason"].is_null());
  CHECK(patch["status"].size() == 1);
}

TEST_CASE("pod status: patch replaces lists of addresses") {
  const Json patch = status_patch(Json{{"podIPs", Json::array({{{"ip", "1.1.1.1"}}})}, {"message", "old"}},
                                  Json{{"podIPs", Json::array({{{"ip", "2.2.2.2"}}})}}, "u");
  CHECK(patch["status"]["podIPs"][0]["$patch"] == "replace");
  CHECK(patch["status"]["podIPs"][1]["ip"] == "2.2.2.2");
  CHECK(patch["status"]["message"].is_null());
}

TEST_CASE("pod status: a resize shows, and goes again") {
  Json tree = make_pod(Json::object());
  tree["spec"]["containers"][0]["resources"] = {{"requests", {{"cpu", "20m"}}}};
  StatusInput in = input();
  in.resize.set_in_progress({}, {}, 2, kNow);
  in.actuated["a0"] = {10, 0, 0, 0};
  const PodRuntime runtime = runtime_of({container("a", ContainerState::kRunning)});
  const Json during = pod_status(Pod(tree), runtime, Json::object(), in);
  CHECK(condition(during, "PodResizeInProgress") == "True  ");
  CHECK(during["containerStatuses"][0]["allocatedResources"] == Json{{"cpu", "20m"}});
  CHECK(during["containerStatuses"][0]["resources"] == Json{{"requests", {{"cpu", "10m"}}}});
  in.resize = {};
  in.actuated["a0"] = {20, 0, 0, 0};
  const Json after = pod_status(Pod(tree), runtime, during, in);
  CHECK(condition(after, "PodResizeInProgress") == "none");
  const Json patch = status_patch(during, after, "u");
  CHECK(patch["status"]["conditions"] ==
        Json::array({{{"$patch", "delete"}, {"type", "PodResizeInProgress"}}}));
  CHECK(patch["status"]["containerStatuses"][0]["resources"] == Json{{"requests", {{"cpu", "20m"}}}});
}

TEST_CASE("pod status: a pod that a node sent away says why") {
  const Json tree = make_pod(Json::object());
  StatusInput in = input();
  in.finished = true;
  in.end_reason = "Preempting";
  in.end_message = "Preempted in order to admit critical pod";
  in.disruption = "Pod was preempted by Kubelet to accommodate a critical pod.";
  const Json s = pod_status(Pod(tree), PodRuntime(), Json::object(), in);
  CHECK(s["phase"] == "Failed");
  CHECK(s["reason"] == "Preempting");
  CHECK(condition(s, "DisruptionTarget") ==
        "True TerminationByKubelet Pod was preempted by Kubelet to accommodate a critical pod.");
}

}  // namespace
}  // namespace orch::agent
