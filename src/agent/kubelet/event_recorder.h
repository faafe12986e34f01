// EventRecorder: core/v1 Events about a node and its pods, as `kubectl describe` shows them.
//
// Repeated events become a higher count of the first; many alike that differ only in the message become one
// "(combined from similar events)"; a source that floods is cut off (25 at once, then one in 5 minutes for
// each object). Writing happens on a thread of its own, so recording never waits.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <string>

#include "agent/kubelet/pod.h"
#include "base/clock.h"
#include "base/threads.h"
#include "client/client.h"

namespace orch::agent {

/// core/v1 ObjectReference of what an event is about.
struct EventObject {
  std::string kind, ns, name, uid, api_version = "v1", resource_version, field_path;
};
EventObject event_object(const Pod& pod, std::string field_path = {});

/// Thread-safe.
class EventRecorder {
 public:
  EventRecorder(client::Client& client, std::string component, std::string host, const base::Clock& clock);
  /// Writes what is queued, then ends.
  ~EventRecorder();
  void normal(const EventObject& object, std::string_view reason, std::string message) {
    record(object, "Normal", reason, std::move(message));
  }
  void warning(const EventObject& object, std::string_view reason, std::string message) {
    record(object, "Warning", reason, std::move(message));
  }
  /// Waits until what was recorded so far is written or given up (tests).
  void flush() { writer_.drain(); }

 private:
  struct Written {
    std::string name;  // of the event object; "" until created
    int64_t count = 0;
    base::WallTime first, last;
  };
  struct Similar {
    std::list<std::string> messages;  // distinct ones lately
    base::WallTime last;
  };
  struct Bucket {
    double tokens = 0;
    base::WallTime at;
  };
  void record(const EventObject& object, std::string_view type, std::string_view reason, std::string message);
  void write(const EventObject& object, const std::string& type, const std::string& reason,
             std::string message, base::WallTime now);
  bool admit(const std::string& key, base::WallTime now);
  void forget_old(base::WallTime now);

  client::Client& client_;
  const std::string component_, host_;
  const base::Clock& clock_;
  // Only on the writer's thread.
  std::map<std::string, Written> written_;
  std::map<std::string, Similar> similar_;
  std::map<std::string, Bucket> buckets_;
  base::ThreadPool writer_;  // one thread; last, so that it ends first
};

}  // namespace orch::agent
