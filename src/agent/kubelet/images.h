// ImageManager: makes sure that an image is there before its container is made.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/event_recorder.h"
#include "agent/kubelet/image_name.h"
#include "agent/kubelet/plan.h"
#include "base/clock.h"
#include "base/threads.h"

namespace orch::agent {

struct ImageOutcome {
  enum class State : uint8_t {
    kReady,    // `image` is there
    kPulling,  // `when_done` will be called
    kWaiting,  // not now: `waiting` says why; ask again at `retry_at`
  };
  State state = State::kReady;
  ImageInfo image;
  std::string ref;
  Waiting waiting;
  base::WallTime retry_at;
};

/// Thread-safe.
class ImageManager {
 public:
  ImageManager(Runtime& runtime, EventRecorder& events, const base::Clock& clock);
  ~ImageManager();

  /// Never blocks for a pull: that runs on a thread of the manager, and `when_done` is called (once, on that
  /// thread) after it; ask again then. Back-off after failures is 10 s doubling to 300 s per pod and image.
  ImageOutcome ensure(const Pod& pod, const ContainerRef& container, const std::vector<RegistryAuth>& auths,
                      std::function<void()> when_done);
  /// Forgets what is remembered of a pod.
  void forget(std::string_view pod_uid);

  struct Usage {
    std::string id;
    uint64_t size = 0;
    base::WallTime first_seen, last_used;
  };
  /// Removes images that no container uses, least recently used first, until `bytes` are freed; those younger
  /// than `min_age` and pinned ones stay. Returns the bytes freed.
  uint64_t collect(uint64_t bytes, std::chrono::seconds min_age, const std::vector<std::string>& pinned);

 private:
  struct Failure {
    std::chrono::seconds delay{0};
    base::WallTime at;
    std::string message;  // "ErrImagePull: …"
    bool reported = true;
  };
  void pull(const std::string& key, const std::string& full_name, const std::string& as_named,
            const EventObject& about, const std::vector<ImageAuth>& auths);

  Runtime& runtime_;
  EventRecorder& events_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Failure> failures_;                            // under mutex_; by "<uid>_<image>"
  std::map<std::string, std::vector<std::function<void()>>> pulling_;  // under mutex_; by the same key
  std::set<std::string> said_present_;                                 // under mutex_
  std::map<std::string, Usage> usage_;                                 // under mutex_; by image id
  base::ThreadPool pool_;
};

/// IfNotPresent unless given; Always for the tag latest.
std::string_view pull_policy(const ContainerRef& container);

/// Without the "rpc error: code = X desc = " that a runtime's error has.
std::string runtime_message(const base::Status& status);

}  // namespace orch::agent
