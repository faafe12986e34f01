// EventRecorder: writes core/v1 Events about objects; equal ones within an hour are counted up in place,
// similar ones become one when there are many, and floods are dropped (event_flow.h).
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "client/client.h"
#include "client/event_flow.h"

namespace orch::client {

/// Thread-safe. A failed write is logged and forgotten: events are best effort, as in Kubernetes.
class EventRecorder {
 public:
  /// Both must outlive this. `host` goes into the event's source, "" for the control plane.
  EventRecorder(Client& client, const base::Clock& clock, std::string host = {})
      : client_(client), clock_(clock), host_(std::move(host)) {}
  /// `source` is the component ("replicaset-controller"), `type` Normal or Warning. `field_path` narrows the
  /// object, "spec.containers{web}". `at`: when it happened, now if it is not said.
  void record(std::string_view source, const api::Object& about, std::string_view type,
              std::string_view reason, std::string_view message, std::string_view field_path = {},
              std::optional<base::WallTime> at = {});

 private:
  struct Seen {
    std::string name;
    int64_t count = 1;
    std::string first;
    base::WallTime last;
  };
  Client& client_;
  const base::Clock& clock_;
  const std::string host_;
  std::mutex mutex_;
  std::unordered_map<std::string, Seen> seen_;  // under mutex_; bounded
  EventFlow flow_;                              // under mutex_
};

}  // namespace orch::client
