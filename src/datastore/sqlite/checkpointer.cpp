#include "datastore/sqlite/checkpointer.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/threads.h"
#include "datastore/sqlite/schema.h"

namespace orch::datastore::sqlite {
namespace {

constexpr int kPortionFrames = 1000;  // 4 MiB of pages
constexpr int kRestFrames = 256;      // what the writer copies itself
constexpr int kExcess = 8;            // a log this part of its limit above it waits for the portion under way

}  // namespace

Checkpointer::Checkpointer(std::string path, int limit_frames)
    : path_(std::move(path)),
      limit_frames_(std::max(limit_frames, 2 * kRestFrames)),
      thread_(base::start_thread("checkpoint", [this] { run(); })) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Checkpointer::after_commit(Connection& writer, int frames) {
  if (busy_) {
    if (frames < limit_frames_ + limit_frames_ / kExcess) return;
    // The disk is slower than the writers: they wait for it, or the log would have no bound.
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return !busy_; });
  }
  const int copied = copied_.exchange(-1);
  if (frames < std::min(kPortionFrames, limit_frames_ / 2)) return;
  if ((copied >= 0 && frames - copied <= kRestFrames) || frames >= limit_frames_) {
    sqlite3_wal_checkpoint_v2(writer.raw(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    return;
  }
  const std::lock_guard lock(mutex_);
  busy_ = wanted_ = true;
  wake_.notify_all();
}

void Checkpointer::run() {
  base::Result<Connection> connection = open_reader(path_);
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    wanted_ = false;
    lock.unlock();
    int copied = 0;
    if (!connection.ok()) connection = open_reader(path_);
    if (connection.ok()) {
      const int code =
          sqlite3_wal_checkpoint_v2(connection->raw(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, &copied);
      if (code != SQLITE_OK && code != SQLITE_BUSY) {
        base::log_warning("store", "the log could not be copied into the database; it is kept",
                          {{"error", connection->failure(code).message}});
      }
    }
    lock.lock();
    copied_ = copied;
    busy_ = false;
    idle_.notify_all();
  }
}

}  // namespace orch::datastore::sqlite
