// Pods of every kind on a real runtime: see machine.h.
#include "tests/integration/node/machine.h"

namespace orch {
namespace {

using namespace node_test;

TEST_CASE("a pod runs, reports and is removed", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  const auto began = std::chrono::steady_clock::now();
  node.create("web", Json{{"containers",
                           Json::array({shell("main", "echo hello; trap 'exit 0' TERM; sleep 1000 & wait")})},
                          {"terminationGracePeriodSeconds", 5}});
  const bool runs = eventually([&] { return node.phase("web") == "Running"; });
  INFO(node.client.tree("pods", "default", "web").dump(1) << "\n" << dump_events(node.client));
  REQUIRE(runs);
  std::cerr << "pod start "
            << std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began).count()
            << " ms\n";
  CHECK(eventually([&] { return node.log("web", "main").find("hello") != std::string::npos; }));
  const Json status = node.status("web");
  CHECK(string_at(status, {"podIP"}).substr(0, 7) == "10.211.");
  node.remove("web", 5);
  CHECK(eventually([&] { return node.gone("web"); }));
  CHECK(eventually([&] { return node.kubelet->pods().empty(); }));
}

Json one(Json container, Json spec = Json::object()) {
  spec["containers"] = Json::array({std::move(container)});
  if (!spec.contains("terminationGracePeriodSeconds")) spec["terminationGracePeriodSeconds"] = 1;
  return spec;
}

const Json& container(const Json& status, size_t i = 0) {
  static const Json kNone = Json::object();
  const Json& list = base::array_at(status, {"containerStatuses"});
  return i < list.size() ? list[i] : kNone;
}

TEST_CASE("pods that end", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  node.create("good",
              one(shell("main", "echo bye > /dev/termination-log; exit 0"), {{"restartPolicy", "Never"}}));
  Json bad = shell("main", "echo failing loudly; exit 3");
  bad["terminationMessagePolicy"] = "FallbackToLogsOnError";
  node.create("bad", one(bad, {{"restartPolicy", "Never"}}));
  node.create("nosuch", one({{"name", "main"}, {"image", kImage}, {"command", {"/no/such/program"}}}));
  node.create("never", one({{"name", "main"}, {"image", "localhost/none:1"}, {"imagePullPolicy", "Never"}}));
  node.create("deadline", one(shell("main", "sleep 1000"), {{"activeDeadlineSeconds", 1}}));
  CHECK(eventually([&] { return node.phase("good") == "Succeeded"; }));
  CHECK(string_at(container(node.status("good")), {"state", "terminated", "message"}) == "bye\n");
  CHECK(string_at(container(node.status("good")), {"state", "terminated", "reason"}) == "Completed");
  CHECK(eventually([&] { return node.phase("bad") == "Failed"; }));
  CHECK(base::int_at(container(node.status("bad")), {"state", "terminated", "exitCode"}) == 3);
  CHECK(string_at(container(node.status("bad")), {"state", "terminated", "message"}) == "failing loudly\n");
  CHECK(eventually([&] {
    return string_at(container(node.status("nosuch")), {"state", "waiting", "reason"}) ==
               "RunContainerError" ||
           string_at(container(node.status("nosuch")), {"state", "waiting", "reason"}) == "CrashLoopBackOff";
  }));
  CHECK(eventually([&] {
    return string_at(container(node.status("never")), {"state", "waiting", "reason"}) == "ErrImageNeverPull";
  }));
  CHECK(eventually([&] { return node.phase("deadline") == "Failed"; }));
  CHECK(string_at(node.status("deadline"), {"reason"}) == "DeadlineExceeded");
  // Finished pods keep their logs until they are deleted.
  CHECK(node.log("bad", "main").find("failing loudly") != std::string::npos);
  for (const char* name : {"good", "bad", "nosuch", "never", "deadline"}) node.remove(name);
  CHECK(eventually([&] { return node.kubelet->pods().empty(); }));
  INFO(dump_events(node.client));
  CHECK(base::list_dir(node.config.root_dir + "/pods")->empty());
  CHECK(base::list_dir(node.config.log_dir)->empty());
}

TEST_CASE("a container that crashes waits longer each time", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  node.create("crash", one(shell("main", "echo run; exit 1")));
  CHECK(eventually([&] {
    return string_at(container(node.status("crash")), {"state", "waiting", "reason"}) == "CrashLoopBackOff";
  }));
  const Json c = container(node.status("crash"));
  CHECK(base::int_at(c, {"restartCount"}) == 1);
  CHECK(base::int_at(c, {"lastState", "terminated", "exitCode"}) == 1);
  CHECK(node.phase("crash") == "Running");
  CHECK(node.kubelet->find_container("default", "crash", "main", true).ok());
  node.remove("crash");
  CHECK(eventually([&] { return node.gone("crash"); }));
  CHECK(dump_events(node.client)
            .find("BackOff: Back-off restarting failed container main in pod crash_default(") !=
        std::string::npos);
}

TEST_CASE("init containers, sidecars and the order of their ends", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  const Json share = Json::array({{{"name", "share"}, {"mountPath", "/share"}}});
  const auto sharing = [&](Json c) {
    c["volumeMounts"] = share;
    return c;
  };
  Json side = sharing(shell("side",
                            "echo side >> /share/log; trap 'echo side-end >> /share/log; exit 0' TERM; "
                            "while :; do sleep 0.05; done"));
  side["restartPolicy"] = "Always";
  Json spec = one(
      sharing(shell("main",
                    "echo main >> /share/log; cat /share/log; "
                    "trap 'echo main-end >> /share/log; exit 0' TERM; while :; do sleep 0.05; done")),
      {{"terminationGracePeriodSeconds", 10},
       {"volumes",
        Json::array({{{"name", "share"},
                      {"hostPath", {{"path", machine->root + "/share"}, {"type", "DirectoryOrCreate"}}}}})},
       {"initContainers", Json::array({sharing(shell("first", "echo first >> /share/log")), side,
                                       sharing(shell("second", "sleep 0.2; echo second >> /share/log"))})}});
  node.create("init", spec);
  CHECK(eventually([&] {
    return node.phase("init") == "Running" && base::bool_at(container(node.status("init")), {"ready"});
  }));
  CHECK(eventually([&] { return node.log("init", "main").find("main") != std::string::npos; }));
  CHECK(*base::read_file(machine->root + "/share/log") == "first\nside\nsecond\nmain\n");
  node.remove("init", 10);
  CHECK(eventually([&] { return node.gone("init"); }));
  CHECK(*base::read_file(machine->root + "/share/log") == "first\nside\nsecond\nmain\nmain-end\nside-end\n");
}

TEST_CASE("volumes, variables and identity inside a container", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  const auto make = [&](const char* plural, const char* kind, const char* name, Json data) {
    REQUIRE(node.client
                .create({"", "v1", plural}, "default",
                        Json{{"kind", kind},
                             {"apiVersion", "v1"},
                             {"metadata", {{"name", name}}},
                             {"data", std::move(data)}})
                .ok());
  };
  make("configmaps", "ConfigMap", "cm", {{"key", "one"}});
  make("secrets", "Secret", "sec", {{"pw", "aHVzaA=="}});
  Json c = shell(
      "main",
      "id; cat /cm/key; echo; cat /proj/pw; echo; cat /proj/token; echo; cat /proj/labels; echo; env; "
      "cat /etc/resolv.conf; cat /etc/hosts; hostname; stat -c %a /sub; touch /ro 2>&1; df /mem | tail -1; "
      "while :; do sleep 0.05; done");
  c["env"] = Json::array({{{"name", "NODE"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "spec.nodeName"}}}}}},
                          {{"name", "IP"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "status.podIP"}}}}}}});
  c["envFrom"] = Json::array({{{"configMapRef", {{"name", "cm"}}}}});
  c["securityContext"] = {{"runAsUser", 1234}, {"runAsGroup", 5678}, {"readOnlyRootFilesystem", true}};
  c["volumeMounts"] =
      Json::array({{{"name", "cm"}, {"mountPath", "/cm"}},
                   {{"name", "proj"}, {"mountPath", "/proj"}},
                   {{"name", "scratch"}, {"mountPath", "/sub"}, {"subPathExpr", "dir-$(NODE)"}},
                   {{"name", "mem"}, {"mountPath", "/mem"}}});
  Json projected{
      {"sources",
       Json::array({{{"secret", {{"name", "sec"}}}},
                    {{"serviceAccountToken", {{"path", "token"}}}},
                    {{"downwardAPI",
                      {{"items", Json::array({{{"path", "labels"},
                                               {"fieldRef", {{"fieldPath", "metadata.labels"}}}}})}}}}})}};
  node.create(
      "vols",
      one(c, {{"serviceAccountName", "sa"},
              {"hostname", "inside"},
              {"subdomain", "sub"},
              {"securityContext", {{"fsGroup", 4321}}},
              {"volumes", Json::array({{{"name", "cm"}, {"configMap", {{"name", "cm"}}}},
                                       {{"name", "proj"}, {"projected", projected}},
                                       {{"name", "scratch"}, {"emptyDir", Json::object()}},
                                       {{"name", "mem"},
                                        {"emptyDir", {{"medium", "Memory"}, {"sizeLimit", "2Mi"}}}}})}}));
  const bool runs = eventually([&] { return node.log("vols", "main").find("tmpfs") != std::string::npos; });
  const std::string log = node.log("vols", "main");
  INFO(node.client.tree("pods", "default", "vols").dump(1) << log << dump_events(node.client));
  REQUIRE(runs);
  for (const char* expected :
       {"uid=1234 gid=5678 groups=4321", "F one\n", "F hush\n", "F token-of-sa\n", "app=\"vols\"",
        "NODE=node-1", "key=one", "IP=10.211.0.", "KUBERNETES_SERVICE_HOST=10.43.0.1",
        "nameserver 10.43.0.10", "search default.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5", "inside.sub.default.svc.cluster.local\tinside", "Read-only file system",
        " 2048 "}) {
    INFO(expected);
    CHECK(log.find(expected) != std::string::npos);
  }
  // A change reaches the files without a restart.
  Json changed{{"data", {{"key", "two"}}}};
  REQUIRE(node.client.patch(kConfigMaps, "default", "cm", client::PatchType::kMerge, changed, "").ok());
  const std::string uid(string_at(node.client.tree("pods", "default", "vols"), {"metadata", "uid"}));
  const std::string file = node.config.root_dir + "/pods/" + uid + "/volumes/kubernetes.io~configmap/cm/key";
  CHECK(eventually([&] {
    const auto text = base::read_file(file);
    return text.ok() && *text == "two";
  }));
  node.remove("vols");
  CHECK(eventually([&] { return node.gone("vols") && node.kubelet->pods().empty(); }));
  CHECK_FALSE(base::file_exists(node.config.root_dir + "/pods/" + uid));
}

