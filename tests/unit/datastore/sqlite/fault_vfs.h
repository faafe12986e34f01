// A disk that can be made to fail, for tests: a layer below the store's own that remembers what has been
// written but not flushed, so that a power cut can lose any part of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

namespace orch::testing {

/// There is one, below every store of the process. Thread-safe.
class FaultDisk {
 public:
  /// Becomes SQLite's default layer on first use: call it before any store is opened.
  static FaultDisk& instance();

  /// From now on, or after `operations` more of them, nothing is written any more: every write, flush and
  /// delete fails. As for a killed process, what was written before is there.
  void freeze(int64_t operations = 0);
  bool frozen() const { return left_.load() == 0; }
  /// Ends freeze(). With `cut`, of all that was not flushed an arbitrary part is lost, as in a power cut.
  void thaw(bool cut, std::mt19937_64& random);
  /// Files may grow by so many bytes more; negative: no limit.
  void limit_growth(int64_t bytes) { growth_ = bytes; }

  /// Writes, flushes and deletes so far.
  int64_t operations() const { return operations_; }

  // For the layer's functions.
  struct Change {
    int64_t offset;
    std::string before,
        after;  // bytes; `before` may be shorter (the file was), both are empty for a truncation
    int64_t size_before, size_after;
  };
  bool allowed();
  bool grow(int64_t bytes);
  void changed(const std::string& path, Change change);
  void flushed(const std::string& path);

 private:
  FaultDisk() = default;
  std::atomic<int64_t> left_{-1};  // operations until all fail; -1: they never do
  std::atomic<int64_t> growth_{-1};
  std::atomic<int64_t> operations_{0};
  std::mutex mutex_;
  std::map<std::string, std::vector<Change>> unflushed_;  // under mutex_
};

}  // namespace orch::testing
