// Copies the write-ahead log into the database file, in portions, beside the writer, so that the log stays
// small and, as long as the disk keeps up, no write waits for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "datastore/sqlite/database.h"

namespace orch::datastore::sqlite {

class Checkpointer {
 public:
  /// `path`: of the database. `limit_frames`: pages the log may hold.
  Checkpointer(std::string path, int limit_frames);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  /// By the writer between its transactions: the log holds `frames` pages (0: unknown, nothing written
  /// since). May copy the little that is left of a portion on the writer's own connection: only when all of
  /// the log is in the database does the next write begin it anew. Waits for the portion under way when the
  /// log is an eighth above its limit.
  void after_commit(Connection& writer, int frames);

 private:
  void run();

  const std::string path_;
  const int limit_frames_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  bool wanted_ = false, stopping_ = false;  // under mutex_
  std::atomic<bool> busy_{false};           // a portion is being copied
  std::atomic<int> copied_{-1};             // frames it has come to, -1: not since the writer looked
  std::thread thread_;                      // last: runs over everything above
};

}  // namespace orch::datastore::sqlite
