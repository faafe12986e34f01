#include "agent/api/stats.h"

#include "agent/kubelet/cgroups.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

TEST_CASE("figures of a container carry the time the runtime counted them") {
  UsageReport r;
  r.now = base::WallTime(std::chrono::seconds(1000));
  ContainerStats c;
  c.container_id = "id";
  c.cpu_usage_core_ns = 1'500'000'000;
  c.memory_working_set = 42;
  c.timestamp_ns = 999'500'000'000;
  r.containers = {c};
  r.names["id"] = {"ns", "p", "c"};
  const std::string text = resource_metrics(r);
  const auto has = [&text](const char* line) { return text.find(line) != std::string::npos; };
  CHECK(has(
      "container_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.500000000 999500\n"));
  CHECK(has("container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 42 999500\n"));
  CHECK(has("node_cpu_usage_seconds_total 0.000000000 1000000\n"));
}

TEST_CASE("memory in use is what is not free") {
  CHECK(memory_in_use("MemTotal:        1000 kB\nMemFree:          400 kB\nMemAvailable:    700 kB\n") ==
        600 * 1024);
  CHECK(memory_in_use("") == 0);
}

}  // namespace
}  // namespace orch::agent
