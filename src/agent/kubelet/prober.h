// Prober: runs the probes of running containers at their times, without a thread each.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "agent/kubelet/event_recorder.h"
#include "agent/kubelet/probe.h"
#include "base/clock.h"
#include "base/threads.h"
#include "base/timer.h"

namespace orch::agent {

/// Thread-safe.
class Prober {
 public:
  /// `on_change` is called with a pod's uid when one of its verdicts changed.
  Prober(Runtime& runtime, EventRecorder& events, const base::Clock& clock, base::Timers& timers,
         std::function<void(const std::string& uid)> on_change);
  ~Prober();

  /// Brings the probes of a pod in line with its containers: new ones start, those of ended containers stop.
  /// `ready_before` names containers (by id) that count as ready until their first outcome: adopted ones.
  /// A pod that ends (`ending`) keeps only its readiness probes.
  void sync(const Pod& pod, const PodRuntime& runtime, const std::string& ip, bool ending,
            const std::map<std::string, bool>& ready_before);
  void remove(const std::string& uid);

  struct Verdicts {
    std::map<std::string, Health> startup, liveness, readiness;  // by container id
  };
  Verdicts verdicts(const std::string& uid) const;

 private:
  struct Worker;
  using Key = std::pair<std::string, ProbeKind>;  // container id
  struct PodProbes {
    std::map<Key, std::shared_ptr<Worker>> workers;
  };
  void schedule(const std::shared_ptr<Worker>& worker, base::Duration delay);
  void run(const std::shared_ptr<Worker>& worker);
  bool startup_pending(const Worker& worker) const;
  /// True, false, or an error that does not count.
  base::Result<bool> perform(const Worker& worker, std::string* output);

  Runtime& runtime_;
  EventRecorder& events_;
  const base::Clock& clock_;
  base::Timers& timers_;
  const std::function<void(const std::string&)> on_change_;
  mutable std::mutex mutex_;
  std::map<std::string, PodProbes> pods_;  // under mutex_
  bool stopping_ = false;                  // under mutex_
  base::ThreadPool pool_;
};

}  // namespace orch::agent
