// A real containerd in network and mount namespaces of its own, and a kubelet over a FakeClient. Needs root,
// containerd, runc and the CNI plugins, and the image archives of scripts/images.sh (ORCH_TEST_IMAGES names
// their folder, default build/images; ORCH_TEST_DATA one for data, default build); tests say so and pass
// where they are missing.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "agent/kubelet/containerd.h"
#include "agent/kubelet/kubelet.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "tests/catch.h"
#include "tests/unit/agent/kubelet/fake_client.h"

namespace orch {
namespace node_test {

using agent::Containerd;
using agent::ContainerdOptions;
using agent::Kubelet;
using agent::KubeletConfig;
using base::string_at;
using std::chrono::milliseconds;
using testing::FakeClient;

const client::ResourceRef kPods{"", "v1", "pods"};
const client::ResourceRef kConfigMaps{"", "v1", "configmaps"};
constexpr const char* kImage = "docker.io/library/busybox:1.36";

/// Waits for something that an event should bring about.
template <typename Condition>
bool eventually(const Condition& condition, std::chrono::seconds limit = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return condition();
}

inline std::string images_folder() {
  const char* folder = std::getenv("ORCH_TEST_IMAGES");
  return folder != nullptr ? folder : "build/images";
}

/// A containerd of its own in its own namespaces, once for the process.
class Machine {
 public:
  static Machine* get() {
    static std::unique_ptr<Machine> once = make();
    return once.get();
  }
  ~Machine() {
    stop_everything();
    containerd.reset();
    (void)base::remove_all(options.run_dir);
    (void)base::run_process({"sh", "-c", "umount -R " + root + "/*/* 2>/dev/null"});
    (void)base::remove_all(root);
  }

  ContainerdOptions options;
  std::unique_ptr<Containerd> containerd;
  std::string root;

  void stop_everything() const {
    const auto runtime = agent::connect_runtime(containerd->endpoint());
    if (const auto sandboxes = runtime->list_sandboxes(); sandboxes.ok()) {
      for (const auto& s : *sandboxes) {
        (void)runtime->stop_sandbox(s.id);
        (void)runtime->remove_sandbox(s.id);
      }
    }
    containerd->stop_daemon();
  }

