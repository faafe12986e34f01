// EventExpiry: Events go an hour after they were last written, as kube-apiserver's --event-ttl has it.
//
// No disk write and no wake-up belongs to an event that is not due: deadlines are kept in memory, on one
// timer for the earliest of them, and who is due within the same minute goes together. After a restart
// deadlines follow from what the events themselves say.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/object.h"
#include "base/clock.h"
#include "base/timer.h"
#include "client/client.h"
#include "client/informer.h"

namespace orch::server {

/// Names with a deadline each. Not thread-safe.
class Deadlines {
 public:
  void set(const std::string& name, base::MonoTime due);
  void drop(const std::string& name);
  std::optional<base::MonoTime> next() const;
  /// Removes and returns the names due at `until` or before, the earliest first.
  std::vector<std::string> take(base::MonoTime until);

 private:
  std::multimap<base::MonoTime, std::string> by_time_;
  std::unordered_map<std::string, std::multimap<base::MonoTime, std::string>::iterator> by_name_;
};

/// How long ago an event (core/v1) was last written, as far as it tells: never more than since its creation,
/// which the server stamped, and never negative.
base::Duration event_age(const api::Object& event, base::WallTime now);

class EventExpiry {
 public:
  /// Registers with the informer of events: make it before that starts. All must outlive this, except the
  /// informer's events, which may still come while this ends.
  EventExpiry(client::Client& client, client::InformerFactory& informers, base::Timers& timers,
              const base::Clock& clock, base::Duration ttl = std::chrono::hours(1));
  /// Deletions under way end first.
  ~EventExpiry();
  /// From now on events are deleted.
  void start();

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;  // held weakly by timer and informer
};

}  // namespace orch::server
