#include "datastore/sqlite/database.h"

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "base/log.h"
#include "datastore/sqlite/checked_vfs.h"

namespace orch::datastore::sqlite {

using base::cat;
using base::Code;
using base::Result;
using base::Status;

Result<Connection> Connection::open(const std::string& path, bool create) {
  const char* vfs = checked_vfs();
  if (vfs == nullptr) return Status(Code::kInternal, "SQLite has no file system layer");
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, vfs);
  Connection connection(raw);
  if (raw == nullptr) return Status(Code::kInternal, cat("open ", path, ": out of memory"));
  sqlite3_extended_result_codes(raw, 1);
  if (code != SQLITE_OK) return connection.status(code).with_context(cat("open ", path));
  // Only another program with the file open can hold a lock for long.
  sqlite3_busy_timeout(raw, 5000);
  return connection;
}

int Connection::exec(const char* sql) { return sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr); }

std::string Connection::query_text(const char* sql, int& code) {
  sqlite3_stmt* raw = nullptr;
  code = sqlite3_prepare_v2(db_.get(), sql, -1, &raw, nullptr);
  if (code != SQLITE_OK) return {};
  Statement statement(raw);
  code = statement.step();
  if (code == SQLITE_DONE) code = SQLITE_OK;
  if (code != SQLITE_ROW) return {};
  code = SQLITE_OK;
  return std::string(statement.blob(0));
}

int64_t Connection::query_integer(const char* sql, int& code) {
  const std::string text = query_text(sql, code);
  return text.empty() ? 0 : std::strtoll(text.c_str(), nullptr, 10);
}

Statement Connection::prepare(const char* sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) {
    base::log_error("store", "cannot prepare a statement", {{"sql", sql}, {"error", failure(code).message}});
  }
  return Statement(raw);
}

Failure Connection::failure(int code) const {
  Failure f;
  f.message = sqlite3_errstr(code);
  if (sqlite3_extended_errcode(db_.get()) == code) f.message = sqlite3_errmsg(db_.get());
  switch (code & 0xFF) {
    case SQLITE_FULL:
      f.outcome = Outcome::kReadOnly;
      f.message = "no space left on the disk of the store";
      return f;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
      f.outcome = Outcome::kReadOnly;
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      f.message = cat("the store is damaged: ", f.message);
      break;
    case SQLITE_IOERR:
      if (code == SQLITE_IOERR_DATA || code == SQLITE_IOERR_CORRUPTFS) {
        f.message = "the store is damaged: a page fails its checksum";
        break;
      }
      f.outcome = Outcome::kReadOnly;
      f.message = code == SQLITE_IOERR_WRITE ? "writing to the disk of the store failed"
                  : code == SQLITE_IOERR_FSYNC
                      ? "flushing the disk of the store failed"
                      : cat("input/output error on the disk of the store (", code, ")");
      break;
    default:
      break;
  }
  const int error = sqlite3_system_errno(db_.get());
  if (f.outcome == Outcome::kReadOnly && error != 0) {
    f.message += cat(": ", std::generic_category().message(error));
  }
  return f;
}

Status Connection::status(int code) const {
  Failure f = failure(code);
  return Status(f.outcome == Outcome::kReadOnly ? Code::kStoreReadOnly : Code::kInternal,
                std::move(f.message));
}

void Statement::bind(int at, std::string_view bytes) {
  const char* data = bytes.data() != nullptr ? bytes.data() : "";
  sqlite3_bind_blob64(statement_.get(), at, data, bytes.size(), SQLITE_STATIC);
}

void Statement::bind_text(int at, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

std::string_view Statement::blob(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(data), size);
}

}  // namespace orch::datastore::sqlite