 private:
  static std::unique_ptr<Machine> make() {
    const std::string images = images_folder();
    if (::geteuid() != 0 || ::access("/usr/lib/cni/bridge", X_OK) != 0 ||
        !base::file_exists(images + "/busybox.tar")) {
      return nullptr;
    }
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return nullptr;
    ::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr);
    ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr);
    ::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr);
    (void)base::run_process({"ip", "link", "set", "lo", "up"});
    auto machine = std::make_unique<Machine>();
    std::array<char, 4096> here{};
    if (::getcwd(here.data(), here.size()) == nullptr) return nullptr;
    const char* base_folder = std::getenv("ORCH_TEST_DATA");
    machine->root =
        base::cat(base_folder != nullptr ? std::string(base_folder) : std::string(here.data()) + "/build",
                  "/kubelet-test-", ::getpid());
    ContainerdOptions& o = machine->options;
    o.data_dir = machine->root + "/agent";
    o.run_dir = agent::default_run_dir(o.data_dir);
    o.cni_conf_dir = machine->root + "/cni";
    o.sandbox_image = "registry.k8s.io/pause:3.10.1";
    o.restrict_oom_score = agent::lacks_sys_resource();
    (void)base::make_dirs(o.cni_conf_dir, 0755);
    (void)base::write_file_atomic(
        o.cni_conf_dir + "/10-test.conflist",
        base::cat(R"({"cniVersion":"0.4.0","name":"test","plugins":[{"type":"bridge","bridge":"orchtest0",)",
                  R"("isGateway":true,"ipMasq":false,"ipam":{"type":"host-local","dataDir":")", machine->root,
                  R"(/ipam","ranges":[[{"subnet":"10.211.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},)",
                  R"({"type":"portmap","capabilities":{"portMappings":true}}]})"),
        0644);
    auto started = Containerd::start(o);
    if (!started.ok()) {
      std::cerr << started.error().message() << "\n";
      return nullptr;
    }
    machine->containerd = std::move(*started);
    const auto runtime = agent::connect_runtime(machine->containerd->endpoint());
    machine->containerd->import_images(images, *runtime);
    return machine;
  }
};

// Whoever is root has what is needed (scripts/test.sh installs it), so that missing it is a failure there.
#define NEEDS_MACHINE()                                    \
  Machine* machine = Machine::get();                       \
  if (machine == nullptr) {                                \
    if (::geteuid() == 0) FAIL("no containerd or images"); \
    WARN("not root: not tested");                          \
    return;                                                \
  }

/// A kubelet over a FakeClient.
struct Node {
  explicit Node(Machine& m, const std::string& name = "node-1") : machine(m) {
    config.node_name = name;
    config.root_dir = m.root + "/kubelet";
    config.log_dir = m.root + "/logs";
    config.container_log_dir = m.root + "/container-logs";
    config.cluster_dns = {"10.43.0.10"};
    config.node_ips = {"10.211.0.1"};
    config.cgroup_root = "/orch-test";
    (void)client.create(
        {"", "v1", "services"}, "default",
        Json{{"kind", "Service"},
             {"apiVersion", "v1"},
             {"metadata", {{"name", "kubernetes"}}},
             {"spec",
              {{"clusterIP", "10.43.0.1"}, {"ports", Json::array({{{"name", "https"}, {"port", 443}}})}}}});
  }
  ~Node() { stop(); }
  void start() {
    runtime = agent::connect_runtime(machine.containerd->endpoint());
    informers = std::make_unique<client::InformerFactory>(client, *timers);
    kubelet = std::make_unique<Kubelet>(
        config, agent::KubeletDeps{client, *informers, *runtime, clock, *timers, metrics});
    const base::Status started = kubelet->start();
    INFO(started.message());
    REQUIRE(started.ok());
  }
  void stop() {
    kubelet.reset();
    runtime.reset();
    informers.reset();
  }
  Json status(const std::string& name) {
    return base::object_at(client.tree("pods", "default", name), {"status"});
  }
  std::string phase(const std::string& name) { return std::string(string_at(status(name), {"phase"})); }
  bool gone(const std::string& name) { return client.tree("pods", "default", name).is_null(); }
  void remove(const std::string& name, int64_t grace = 1) {
    client::DeleteOptions options;
    options.grace_seconds = grace;
    (void)client.remove(kPods, "default", name, options);
  }
  void create(const std::string& name, const Json& spec) {
    Json pod{{"kind", "Pod"},
             {"apiVersion", "v1"},
             {"metadata",
              {{"name", name},
               {"generation", 1},
               {"uid", "0000-" + name + "-" + std::to_string(::getpid())},
               {"labels", {{"app", name}}}}},
             {"spec", spec}};
    pod["spec"]["nodeName"] = config.node_name;
    REQUIRE(client.create(kPods, "default", pod).ok());
  }
  std::string log(const std::string& pod, const std::string& container) {
    const auto where = kubelet->find_container("default", pod, container, false);
    if (!where.ok()) return {};
    const auto text = base::read_file(where->log_path);
    return text.ok() ? *text : std::string();
  }

  Machine& machine;
  KubeletConfig config;
  FakeClient client;
  base::SystemClock clock;
  base::Metrics metrics;
  std::unique_ptr<base::Timers> timers = base::make_timers();
  std::unique_ptr<agent::Runtime> runtime;
  std::unique_ptr<client::InformerFactory> informers;
  std::unique_ptr<Kubelet> kubelet;
};

inline Json shell(const std::string& name, const std::string& script) {
  return Json{{"name", name},
              {"image", kImage},
              {"command", {"sh", "-c", script}},
              {"imagePullPolicy", "IfNotPresent"}};
}

inline std::string dump_events(FakeClient& client) {
  std::string out;
  for (const Json& e : client.all("events")) {
    out += base::cat(string_at(e, {"involvedObject", "name"}), " ", string_at(e, {"reason"}), ": ",
                     string_at(e, {"message"}), "\n");
  }
  return out;
}

}  // namespace node_test
}  // namespace orch
