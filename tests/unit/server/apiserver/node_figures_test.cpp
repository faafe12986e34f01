#include "server/apiserver/node_figures.h"

#include <atomic>
#include <mutex>

#include "tests/catch.h"

namespace orch::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const base::WallTime kNow{seconds(1'800'000'000)};

std::string text_at(base::WallTime t, double node_cpu, double pod_cpu, const std::string& more = {}) {
  const auto ms = std::chrono::duration_cast<milliseconds>(t.time_since_epoch()).count();
  return base::cat("# HELP x y\n# TYPE x counter\n", "node_cpu_usage_seconds_total ", node_cpu, " ", ms,
                   "\nnode_memory_working_set_bytes 1.048576e+06 ", ms,
                   "\ncontainer_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} ",
                   pod_cpu, " ", ms,
                   "\ncontainer_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 2048 ",
                   ms, "\n", more, "resource_scrape_error 0\n");
}

TEST_CASE("figures are read from a kubelet's text") {
  const NodeSample s = parse_resource_metrics(text_at(
      kNow, 12.5, 3,
      "container_cpu_usage_seconds_total{container=\"a\\\"}b\",namespace=\"n\",pod=\"q\"} 1 5\nbroken{\n"));
  CHECK(s.node.time == kNow);
  CHECK(s.node.cpu_seconds == 12.5);
  CHECK(s.node.memory == 1048576);
  REQUIRE(s.containers.size() == 2);
  CHECK(s.containers.at({"ns", "p", "c"}).memory == 2048);
  CHECK(s.containers.at({"ns", "p", "c"}).cpu_seconds == 3);
  CHECK(s.containers.count({"n", "q", "a\"}b"}) == 1);
}

TEST_CASE("rates are of what ran all the time, and of whole pods") {
  const auto at = [](base::WallTime t, double cpu) { return UsageSample{t, cpu, 100}; };
  NodeSample before, after;
  before.node = at(kNow, 10);
  after.node = at(kNow + seconds(2), 13);
  before.containers[{"ns", "steady", "a"}] = at(kNow, 1);
  after.containers[{"ns", "steady", "a"}] = at(kNow + seconds(2), 1.5);
  before.containers[{"ns", "restarted", "a"}] = at(kNow, 5);
  after.containers[{"ns", "restarted", "a"}] = at(kNow + seconds(2), 1);
  after.containers[{"ns", "new", "a"}] = at(kNow + seconds(2), 1);
  before.containers[{"ns", "half", "a"}] = at(kNow, 1);
  after.containers[{"ns", "half", "a"}] = at(kNow + seconds(2), 2);
  after.containers[{"ns", "half", "b"}] = at(kNow + seconds(2), 2);
  const NodeUsage u = rates(before, after);
  CHECK(u.known);
  CHECK(u.node.cpu_nanos == 1'500'000'000);
  CHECK(u.node.window == seconds(2));
  REQUIRE(u.containers.size() == 1);
  CHECK(u.containers.at({"ns", "steady", "a"}).cpu_nanos == 250'000'000);
  CHECK(u.containers.at({"ns", "steady", "a"}).memory == 100);
}

TEST_CASE("nodes are read when asked for; the last reading is the base of the next") {
  base::FakeClock clock(kNow);
  std::mutex mutex;
  int reads = 0;
  double cpu = 0;
  NodeFigures figures(
      [&](const std::string& node) -> base::Result<std::string> {
        const std::lock_guard lock(mutex);
        if (node == "away") return base::Status(base::Code::kServiceUnavailable, "away");
        ++reads;
        // As time goes by between two readings, on a clock that stands still.
        clock.advance(seconds(2));
        cpu += 1;
        return text_at(clock.now(), cpu, cpu);
      },
      clock);
  auto usage = figures.get({"n", "away"});
  CHECK(reads == 2);
  REQUIRE(usage.size() == 1);
  CHECK(usage.at("n").node.cpu_nanos == 500'000'000);
  // At once again: what is there is fresh.
  figures.get({"n"});
  CHECK(reads == 2);
  clock.advance(seconds(15));
  usage = figures.get({"n"});
  CHECK(reads == 3);
  CHECK(usage.at("n").node.window == seconds(17));
  // After a long silence nothing old is used.
  clock.advance(seconds(600));
  usage = figures.get({"n"});
  CHECK(reads == 5);
  CHECK(usage.at("n").node.window == seconds(2));
}

}  // namespace
}  // namespace orch::server
