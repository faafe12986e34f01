// The members of Kubelet, for its two sources.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "agent/kubelet/kubelet.h"
#include "agent/kubelet/log_files.h"
#include "agent/kubelet/node.h"
#include "agent/kubelet/node_context.h"
#include "agent/kubelet/pod_worker.h"
#include "agent/kubelet/state_cache.h"

namespace orch::agent {

struct Kubelet::Rep {
  Rep(KubeletConfig c, const KubeletDeps& d);

  struct Link;

  // --- Workers ---
  struct Slot {
    std::shared_ptr<PodWorker> worker;
    bool running = false, again = false;
    base::Timers::Id timer = 0;
  };
  void upsert(const api::ObjectPtr& object);
  void removed(const api::ObjectPtr& object);
  void notify(const std::string& uid);
  void run_turn(const std::string& uid);
  void with_worker(const std::string& uid, const std::function<void(PodWorker&)>& use);

  Admission admit(const Pod& pod, const api::PodInfo& wants);
  /// Sends pods away so that a critical one finds room; what it says to the critical one.
  Admission make_room(const Pod& pod, const api::PodInfo& wants, const api::ObjectPtr& object);
  /// Resizes that wait, most urgent first.
  void retry_resizes();
  /// This node as the API has it, or as it will register; with the pods that are here but `uid`.
  api::NodeInfo node_beside(const api::ObjectPtr& object, std::string_view uid) const;
  api::ObjectPtr node_object() const;

  // --- The runtime ---
  base::Status first_list();
  void on_event(const ContainerEvent& event);
  void refresh(const std::string& id, bool stopped, int attempt);
  void resync();
  void relist_later(std::chrono::milliseconds delay);
  void adopt_orphans();
  void reconcile();
  void after(base::Duration delay, std::function<void()> task);
  void housekeeping();

  const KubeletConfig config;
  KubeletDeps deps;
  KeptFiles files;
  EventRecorder events;
  RuntimeCache cache;
  VolumeManager volumes;
  ImageManager images;
  Cgroups cgroups;
  Tokens tokens;
  StatusWriter statuses;
  StateCache state;
  LogFiles logs;
  client::Informer& services;
  ServiceEnv service_env;
  client::Informer& pods;
  client::Informer& nodes;
  api::ObjectPtr initial_node;  // what registers, for as long as the API's is not known

  std::mutex admission;  // see NodeContext; taken before `mutex`
  mutable std::mutex mutex;
  std::map<std::string, Slot> slots;            // under mutex
  std::map<uint64_t, base::Timers::Id> timers;  // under mutex; those of after()
  uint64_t next_timer = 1;                      // under mutex
  bool stopping = false, started = false;       // under mutex
  bool reconciled = false;                      // under mutex
  std::chrono::milliseconds relist_delay{500};  // under mutex
  base::MonoTime last_image_gc;

  std::unique_ptr<ObjectCache> objects;
  std::unique_ptr<Prober> prober;
  std::unique_ptr<NodeAgent> node;
  std::unique_ptr<NodeContext> context;
  std::unique_ptr<base::ThreadPool> turns, stops;  // last: their tasks use the rest
  std::shared_ptr<Link> link = std::make_shared<Link>();
};

/// What outlives the kubelet (informers, runtime) calls through this; cut by the destructor.
struct Kubelet::Rep::Link {
  std::mutex mutex;
  Rep* rep = nullptr;  // under mutex
  template <typename Use>
  void with(const Use& use) {
    std::lock_guard lock(mutex);
    if (rep != nullptr) use(*rep);
  }
};

}  // namespace orch::agent