TEST_CASE("probes decide on readiness and restarts", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  Json c = shell("main",
                 "touch /tmp/live; mkdir -p /www; echo ok > /www/index.html; "
                 "(sleep 1; httpd -p 8080 -h /www) & trap 'exit 0' TERM; while :; do sleep 0.05; done");
  c["livenessProbe"] = {
      {"exec", {{"command", {"cat", "/tmp/live"}}}}, {"periodSeconds", 1}, {"failureThreshold", 1}};
  c["readinessProbe"] = {{"httpGet", {{"port", 8080}, {"path", "/index.html"}}}, {"periodSeconds", 1}};
  node.create("probed", one(c));
  CHECK(eventually([&] { return node.phase("probed") == "Running"; }));
  CHECK_FALSE(base::bool_at(container(node.status("probed")), {"ready"}));
  CHECK(eventually([&] { return base::bool_at(container(node.status("probed")), {"ready"}); }));
  const std::string before(string_at(container(node.status("probed")), {"containerID"}));
  const auto where = node.kubelet->find_container("default", "probed", "main", false);
  REQUIRE(where.ok());
  REQUIRE(node.runtime->exec_sync(where->id, {"rm", "/tmp/live"}, std::chrono::seconds(5)).ok());
  CHECK(eventually([&] { return base::int_at(container(node.status("probed")), {"restartCount"}) == 1; }));
  CHECK(eventually([&] { return base::bool_at(container(node.status("probed")), {"ready"}); }));
  CHECK(string_at(container(node.status("probed")), {"containerID"}) != before);
  INFO(dump_events(node.client));
  CHECK(dump_events(node.client).find("Killing: Container main failed liveness probe, will be restarted") !=
        std::string::npos);
  CHECK(dump_events(node.client).find("Unhealthy: Readiness probe failed: Get \"http://10.211.0.") !=
        std::string::npos);
  node.remove("probed");
  CHECK(eventually([&] { return node.gone("probed"); }));
}

