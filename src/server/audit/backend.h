// Where audit events go: a file that is rotated, or a webhook in batches.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"

namespace orch::server {

/// Thread-safe. Takes events as JSON texts of one line.
class AuditBackend {
 public:
  virtual ~AuditBackend() = default;
  virtual void write(const std::string& event) = 0;
};

struct AuditLogOptions {
  std::string path;                       // "-": standard output
  int max_age_days = 0, max_backups = 0;  // 0: none are removed for this reason
  int max_size_megabytes = 100;
};

/// One event per line. A file that would grow beyond its size is renamed NAME-TIME.EXT, TIME being UTC as
/// 2006-01-02T15-04-05.000, and begun anew; files older or more than allowed go. What cannot be written is
/// logged and counted (apiserver_audit_error_total).
class AuditLogFile final : public AuditBackend {
 public:
  /// kBadRequest when the file cannot be opened. `clock` must outlive this.
  static base::Result<std::unique_ptr<AuditLogFile>> open(AuditLogOptions options, const base::Clock& clock,
                                                          base::Counter& errors);
  ~AuditLogFile() override;
  void write(const std::string& event) override;

 private:
  AuditLogFile(AuditLogOptions options, const base::Clock& clock, base::Counter& errors);
  base::Status reopen();    // under mutex_
  void rotate();            // under mutex_
  void remove_old() const;  // under mutex_

  const AuditLogOptions o_;
  const base::Clock& clock_;
  base::Counter& errors_;
  std::mutex mutex_;
  int fd_ = -1;       // under mutex_
  int64_t size_ = 0;  // under mutex_
};

struct AuditBatchOptions {
  size_t buffer = 10000;  // events that wait; more are dropped
  size_t max_batch = 400;
  base::Duration max_wait = std::chrono::seconds(30);
  double per_second = 10;  // batches
  int burst = 15;
  base::Duration initial_backoff = std::chrono::seconds(10);
};

/// Sends one EventList; run on the backend's thread.
using AuditSend = std::function<base::Status(const std::string& event_list)>;

/// Gathers events and sends them when a batch is full or its oldest event has waited long enough, no more
/// often than allowed. A batch that fails is tried five times, ever later, then dropped. Nothing wakes up
/// while there are no events.
class AuditBatches final : public AuditBackend {
 public:
  AuditBatches(AuditBatchOptions options, AuditSend send, base::Counter& dropped);
  /// Sends what waits, once.
  ~AuditBatches() override;
  void write(const std::string& event) override;

 private:
  void run();
  void deliver(const std::vector<std::string>& batch);
  void throttle();
  /// False when the backend ends meanwhile.
  bool pause(base::Duration how_long);

  const AuditBatchOptions o_;
  const AuditSend send_;
  base::Counter& dropped_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::string> waiting_;                   // under mutex_
  std::chrono::steady_clock::time_point oldest_{};    // under mutex_; of waiting_
  bool stopping_ = false;                             // under mutex_
  double tokens_ = 0;                                 // the thread's own
  std::chrono::steady_clock::time_point refilled_{};  // the thread's own
  std::thread thread_;
};

}  // namespace orch::server
