// datastore::Store over one SQLite file: WAL, synchronous=FULL, one writer thread with group commit.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "datastore/store.h"

namespace orch::datastore {

struct SqliteOptions {
  std::string path;  // the database file; its folder must exist
  /// Keys with these prefixes are kept in memory only (node leases): their writes take revisions and reach
  /// listeners like any other, but never touch the disk and are gone after a restart. A subscription inside
  /// such a prefix from before the restart is kCompacted, so that its owner looks at the whole again.
  std::vector<std::string> volatile_prefixes;
  /// Revisions reserved ahead on disk, so that none is reused after a crash although volatile writes are not
  /// on disk.
  int64_t revision_block = 100000;
  /// History younger than this survives automatic compaction.
  std::chrono::seconds history = std::chrono::minutes(5);
  /// Automatic compaction runs when at least this many superseded rows can go; never on an idle store.
  int64_t compact_min_rows = 1000;
  /// The log is copied into the database file in portions, so that it stays well below this; it is cut to
  /// this size should a long-running read have made it longer.
  int64_t wal_limit_bytes = 16 << 20;
  /// For the age of history. Null: the machine's.
  const base::Clock* clock = nullptr;
};

/// Opens or creates; holds `path`.lock while open. Refuses (kInternal, clear message) a store written by a
/// newer version, a corrupt, truncated or foreign file, a folder it cannot write; kConflict when another
/// process has it open. Pages carry checksums that are verified on every read; after an unclean stop
/// everything is checked. With a full disk it opens for reading: writes are kReadOnly until there is space
/// again.
base::Result<std::unique_ptr<Store>> open_sqlite(const SqliteOptions& options);

}  // namespace orch::datastore
