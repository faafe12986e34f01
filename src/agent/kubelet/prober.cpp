#include "agent/kubelet/prober.h"

#include "agent/cri/health.h"
#include "agent/kubelet/images.h"
#include "agent/kubelet/net_actions.h"
#include "api/go_text.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;
using std::chrono::seconds;

constexpr size_t kMaxProbeThreads = 16;
constexpr size_t kMaxOutput = 10 * 1024;

}  // namespace

struct Prober::Worker {
  std::string uid, container_id, container_name;
  ProbeKind kind = ProbeKind::kLiveness;
  ProbeSpec spec;
  EventObject about;
  bool has_startup = false;
  base::WallTime started;
  // Under Prober::mutex_.
  ProbeTrack track;
  base::Timers::Id timer = 0;
  bool running = false, removed = false;
};

Prober::Prober(Runtime& runtime, EventRecorder& events, const base::Clock& clock, base::Timers& timers,
               std::function<void(const std::string&)> on_change)
    : runtime_(runtime),
      events_(events),
      clock_(clock),
      timers_(timers),
      on_change_(std::move(on_change)),
      pool_("probe", kMaxProbeThreads) {}

Prober::~Prober() {
  std::vector<base::Timers::Id> timers;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [uid, pod] : pods_) {
      for (auto& [key, worker] : pod.workers) {
        worker->removed = true;
        timers.push_back(worker->timer);
      }
    }
  }
  for (const auto id : timers) timers_.cancel(id);
  pool_.drain();
}

/// Under mutex_ or before the worker is shared.
void Prober::schedule(const std::shared_ptr<Worker>& worker, base::Duration delay) {
  std::weak_ptr<Worker> weak = worker;
  worker->timer = timers_.after(delay, [this, weak] {
    const auto held = weak.lock();
    if (held == nullptr) return;
    std::lock_guard lock(mutex_);
    if (held->removed || stopping_) return;
    held->timer = 0;
    held->running = true;
    pool_.post([this, held] { run(held); });
  });
}

void Prober::sync(const Pod& pod, const PodRuntime& runtime, const std::string& ip, bool ending,
                  const std::map<std::string, bool>& ready_before) {
  static constexpr std::array<ProbeKind, 3> kKinds{ProbeKind::kStartup, ProbeKind::kLiveness,
                                                   ProbeKind::kReadiness};
  std::map<Key, std::shared_ptr<Worker>> wanted;
  for (const ContainerRef& c : pod.all_containers()) {
    if (c.kind == ContainerKind::kEphemeral || (c.kind == ContainerKind::kInit && !c.sidecar())) continue;
    const ContainerStatus* status = runtime.latest(c.name());
    if (status == nullptr || status->state != ContainerState::kRunning) continue;
    for (const ProbeKind kind : kKinds) {
      if (ending && kind != ProbeKind::kReadiness) continue;
      auto spec = probe_spec(c, kind, ip);
      if (!spec) continue;
      auto worker = std::make_shared<Worker>();
      worker->uid = pod.uid();
      worker->container_id = status->id;
      worker->container_name = c.name();
      worker->kind = kind;
      worker->spec = std::move(*spec);
      worker->about = event_object(pod, c.field_path());
      worker->has_startup = base::find_path(*c.spec, {"startupProbe"}) != nullptr;
      worker->started = base::WallTime(std::chrono::microseconds(status->started_at_ns / 1000));
      const auto before = ready_before.find(status->id);
      if (kind == ProbeKind::kReadiness) {
        const bool ready = before != ready_before.end() && before->second;
        worker->track.verdict = ready ? Health::kSuccess : Health::kFailure;
      } else if (kind == ProbeKind::kLiveness) {
        worker->track.verdict = Health::kSuccess;
      } else if (before != ready_before.end()) {
        worker->track.verdict = Health::kSuccess;  // adopted: it had started
      }
      wanted.emplace(Key(status->id, kind), std::move(worker));
    }
  }
  std::vector<base::Timers::Id> ended;
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  PodProbes& probes = pods_[std::string(pod.uid())];
  for (auto it = probes.workers.begin(); it != probes.workers.end();) {
    if (wanted.count(it->first) != 0) {
      ++it;
      continue;
    }
    it->second->removed = true;
    if (it->second->timer != 0) timers_.cancel(it->second->timer);
    it = probes.workers.erase(it);
  }
  for (auto& [key, worker] : wanted) {
    const auto [it, fresh] = probes.workers.try_emplace(key, worker);
    if (!fresh) continue;
    const base::WallTime due = worker->started + worker->spec.initial_delay;
    const base::WallTime now = clock_.now();
    schedule(worker, due > now ? base::Duration(due - now) : base::Duration::zero());
  }
  if (probes.workers.empty()) pods_.erase(std::string(pod.uid()));
}

