#include "cli/component_args.h"

#include "cli/controller_manager_args.h"
#include "tests/catch.h"

namespace orch::cli {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

std::string message(const base::Status& s) { return s.ok() ? "" : s.message(); }

TEST_CASE("flags of components are read by a table") {
  base::Duration period = seconds(1);
  int64_t count = 0;
  double share = 0;
  bool on = false;
  std::string text;
  std::vector<std::string> names = {"default"};
  const std::vector<ComponentFlag> flags = {duration_flag("period", period, seconds(1)),
                                            integer_flag("count", count, 0, 10),
                                            number_flag("share", share, 0),
                                            bool_flag("on", on),
                                            text_flag("text", text),
                                            list_flag("names", names)};
  const auto apply = [&](const std::vector<std::string>& args) {
    return message(apply_component_args("--x-arg", args, flags));
  };
  CHECK(apply({"period=1m30s", "--count=7", "share=0.25", "on", "text=a=b", "names=a,b", "names=c"}).empty());
  CHECK(period == seconds(90));
  CHECK(count == 7);
  CHECK(share == 0.25);
  CHECK(on);
  CHECK(text == "a=b");
  CHECK(names == std::vector<std::string>{"a", "b", "c"});
  struct Row {
    const char *arg, *why;
  };
  for (const Row& r : {Row{"none=1", "--x-arg: unknown flag \"none\""}, Row{"", "--x-arg: unknown flag \"\""},
                       Row{"period=x", "--x-arg: period \"x\" is not a duration such as 30s"},
                       Row{"period=1ms", "--x-arg: period \"1ms\" is shorter than 1s"},
                       Row{"count=11", "--x-arg: count \"11\" is not between 0 and 10"},
                       Row{"count=1x", "--x-arg: count \"1x\" is not a number"},
                       Row{"share=-1", "--x-arg: share \"-1\" is too small"},
                       Row{"on=maybe", "--x-arg: on \"maybe\" is neither true nor false"}}) {
    CHECK(apply({r.arg}) == r.why);
  }
}

TEST_CASE("flags of kube-controller-manager") {
  server::ServerConfig c;
  CHECK(
      message(apply_controller_manager_args(
                  {"controllers=*,-job", "node-monitor-grace-period=40s", "terminated-pod-gc-threshold=5",
                   "horizontal-pod-autoscaler-sync-period=5s", "horizontal-pod-autoscaler-tolerance=0.2",
                   "horizontal-pod-autoscaler-downscale-stabilization=1m", "concurrent-statefulset-syncs=2",
                   "node-eviction-rate=0.5", "secondary-node-eviction-rate=0", "unhealthy-zone-threshold=0.7",
                   "large-cluster-size-threshold=9", "legacy-service-account-token-clean-up-period=48h"},
                  c))
          .empty());
  CHECK(c.node_monitor_grace_period == seconds(40));
  CHECK(c.manager.terminated_pods == 5);
  CHECK(c.manager.eviction.rate == 0.5);
  CHECK(c.manager.eviction.secondary_rate == 0);
  CHECK(c.manager.eviction.unhealthy_zone_threshold == 0.7);
  CHECK(c.manager.eviction.large_cluster_size == 9);
  CHECK(c.manager.legacy_token_clean_up_period == std::chrono::hours(48));
  CHECK(c.manager.autoscaler.sync_period == seconds(5));
  CHECK(c.manager.autoscaler.tolerance == 0.2);
  CHECK(c.manager.autoscaler.downscale_stabilization == minutes(1));
  CHECK(c.manager.concurrent.at("statefulset-controller") == 2);
  CHECK(c.manager.concurrent.size() == 1);
  CHECK_FALSE(c.manager.enabled("job-controller"));
  CHECK(c.manager.enabled("deployment-controller"));
  server::ServerConfig d;
  CHECK(message(apply_controller_manager_args({"controllers=*,-nonsense"}, d)) ==
        "--kube-controller-manager-arg: controllers: \"nonsense\" is not in the list of known controllers");
  CHECK(message(apply_controller_manager_args({"profiling=false"}, d)) ==
        "--kube-controller-manager-arg: unknown flag \"profiling\"");
}

}  // namespace
}  // namespace orch::cli