TEST_CASE("a restart of the node agent leaves containers as they are", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  Json c = shell("main", "echo up; while :; do sleep 0.05; done");
  c["readinessProbe"] = {{"exec", {{"command", {"true"}}}}, {"periodSeconds", 30}};
  node.create("kept", one(c));
  node.create("ends", one(shell("main", "while [ ! -e /stop ]; do sleep 0.05; done; exit 5")));
  CHECK(eventually([&] { return base::bool_at(container(node.status("kept")), {"ready"}); }));
  CHECK(eventually([&] { return node.phase("ends") == "Running"; }));
  const std::string id(string_at(container(node.status("kept")), {"containerID"}));
  const std::string started(string_at(container(node.status("kept")), {"state", "running", "startedAt"}));
  const auto ends = node.kubelet->find_container("default", "ends", "main", false);
  REQUIRE(ends.ok());
  node.stop();
  // While nobody looks: one container ends, one pod is deleted.
  {
    const auto runtime = agent::connect_runtime(machine->containerd->endpoint());
    REQUIRE(runtime->exec_sync(ends->id, {"touch", "/stop"}, std::chrono::seconds(5)).ok());
  }
  node.start();
  CHECK(eventually([&] { return base::int_at(container(node.status("ends")), {"restartCount"}) == 1; }));
  CHECK(base::int_at(container(node.status("ends")), {"lastState", "terminated", "exitCode"}) == 5);
  CHECK(string_at(container(node.status("kept")), {"containerID"}) == id);
  CHECK(string_at(container(node.status("kept")), {"state", "running", "startedAt"}) == started);
  CHECK(base::int_at(container(node.status("kept")), {"restartCount"}) == 0);
  CHECK(base::bool_at(container(node.status("kept")), {"ready"}));
  // An object that vanished meanwhile takes its pod with it.
  node.stop();
  node.remove("kept", 0);
  node.start();
  CHECK(eventually([&] {
    const auto sandboxes = node.runtime->list_sandboxes();
    return sandboxes.ok() && sandboxes->size() == 1;
  }));
  node.remove("ends");
  CHECK(eventually([&] { return node.gone("ends") && node.kubelet->pods().empty(); }));
}

