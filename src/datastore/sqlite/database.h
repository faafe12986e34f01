// SQLite's C interface with owners: connections, prepared statements, and one table from its result codes to
// what the store answers. Nothing here knows the store's schema. Objects are used by one thread at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "datastore/store.h"

namespace orch::datastore::sqlite {

/// What a failed call means to a caller of the store.
struct Failure {
  Outcome outcome = Outcome::kFailed;
  std::string message;
};

class Statement;

class Connection {
 public:
  /// Opens `path` through the checked layer; `create` makes a file that is not there.
  static base::Result<Connection> open(const std::string& path, bool create);

  /// Runs statements without results. SQLITE_OK or the extended result code.
  int exec(const char* sql);
  /// The first column of the first row as text; empty if there is none or on error (then `code` has it).
  std::string query_text(const char* sql, int& code);
  int64_t query_integer(const char* sql, int& code);
  /// If that fails (the file cannot be read), every step of the statement is an error.
  Statement prepare(const char* sql);
  /// For the last failed call, whose extended result code is `code`.
  Failure failure(int code) const;
  base::Status status(int code) const;
  bool in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
  sqlite3* raw() { return db_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  explicit Connection(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

/// A prepared statement. Parameters count from 1, columns from 0.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  void bind(int at, int64_t value) { sqlite3_bind_int64(statement_.get(), at, value); }
  /// As a blob; the bytes must stay until reset().
  void bind(int at, std::string_view bytes);
  /// As text; the bytes must stay until reset().
  void bind_text(int at, std::string_view text);
  void bind_null(int at) { sqlite3_bind_null(statement_.get(), at); }
  /// SQLITE_ROW, SQLITE_DONE or an extended error code.
  int step() { return sqlite3_step(statement_.get()); }
  /// To its start; bound bytes may go.
  void reset() {
    sqlite3_reset(statement_.get());
    sqlite3_clear_bindings(statement_.get());
  }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  /// Valid until the next step or reset.
  std::string_view blob(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// Resets a statement at the end of a scope.
class Scoped {
 public:
  explicit Scoped(Statement& statement) : statement_(statement) {}
  ~Scoped() { statement_.reset(); }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;
  Statement* operator->() { return &statement_; }
  Statement& operator*() { return statement_; }

 private:
  Statement& statement_;
};

}  // namespace orch::datastore::sqlite
