// What the garbage collector tells of its work.
#include <thread>

#include "api/schema/schema.h"
#include "server/controllers/garbage_collector.h"
#include "tests/fake_api.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using server::kConfigMaps;

Json map_named(const std::string& name) {
  return {{"kind", "ConfigMap"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", name}, {"namespace", "ns"}, {"uid", "uid-" + name}}}};
}

TEST_CASE("the collector has two of the queues that kube-controller-manager's has") {
  base::FakeClock clock(kNow);
  base::FakeTimers timers(clock);
  base::Metrics metrics;
  tests::FakeApi api;
  const auto schema = api::Schema::builtin();
  const auto table = api::ResourceTable::builtin(*schema);
  server::GarbageCollector gc(api, *table, timers, clock, metrics);
  REQUIRE(gc.follow(kConfigMaps).ok());
  const auto has = [&](const std::string& line) {
    for (int i = 0; i < 1000; ++i) {
      if (metrics.expose().find(line) != std::string::npos) return true;
      std::this_thread::sleep_for(5ms);
    }
    UNSCOPED_INFO(metrics.expose());
    return false;
  };
  const std::string to_delete = "{name=\"garbage_collector_attempt_to_delete\"} ",
                    to_orphan = "{name=\"garbage_collector_attempt_to_orphan\"} ";
  // Its owner never was: it is deleted.
  api.put(kConfigMaps, owned_by(map_named("child"), "v1", "ConfigMap", "gone"));
  CHECK(has("workqueue_work_duration_seconds_count" + to_delete + "1\n"));
  CHECK_FALSE(api.get(kConfigMaps, "ns", "child").ok());
  // The fake lets nobody take a finalizer off, so that is to be tried again.
  Json going = map_named("going");
  going["metadata"]["deletionTimestamp"] = ago(1);
  going["metadata"]["finalizers"] = Json::array({"orphan"});
  api.put(kConfigMaps, going);
  CHECK(has("workqueue_retries_total" + to_orphan + "1\n"));
  const base::Counter& adds =
      metrics.counter("workqueue_adds_total", "", {{"name", "garbage_collector_attempt_to_orphan"}});
  for (int i = 0; i < 1000 && adds.value() < 2; ++i) {
    timers.advance(5ms);
    std::this_thread::sleep_for(5ms);
  }
  CHECK(adds.value() == 2);
  CHECK(has("workqueue_retries_total" + to_orphan + "2\n"));
  CHECK(has("workqueue_depth" + to_orphan + "0\n"));
  CHECK(has("workqueue_queue_duration_seconds_count" + to_orphan + "2\n"));
  CHECK(has("workqueue_unfinished_work_seconds" + to_orphan + "0\n"));
  CHECK(has("workqueue_longest_running_processor_seconds" + to_delete + "0\n"));
  CHECK(has("workqueue_adds_total" + to_delete + "1\n"));
  CHECK(has("workqueue_retries_total" + to_delete + "0\n"));
}

}  // namespace
}  // namespace orch::testing
