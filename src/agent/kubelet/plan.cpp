#include "agent/kubelet/plan.h"

#include <algorithm>

#include "api/duration.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::WallTime;
using std::chrono::seconds;

WallTime from_ns(int64_t ns) { return WallTime(std::chrono::microseconds(ns / 1000)); }

bool is_running(const ContainerStatus* status) {
  return status != nullptr && status->state == ContainerState::kRunning;
}

/// Collects the parts of one plan.
class Planner {
 public:
  Planner(const Pod& pod, const PodRuntime& runtime, const PodFacts& facts)
      : pod_(pod), runtime_(runtime), facts_(facts) {}

  PodPlan run() {
    if (facts_.terminate) {
      stop_all();
      return std::move(out_);
    }
    const SandboxVerdict sandbox = sandbox_changed(pod_, runtime_);
    if (sandbox.changed) {
      new_sandbox(sandbox);
    } else {
      out_.sandbox_id = sandbox.id;
      within_sandbox();
    }
    return std::move(out_);
  }

 private:
  /// The state a container is in, a stop under way included.
  bool stopping(const ContainerStatus& status) const { return facts_.stopping.count(status.id) != 0; }
  Health health(const std::map<std::string, Health>& of, const std::string& id) const {
    const auto it = of.find(id);
    return it == of.end() ? Health::kUnknown : it->second;
  }
  bool must_restart(std::string_view name) const { return facts_.must_restart.count(name) != 0; }

  bool wants_start(const ContainerRef& container, const ContainerStatus* status) const {
    if (status == nullptr || must_restart(container.name())) return true;
    switch (status->state) {
      case ContainerState::kRunning:
        return false;
      case ContainerState::kExited:
        return should_restart(pod_, *container.spec, status->exit_code);
      default:
        return true;
    }
  }

  /// Adds a start, or a wait when the container failed lately.
  void start(const ContainerRef& container) {
    uint32_t attempt = 0;
    const ContainerStatus* exited = nullptr;
    const ContainerStatus* newest = runtime_.latest(container.name());
    if (newest != nullptr) attempt = static_cast<uint32_t>(restart_count(*newest) + 1);
    for (const ContainerStatus& c : runtime_.containers) {
      if (c.name != container.name() || c.state != ContainerState::kExited) continue;
      // A container killed to be started again does not count as having failed now.
      if (&c == newest && must_restart(container.name())) continue;
      exited = &c;
      break;
    }
    if (exited != nullptr) {
      const auto it = facts_.backoff.find(container.name());
      if (it != facts_.backoff.end()) {
        const auto left = backoff_left(it->second, from_ns(exited->finished_at_ns), facts_.now);
        if (left > base::Duration::zero()) {
          back_off(container, it->second, left);
          return;
        }
      }
    }
    out_.start.push_back({container, attempt});
  }

  void back_off(const ContainerRef& container, const RestartBackoff& backoff, base::Duration left) {
    const std::string text = api::format_duration(backoff.delay);
    out_.backing_off[std::string(container.name())] = {
        "CrashLoopBackOff", base::cat("back-off ", text, " restarting failed container=", container.name(),
                                      " pod=", pod_.format())};
    // Rounded up, so that the wake-up does not find a microsecond left.
    wake_at(facts_.now + std::chrono::duration_cast<std::chrono::microseconds>(left) +
            std::chrono::milliseconds(1));
  }

  void wake_at(WallTime t) {
    if (!out_.wake || t < *out_.wake) out_.wake = t;
  }

  void kill(const ContainerStatus& status, std::string message, bool restart, bool failed_probe = false,
            bool startup_probe = false) {
    if (stopping(status)) return;
    if (restart && !message.empty()) message += ", will be restarted";
    out_.kill.push_back({status.id, status.name, std::move(message), restart, failed_probe, startup_probe});
  }

  // --- A pod that needs a sandbox -----------------------------------------------------------------

