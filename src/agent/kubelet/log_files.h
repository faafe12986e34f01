// LogFiles: rotation of container logs (kubelet's containerLogMaxSize and …MaxFiles).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/cri/runtime.h"
#include "base/clock.h"

namespace orch::agent {

struct RunningLog {
  std::string container_id, path;
};

/// Not thread-safe: called from one place.
class LogFiles {
 public:
  LogFiles(Runtime& runtime, int64_t max_bytes, int max_files)
      : runtime_(runtime), max_bytes_(max_bytes), max_files_(max_files) {}
  /// Moves each log that is too large aside (0.log.20260131-120000), has the runtime open a new one, packs
  /// older ones with gzip and removes what is beyond the number of files.
  void rotate(const std::vector<RunningLog>& logs, base::WallTime now);

 private:
  void rotate_one(const RunningLog& log, base::WallTime now);
  Runtime& runtime_;
  const int64_t max_bytes_;
  const int max_files_;
};

}  // namespace orch::agent
