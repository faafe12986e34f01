// StatusWriter: brings the statuses of pods to the API, newest first and each only when it differs, and
// deletes the objects of pods that ended.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "api/object.h"
#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/threads.h"
#include "base/timer.h"
#include "client/client.h"

namespace orch::agent {

/// Thread-safe. For one pod one write is under way at a time; a newer status replaces one that waits. Failed
/// writes are tried again (0.2 s doubling to 30 s) for as long as the pod is known.
class StatusWriter {
 public:
  StatusWriter(client::Client& client, base::Timers& timers);
  ~StatusWriter();

  /// Makes the API show `status`. `seen` is the object as the caller saw it. With `then_delete` the object is
  /// removed once the status is there (the pod is finished and being deleted).
  void set(const api::ObjectPtr& seen, const Json& status, bool then_delete);
  void forget(const std::string& uid);
  /// Waits until nothing is queued (tests, shutdown).
  void flush() { pool_.drain(); }

 private:
  struct Entry;
  void post(const std::string& uid);
  void write(const std::string& uid);
  void retry_later(const std::string& uid, Entry& entry);

  client::Client& client_;
  base::Timers& timers_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;  // under mutex_
  std::shared_ptr<bool> alive_;                            // under mutex_: false once destroyed
  base::ThreadPool pool_;
};

}  // namespace orch::agent
