// KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles with their plugins and arguments, and
// extenders.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/scheduler/extender.h"
#include "server/scheduler/framework.h"

namespace orch::server::scheduler {

struct SchedulerConfig {
  std::vector<Profile> profiles;
  std::vector<ExtenderConfig> extenders;
  base::Duration first_backoff = std::chrono::seconds(1), last_backoff = std::chrono::seconds(10);
  base::Duration bind_timeout = std::chrono::seconds(600);  // of volumes; VolumeBindingArgs
};

/// What holds without a file.
SchedulerConfig default_config();
/// From YAML or JSON; kBadRequest with everything that is wrong, worded as kube-scheduler does. What concerns
/// its process alone (leader election, client connection, profiling) is accepted and has no meaning here.
base::Result<SchedulerConfig> read_config(std::string_view text);

}  // namespace orch::server::scheduler
