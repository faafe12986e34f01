// NodeAgent: this machine's Node object and lease. Registers, sends heartbeats through the lease, writes the
// status when it changes and otherwise rarely.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/kubelet/config.h"
#include "agent/kubelet/event_recorder.h"
#include "agent/kubelet/node_status.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/threads.h"
#include "base/timer.h"
#include "client/client.h"

namespace orch::agent {

/// Thread-safe.
class NodeAgent {
 public:
  NodeAgent(const KubeletConfig& config, client::Client& client, Runtime& runtime, EventRecorder& events,
            const base::Clock& clock, base::Timers& timers, std::function<void()> on_tick);
  ~NodeAgent();
  /// Begins to register and to renew; returns at once.
  void start();
  void stop();
  /// Something that the status shows may have changed (network, images): look now.
  void poke();
  /// Of the service proxy, for the node's NetworkUnavailable condition.
  void services_changed(const base::Status& status);

  const MachineInfo& machine() const { return machine_; }
  std::vector<std::string> addresses() const;
  bool registered() const;
  bool ready() const;
  /// For events about the node.
  EventObject about() const;

 private:
  void tick();
  void work();
  bool register_node(const Json& status);
  void renew_lease();
  void write_status();
  NodeStatusInput collect(bool with_images);
  void schedule(base::Duration delay);

  const KubeletConfig& config_;
  client::Client& client_;
  Runtime& runtime_;
  EventRecorder& events_;
  const base::Clock& clock_;
  base::Timers& timers_;
  const std::function<void()> on_tick_;
  const MachineInfo machine_;

  mutable std::mutex mutex_;
  std::vector<std::string> addresses_;  // under mutex_
  bool registered_ = false;             // under mutex_
  bool ready_ = false;                  // under mutex_
  std::string services_error_;          // under mutex_
  bool stopping_ = false;               // under mutex_
  bool queued_ = false;                 // under mutex_
  std::string uid_;                     // under mutex_
  base::Timers::Id timer_ = 0;          // under mutex_

  // Only on the pool's thread.
  std::unique_ptr<Json> status_;  // as the API has it
  std::unique_ptr<Json> lease_;
  base::MonoTime last_report_, last_renew_;
  base::MonoTime began_;
  base::ThreadPool pool_;  // one thread
};

}  // namespace orch::agent
