// DaemonSet controller (apps/v1): one pod on every node that suits.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "server/controllers/controller.h"

namespace orch::server {

/// Daemon pods that fail are replaced after a pause that doubles, one second to fifteen minutes, so that a
/// daemon that cannot run does not keep the cluster busy. Thread-safe.
class FailedDaemons {
 public:
  /// How long a pod that failed on this node has to wait still before it is replaced; 0 = not at all, and the
  /// next one waits twice as long. `key` names daemon set and node.
  base::Duration pause(const std::string& key, base::WallTime now);

 private:
  struct Seen {
    base::Duration wait{0};
    base::WallTime last;
  };
  std::mutex mutex_;
  std::map<std::string, Seen> seen_;  // under mutex_
};

Controller make_daemonset_controller();
/// The pure part, for tests.
Plan plan_daemonset(const View& view, const Key& key, base::WallTime now, FailedDaemons& failed);

}  // namespace orch::server
