// World: a cluster that lives from a seed. One thread, one step after the other: a step is a task of the
// control plane, a delivery, something a kubelet or a user does, time that passes, or a crash. Within a step
// of the control plane others may go on between any two of its writes.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "tests/simulation/api.h"
#include "tests/simulation/control_client.h"
#include "tests/simulation/machine.h"
#include "tests/simulation/weather.h"

namespace orch::simulation {

class ControlPlane;
class Kubelets;
class Users;
class Truth;

struct Options {
  uint64_t seed = 1;
  bool trace = false;  // tell the story on standard output
  Plant plant = Plant::kNone;
  bool digest = false;  // add up all that is written, see World::digest()
};

/// Thrown out of a write: the control plane dies here.
struct Crash {};

class World {
 public:
  explicit World(const Options& options);
  ~World();
  /// Lives it; false when something did not hold, see found().
  bool run();
  const std::string& found() const { return found_; }
  size_t steps() const { return steps_; }
  size_t writes() const { return writes_; }
  /// Of each byte that was ever written, with Options::digest: worlds with the same one took the same course.
  uint64_t digest() const { return digest_; }

  // --- For its parts
  void tell(std::string_view what) const;
  /// What must always hold does not.
  void violated(std::string_view rule, std::string_view how);
  /// Called by the control plane's client around each of its writes. Throw Crash.
  void before_write();
  void after_write(const client::ResourceRef& written);
  void wrote() { ++writes_; }
  void digest(std::string_view bytes);
  void pass(base::Duration d);
  /// Everything that is under way ends, without faults; no kubelet and no user does anything meanwhile.
  void settle();

  const uint64_t seed;
  const Plant plant;
  const bool trace;
  Random random;
  Weather weather;
  Clock clock;
  Timers timers{clock};
  Tasks tasks;
  Random ids;
  Api api;
  std::list<std::unique_ptr<Feed>> feeds;
  std::string actor = "nobody";  // who writes
  Json last_created;             // by the control plane
  std::unique_ptr<Truth> truth;
  std::unique_ptr<Kubelets> kubelets;
  std::unique_ptr<Users> users;

 private:
  void choose_weather();
  void begin();
  void live();
  void finish();
  /// Nothing happens any more, and everything is as it should be then.
  void come_to_rest();
  void step();
  /// A step of the control plane; false when it has nothing to do.
  bool inner_step();
  bool deliver_some();
  void catch_up(const client::ResourceRef& resource);
  void maybe_crash();
  void restart();
  void set_clock();
  void break_a_watch();

  std::unique_ptr<ControlPlane> plane_;
  std::string found_;
  size_t steps_ = 0, writes_ = 0;
  const bool digests_;
  uint64_t digest_ = 0;
  int depth_ = 0;
  bool calm_ = false;  // no faults, no interleaving
};

/// Says who writes while it lives.
class Acting {
 public:
  Acting(World& world, std::string who)
      : world_(world), before_(std::exchange(world.actor, std::move(who))) {}
  ~Acting() { world_.actor = before_; }
  Acting(const Acting&) = delete;
  Acting& operator=(const Acting&) = delete;

 private:
  World& world_;
  const std::string before_;
};

}  // namespace orch::simulation
