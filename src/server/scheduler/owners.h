// Owners: which pods are alike because one service or controller selects them.
#pragma once

#include <optional>

#include "api/selector.h"
#include "base/json_fwd.h"
#include "server/scheduler/objects.h"
#include "server/scheduler/types.h"

namespace orch::server::scheduler {

/// Not thread-safe.
class Owners {
 public:
  explicit Owners(const Objects& objects);
  /// What the services that select the pod, and the ReplicationController, ReplicaSet or StatefulSet that
  /// owns it, select together; nothing when it belongs to none.
  std::optional<api::LabelSelector> selector_of(const PodInfo& pod) const;

 private:
  const Objects& objects_;
  Parsed<std::shared_ptr<const Json>> selectors_;  // spec.selector
};

}  // namespace orch::server::scheduler