  void new_sandbox(const SandboxVerdict& sandbox) {
    if (runtime_.any_running() || !facts_.stopping.empty()) {
      // What runs without its sandbox has to end before anything else.
      for (const ContainerStatus& c : runtime_.containers) {
        if (c.state == ContainerState::kRunning) kill(c, {}, false);
      }
      return;
    }
    const bool ran_before = !runtime_.containers.empty();
    bool wanted = true;
    if (pod_.restart_policy() == RestartPolicy::kNever && sandbox.attempt != 0 && ran_before) wanted = false;
    std::vector<ContainerRef> starts;
    for (const ContainerRef& c : pod_.containers()) {
      const ContainerStatus* status = runtime_.latest(c.name());
      const bool succeeded =
          status != nullptr && status->state == ContainerState::kExited && status->exit_code == 0;
      const auto own = base::string_at(*c.spec, {"restartPolicy"});
      const bool run_once =
          own.empty() ? pod_.restart_policy() == RestartPolicy::kOnFailure : own == "OnFailure";
      if (!(run_once && succeeded)) starts.push_back(c);
    }
    if (starts.empty()) {
      const auto regular = pod_.containers();
      wanted = wanted && std::none_of(regular.begin(), regular.end(), [&](const ContainerRef& c) {
                 return runtime_.latest(c.name()) != nullptr;
               });
    }
    stop_sandboxes();
    if (!wanted) {
      out_.finished = out_.stop_sandboxes.empty();
      return;
    }
    out_.create_sandbox = true;
    out_.sandbox_attempt = sandbox.attempt;
    const auto init = pod_.init_containers();
    if (!init.empty()) {
      start(init.front());
    } else {
      for (const ContainerRef& c : starts) start(c);
    }
  }

  // --- A pod whose sandbox stands -----------------------------------------------------------------

  void within_sandbox() {
    for (const ContainerRef& c : pod_.ephemeral_containers()) {
      if (runtime_.latest(c.name()) == nullptr) out_.start.push_back({c, 0});
    }
    bool ended = false;
    const bool initialized = plan_init(ended);
    if (ended) {
      out_ = PodPlan();
      stop_all();
      return;
    }
    if (!initialized) return;
    size_t keep = 0;
    bool starting = false;
    for (const ContainerRef& c : pod_.containers()) plan_regular(c, keep, starting);
    if (keep != 0 || starting) return;
    // Every container ended for good: sidecars go too, and nothing is started again.
    out_ = PodPlan();
    stop_all();
  }

  void plan_regular(const ContainerRef& c, size_t& keep, bool& starting) {
    const ContainerStatus* status = runtime_.latest(c.name());
    if (!is_running(status)) {
      if (wants_start(c, status)) {
        starting = true;
        start(c);
      }
      return;
    }
    if (stopping(*status)) {
      if (must_restart(c.name())) starting = true;
      ++keep;
      return;
    }
    if (label_of(status->annotations, label::kHash) != container_hash(*c.spec)) {
      starting = true;
      kill(*status, base::cat("Container ", c.name(), " definition changed"), true);
      return;
    }
    const bool restart = restarts_after_failure(pod_, c);
    if (health(facts_.liveness, status->id) == Health::kFailure) {
      kill(*status, base::cat("Container ", c.name(), " failed liveness probe"), restart, true, false);
    } else if (health(facts_.startup, status->id) == Health::kFailure) {
      kill(*status, base::cat("Container ", c.name(), " failed startup probe"), restart, true, true);
    } else {
      resize(c, *status);
    }
    ++keep;  // the pod goes on at least until this one has ended
  }

