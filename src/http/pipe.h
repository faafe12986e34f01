// A bounded byte queue between two threads.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>

namespace orch::http {

/// Any number of writers, one reader. Thread-safe.
class Pipe {
 public:
  explicit Pipe(size_t limit) : limit_(limit) {}
  /// Waits while the limit is reached. False when nothing will be read any more.
  bool write(std::string_view bytes);
  /// Waits for bytes: > 0, or 0 at the end.
  long read(char* buffer, size_t size);
  /// The writers' end: what was written is still read.
  void end();
  /// The reader's end: what is left is dropped, and writers go on in vain.
  void close();

 private:
  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string bytes_;  // under mutex_, from read_ on
  size_t read_ = 0;
  bool ended_ = false, closed_ = false;
};

}  // namespace orch::http
