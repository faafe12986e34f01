// NodeContext: the parts of a node that pods' workers share. Owned by Kubelet; all are thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/cgroups.h"
#include "agent/kubelet/config.h"
#include "agent/kubelet/downward.h"
#include "agent/kubelet/event_recorder.h"
#include "agent/kubelet/images.h"
#include "agent/kubelet/kept_files.h"
#include "agent/kubelet/object_cache.h"
#include "agent/kubelet/prober.h"
#include "agent/kubelet/resize.h"
#include "agent/kubelet/runtime_cache.h"
#include "agent/kubelet/service_env.h"
#include "agent/kubelet/status_writer.h"
#include "agent/kubelet/tokens.h"
#include "agent/kubelet/volumes.h"
#include "api/placement.h"
#include "base/clock.h"
#include "base/threads.h"
#include "base/timer.h"
#include "client/client.h"

namespace orch::agent {

/// What a node says to a new pod: it takes it, refuses it for good, or has sent others away to make room.
struct Admission {
  std::optional<Waiting> refused;
  bool later = false;
};

struct NodeContext {
  const KubeletConfig& config;
  client::Client& client;
  Runtime& runtime;
  const base::Clock& clock;
  base::Timers& timers;
  EventRecorder& events;
  RuntimeCache& cache;
  VolumeManager& volumes;
  ImageManager& images;
  Cgroups& cgroups;
  ObjectCache& objects;
  Tokens& tokens;
  StatusWriter& statuses;
  Prober& prober;
  ServiceEnv& services;
  KeptFiles& files;
  base::ThreadPool& stops;  // blocking stops of containers
  std::mutex& admission;    // held from asking to be admitted until the room is taken
  int64_t memory_capacity = 0;
  NodeResources allocatable;
  std::function<std::vector<std::string>()> host_ips;
  /// Whether the node takes a pod that was not here before.
  std::function<Admission(const Pod& pod, const api::PodInfo& wants)> admit;
  /// Whether the node has room for what a pod that is here asks for now.
  std::function<ResizeVerdict(const Pod& desired, const api::PodInfo& wants)> judge_resize;
  /// The node has more room than before: resizes that wait are tried again.
  std::function<void()> room_freed;
  /// Runs the pod's worker again soon.
  std::function<void(const std::string& uid)> notify;
  /// A blocking stop of one of the pod's containers ended; notifies too.
  std::function<void(const std::string& uid, const std::string& container_id, bool ok)> stopped;
};

}  // namespace orch::agent
