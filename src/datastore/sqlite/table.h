// The statements of the store's table: by the writer, and by readers. Each object belongs to one connection
// and is used by one thread at a time. All functions return SQLite result codes unless they say otherwise.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "datastore/sqlite/database.h"
#include "datastore/sqlite/volatile_keys.h"

namespace orch::datastore::sqlite {

/// What the writer thread does. The caller holds the transaction, except where noted.
class WriterTable {
 public:
  explicit WriterTable(Connection connection);

  /// The newest state of a key, uncommitted writes of this transaction included.
  int head(std::string_view key, Head& out);
  /// Adds a row for the event (bytes are not copied).
  int insert(const Event& event);

  /// No revision above `reserved` will be issued, and the store is not clean. Outside a transaction: one of
  /// its own.
  int reserve(Revision reserved);
  /// The last word before closing. Outside a transaction: one of its own.
  int mark_clean(Revision revision);

  /// Deletes rows that are of no use for `target` or later, beginning after `swept`, until `budget` is used
  /// up; a transaction of its own that is not flushed (losing it in a power cut only repeats it). `swept` is
  /// moved on; it is `target` when all is done.
  int sweep(Revision target, Revision& swept, const base::Clock& clock, base::Duration budget);

  int begin() { return connection_.exec("BEGIN IMMEDIATE"); }
  int commit() { return connection_.exec("COMMIT"); }
  void rollback();
  Connection& connection() { return connection_; }

 private:
  int sweep_rows(Revision target, Revision& swept, const base::Clock& clock, base::Duration budget);
  int remove(Revision revision);

  Connection connection_;
  Statement head_, insert_, reserve_, clean_, compacted_, next_, remove_;
};

/// Reads of one connection, each as of its own consistent state of the file.
class ReaderTable {
 public:
  explicit ReaderTable(Connection connection);

  /// Live keys of the range as of `at`, ascending, at most `limit` (0: all); `total` counts all there are,
  /// and is only exact when more than `limit` were found.
  int range(std::string_view start, std::string_view end, Revision at, int64_t limit,
            std::vector<KeyValue>& out, int64_t& total);
  /// Calls `each` with the events of a prefix in (after, upto], in order, from one state of the file.
  int events(std::string_view prefix, Revision after, Revision upto, const std::function<void(Event)>& each);
  Connection& connection() { return connection_; }

 private:
  int point(std::string_view key, Revision at, std::vector<KeyValue>& out);

  Connection connection_;
  Statement point_, bounded_, unbounded_, count_bounded_, count_unbounded_, events_, bounded_events_;
};

/// Readers for any number of threads: lent out, made when there is none, a few kept. Thread-safe.
class Readers {
 public:
  explicit Readers(std::string path) : path_(std::move(path)) {}
  base::Result<std::unique_ptr<ReaderTable>> take();
  void give_back(std::unique_ptr<ReaderTable> reader);

 private:
  const std::string path_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ReaderTable>> idle_;  // under mutex_
};

}  // namespace orch::datastore::sqlite
