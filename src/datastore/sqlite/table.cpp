#include "datastore/sqlite/table.h"

#include <utility>

#include "datastore/sqlite/schema.h"

namespace orch::datastore::sqlite {
namespace {

bool unbounded(std::string_view end) { return end == std::string_view("\0", 1); }

// The newest row of each key of the range as of ?3, by the index alone, then the row itself. ?4: at most.
#define ORCH_RANGE_ROWS(upper)                                                       \
  " FROM (SELECT max(rev) AS newest FROM kv INDEXED BY kv_key WHERE key >= ?1" upper \
  " AND rev <= ?3 GROUP BY key ORDER BY key) CROSS JOIN kv ON kv.rev = newest WHERE kv.version > 0"
constexpr const char* kColumns = "SELECT kv.rev, kv.key, kv.create_rev, kv.version, kv.value";

KeyValue row_of(const Statement& row) {
  return {std::string(row.blob(1)), std::string(row.blob(4)), row.integer(2), row.integer(0), row.integer(3)};
}

}  // namespace

WriterTable::WriterTable(Connection connection) : connection_(std::move(connection)) {
  head_ = connection_.prepare(
      "SELECT rev, create_rev, version FROM kv INDEXED BY kv_key WHERE key = ?1 ORDER BY rev DESC LIMIT 1");
  insert_ = connection_.prepare(
      "INSERT INTO kv(rev, key, create_rev, version, prev_rev, value) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
  reserve_ = connection_.prepare("UPDATE meta SET clean = 0, reserved = ?1");
  clean_ = connection_.prepare("UPDATE meta SET clean = 1, revision = ?1, reserved = ?1");
  compacted_ = connection_.prepare("UPDATE meta SET compacted = ?1, swept = ?2");
  next_ = connection_.prepare(
      "SELECT rev, prev_rev, version FROM kv WHERE rev > ?1 AND rev <= ?2 ORDER BY rev LIMIT 32");
  remove_ = connection_.prepare("DELETE FROM kv WHERE rev = ?1");
}

int WriterTable::head(std::string_view key, Head& out) {
  Scoped row(head_);
  row->bind(1, key);
  const int code = row->step();
  out = {};
  if (code == SQLITE_DONE) return SQLITE_OK;
  if (code != SQLITE_ROW) return code;
  if (row->integer(2) > 0) out = {row->integer(0), row->integer(1), row->integer(2)};
  return SQLITE_OK;
}

int WriterTable::insert(const Event& event) {
  Scoped row(insert_);
  const KeyValue& kv = event.kv;
  row->bind(1, kv.mod_revision);
  row->bind(2, kv.key);
  row->bind(3, kv.create_revision);
  row->bind(4, kv.version);
  row->bind(5, event.prev_revision);
  if (event.type == Event::Type::kPut) {
    row->bind(6, kv.value);
  } else {
    row->bind_null(6);
  }
  const int code = row->step();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int WriterTable::reserve(Revision reserved) {
  Scoped row(reserve_);
  row->bind(1, reserved);
  const int code = row->step();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int WriterTable::mark_clean(Revision revision) {
  Scoped row(clean_);
  row->bind(1, revision);
  const int code = row->step();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

void WriterTable::rollback() {
  // Some errors have rolled back already.
  if (connection_.in_transaction()) connection_.exec("ROLLBACK");
}

int WriterTable::remove(Revision revision) {
  Scoped row(remove_);
  row->bind(1, revision);
  const int code = row->step();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int WriterTable::sweep_rows(Revision target, Revision& swept, const base::Clock& clock,
                            base::Duration budget) {
  const base::MonoTime deadline = clock.mono() + budget;
  // A row ends the use of the one before it of the same key; a delete is of no use itself.
  struct Row {
    Revision revision, previous;
    bool deletes;
  };
  std::vector<Row> rows;
  bool removed = false;
  do {
    rows.clear();
    {
      Scoped next(next_);
      next->bind(1, swept);
      next->bind(2, target);
      int code = 0;
      while ((code = next->step()) == SQLITE_ROW) {
        rows.push_back({next->integer(0), next->integer(1), next->integer(2) == 0});
      }
      if (code != SQLITE_DONE) return code;
    }
    if (rows.empty()) swept = target;
    for (const Row& row : rows) {
      int code = SQLITE_OK;
      if (row.previous != 0) code = remove(row.previous);
      if (code == SQLITE_OK && row.deletes) code = remove(row.revision);
      if (code != SQLITE_OK) return code;
      removed = removed || row.previous != 0 || row.deletes;
      swept = row.revision;
      // A value of some megabytes is hundreds of pages to free, hence a look after each row.
      if (clock.mono() >= deadline) break;
    }
  } while (swept < target && clock.mono() < deadline);
  // Where there was nothing to delete there is nothing to remember: an idle store is not written to.
  if (!removed) return SQLITE_OK;
  Scoped row(compacted_);
  row->bind(1, target);
  row->bind(2, swept);
  const int code = row->step();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int WriterTable::sweep(Revision target, Revision& swept, const base::Clock& clock, base::Duration budget) {
  const Revision before = swept;
  int code = connection_.exec("PRAGMA synchronous=NORMAL");
  if (code == SQLITE_OK) code = begin();
  if (code == SQLITE_OK) code = sweep_rows(target, swept, clock, budget);
  if (code == SQLITE_OK) code = commit();
  if (code != SQLITE_OK) {
    rollback();
    swept = before;
  }
  // Every other commit is flushed: this must not fail unseen.
  const int restored = connection_.exec("PRAGMA synchronous=FULL");
  return code != SQLITE_OK ? code : restored;
}

ReaderTable::ReaderTable(Connection connection) : connection_(std::move(connection)) {
  const auto sql = [](std::string_view head, std::string_view rows, std::string_view tail) {
    return base::cat(head, rows, tail);
  };
  constexpr std::string_view kBounded = ORCH_RANGE_ROWS(" AND key < ?2");
  constexpr std::string_view kUnbounded = ORCH_RANGE_ROWS("");
  point_ = connection_.prepare(
      "SELECT rev, key, create_rev, version, value FROM kv INDEXED BY kv_key"
      " WHERE key = ?1 AND rev <= ?2 ORDER BY rev DESC LIMIT 1");
  bounded_ = connection_.prepare(sql(kColumns, kBounded, " LIMIT ?4").c_str());
  unbounded_ = connection_.prepare(sql(kColumns, kUnbounded, " LIMIT ?4").c_str());
  count_bounded_ = connection_.prepare(sql("SELECT count(*)", kBounded, "").c_str());
  count_unbounded_ = connection_.prepare(sql("SELECT count(*)", kUnbounded, "").c_str());
  events_ = connection_.prepare(
      "SELECT rev, key, create_rev, version, prev_rev, value FROM kv WHERE rev > ?1 AND rev <= ?2 ORDER BY "
      "rev");
  // Of some keys: as long as their history takes, not all of it. The index has the revisions, so only those
  // are sorted.
  bounded_events_ = connection_.prepare(
      "SELECT rev, key, create_rev, version, prev_rev, value FROM kv WHERE rev IN (SELECT rev FROM kv "
      "INDEXED BY "
      "kv_key WHERE key >= ?3 AND key < ?4 AND rev > ?1 AND rev <= ?2) ORDER BY rev");
}

int ReaderTable::point(std::string_view key, Revision at, std::vector<KeyValue>& out) {
  Scoped row(point_);
  row->bind(1, key);
  row->bind(2, at);
  const int code = row->step();
  if (code == SQLITE_DONE) return SQLITE_OK;
  if (code != SQLITE_ROW) return code;
  if (row->integer(3) > 0)
    out.push_back(
        {std::string(key), std::string(row->blob(4)), row->integer(2), row->integer(0), row->integer(3)});
  return SQLITE_OK;
}

int ReaderTable::range(std::string_view start, std::string_view end, Revision at, int64_t limit,
                       std::vector<KeyValue>& out, int64_t& total) {
  if (end.empty()) {
    const int code = point(start, at, out);
    total = static_cast<int64_t>(out.size());
    return code;
  }
  int code = connection_.exec("BEGIN");
  if (code != SQLITE_OK) return code;
  const auto bind = [&](Scoped& rows) {
    rows->bind(1, start);
    if (!unbounded(end)) rows->bind(2, end);
    rows->bind(3, at);
  };
  {
    Scoped rows(unbounded(end) ? unbounded_ : bounded_);
    bind(rows);
    rows->bind(4, limit > 0 ? limit + 1 : int64_t{-1});
    while ((code = rows->step()) == SQLITE_ROW) {
      if (limit > 0 && static_cast<int64_t>(out.size()) == limit) {
        code = SQLITE_DONE;
        ++total;
        break;
      }
      out.push_back(row_of(*rows));
      ++total;
    }
  }
  if (code == SQLITE_DONE && limit > 0 && total > limit) {
    Scoped count(unbounded(end) ? count_unbounded_ : count_bounded_);
    bind(count);
    code = count->step();
    if (code == SQLITE_ROW) {
      total = count->integer(0);
      code = SQLITE_DONE;
    }
  }
  connection_.exec("COMMIT");
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int ReaderTable::events(std::string_view prefix, Revision after, Revision upto,
                        const std::function<void(Event)>& each) {
  const std::string end = prefix_end(prefix);
  Scoped rows(unbounded(end) ? events_ : bounded_events_);
  rows->bind(1, after);
  rows->bind(2, upto);
  if (!unbounded(end)) {
    rows->bind(3, prefix);
    rows->bind(4, std::string_view(end));
  }
  int code = 0;
  while ((code = rows->step()) == SQLITE_ROW) {
    const std::string_view key = rows->blob(1);
    if (!key.starts_with(prefix)) continue;
    Event event;
    event.type = rows->integer(3) > 0 ? Event::Type::kPut : Event::Type::kDelete;
    event.kv = {std::string(key), std::string(rows->blob(5)), rows->integer(2), rows->integer(0),
                rows->integer(3)};
    event.prev_revision = rows->integer(4);
    each(std::move(event));
  }
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

base::Result<std::unique_ptr<ReaderTable>> Readers::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<ReaderTable> reader = std::move(idle_.back());
      idle_.pop_back();
      return reader;
    }
  }
  base::Result<Connection> connection = open_reader(path_);
  if (!connection.ok()) return connection.error();
  return std::make_unique<ReaderTable>(std::move(*connection));
}

void Readers::give_back(std::unique_ptr<ReaderTable> reader) {
  constexpr size_t kKept = 2;
  sqlite3_db_release_memory(reader->connection().raw());
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kKept) idle_.push_back(std::move(reader));
}

}  // namespace orch::datastore::sqlite
