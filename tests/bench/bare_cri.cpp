// A pod through the container runtime alone: sandbox (with its network), container created and started, as
// `crictl runp`, `create` and `start` do it. Prints one JSON line.
//
//   bench_bare_cri --endpoint unix:///run/containerd/containerd.sock --image NAME --command "sleep 600"
//
// --pods N (10), one after the other  --parent CGROUP of the sandboxes
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "client/load.h"

namespace {

using namespace orch;
using namespace orch::bench;

template <typename T>
T need(base::Result<T> result) {
  if (!result.ok()) die(result.error().message());
  return *result;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  auto runtime = agent::connect_runtime(options.text("--endpoint"));
  std::vector<uint32_t> micros;
  const size_t count = options.number("--pods", 10);
  for (size_t i = 0; i < count; ++i) {
    agent::SandboxConfig sandbox;
    sandbox.name = base::cat("bare-", getpid(), "-", i);
    sandbox.uid = sandbox.name;
    sandbox.ns = "bare";
    sandbox.hostname = sandbox.name;
    sandbox.log_directory = base::cat("/var/log/pods/", sandbox.name);
    sandbox.cgroup_parent = options.text("--parent");
    sandbox.seccomp_profile = "Unconfined";
    mkdir(sandbox.log_directory.c_str(), 0755);
    agent::ContainerConfig container;
    container.name = "c";
    container.image = options.text("--image");
    container.user_image = container.image;
    std::istringstream words(options.text("--command"));
    for (std::string word; words >> word;) container.command.push_back(word);
    container.log_path = "c.log";
    container.cpu_shares = 2;
    container.oom_score_adj = 1000;

    const auto begin = Clock::now();
    const std::string id = need(runtime->run_sandbox(sandbox));
    const std::string inside = need(runtime->create_container(id, container, sandbox));
    if (const auto status = runtime->start_container(inside); !status.ok()) die(status.message());
    micros.push_back(static_cast<uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count()));

    (void)runtime->stop_container(inside, 0);
    (void)runtime->stop_sandbox(id);
    (void)runtime->remove_sandbox(id);
    rmdir(sandbox.log_directory.c_str());
  }
  std::sort(micros.begin(), micros.end());
  std::printf("{\"bench\":\"bare_cri\",\"pods\":%zu,\"p50_ms\":%.1f,\"max_ms\":%.1f}\n", count,
              percentile_ms(micros, 0.5), percentile_ms(micros, 1));
  return 0;
}
