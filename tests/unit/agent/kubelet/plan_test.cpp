#include "agent/kubelet/plan.h"

#include <functional>

#include "base/json.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

using std::chrono::seconds;

const base::WallTime kNow{seconds(1'800'000'000)};

int64_t ns(base::WallTime t) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
}

Json container(const std::string& name, const std::string& image = "img") {
  return Json{{"name", name}, {"image", image}};
}
Json sidecar(const std::string& name) {
  Json c = container(name);
  c["restartPolicy"] = "Always";
  return c;
}

/// A pod and what the runtime has of it, built step by step.
struct Scene {
  Json tree{{"metadata", {{"name", "p"}, {"namespace", "n"}, {"uid", "u"}}},
            {"spec", {{"containers", Json::array({container("a"), container("b")})}}}};
  PodRuntime runtime;
  PodFacts facts;
  int64_t clock = ns(kNow) - 1'000'000'000'000;

  Scene() { facts.now = kNow; }
  Scene& policy(const char* p) {
    tree["spec"]["restartPolicy"] = p;
    return *this;
  }
  Scene& init(Json c) {
    tree["spec"]["initContainers"].push_back(std::move(c));
    return *this;
  }
  Scene& only(const char* name) {
    tree["spec"]["containers"] = Json::array({container(name)});
    return *this;
  }
  Scene& sandbox(bool ready = true, uint32_t attempt = 0) {
    SandboxStatus s;
    s.id = "s" + std::to_string(attempt);
    s.attempt = attempt;
    s.ready = ready;
    s.ips = {"10.0.0.1"};
    s.created_at_ns = clock += 1'000'000'000;
    runtime.sandboxes.push_back(s);
    runtime.sort();
    return *this;
  }
  ContainerStatus& add(const std::string& name, ContainerState state, int code = 0, uint32_t attempt = 0) {
    ContainerStatus c;
    c.name = name;
    c.id = name + "-" + std::to_string(attempt);
    c.sandbox_id = runtime.sandboxes.empty() ? "s0" : runtime.sandboxes.front().id;
    c.state = state;
    c.exit_code = code;
    c.attempt = attempt;
    c.created_at_ns = clock += 1'000'000'000;
    c.started_at_ns = clock;
    c.finished_at_ns = state == ContainerState::kExited ? clock + 1'000'000'000 : 0;
    const ContainerRef spec = Pod(tree).find_container(name);
    c.annotations[label::kHash] = spec.spec != nullptr ? container_hash(*spec.spec) : "";
    c.annotations[label::kRestartCount] = std::to_string(attempt);
    runtime.containers.push_back(c);
    runtime.sort();
    for (ContainerStatus& in : runtime.containers) {
      if (in.id == c.id) return in;
    }
    return runtime.containers.front();
  }
  Scene& running(const std::string& name, uint32_t attempt = 0) {
    add(name, ContainerState::kRunning, 0, attempt);
    return *this;
  }
  Scene& exited(const std::string& name, int code, uint32_t attempt = 0) {
    add(name, ContainerState::kExited, code, attempt);
    return *this;
  }
  PodPlan plan() const { return agent::plan(Pod(tree), runtime, facts); }
};

/// A plan as one line: what a table can compare.
std::string text(const PodPlan& p) {
  std::string out;
  for (const KillContainer& k : p.kill) out += "kill " + k.id + (k.restart ? "+restart" : "") + "; ";
  for (const std::string& s : p.stop_sandboxes) out += "stop " + s + "; ";
  if (p.create_sandbox) out += "sandbox " + std::to_string(p.sandbox_attempt) + "; ";
  for (const StartContainer& s : p.start) {
    out += base::cat("start ", s.container.name(), " ", s.attempt, "; ");
  }
  for (const auto& [name, why] : p.backing_off) out += "wait " + name + "; ";
  for (const ResizeContainer& r : p.resize)
    out += base::cat("resize ", r.id, " to ", r.to.cpu_request, "/", r.to.memory_limit, "; ");
  if (p.finished) out += "finished; ";
  if (!out.empty()) out.resize(out.size() - 2);
  return out;
}

struct Row {
  const char* what;
  std::function<void(Scene&)> build;
  const char* expected;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    Scene scene;
    row.build(scene);
    INFO(row.what);
    CHECK(text(scene.plan()) == row.expected);
  }
}

