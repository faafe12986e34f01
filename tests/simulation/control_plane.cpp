#include "tests/simulation/control_plane.h"

#include <stdexcept>

#include "server/scheduler/plugins/all.h"
#include "tests/simulation/plants.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

namespace {

constexpr std::chrono::seconds kGrace{50};

server::ControllerOptions controller_options(World& world) {
  server::ControllerOptions options;
  options.cluster_cidr = "10.42.0.0/16";
  options.service_cidr = "10.43.0.0/16";
  // Where nodes do not fail they send no heartbeats either: most of the writes would be those.
  options.node_monitor_grace_period =
      world.weather.nodes_fail ? base::Duration(kGrace) : std::chrono::hours(10000);
  options.namespaced = [&world] {
    std::vector<client::ResourceRef> kinds;
    for (const auto& r : *world.api.table().all()) {
      if (r->stored && r->storage_version && r->namespaced && r->has_verb("delete"))
        kinds.push_back({r->group, r->version, r->plural});
    }
    return kinds;
  };
  options.manager.controllers = {"*",
                                 "-serviceaccount-controller",
                                 "-node-ipam-controller",
                                 "-root-ca-certificate-publisher-controller",
                                 "-token-cleaner-controller",
                                 "-legacy-serviceaccount-token-cleaner-controller"};
  return options;
}

}  // namespace

ControlPlane::ControlPlane(World& world)
    : controllers_(world, "controllers", true),
      collector_(world, "collector", false),
      binder_(world, "scheduler", true),
      informers_(controllers_, world.timers, world.tasks) {
  auto controllers = server::all_controllers(controller_options(world), world.clock);
  plant_in_controllers(world, controllers);
  loop_ =
      std::make_unique<server::ControllerLoop>(controllers_, informers_, world.timers, world.clock,
                                               world.api.metrics(), std::move(controllers), 8, world.tasks);
  gc_ = std::make_unique<server::GarbageCollector>(collector_, world.api.table(), world.timers, world.clock,
                                                   world.api.metrics(), world.tasks);
  server::scheduler::SchedulerOptions options;
  options.profiles.push_back(server::scheduler::default_profile());
  scheduler_ = std::make_unique<server::scheduler::Scheduler>(
      binder_, informers_, world.clock, world.api.metrics(), std::move(options), world.tasks);
  informers_.start();
  if (!informers_.wait_synced(std::chrono::milliseconds(0))) throw std::runtime_error("informers not synced");
  loop_->start();
  if (const auto s = gc_->start(); !s.ok()) throw std::runtime_error(s.message());
}

ControlPlane::~ControlPlane() { informers_.stop(); }

}  // namespace orch::simulation
