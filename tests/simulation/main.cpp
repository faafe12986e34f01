// The simulation's command line; see docs/testing.md.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "tests/simulation/plants.h"
#include "tests/simulation/world.h"

namespace orch::simulation {
namespace {

struct Arguments {
  uint64_t from = 1, seeds = 500;
  bool one = false, trace = false, self_test = false, digest = false;
  double seconds = 0;
  size_t threads = 2;
  Plant plant = Plant::kNone;
  std::string plant_name;
};

constexpr const char* kUsage =
    "usage: simulation [--seeds N] [--from SEED] [--seconds S] [--threads N] [--plant BUG] [--digest]\n"
    "       simulation --seed SEED [--trace] [--plant BUG]\n"
    "       simulation --self-test\n";

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--trace" || name == "--self-test" || name == "--digest") {
      (name == "--trace" ? out.trace : name == "--digest" ? out.digest : out.self_test) = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const char* value = argv[++i];
    if (name == "--seeds") {
      out.seeds = std::strtoull(value, nullptr, 10);
    } else if (name == "--from") {
      out.from = std::strtoull(value, nullptr, 10);
    } else if (name == "--seed") {
      out.from = std::strtoull(value, nullptr, 10);
      out.one = true;
    } else if (name == "--seconds") {
      out.seconds = std::strtod(value, nullptr);
    } else if (name == "--threads") {
      out.threads = std::strtoull(value, nullptr, 10);
    } else if (name == "--plant") {
      for (const auto& p : plants()) {
        if (p.name == value) out.plant = p.plant;
      }
      if (out.plant == Plant::kNone) return false;
      out.plant_name = value;
    } else {
      return false;
    }
  }
  return true;
}

struct Findings {
  uint64_t tried = 0, writes = 0, digest = 0;
  std::vector<std::pair<uint64_t, std::string>> found;  // seeds with what did not hold
};

void tell(const Arguments& a, uint64_t seed, const std::string& what) {
  std::printf("seed %llu: %s\n    replay: simulation --seed %llu --trace%s%s\n",
              static_cast<unsigned long long>(seed), what.c_str(), static_cast<unsigned long long>(seed),
              a.plant_name.empty() ? "" : " --plant ", a.plant_name.c_str());
  std::fflush(stdout);
}

/// Worlds from seeds, each on one of `threads`; ends early at the time limit or after `enough` findings.
Findings run_all(const Arguments& a, size_t enough) {
  Findings out;
  std::mutex mutex;
  std::atomic<uint64_t> next{0};
  const auto began = std::chrono::steady_clock::now();
  const auto late = [&] {
    return a.seconds > 0 &&
           std::chrono::steady_clock::now() - began > std::chrono::duration<double>(a.seconds);
  };
  const auto work = [&] {
    while (!late()) {
      const uint64_t n = next++;
      if (n >= a.seeds) return;
      World world({a.from + n, false, a.plant, a.digest});
      const bool good = world.run();
      const std::lock_guard lock(mutex);
      ++out.tried;
      out.writes += world.writes();
      out.digest += world.digest();  // in whatever order they end
      if (!good) {
        out.found.emplace_back(a.from + n, world.found());
        if (!a.self_test) tell(a, a.from + n, world.found());
      }
      if (out.found.size() >= enough) next = a.seeds;
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < a.threads; ++i) threads.emplace_back(work);
  work();
  for (auto& t : threads) t.join();
  return out;
}

int run_one(const Arguments& a) {
  World world({a.from, a.trace, a.plant, true});
  const bool good = world.run();
  std::printf("%s seed %llu: %zu steps, %zu writes, digest %016llx%s%s\n", good ? "ok" : "not ok",
              static_cast<unsigned long long>(a.from), world.steps(), world.writes(),
              static_cast<unsigned long long>(world.digest()), good ? "" : ": ", world.found().c_str());
  return good ? 0 : 1;
}

int run_many(const Arguments& a) {
  const auto began = std::chrono::steady_clock::now();
  const Findings out = run_all(a, 10);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("%s %llu worlds from seed %llu: %zu broken, %llu writes, %.1f s\n",
              out.found.empty() ? "ok" : "not ok", static_cast<unsigned long long>(out.tried),
              static_cast<unsigned long long>(a.from), out.found.size(),
              static_cast<unsigned long long>(out.writes), took);
  if (a.digest) std::printf("digest %016llx\n", static_cast<unsigned long long>(out.digest));
  return out.found.empty() ? 0 : 1;
}

/// In how many worlds a planted bug has to show.
constexpr uint64_t kEnoughWorlds = 50;

/// Each planted bug is found by the rule that is meant to, and a world takes the same course twice.
int self_test(Arguments a) {
  int bad = 0;
  for (const auto& p : plants()) {
    a.plant = p.plant;
    a.seeds = kEnoughWorlds;
    const Findings out = run_all(a, 1);
    const bool good =
        !out.found.empty() && std::all_of(out.found.begin(), out.found.end(), [&](const auto& f) {
          return f.second.compare(0, p.rule.size() + 1, base::cat(p.rule, ":")) == 0;
        });
    bad += good ? 0 : 1;
    std::printf("%s the rule \"%s\" finds %s, %llu worlds", good ? "ok" : "not ok",
                std::string(p.rule).c_str(), std::string(p.name).c_str(),
                static_cast<unsigned long long>(out.tried));
    for (const auto& f : out.found)
      std::printf("; seed %llu: %s", static_cast<unsigned long long>(f.first), f.second.c_str());
    std::printf("\n");
    std::fflush(stdout);
  }
  World first({a.from, false, Plant::kNone, true}), second({a.from, false, Plant::kNone, true});
  (void)first.run();
  (void)second.run();
  const bool same = first.digest() == second.digest() && first.clock.mono() == second.clock.mono() &&
                    first.random.next() == second.random.next();
  std::printf("%s a seed takes the same course twice\n", same ? "ok" : "not ok");
  return bad == 0 && same ? 0 : 1;
}

}  // namespace
}  // namespace orch::simulation

int main(int argc, char** argv) {
  using namespace orch::simulation;
  Arguments a;
  if (!parse(argc, argv, a)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  orch::base::set_log_level(orch::base::LogLevel::kError);
  if (a.self_test) return self_test(a);
  return a.one ? run_one(a) : run_many(a);
}
