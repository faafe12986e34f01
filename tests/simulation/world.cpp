#include "tests/simulation/world.h"

#include <algorithm>
#include <cstdio>

#include "server/controllers/pods.h"
#include "tests/simulation/control_plane.h"
#include "tests/simulation/kubelets.h"
#include "tests/simulation/plants.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/users.h"

namespace orch::simulation {

using namespace std::chrono_literals;

namespace {

constexpr size_t kSteps = 400;
/// How deep others may go on within each other's writes.
constexpr int kMaxDepth = 3;
/// The cluster has to come to rest within this time of its own, and in this many rounds.
constexpr std::chrono::hours kRestWithin{6};
constexpr int kMaxRounds = 4000;
/// After this long without a write, what still fails does so because of a quota that is used up: longer than
/// the longest pause before a controller tries again.
constexpr std::chrono::seconds kInVain{70};
/// Nothing may be written for this long before it is believed to be at rest: longer than the longest pause, a
/// Job's after pods that failed.
constexpr std::chrono::minutes kRest{11};

}  // namespace

World::World(const Options& options)
    : seed(options.seed),
      plant(options.plant),
      trace(options.trace),
      random(options.seed),
      ids(options.seed ^ 0x5bd1e995U),
      api(clock, ids, options.plant),
      digests_(options.digest) {
  choose_weather();
  truth = std::make_unique<Truth>(*this);
  kubelets = std::make_unique<Kubelets>(*this);
  users = std::make_unique<Users>(*this);
}

World::~World() {
  plane_.reset();
  users.reset();
  kubelets.reset();
  truth.reset();
}

void World::choose_weather() {
  const auto maybe = [&](double likely, double most) {
    return random.chance(likely) ? most * static_cast<double>(random.between(1, 10)) / 10 : 0;
  };
  weather.refused = maybe(0.6, 0.15);
  weather.conflict = maybe(0.5, 0.15);
  weather.lost = maybe(0.7, 0.3);
  weather.crash = maybe(0.6, 0.03);
  weather.interleave = maybe(0.8, 0.6);
  weather.watch_break = maybe(0.5, 0.05);
  weather.jump = maybe(0.3, 0.02);
  weather.pods_fail = random.chance(0.5);
  weather.nodes_fail = random.chance(0.3);
  weather.users_change = random.chance(0.85);
}

void World::tell(std::string_view what) const {
  if (!trace) return;
  const auto at = std::chrono::duration<double>(clock.mono().time_since_epoch()).count() - 1000;
  std::printf("%10.3f %s%.*s\n", at, std::string(static_cast<size_t>(depth_) * 2, ' ').c_str(),
              static_cast<int>(what.size()), what.data());
}

void World::digest(std::string_view bytes) {
  if (!digests_) return;
  for (const char c : bytes) digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;  // FNV-1a
}

void World::violated(std::string_view rule, std::string_view how) {
  tell(base::cat("VIOLATED ", rule, ": ", how));
  if (found_.empty()) found_ = base::cat(rule, ": ", how);
}

bool World::run() {
  begin();
  if (found_.empty()) live();
  if (found_.empty()) finish();
  return found_.empty();
}

void World::begin() {
  for (const char* ns : {"default", "kube-node-lease"}) {
    const Acting as(*this, "setup");
    (void)api.client("setup")->create({"", "v1", "namespaces"}, "", {{"metadata", {{"name", ns}}}});
  }
  kubelets->begin();
  users->begin();
  plane_ = std::make_unique<ControlPlane>(*this);
  // Some begin well: what is changed then is changed under pods that are ready.
  if (!random.chance(0.25)) return;
  for (int i = 0; i < 8 && found_.empty(); ++i) {
    settle();
    while (kubelets->work()) {
    }
    pass(2s);
  }
  settle();
}

void World::live() {
  for (steps_ = 0; steps_ < kSteps && found_.empty(); ++steps_) {
    try {
      step();
    } catch (const Crash&) {
      depth_ = 0;
      restart();
    }
  }
}

void World::restart() {
  tell("-- the control plane dies and starts again");
  plane_.reset();
  timers.clear();
  plane_ = std::make_unique<ControlPlane>(*this);
}

void World::maybe_crash() {
  if (!calm_ && random.chance(weather.crash)) throw Crash{};
}

void World::before_write() {
  if (calm_) return;
  maybe_crash();
  if (depth_ >= kMaxDepth || !random.chance(weather.interleave)) return;
  ++depth_;
  for (int64_t n = random.between(1, 4); n > 0; --n) {
    if (random.chance(0.25)) {
      kubelets->step();
    } else if (random.chance(0.2)) {
      users->touch();
    } else {
      inner_step();
    }
  }
  --depth_;
}

void World::after_write(const client::ResourceRef& written) {
  if (!calm_) {
    maybe_crash();
    if (depth_ < kMaxDepth && random.chance(weather.interleave / 3)) {
      ++depth_;
      inner_step();
      --depth_;
    }
  }
  // What was committed is in the views of its kind before its author goes on; of other kinds they may lag.
  const bool forgets =
      plant == Plant::kForgetOwnWrites && !calm_ && written == server::kPods && is_set_pod(last_created);
  if (!forgets) catch_up(written);
}

void World::catch_up(const client::ResourceRef& resource) {
  bool broken = false;
  for (const auto& feed : feeds) {
    if (!(feed->resource == resource)) continue;
    if (feed->source == nullptr) broken = true;
    feed->deliver(feed->waiting.size());
  }
  if (!broken) return;
  timers.run_due();
  tasks.run_all("informer");
}

bool World::deliver_some() {
  std::vector<Feed*> full;
  for (const auto& feed : feeds) {
    if (!feed->waiting.empty()) full.push_back(feed.get());
  }
  if (full.empty()) return false;
  Feed* const feed = random.of(full);
  feed->deliver(static_cast<size_t>(random.between(1, 4)));
  return true;
}

bool World::inner_step() {
  switch (random.below(4)) {
    case 0:
      return deliver_some();
    case 1:
      return plane_->schedule();
    default:
      if (tasks.empty()) return deliver_some();
      tasks.run(random.below(std::min<size_t>(tasks.size(), 8)));
      return true;
  }
}

void World::break_a_watch() {
  std::vector<Feed*> all;
  for (const auto& feed : feeds) {
    if (feed->may_break && feed->source != nullptr) all.push_back(feed.get());
  }
  if (all.empty()) return;
  Feed* const feed = random.of(all);
  tell(base::cat("-- the watch of ", feed->resource.plural, " ends, ", feed->waiting.size(), " events lost"));
  feed->end();
}

void World::set_clock() {
  const base::Duration d = random.chance(0.5) ? base::Duration(std::chrono::seconds(random.between(1, 600)))
                                              : base::Duration(std::chrono::hours(random.between(1, 48)));
  const bool back = random.chance(0.4);
  tell(base::cat("-- the clock is set ", back ? "back " : "forward ",
                 std::chrono::duration_cast<std::chrono::seconds>(d).count(), " s"));
  clock.jump(back ? -d : d);
  timers.clock_was_set();
}

void World::pass(base::Duration d) {
  // In pieces, so that nobody misses a heartbeat because time passed at once.
  while (d.count() > 0) {
    const base::Duration piece = std::min<base::Duration>(d, 20s);
    clock.pass(piece);
    d -= piece;
    kubelets->heartbeats();
    if (d.count() > 0) timers.run_due();
  }
}

void World::step() {
  timers.run_due();
  if (random.chance(weather.watch_break)) break_a_watch();
  if (random.chance(weather.jump)) set_clock();
  const size_t what = random.below(100);
  if (what < 53) {
    if (!inner_step()) pass(std::chrono::milliseconds(random.between(1, 200)));
  } else if (what < 76) {
    kubelets->step();
  } else if (what < 88) {
    const size_t how = random.below(100);
    pass(how < 60   ? base::Duration(std::chrono::milliseconds(random.between(1, 100)))
         : how < 92 ? base::Duration(std::chrono::milliseconds(random.between(100, 5000)))
         : how < 99 ? base::Duration(std::chrono::seconds(random.between(5, 60)))
                    : base::Duration(std::chrono::seconds(random.between(60, 600))));
  } else if (what < 93) {
    users->step();
  } else if (what < 95) {
    kubelets->mishap();
  } else if (what < 98) {
    settle();
  } else {
    maybe_crash();
  }
}

void World::settle() {
  const bool before = std::exchange(calm_, true);
  const Weather good{
      .pods_fail = weather.pods_fail, .nodes_fail = weather.nodes_fail, .users_change = weather.users_change};
  const Weather bad = std::exchange(weather, good);
  size_t seen = writes_;
  base::MonoTime last_write = clock.mono();
  // Retries are up to a minute away, and they come again while others are in their way.
  for (int round = 0; found_.empty(); ++round) {
    if (round == kMaxRounds) {
      violated("rest", "the control plane does not come to an end with what it has to do");
      break;
    }
    timers.run_due();
    bool busy = !tasks.empty();
    while (deliver_some()) busy = true;
    if (plane_->schedule()) busy = true;
    while (!tasks.empty() && found_.empty()) tasks.run(0);
    if (busy) continue;
    if (writes_ != seen) {
      seen = writes_;
      last_write = clock.mono();
    }
    if (plane_->idle()) break;
    auto wait = timers.wait();
    if (!wait) break;
    if (truth->hindered()) {
      const base::Duration left = last_write + kInVain - clock.mono();
      if (left.count() <= 0) break;
      wait = std::min(*wait, left);
    }
    pass(*wait);
  }
  weather = bad;
  calm_ = before;
  truth->calm();
  tell("-- all is calm");
}

void World::finish() {
  tell("-- no more faults from here on");
  calm_ = true;
  weather.refused = weather.conflict = weather.lost = weather.crash = weather.interleave = 0;
  weather.watch_break = weather.jump = 0;
  // What was noted down must not be in the future any more: a Job waits for its back-off from the time that
  // its last failed pod has, for days after a clock was set back by days, and so it does in Kubernetes.
  clock.mend();
  timers.clock_was_set();
  settle();
  kubelets->heal();
  users->settle_down();
  come_to_rest();
  // One thing happens where nothing else does that might wake those who did not notice.
  if (found_.empty() && random.chance(0.5)) {
    users->remove_some();
    come_to_rest();
  }
}

void World::come_to_rest() {
  const base::MonoTime began = clock.mono();
  base::MonoTime last_write = clock.mono();
  size_t seen = writes_;
  for (int round = 0; found_.empty(); ++round) {
    settle();
    while (kubelets->work()) {
    }
    if (writes_ != seen) {
      seen = writes_;
      last_write = clock.mono();
      if (clock.mono() - began > kRestWithin || round > kMaxRounds)
        violated("rest", base::cat("still writing; last: ", truth->last_write()));
    } else if (clock.mono() - last_write >= kRest) {
      break;
    }
    pass(std::clamp<base::Duration>(timers.wait().value_or(10s), 5ms, 20s));
  }
  if (found_.empty()) truth->check_rest();
}

}  // namespace orch::simulation
