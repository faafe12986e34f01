// The pod state machine: from what a pod should be and what the runtime holds, what to do next. Pure.
//
// plan() is called again whenever something changed (the pod, a container, a probe's verdict, a stop that
// ended, the time in `wake`); every call answers for the present only, so nothing is remembered in between
// but PodFacts.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/kubelet/pod.h"
#include "agent/kubelet/resources.h"
#include "base/clock.h"

namespace orch::agent {

enum class Health : uint8_t { kUnknown, kSuccess, kFailure };

/// Exponential delay between restarts of one container: 10 s doubling to 300 s, forgotten after 10 minutes
/// of running.
struct RestartBackoff {
  std::chrono::seconds delay{0};  // 0: never failed
  base::WallTime last;            // when the restart that set `delay` saw the container finish
};
inline constexpr std::chrono::seconds kBackoffInitial{10};
inline constexpr std::chrono::seconds kBackoffMax{300};
/// How long after `finished` the container has to wait still; zero when it may start now.
base::Duration backoff_left(const RestartBackoff& backoff, base::WallTime finished, base::WallTime now);
/// What to remember when a container that finished at `finished` is started again.
RestartBackoff next_backoff(const RestartBackoff& backoff, base::WallTime finished);

/// What only this process knows of a pod.
struct PodFacts {
  base::WallTime now;
  std::map<std::string, RestartBackoff, std::less<>> backoff;  // by container name
  /// Containers whose stop is under way, with the grace it was given.
  std::map<std::string, int64_t> stopping;  // by container id
  /// Names of containers killed in order to start again, whatever the restart policy says.
  std::set<std::string, std::less<>> must_restart;
  std::map<std::string, Health> liveness, startup;  // by container id
  std::set<std::string> stopped_sandboxes;          // ids whose stop succeeded
  /// What running containers have of CPU and memory, by container id; one that is absent is as it should be.
  std::map<std::string, Amounts> actuated;
  /// The pod has to end (deleted, evicted, past its deadline): stop everything, start nothing.
  bool terminate = false;
};

struct StartContainer {
  ContainerRef container;
  uint32_t attempt = 0;  // restart count it starts with
};

struct KillContainer {
  std::string id, name;
  std::string message;         // for the Killing event, after "Stopping container x" or alone
  bool restart = false;        // goes to PodFacts::must_restart
  bool failed_probe = false;   // liveness or startup: the probe's own grace period applies
  bool startup_probe = false;  // which of the two
};

/// A running container whose CPU or memory differs from what the pod has.
struct ResizeContainer {
  std::string id, name;
  Amounts from, to;
};

struct Waiting {
  std::string reason, message;
};

struct PodPlan {
  /// The sandbox to start containers in; "" when there is none (or create_sandbox).
  std::string sandbox_id;
  std::vector<std::string> stop_sandboxes;
  bool create_sandbox = false;
  uint32_t sandbox_attempt = 0;
  /// In order; the next only after the one before succeeded, for init containers.
  std::vector<StartContainer> start;
  /// All at once.
  std::vector<KillContainer> kill;
  /// To change while they run, in the spec's order; before anything is started.
  std::vector<ResizeContainer> resize;
  /// Containers that would start now but for back-off, by name.
  std::map<std::string, Waiting> backing_off;
  /// When to plan again if nothing else happens.
  std::optional<base::WallTime> wake;
  /// Nothing runs and nothing will: every container ended for good, or the pod was to end.
  bool finished = false;
};

PodPlan plan(const Pod& pod, const PodRuntime& runtime, const PodFacts& facts);

/// Whether the pod needs another sandbox than it has: none yet, not ready, without an address, or with the
/// wrong network. `attempt` is the number the new one gets.
struct SandboxVerdict {
  bool changed = false;
  uint32_t attempt = 0;
  std::string id;  // the newest sandbox
};
SandboxVerdict sandbox_changed(const Pod& pod, const PodRuntime& runtime);

}  // namespace orch::agent
