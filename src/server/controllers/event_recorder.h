// EventRecorder: writes core/v1 Events about objects; equal ones within an hour are counted up in place.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "client/client.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// Thread-safe. A failed write is logged and forgotten: events are best effort, as in Kubernetes.
class EventRecorder {
 public:
  EventRecorder(client::Client& client, const base::Clock& clock) : client_(client), clock_(clock) {}
  /// `source` is the component, "replicaset-controller".
  void record(std::string_view source, const Note& note);

 private:
  struct Seen {
    std::string name;
    int64_t count = 1;
    std::string first;
    base::WallTime last;
  };
  client::Client& client_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Seen> seen_;  // under mutex_; bounded
};

}  // namespace orch::server
