// RuntimeCache: what the runtime holds, by pod, so that a pod's turn asks the runtime only about what
// changed.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "agent/kubelet/pod.h"

namespace orch::agent {

/// Thread-safe. Only sandboxes and containers that carry the labels of pods are kept.
class RuntimeCache {
 public:
  explicit RuntimeCache(Runtime& runtime) : runtime_(runtime) {}

  /// Lists everything; the uids of pods for which something differs from before.
  base::Result<std::set<std::string>> relist();
  /// Asks again for one container or sandbox. The uid of its pod; "" when the id is not of a pod. `changed`
  /// tells whether anything is different.
  std::string refresh(const std::string& id, bool* changed);
  /// A pod's part, newest first.
  PodRuntime pod(std::string_view uid) const;
  std::vector<std::string> pods() const;
  /// The container or sandbox is new, made by us just now.
  void add_sandbox(const SandboxStatus& status);
  void add_container(const ContainerStatus& status);
  void remove(const std::string& id);
  /// The container or sandbox is known not to run any more, or not known at all.
  bool ended(const std::string& id) const;
  /// Null when unknown: uid of the pod that a container or sandbox is of.
  std::string owner(const std::string& id) const;

 private:
  void refresh_sandbox(const std::string& id, bool* changed);

  Runtime& runtime_;
  mutable std::mutex mutex_;
  // Under mutex_.
  std::map<std::string, SandboxStatus> sandboxes_;
  std::map<std::string, ContainerStatus> containers_;
  std::map<std::string, std::string> owners_;                                               // id -> uid
  std::map<std::string, std::set<std::string>, std::less<>> sandboxes_of_, containers_of_;  // uid -> ids
};

}  // namespace orch::agent
