// Resizing pods on a real runtime, and making room for critical ones.
#include "tests/integration/node/machine.h"

namespace orch {
namespace {

using namespace node_test;

Json resources(const char* cpu, const char* cpu_limit, const char* memory) {
  return {{"requests", {{"cpu", cpu}, {"memory", memory}}},
          {"limits", {{"cpu", cpu_limit}, {"memory", memory}}}};
}

/// What a file of the container's cgroup says, asked from inside.
std::string inside(Node& node, const std::string& pod, const std::string& v1, const std::string& v2) {
  const auto where = node.kubelet->find_container("default", pod, "main", false);
  if (!where.ok()) return where.error().message();
  const bool unified = base::file_exists("/sys/fs/cgroup/cgroup.controllers");
  const auto ran = node.runtime->exec_sync(where->id, {"cat", "/sys/fs/cgroup/" + (unified ? v2 : v1)},
                                           std::chrono::seconds(10));
  if (!ran.ok()) return ran.error().message();
  return ran->out.substr(0, ran->out.find('\n'));
}

std::string memory_limit(Node& node, const std::string& pod) {
  return inside(node, pod, "memory/memory.limit_in_bytes", "memory.max");
}

void ask(Node& node, const std::string& pod, const Json& wanted) {
  Json tree = node.client.tree("pods", "default", pod);
  tree["spec"]["containers"][0]["resources"] = wanted;
  tree["metadata"]["generation"] = base::int_at(tree, {"metadata", "generation"}) + 1;
  REQUIRE(node.client.update(kPods, "default", tree, "").ok());
}

Json shown(Node& node, const std::string& pod) {
  const Json status = node.status(pod);
  const Json& list = base::array_at(status, {"containerStatuses"});
  return list.empty() ? Json() : list[0].value("resources", Json());
}

std::string condition(Node& node, const std::string& pod, const char* type) {
  const Json status = node.status(pod);
  for (const Json& c : base::array_at(status, {"conditions"})) {
    if (string_at(c, {"type"}) == type)
      return base::cat(string_at(c, {"reason"}), "|", string_at(c, {"message"}));
  }
  return "none";
}

TEST_CASE("a pod is resized in place", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  Json main = shell("main", "sleep 1000");
  main["resources"] = resources("20m", "200m", "40Mi");
  node.create("grow", {{"containers", Json::array({main})}, {"terminationGracePeriodSeconds", 1}});
  REQUIRE(eventually([&] { return node.phase("grow") == "Running"; }));
  CHECK(memory_limit(node, "grow") == "41943040");
  const Json before = node.status("grow")["containerStatuses"][0];

  const Json wanted = resources("30m", "300m", "60Mi");
  ask(node, "grow", wanted);
  CHECK(eventually([&] { return shown(node, "grow") == wanted; }));
  CHECK(eventually([&] { return condition(node, "grow", "PodResizeInProgress") == "none"; }));
  CHECK(memory_limit(node, "grow") == "62914560");
  CHECK(inside(node, "grow", "cpu/cpu.cfs_quota_us", "cpu.max").starts_with("30000"));
  const Json after = node.status("grow")["containerStatuses"][0];
  CHECK(after["containerID"] == before["containerID"]);
  CHECK(after["restartCount"] == 0);
  CHECK(after["allocatedResources"] == wanted["requests"]);

  // Another kubelet knows what was given, and goes on from there.
  node.stop();
  const Json smaller = resources("30m", "300m", "50Mi");
  ask(node, "grow", smaller);
  node.start();
  CHECK(eventually([&] { return shown(node, "grow") == smaller; }));
  CHECK(memory_limit(node, "grow") == "52428800");

  // Less than it uses is refused by the node, again and again, until something else is asked for.
  ask(node, "grow", resources("30m", "300m", "16Ki"));
  CHECK(eventually([&] { return condition(node, "grow", "PodResizeInProgress").starts_with("Error|"); }));
  CHECK(condition(node, "grow", "PodResizeInProgress").find("below current usage") != std::string::npos);
  CHECK(shown(node, "grow") == smaller);
  ask(node, "grow", smaller);
  CHECK(eventually([&] { return condition(node, "grow", "PodResizeInProgress") == "none"; }));

  // More than the machine has.
  ask(node, "grow", resources("10000", "10000", "50Mi"));
  CHECK(eventually([&] { return condition(node, "grow", "PodResizePending").starts_with("Infeasible|"); }));
  CHECK(shown(node, "grow") == smaller);
  ask(node, "grow", smaller);
  CHECK(eventually([&] { return condition(node, "grow", "PodResizePending") == "none"; }));
  node.remove("grow");
  CHECK(eventually([&] { return node.gone("grow"); }));
  CHECK(eventually([&] { return node.kubelet->pods().empty(); }));
  INFO(dump_events(node.client));
  CHECK(
      dump_events(node.client).find("grow ResizeStarted: Pod resize started: {\"containers\":[{\"name\":") !=
      std::string::npos);
  CHECK(dump_events(node.client).find("grow ResizeCompleted") != std::string::npos);
  CHECK(eventually([&] {
    const auto left = base::list_dir(node.config.root_dir + "/state/allocations");
    return !left.ok() || left->empty();
  }));
}

TEST_CASE("a resize restarts where its policy says so", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  Json main = shell("main", "sleep 1000");
  main["resources"] = resources("20m", "200m", "40Mi");
  main["resizePolicy"] = Json::array({{{"resourceName", "cpu"}, {"restartPolicy", "NotRequired"}},
                                      {{"resourceName", "memory"}, {"restartPolicy", "RestartContainer"}}});
  node.create("again", {{"containers", Json::array({main})}, {"terminationGracePeriodSeconds", 1}});
  REQUIRE(eventually([&] { return node.phase("again") == "Running"; }));
  const Json wanted = resources("20m", "200m", "60Mi");
  ask(node, "again", wanted);
  CHECK(eventually(
      [&] { return shown(node, "again") == wanted && memory_limit(node, "again") == "62914560"; }));
  CHECK(eventually([&] { return condition(node, "again", "PodResizeInProgress") == "none"; }));
  CHECK(node.status("again")["containerStatuses"][0]["restartCount"] == 1);
  CHECK(dump_events(node.client).find("again Killing: Container main resize requires restart") !=
        std::string::npos);
  node.remove("again");
  CHECK(eventually([&] { return node.gone("again"); }));
  CHECK(eventually([&] { return node.kubelet->pods().empty(); }));
}

TEST_CASE("a critical pod finds room", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.config.max_pods = 2;
  node.start();
  REQUIRE(eventually([&] { return node.kubelet->pods().empty(); }));
  const auto pod = [](int64_t priority) {
    return Json{{"containers", Json::array({shell("main", "sleep 1000")})},
                {"priority", priority},
                {"terminationGracePeriodSeconds", 1}};
  };
  node.create("first", pod(0));
  // As important as the one to come: it stays.
  node.create("second", pod(2000001000));
  REQUIRE(eventually([&] { return node.phase("first") == "Running" && node.phase("second") == "Running"; }));
  node.create("ordinary", pod(100));
  CHECK(eventually([&] { return string_at(node.status("ordinary"), {"reason"}) == "OutOfpods"; }));
  node.create("critical", pod(2000001000));
  CHECK(eventually([&] { return node.phase("critical") == "Running"; }));
  CHECK(node.phase("first") == "Failed");
  CHECK(node.phase("second") == "Running");
  CHECK(string_at(node.status("first"), {"reason"}) == "Preempting");
  CHECK(condition(node, "first", "DisruptionTarget") ==
        "TerminationByKubelet|Pod was preempted by Kubelet to accommodate a critical pod.");
  CHECK(dump_events(node.client).find("first Preempting: Preempted in order to admit critical pod") !=
        std::string::npos);
  for (const char* name : {"first", "second", "ordinary", "critical"}) node.remove(name);
  CHECK(eventually([&] { return node.kubelet->pods().empty(); }));
}

TEST_CASE("a pod deleted without grace holds no room while its containers end", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.config.max_pods = 1;
  node.start();
  REQUIRE(eventually([&] { return node.kubelet->pods().empty(); }));
  const Json deaf{{"containers", Json::array({shell("main", "trap '' TERM; while :; do sleep 1; done")})},
                  {"terminationGracePeriodSeconds", 5}};
  node.create("victim", deaf);
  REQUIRE(eventually([&] { return node.phase("victim") == "Running"; }));
  node.remove("victim", 0);
  REQUIRE(node.gone("victim"));
  node.create("successor", {{"containers", Json::array({shell("main", "sleep 1000")})},
                            {"terminationGracePeriodSeconds", 1}});
  CHECK(eventually([&] { return !node.phase("successor").empty() && node.phase("successor") != "Pending"; }));
  CHECK(node.phase("successor") == "Running");
  node.remove("successor", 0);
  CHECK(eventually([&] { return node.kubelet->pods().empty(); }));
}

}  // namespace
}  // namespace orch
