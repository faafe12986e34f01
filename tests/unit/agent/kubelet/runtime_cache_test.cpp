#include "agent/kubelet/runtime_cache.h"

#include "tests/catch.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;

Status none() { return {Code::kNotFound, "not here"}; }

/// Answers for one container and one sandbox; `meanwhile` runs between the answer's making and its arrival.
class OnePod final : public Runtime {
 public:
  ContainerStatus container;
  SandboxStatus sandbox;
  std::function<void()> meanwhile;

  Result<ContainerStatus> container_status(const std::string&) override { return late(container); }
  Result<SandboxStatus> sandbox_status(const std::string&) override { return late(sandbox); }
  Result<std::vector<SandboxStatus>> list_sandboxes() override { return std::vector<SandboxStatus>{sandbox}; }
  Result<std::vector<ContainerStatus>> list_containers() override {
    return std::vector<ContainerStatus>{container};
  }

  Result<RuntimeInfo> info() override { return none(); }
  Result<std::string> run_sandbox(const SandboxConfig&) override { return none(); }
  Status stop_sandbox(const std::string&) override { return none(); }
  Status remove_sandbox(const std::string&) override { return none(); }
  Result<std::string> create_container(const std::string&, const ContainerConfig&,
                                       const SandboxConfig&) override {
    return none();
  }
  Status start_container(const std::string&) override { return none(); }
  Status stop_container(const std::string&, int64_t) override { return none(); }
  Status remove_container(const std::string&) override { return none(); }
  Status update_resources(const std::string&, const ContainerConfig&) override { return none(); }
  Status reopen_log(const std::string&) override { return none(); }
  Result<ExecResult> exec_sync(const std::string&, const std::vector<std::string>&,
                               std::chrono::seconds) override {
    return none();
  }
  Result<std::string> exec_url(const std::string&, const std::vector<std::string>&,
                               const StreamRequest&) override {
    return none();
  }
  Result<std::string> attach_url(const std::string&, const StreamRequest&) override { return none(); }
  Result<std::string> port_forward_url(const std::string&, const std::vector<int32_t>&) override {
    return none();
  }
  Result<std::vector<ImageInfo>> list_images() override { return none(); }
  Result<ImageInfo> image_status(const std::string&) override { return none(); }
  Result<std::string> pull_image(const std::string&, const ImageAuth*) override { return none(); }
  Status remove_image(const std::string&) override { return none(); }
  Result<ImageFs> image_fs() override { return none(); }
  Result<std::vector<ContainerStats>> list_stats() override { return none(); }
  Status set_pod_cidr(const std::string&) override { return none(); }
  void watch_events(EventHandlers) override {}
  void cancel_calls() override {}

 private:
  template <typename T>
  Result<T> late(const T& value) {
    const T answer = value;
    if (const auto run = std::exchange(meanwhile, nullptr)) run();
    return answer;
  }
};

struct Scene {
  OnePod runtime;
  RuntimeCache cache{runtime};
  Scene() {
    runtime.sandbox.id = "s";
    runtime.sandbox.ready = true;
    runtime.sandbox.labels = {{label::kPodUid, "u"}};
    runtime.container.id = "c";
    runtime.container.name = "main";
    runtime.container.sandbox_id = "s";
    runtime.container.state = ContainerState::kCreated;
    runtime.container.labels = {{label::kPodUid, "u"}};
    cache.add_sandbox(runtime.sandbox);
    cache.add_container(runtime.container);
  }
  ContainerState state() const { return cache.pod("u").containers.at(0).state; }
};

TEST_CASE("a container's end is kept, though an older answer arrives after it") {
  Scene s;
  bool changed = false;
  s.runtime.container.state = ContainerState::kRunning;
  s.runtime.meanwhile = [&] {
    s.runtime.container.state = ContainerState::kExited;
    s.runtime.container.exit_code = 3;
    bool inner = false;
    CHECK(s.cache.refresh("c", &inner) == "u");
    CHECK(inner);
  };
  CHECK(s.cache.refresh("c", &changed) == "u");
  CHECK_FALSE(changed);
  CHECK(s.state() == ContainerState::kExited);
  CHECK(s.cache.pod("u").containers.at(0).exit_code == 3);
  CHECK(s.cache.ended("c"));
}

TEST_CASE("a sandbox's end is kept too") {
  Scene s;
  bool changed = false;
  s.runtime.meanwhile = [&] {
    s.runtime.sandbox.ready = false;
    bool inner = false;
    s.cache.refresh("s", &inner);
    CHECK(inner);
  };
  s.cache.refresh("s", &changed);
  CHECK_FALSE(changed);
  CHECK_FALSE(s.cache.pod("u").sandboxes.at(0).ready);
  CHECK(s.cache.ended("s"));
}

TEST_CASE("what goes on is told from what has ended") {
  Scene s;
  bool changed = false;
  CHECK_FALSE(s.cache.ended("c"));
  CHECK_FALSE(s.cache.ended("s"));
  s.runtime.container.state = ContainerState::kRunning;
  s.cache.refresh("c", &changed);
  CHECK(changed);
  CHECK(s.state() == ContainerState::kRunning);
  s.cache.refresh("c", &changed);
  CHECK_FALSE(changed);
  CHECK_FALSE(s.cache.ended("c"));
  CHECK(s.cache.ended("unknown"));
  s.cache.remove("c");
  CHECK(s.cache.ended("c"));
}

}  // namespace
}  // namespace orch::agent
