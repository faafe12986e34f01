// StateCache: the node's pods on disk, so that they run again after a reboot while the server is away.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "agent/kubelet/kept_files.h"
#include "api/object.h"
#include "base/status.h"

namespace orch::agent {

/// Thread-safe. One file for each pod, replaced only when what it says of the pod's intent changed: a status
/// is not worth wearing a flash card.
class StateCache {
 public:
  StateCache(KeptFiles& files, std::string folder) : files_(files), folder_(std::move(folder)) {}
  /// Pods as last saved. Broken files are removed.
  std::vector<api::ObjectPtr> load();
  void save(const api::ObjectPtr& pod);
  void remove(const std::string& uid);

 private:
  std::string file_of(const std::string& uid) const { return base::cat(folder_, "/", uid, ".json"); }
  KeptFiles& files_;
  const std::string folder_;
  std::mutex mutex_;
  std::map<std::string, size_t> saved_;  // under mutex_; uid -> fingerprint of what the file holds
};

/// Hash of a pod's tree without its status and version: what of it calls for action.
size_t intent_fingerprint(const Json& pod);

}  // namespace orch::agent