  /// Brings a running container to the resources it is to have: in place, or by a restart where its
  /// resizePolicy asks for one.
  void resize(const ContainerRef& c, const ContainerStatus& status) {
    const auto it = facts_.actuated.find(status.id);
    if (it == facts_.actuated.end() || pod_.is_static() || stopping(status)) return;
    const Amounts& from = it->second;
    const Amounts to = amounts_of(base::object_at(*c.spec, {"resources"}));
    if (from == to) return;
    const auto restarts = [&](std::string_view resource) {
      for (const Json& policy : base::array_at(*c.spec, {"resizePolicy"})) {
        if (base::string_at(policy, {"resourceName"}) == resource)
          return base::string_at(policy, {"restartPolicy"}) == "RestartContainer";
      }
      return false;
    };
    const bool cpu = from.cpu_request != to.cpu_request || from.cpu_limit != to.cpu_limit;
    const bool memory = from.memory_request != to.memory_request || from.memory_limit != to.memory_limit;
    if ((cpu && restarts("cpu")) || (memory && restarts("memory"))) {
      kill(status, {}, true);
      out_.kill.back().message = base::cat("Container ", c.name(), " resize requires restart");
      return;
    }
    out_.resize.push_back({status.id, status.name, from, to});
  }

  /// The init container's status in the present sandbox: those of an earlier one have to run again.
  const ContainerStatus* init_status(const ContainerRef& c) const {
    for (const ContainerStatus& status : runtime_.containers) {
      if (status.name == c.name() && status.sandbox_id == out_.sandbox_id) return &status;
    }
    return nullptr;
  }

  bool main_started() const {
    for (const ContainerRef& c : pod_.containers()) {
      const ContainerStatus* status = runtime_.latest(c.name());
      if (status == nullptr || status->sandbox_id != out_.sandbox_id) continue;
      if (status->state == ContainerState::kRunning || status->state == ContainerState::kCreated) return true;
      // An exited one of this very sandbox proves initialization as well.
      if (status->state == ContainerState::kExited) return true;
    }
    return false;
  }

  /// Whether regular containers may start. `ended`: initialization failed for good.
  bool plan_init(bool& ended) {
    const auto init = pod_.init_containers();
    if (init.empty()) return true;
    bool initialized = main_started();
    bool seen_later = initialized;  // something after the one looked at was there: all before it are done
    std::vector<ContainerRef> starts;
    for (size_t i = init.size(); i-- > 0;) {
      const ContainerRef& c = init[i];
      const ContainerStatus* status = init_status(c);
      if (status == nullptr) {
        if (seen_later && c.sidecar()) starts.push_back(c);
        continue;
      }
      if (seen_later && !c.sidecar()) continue;
      const bool last = i + 1 == init.size();
      bool done = false;
      if (c.sidecar()) {
        done = plan_sidecar(c, *status, starts);
      } else if (!plan_plain_init(c, *status, starts, done)) {
        ended = true;
        return false;
      }
      if (done && last) initialized = true;
      if (done && !last && !seen_later) starts.push_back(init[i + 1]);
      seen_later = true;
    }
    if (!seen_later) starts.push_back(init.front());
    std::reverse(starts.begin(), starts.end());
    for (const ContainerRef& c : starts) start(c);
    return initialized;
  }

  /// True when the sidecar counts as started.
  bool plan_sidecar(const ContainerRef& c, const ContainerStatus& status, std::vector<ContainerRef>& starts) {
    if (status.state != ContainerState::kRunning) {
      starts.push_back(c);
      return false;
    }
    if (stopping(status)) return false;
    if (base::find_path(*c.spec, {"startupProbe"}) != nullptr) {
      const Health startup = health(facts_.startup, status.id);
      if (startup == Health::kFailure) {
        kill(status, base::cat("Init container ", c.name(), " failed startup probe"), true, true, true);
      }
      if (startup != Health::kSuccess) return false;
    }
    if (label_of(status.annotations, label::kHash) != container_hash(*c.spec)) {
      kill(status, base::cat("Init container ", c.name(), " definition changed"), true);
    } else if (health(facts_.liveness, status.id) == Health::kFailure) {
      kill(status, base::cat("Init container ", c.name(), " failed liveness probe"), true, true, false);
    } else {
      resize(c, status);
    }
    return true;
  }