TEST_CASE("pods run again without the server", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  REQUIRE(node.client
              .create(kConfigMaps, "default",
                      Json{{"kind", "ConfigMap"},
                           {"apiVersion", "v1"},
                           {"metadata", {{"name", "cm"}}},
                           {"data", {{"k", "v"}}}})
              .ok());
  Json c = shell("main", "cat /cm/k /tok/token; while :; do sleep 0.05; done");
  c["volumeMounts"] =
      Json::array({{{"name", "cm"}, {"mountPath", "/cm"}}, {{"name", "tok"}, {"mountPath", "/tok"}}});
  node.create(
      "lonely",
      one(c, {{"volumes",
               Json::array(
                   {{{"name", "cm"}, {"configMap", {{"name", "cm"}}}},
                    {{"name", "tok"},
                     {"projected",
                      {{"sources", Json::array({{{"serviceAccountToken", {{"path", "token"}}}}})}}}}})}}));
  CHECK(eventually([&] { return node.phase("lonely") == "Running"; }));
  node.stop();
  node.client.set_away(true);
  const auto runtime = agent::connect_runtime(machine->containerd->endpoint());
  const auto sandboxes = runtime->list_sandboxes();
  REQUIRE(sandboxes.ok());
  for (const auto& s : *sandboxes) REQUIRE(runtime->stop_sandbox(s.id).ok());
  const std::string uid(string_at(node.client.tree("pods", "default", "lonely"), {"metadata", "uid"}));
  (void)base::run_process({"sh", "-c", "umount " + node.config.root_dir + "/pods/" + uid + "/volumes/*/*"});
  node.start();
  const bool again = eventually([&] {
    const auto containers = node.runtime->list_containers();
    if (!containers.ok()) return false;
    return std::any_of(containers->begin(), containers->end(), [](const auto& one_of) {
      return one_of.state == agent::ContainerState::kRunning && one_of.attempt == 1;
    });
  });
  CHECK(again);
  node.client.set_away(false);
  CHECK(eventually([&] { return base::int_at(container(node.status("lonely")), {"restartCount"}) == 1; },
                   std::chrono::seconds(40)));
  node.remove("lonely");
  CHECK(eventually([&] { return node.gone("lonely") && node.kubelet->pods().empty(); }));
}

