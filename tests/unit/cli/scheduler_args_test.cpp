#include "cli/scheduler_args.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/file.h"
#include "tests/catch.h"

namespace orch::testing {
namespace {

std::string written(const char* name, const char* text) {
  std::string path = base::cat("build/", name, ".", std::to_string(getpid()));
  std::ofstream(path) << text;
  return path;
}

TEST_CASE("flags of kube-scheduler") {
  const std::string good =
      written("good", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n");
  const std::string bad = written(
      "bad",
      "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nparallelism: 0\n");
  server::ServerConfig config;
  CHECK(cli::apply_scheduler_args({}, config).ok());
  CHECK(config.scheduler_config.empty());
  CHECK(cli::apply_scheduler_args({"config=" + good}, config).ok());
  CHECK(config.scheduler_config.find("KubeSchedulerConfiguration") != std::string::npos);
  CHECK(cli::apply_scheduler_args({"config=" + bad}, config).message() ==
        base::cat("--kube-scheduler-arg: config=", bad,
                  ": parallelism: Invalid value: 0: should be an integer value greater than zero"));
  CHECK_FALSE(cli::apply_scheduler_args({"config=build/nowhere"}, config).ok());
  CHECK_FALSE(cli::apply_scheduler_args({"no-such-flag=1"}, config).ok());
  std::remove(good.c_str());
  std::remove(bad.c_str());
}

}  // namespace
}  // namespace orch::testing