TEST_CASE("plan: sandboxes") {
  check({
      {"a new pod", [](Scene&) {}, "sandbox 0; start a 0; start b 0"},
      {"init containers come first", [](Scene& s) { s.init(container("i")); }, "sandbox 0; start i 0"},
      {"all is well", [](Scene& s) { s.sandbox().running("a").running("b"); }, ""},
      {"sandbox died: what runs ends first", [](Scene& s) { s.sandbox(false).running("a").exited("b", 1); },
       "kill a-0"},
      {"sandbox died, nothing runs", [](Scene& s) { s.sandbox(false).exited("a", 1).exited("b", 1); },
       "stop s0; sandbox 1; start a 1; start b 1"},
      {"sandbox died, never restarted",
       [](Scene& s) { s.policy("Never").sandbox(false).exited("a", 1).exited("b", 0); }, "stop s0"},
      {"the same after the sandbox was stopped",
       [](Scene& s) {
         s.policy("Never").sandbox(false).exited("a", 1).exited("b", 0);
         s.facts.stopped_sandboxes = {"s0"};
       },
       "finished"},
      {"never, but no container was ever made", [](Scene& s) { s.policy("Never").sandbox(false); },
       "stop s0; sandbox 1; start a 0; start b 0"},
      {"on failure: those that succeeded stay",
       [](Scene& s) { s.policy("OnFailure").sandbox(false).exited("a", 0).exited("b", 1); },
       "stop s0; sandbox 1; start b 1"},
      {"on failure: all succeeded",
       [](Scene& s) { s.policy("OnFailure").sandbox(false).exited("a", 0).exited("b", 0); }, "stop s0"},
      {"two ready sandboxes", [](Scene& s) { s.sandbox(true, 0).sandbox(true, 1); },
       "stop s1; stop s0; sandbox 2; start a 0; start b 0"},
      {"without an address", [](Scene& s) { s.sandbox().runtime.sandboxes[0].ips.clear(); },
       "stop s0; sandbox 1; start a 0; start b 0"},
      {"without an address on the host's network",
       [](Scene& s) {
         s.sandbox().runtime.sandboxes[0].ips.clear();
         s.tree["spec"]["hostNetwork"] = true;
       },
       "start a 0; start b 0"},
  });
}

TEST_CASE("plan: regular containers") {
  check({
      {"one is missing", [](Scene& s) { s.sandbox().running("a"); }, "start b 0"},
      {"always: an ended one starts again", [](Scene& s) { s.sandbox().running("a").exited("b", 0); },
       "start b 1"},
      {"on failure: not after success",
       [](Scene& s) { s.policy("OnFailure").sandbox().running("a").exited("b", 0); }, ""},
      {"on failure: after an error",
       [](Scene& s) { s.policy("OnFailure").sandbox().running("a").exited("b", 2); }, "start b 1"},
      {"never", [](Scene& s) { s.policy("Never").sandbox().running("a").exited("b", 2); }, ""},
      {"never, all ended", [](Scene& s) { s.policy("Never").sandbox().exited("a", 0).exited("b", 2); },
       "stop s0"},
      {"created but never started",
       [](Scene& s) { s.policy("Never").sandbox().running("a").add("b", ContainerState::kCreated); },
       "start b 1"},
      {"its image changed",
       [](Scene& s) {
         s.sandbox().running("a").running("b");
         s.tree["spec"]["containers"][1]["image"] = "other";
       },
       "kill b-0+restart"},
      {"liveness failed",
       [](Scene& s) {
         s.sandbox().running("a").running("b");
         s.facts.liveness["b-0"] = Health::kFailure;
       },
       "kill b-0+restart"},
      {"liveness failed, never restarted",
       [](Scene& s) {
         s.policy("Never").sandbox().running("a").running("b");
         s.facts.liveness["b-0"] = Health::kFailure;
       },
       "kill b-0"},
      {"startup failed",
       [](Scene& s) {
         s.sandbox().running("a").running("b");
         s.facts.startup["a-0"] = Health::kFailure;
       },
       "kill a-0+restart"},
      {"a stop is under way: not again",
       [](Scene& s) {
         s.sandbox().running("a").running("b");
         s.facts.liveness["b-0"] = Health::kFailure;
         s.facts.stopping["b-0"] = 30;
       },
       ""},
      {"killed to restart, though it must not by its exit code",
       [](Scene& s) {
         s.policy("OnFailure").sandbox().running("a").exited("b", 0);
         s.facts.must_restart = {"b"};
       },
       "start b 1"},
      {"a rule restarts on this code",
       [](Scene& s) {
         s.policy("Never").sandbox().running("a").exited("b", 42);
         s.tree["spec"]["containers"][1]["restartPolicy"] = "Never";
         s.tree["spec"]["containers"][1]["restartPolicyRules"] =
             Json::array({{{"action", "Restart"}, {"exitCodes", {{"operator", "In"}, {"values", {42}}}}}});
       },
       "start b 1"},
      {"ephemeral containers start once",
       [](Scene& s) {
         s.sandbox().running("a").running("b");
         s.tree["spec"]["ephemeralContainers"] = Json::array({container("debug"), container("done")});
         s.exited("done", 1);
       },
       "start debug 0"},
  });
}