  /// False when it failed and may not run again; `done` when it succeeded.
  bool plan_plain_init(const ContainerRef& c, const ContainerStatus& status,
                       std::vector<ContainerRef>& starts, bool& done) {
    if (status.state == ContainerState::kRunning) return true;
    if (status.state == ContainerState::kExited) {
      if (status.exit_code == 0) {
        done = true;
        return true;
      }
      if (!should_restart(pod_, *c.spec, status.exit_code)) return false;
    }
    starts.push_back(c);
    return true;
  }

  // --- Ending ---------------------------------------------------------------------------------------

  void stop_sandboxes() {
    for (const SandboxStatus& s : runtime_.sandboxes) {
      if (facts_.stopped_sandboxes.count(s.id) == 0) out_.stop_sandboxes.push_back(s.id);
    }
  }

  /// Regular containers together; after them sidecars, last to first; then the sandboxes.
  void stop_all() {
    const int64_t grace = pod_.grace_seconds();
    std::vector<const ContainerStatus*> sidecars;
    bool busy = false;
    for (const ContainerStatus& c : runtime_.containers) {
      if (c.state != ContainerState::kRunning) continue;
      const ContainerRef spec = pod_.find_container(c.name);
      if (spec.spec != nullptr && spec.sidecar()) {
        sidecars.push_back(&c);
        continue;
      }
      busy = true;
      kill_for_end(c, grace);
    }
    if (busy) return;
    if (!sidecars.empty()) {
      const auto last = std::max_element(sidecars.begin(), sidecars.end(), [&](const auto* a, const auto* b) {
        return pod_.find_container(a->name).index < pod_.find_container(b->name).index;
      });
      kill_for_end(**last, grace);
      return;
    }
    stop_sandboxes();
    out_.finished = out_.stop_sandboxes.empty();
  }

  void kill_for_end(const ContainerStatus& c, int64_t grace) {
    const auto it = facts_.stopping.find(c.id);
    if (it != facts_.stopping.end() && (!facts_.terminate || grace >= it->second)) return;
    out_.kill.push_back({c.id, c.name, {}, false, false, false});
  }

  const Pod& pod_;
  const PodRuntime& runtime_;
  const PodFacts& facts_;
  PodPlan out_;
};

}  // namespace

base::Duration backoff_left(const RestartBackoff& backoff, WallTime finished, WallTime now) {
  if (backoff.delay.count() == 0 || finished > now)
    return base::Duration::zero();                                               // or the clock was set back
  if (finished - backoff.last > 2 * kBackoffMax) return base::Duration::zero();  // it ran well for long
  const auto passed = now - finished;
  return passed >= backoff.delay ? base::Duration::zero() : base::Duration(backoff.delay - passed);
}

RestartBackoff next_backoff(const RestartBackoff& backoff, WallTime finished) {
  if (backoff.delay.count() == 0 || finished - backoff.last > 2 * kBackoffMax)
    return {kBackoffInitial, finished};
  return {std::min(backoff.delay * 2, kBackoffMax), finished};
}

SandboxVerdict sandbox_changed(const Pod& pod, const PodRuntime& runtime) {
  if (runtime.sandboxes.empty()) return {true, 0, {}};
  const auto ready = std::count_if(runtime.sandboxes.begin(), runtime.sandboxes.end(),
                                   [](const SandboxStatus& s) { return s.ready; });
  const SandboxStatus& newest = runtime.sandboxes.front();
  const bool lost_network = !pod.host_network() && newest.ips.empty();
  if (ready > 1 || !newest.ready || lost_network) return {true, newest.attempt + 1, newest.id};
  return {false, 0, newest.id};
}

PodPlan plan(const Pod& pod, const PodRuntime& runtime, const PodFacts& facts) {
  return Planner(pod, runtime, facts).run();
}

}  // namespace orch::agent
