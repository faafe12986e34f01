#include "server/scheduler_setup.h"

#include "server/scheduler/plugins/all.h"
#include "server/scheduler/plugins/config.h"

namespace orch::server {

base::Result<scheduler::SchedulerOptions> scheduler_options(const ServerConfig& server) {
  scheduler::SchedulerOptions options;
  if (server.scheduler_config.empty()) {
    scheduler::PluginArgs args;
    if (server.scheduler_strategy == "MostAllocated")
      args.fit.strategy = scheduler::FitArgs::Strategy::kMostAllocated;
    options.profiles.push_back(scheduler::default_profile(args));
    return options;
  }
  auto config = scheduler::read_config(server.scheduler_config);
  if (!config.ok()) return base::Status(config.error()).with_context("scheduler configuration");
  options.profiles = std::move(config->profiles);
  options.first_backoff = config->first_backoff;
  options.last_backoff = config->last_backoff;
  options.bind_timeout = config->bind_timeout;
  for (auto& e : config->extenders)
    options.extenders.push_back(scheduler::make_extender(std::move(e), scheduler::post_over_http()));
  return options;
}

}  // namespace orch::server