TEST_CASE("a sandbox that dies is made again, hooks run, memory is limited", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  Json c = shell("main", "while :; do sleep 0.05; done");
  c["volumeMounts"] = Json::array({{{"name", "h"}, {"mountPath", "/h"}}});
  c["lifecycle"] = {{"postStart", {{"exec", {{"command", {"sh", "-c", "echo started >> /h/hooks"}}}}}},
                    {"preStop", {{"exec", {{"command", {"sh", "-c", "echo stopping >> /h/hooks"}}}}}}};
  node.create("hooked",
              one(c, {{"volumes",
                       Json::array({{{"name", "h"},
                                     {"hostPath",
                                      {{"path", machine->root + "/h"}, {"type", "DirectoryOrCreate"}}}}})}}));
  Json hungry = shell("main", "head -c 200000000 /dev/zero | tail");
  hungry["resources"] = {{"limits", {{"memory", "20Mi"}}}};
  node.create("hungry", one(hungry, {{"restartPolicy", "Never"}}));
  CHECK(eventually([&] { return node.phase("hooked") == "Running"; }));
  CHECK(eventually([&] { return node.phase("hungry") == "Failed"; }));
  INFO(node.status("hungry").dump(1));
  CHECK(string_at(container(node.status("hungry")), {"state", "terminated", "reason"}) == "OOMKilled");
  const auto sandbox = node.kubelet->find_sandbox("default", "hooked");
  REQUIRE(sandbox.ok());
  REQUIRE(node.runtime->stop_sandbox(*sandbox).ok());
  CHECK(eventually([&] {
    const auto now = node.kubelet->find_sandbox("default", "hooked");
    return now.ok() && *now != *sandbox && node.phase("hooked") == "Running" &&
           base::int_at(container(node.status("hooked")), {"restartCount"}) >= 1 &&
           base::bool_at(container(node.status("hooked")), {"ready"});
  }));
  node.remove("hooked", 3);
  node.remove("hungry");
  CHECK(eventually([&] { return node.gone("hooked") && node.gone("hungry"); }));
  const auto hooks = base::read_file(machine->root + "/h/hooks");
  REQUIRE(hooks.ok());
  CHECK(*hooks == "started\nstarted\nstopping\n");
}

}  // namespace
}  // namespace orch
