// Reads a container's log file, and follows it.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "agent/api/log_line.h"

namespace orch::agent {

/// Ends a follow from another thread.
class LogStop {
 public:
  LogStop();
  ~LogStop();
  LogStop(const LogStop&) = delete;
  LogStop& operator=(const LogStop&) = delete;
  void stop();
  bool stopped() const { return stopped_; }
  int fd() const { return fd_; }

 private:
  std::atomic<bool> stopped_{false};
  int fd_ = -1;
};

/// Gives the log to `sink` piece by piece until its end, the limit, `stop`, or `sink` returns false. With
/// follow it waits (by inotify) for more, through rotation, until `running` says that the container ended and
/// all was read. Blocking. kNotFound when there is no file.
base::Status read_log(const std::string& path, const LogOptions& options, LogStop& stop,
                      const std::function<bool()>& running, const std::function<bool(std::string)>& sink);

/// Offset at which the last `lines` lines of a file begin. `fd` is left where it was.
int64_t tail_offset(int fd, int64_t lines);

}  // namespace orch::agent