TEST_CASE("plan: init containers and sidecars") {
  check({
      {"the first runs", [](Scene& s) { s.init(container("i")).init(container("j")).sandbox().running("i"); },
       ""},
      {"the next after it succeeded",
       [](Scene& s) { s.init(container("i")).init(container("j")).sandbox().exited("i", 0); }, "start j 0"},
      {"the last succeeded", [](Scene& s) { s.init(container("i")).sandbox().exited("i", 0); },
       "start a 0; start b 0"},
      {"only the last is still known",
       [](Scene& s) { s.init(container("i")).init(container("j")).sandbox().exited("j", 0); },
       "start a 0; start b 0"},
      {"it failed and runs again", [](Scene& s) { s.init(container("i")).sandbox().exited("i", 1); },
       "start i 1"},
      {"it failed for good",
       [](Scene& s) { s.policy("Never").init(container("i")).sandbox().exited("i", 1); }, "stop s0"},
      {"one of an earlier sandbox does not count",
       [](Scene& s) { s.init(container("i")).sandbox(false, 0).exited("i", 0).sandbox(true, 1); },
       "start i 1"},
      {"a running sidecar lets the next start",
       [](Scene& s) { s.init(sidecar("i")).init(container("j")).sandbox().running("i"); }, "start j 0"},
      {"a sidecar with a startup probe does not before it",
       [](Scene& s) {
         Json c = sidecar("i");
         c["startupProbe"] = Json::object();
         s.init(c).init(container("j")).sandbox().running("i");
       },
       ""},
      {"and does after it",
       [](Scene& s) {
         Json c = sidecar("i");
         c["startupProbe"] = Json::object();
         s.init(c).init(container("j")).sandbox().running("i");
         s.facts.startup["i-0"] = Health::kSuccess;
       },
       "start j 0"},
      {"an ended sidecar starts again beside the containers",
       [](Scene& s) { s.init(sidecar("i")).sandbox().exited("i", 0).running("a").running("b"); },
       "start i 1"},
      {"a sidecar's liveness",
       [](Scene& s) {
         s.init(sidecar("i")).sandbox().running("i").running("a").running("b");
         s.facts.liveness["i-0"] = Health::kFailure;
       },
       "kill i-0+restart"},
      {"sidecars end after the last container",
       [](Scene& s) {
         s.policy("Never").init(sidecar("i")).sandbox().running("i").exited("a", 0).exited("b", 0);
       },
       "kill i-0"},
      {"and stay ended",
       [](Scene& s) {
         s.policy("Never").init(sidecar("i")).sandbox().exited("i", 137).exited("a", 0).exited("b", 0);
       },
       "stop s0"},
  });
}

TEST_CASE("plan: ending") {
  const auto ending = [](auto build) {
    return [build](Scene& s) {
      s.facts.terminate = true;
      build(s);
    };
  };
  check({
      {"nothing there", ending([](Scene&) {}), "finished"},
      {"all at once", ending([](Scene& s) { s.sandbox().running("a").running("b"); }), "kill b-0; kill a-0"},
      {"not twice", ending([](Scene& s) {
         s.sandbox().running("a").running("b");
         s.facts.stopping = {{"a-0", 30}, {"b-0", 30}};
       }),
       ""},
      {"again when the grace became shorter", ending([](Scene& s) {
         s.sandbox().running("a").running("b");
         s.facts.stopping = {{"a-0", 30}, {"b-0", 30}};
         s.tree["metadata"]["deletionGracePeriodSeconds"] = 0;
       }),
       "kill b-0; kill a-0"},
      {"sidecars wait", ending([](Scene& s) { s.init(sidecar("i")).sandbox().running("i").running("a"); }),
       "kill a-0"},
      {"sidecars last to first", ending([](Scene& s) {
         s.init(sidecar("i")).init(sidecar("j")).sandbox().running("i").running("j").exited("a", 0);
       }),
       "kill j-0"},
      {"then the sandbox", ending([](Scene& s) { s.sandbox().exited("a", 0).exited("b", 0); }), "stop s0"},
      {"nothing is started", ending([](Scene& s) { s.sandbox().exited("a", 1); }), "stop s0"},
  });
}