void Prober::remove(const std::string& uid) {
  std::lock_guard lock(mutex_);
  const auto it = pods_.find(uid);
  if (it == pods_.end()) return;
  for (auto& [key, worker] : it->second.workers) {
    worker->removed = true;
    if (worker->timer != 0) timers_.cancel(worker->timer);
  }
  pods_.erase(it);
}

Prober::Verdicts Prober::verdicts(const std::string& uid) const {
  Verdicts out;
  std::lock_guard lock(mutex_);
  const auto it = pods_.find(uid);
  if (it == pods_.end()) return out;
  for (const auto& [key, worker] : it->second.workers) {
    auto& into = worker->kind == ProbeKind::kStartup    ? out.startup
                 : worker->kind == ProbeKind::kLiveness ? out.liveness
                                                        : out.readiness;
    into[key.first] = worker->track.verdict;
  }
  return out;
}

/// Under mutex_: liveness and readiness wait until the container has started by its startup probe.
bool Prober::startup_pending(const Worker& worker) const {
  if (worker.kind == ProbeKind::kStartup || !worker.has_startup) return false;
  const auto pod = pods_.find(worker.uid);
  if (pod == pods_.end()) return false;
  const auto it = pod->second.workers.find(Key(worker.container_id, ProbeKind::kStartup));
  return it != pod->second.workers.end() && it->second->track.verdict != Health::kSuccess;
}

Result<bool> Prober::perform(const Worker& worker, std::string* output) {
  const ProbeSpec& spec = worker.spec;
  switch (spec.action) {
    case ProbeSpec::Action::kExec: {
      auto result = runtime_.exec_sync(worker.container_id, spec.command, spec.timeout);
      if (!result.ok()) {
        if (result.error().code() == Code::kTimeout) {
          *output = base::cat("command timed out: \"", api::join(spec.command, " "), "\" timed out after ",
                              spec.timeout.count(), "s");
          return false;
        }
        return result.error();
      }
      *output = result->out + result->err;
      return result->exit_code == 0;
    }
    case ProbeSpec::Action::kHttp: {
      const auto reply = http_get(spec.http, spec.timeout);
      if (!reply.ok()) {
        *output = reply.error().message();
        return false;
      }
      if (reply->status >= 200 && reply->status < 400) return true;
      *output = base::cat("HTTP probe failed with statuscode: ", reply->status);
      return false;
    }
    case ProbeSpec::Action::kTcp: {
      const Status status = tcp_connect(spec.http.host, spec.http.port, spec.timeout);
      *output = status.message();
      return status.ok();
    }
    case ProbeSpec::Action::kGrpc: {
      const std::string host =
          spec.http.host.find(':') == std::string::npos ? spec.http.host : "[" + spec.http.host + "]";
      const Status status = grpc_health(base::cat(host, ":", spec.http.port), spec.service, spec.timeout);
      *output = status.message();
      return status.ok();
    }
  }
  return false;
}

void Prober::run(const std::shared_ptr<Worker>& worker) {
  bool skip = false;
  {
    std::lock_guard lock(mutex_);
    if (worker->removed || stopping_) return;
    skip = worker->track.held || startup_pending(*worker) ||
           (worker->kind == ProbeKind::kStartup && worker->track.verdict == Health::kSuccess);
  }
  bool changed = false, wake_others = false;
  if (!skip) {
    std::string output;
    const auto outcome = perform(*worker, &output);
    if (output.size() > kMaxOutput) output.resize(kMaxOutput);
    std::lock_guard lock(mutex_);
    if (worker->removed || stopping_) return;
    if (!outcome.ok()) {
      events_.warning(worker->about, "Unhealthy",
                      base::cat(probe_name(worker->kind), " probe errored and resulted in unknown state: ",
                                runtime_message(outcome.error())));
    } else {
      if (!*outcome) {
        events_.warning(worker->about, "Unhealthy",
                        base::cat(probe_name(worker->kind), " probe failed: ", output));
      }
      changed = count_outcome(worker->track, worker->spec, worker->kind, *outcome);
      wake_others = changed && worker->kind == ProbeKind::kStartup && *outcome;
    }
  }
  {
    std::lock_guard lock(mutex_);
    worker->running = false;
    const bool done = worker->track.held ||
                      (worker->kind == ProbeKind::kStartup && worker->track.verdict == Health::kSuccess);
    // One that waits for the startup probe is woken by it.
    if (!worker->removed && !stopping_ && !done && !startup_pending(*worker))
      schedule(worker, worker->spec.period);
    if (wake_others) {
      for (auto& [key, other] : pods_[worker->uid].workers) {
        if (key.first != worker->container_id || other == worker || other->timer != 0 || other->running)
          continue;
        schedule(other, base::Duration::zero());
      }
    }
  }
  if (changed) on_change_(worker->uid);
}

}  // namespace orch::agent
