// KeptFiles: small files that let a node start again without the server, written behind the back of the work
// that makes them: a flush of a slow flash card must not hold up a pod's start.
#pragma once

#include <string>

#include "base/threads.h"

namespace orch::agent {

/// Thread-safe. Writes and removals happen in the order of the calls; each write is atomic and durable when
/// it is done. A failed one is logged.
class KeptFiles {
 public:
  KeptFiles() : writer_("keep", 1) {}
  ~KeptFiles() { writer_.drain(); }
  /// Makes the folder too. Mode 0600.
  void write(std::string path, std::string content);
  void remove(std::string path);
  void flush() { writer_.drain(); }

 private:
  base::ThreadPool writer_;
};

}  // namespace orch::agent