TEST_CASE("plan: back-off between restarts") {
  Scene s;
  s.only("a").sandbox();
  ContainerStatus& c = s.add("a", ContainerState::kExited, 1, 3);
  const auto ended = kNow - seconds(4);
  c.finished_at_ns = ns(ended);
  CHECK(text(s.plan()) == "start a 4");  // the first failure that is seen

  s.facts.backoff["a"] = {seconds(10), kNow - seconds(60)};
  const PodPlan waiting = s.plan();
  CHECK(text(waiting) == "wait a");
  CHECK(waiting.backing_off.at("a").reason == "CrashLoopBackOff");
  CHECK(waiting.backing_off.at("a").message == "back-off 10s restarting failed container=a pod=p_n(u)");
  REQUIRE(waiting.wake);
  CHECK(*waiting.wake >= kNow + seconds(6));
  CHECK(*waiting.wake < kNow + seconds(7));

  s.facts.now = *waiting.wake;
  CHECK(text(s.plan()) == "start a 4");
  CHECK(next_backoff({seconds(10), kNow}, kNow + seconds(20)).delay == seconds(20));
  CHECK(next_backoff({seconds(200), kNow}, kNow + seconds(20)).delay == seconds(300));
  CHECK(next_backoff({seconds(300), kNow}, kNow + seconds(601)).delay == seconds(10));
  CHECK(backoff_left({seconds(300), kNow}, kNow + seconds(601), kNow + seconds(601)).count() == 0);
  // A clock that was set back must not hold a container for years.
  CHECK(backoff_left({seconds(10), kNow}, kNow + seconds(5), kNow - seconds(1'000'000)).count() == 0);
}

TEST_CASE("plan: resources that differ from what containers run with") {
  const auto asks = [](Scene& s, Json policy = Json::array()) {
    Json& a = s.tree["spec"]["containers"][0];
    a["resources"] = {{"requests", {{"cpu", "20m"}}}, {"limits", {{"memory", "100"}}}};
    if (!policy.empty()) a["resizePolicy"] = std::move(policy);
  };
  const Json restart_memory =
      Json::array({{{"resourceName", "cpu"}, {"restartPolicy", "NotRequired"}},
                   {{"resourceName", "memory"}, {"restartPolicy", "RestartContainer"}}});
  check({
      {"as it should be",
       [&](Scene& s) {
         asks(s.sandbox().running("a").running("b"));
         s.facts.actuated["a-0"] = {20, 0, 0, 100};
       },
       ""},
      {"nobody knows", [&](Scene& s) { asks(s.sandbox().running("a").running("b")); }, ""},
      {"in place",
       [&](Scene& s) {
         asks(s.sandbox().running("a").running("b"));
         s.facts.actuated["a-0"] = {10, 0, 0, 100};
       },
       "resize a-0 to 20/100"},
      {"another resource asks for a restart",
       [&](Scene& s) {
         asks(s.sandbox().running("a").running("b"), restart_memory);
         s.facts.actuated["a-0"] = {10, 0, 0, 100};
       },
       "resize a-0 to 20/100"},
      {"by a restart",
       [&](Scene& s) {
         asks(s.sandbox().running("a").running("b"), restart_memory);
         s.facts.actuated["a-0"] = {20, 0, 0, 50};
       },
       "kill a-0+restart"},
      {"not while it is being stopped",
       [&](Scene& s) {
         asks(s.sandbox().running("a").running("b"), restart_memory);
         s.facts.actuated["a-0"] = {20, 0, 0, 50};
         s.facts.stopping["a-0"] = 30;
       },
       ""},
      {"a failed probe comes first",
       [&](Scene& s) {
         asks(s.sandbox().running("a").running("b"));
         s.facts.actuated["a-0"] = {10, 0, 0, 100};
         s.facts.liveness["a-0"] = Health::kFailure;
       },
       "kill a-0+restart"},
  });
}

}  // namespace
}  // namespace orch::agent
