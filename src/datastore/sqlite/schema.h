// The store's file: making it, recognising it, refusing what it is not.
//
//   kv    one row per write, never changed: rev (the revision, and the key of the table), key, create_rev,
//         version (0: a delete), prev_rev (the key's write before this, 0: it did not exist), value
//   kv_key  index of kv by (key, rev): the newest row of a key is its current state
//   meta  one row: clean (1: closed in order), revision (last issued, exact when clean), reserved (none above
//         was ever issued), compacted (history before is gone), swept (rows up to here are cleaned up)
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "datastore/sqlite/database.h"

namespace orch::datastore::sqlite {

/// PRAGMA user_version; raised when an older Orch could no longer read the file.
constexpr int kFormat = 1;

struct Opened {
  Connection connection;  // set up for writing
  bool clean = false;     // was closed in order
  Revision revision = 0;  // to go on from: above it, none was ever issued
  Revision compacted = 0;
  Revision swept = 0;
};

/// Opens the store at `path`, makes it if there is nothing. Errors are those of open_sqlite().
base::Result<Opened> open_database(const std::string& path);

/// One more connection to a store that is open, for reading only.
base::Result<Connection> open_reader(const std::string& path);

}  // namespace orch::datastore::sqlite
