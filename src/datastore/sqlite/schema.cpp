#include "datastore/sqlite/schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "datastore/sqlite/checked_vfs.h"

namespace orch::datastore::sqlite {
namespace {

using base::cat;
using base::Code;
using base::Result;
using base::Status;

constexpr int kApplicationId = 0x4F524348;  // "ORCH"

constexpr const char* kCreate = R"(
BEGIN;
CREATE TABLE meta(
  id INTEGER PRIMARY KEY CHECK(id = 1), clean INTEGER NOT NULL, revision INTEGER NOT NULL,
  reserved INTEGER NOT NULL, compacted INTEGER NOT NULL, swept INTEGER NOT NULL);
INSERT INTO meta VALUES(1, 1, 1, 1, 0, 0);
CREATE TABLE kv(
  rev INTEGER PRIMARY KEY, key BLOB NOT NULL, create_rev INTEGER NOT NULL, version INTEGER NOT NULL,
  prev_rev INTEGER NOT NULL, value BLOB);
CREATE INDEX kv_key ON kv(key);
COMMIT;
)";

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

int64_t file_bytes(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : -1;
}

Status refuse(const std::string& path, std::string_view why) {
  return Status(Code::kInternal, cat("store ", path, " ", why));
}

Status damaged(const std::string& path, std::string_view detail) {
  return refuse(path, cat("is damaged and was not opened (", detail,
                          "); restore it from a snapshot, or move it away to start with an empty one"));
}

Status sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool done = fd >= 0 && (::fsync(fd) == 0 || errno == EINVAL);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (done) return {};
  return Status(Code::kInternal, cat("fsync ", folder, ": ", std::generic_category().message(error)));
}

// Made under another name first: a file under its own name is never half made, so an empty one is damage.
Status create(const std::string& path) {
  const std::string fresh = path + ".new";
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((fresh + suffix).c_str());
  {
    Result<Connection> connection = Connection::open(fresh, true);
    if (!connection.ok()) return connection.error();
    int reserve = kPageChecksumBytes;
    sqlite3_file_control(connection->raw(), "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    const std::string identity =
        cat("PRAGMA application_id=", kApplicationId, "; PRAGMA user_version=", kFormat, ";");
    for (const char* sql : {"PRAGMA page_size=4096", "PRAGMA synchronous=FULL", kCreate, identity.c_str()}) {
      const int code = connection->exec(sql);
      if (code == SQLITE_OK) continue;
      Status status = connection->status(code).with_context(cat("create store ", path));
      ::unlink(fresh.c_str());
      return status;
    }
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    return refuse(path, cat("cannot be created: ", std::generic_category().message(errno)));
  }
  return sync_folder(folder_of(path));
}

// What can be said of the file without SQLite, which would take an empty one as new.
Status check_file(const std::string& path) {
  const int64_t size = file_bytes(path);
  if (size == 0) return damaged(path, "the file is empty");
  std::array<char, 16> magic{};
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return refuse(path, cat("cannot be opened: ", std::generic_category().message(errno)));
  const ssize_t n = ::read(fd, magic.data(), magic.size());
  ::close(fd);
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  if (n != 16 || std::string_view(magic.data(), 16) != kMagic) {
    return damaged(path, "it does not begin as a database does");
  }
  return {};
}

Status check_identity(Connection& connection, const std::string& path) {
  int code = SQLITE_OK;
  const int64_t application = connection.query_integer("PRAGMA application_id", code);
  if (code != SQLITE_OK) return damaged(path, connection.failure(code).message);
  const int64_t format = connection.query_integer("PRAGMA user_version", code);
  if (code != SQLITE_OK) return damaged(path, connection.failure(code).message);
  if (application != kApplicationId) return refuse(path, "is not a store of Orch");
  if (format > kFormat) {
    return refuse(path, cat("was written by a newer version of Orch (format ", format,
                            "; this one knows up to ", kFormat, ") and was not opened"));
  }
  int reserve = -1;
  sqlite3_file_control(connection.raw(), "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
  if (reserve != kPageChecksumBytes) return damaged(path, "its pages carry no checksums");
  return {};
}

Status check_integrity(Connection& connection, const std::string& path) {
  int code = SQLITE_OK;
  std::string found = connection.query_text("PRAGMA integrity_check(1)", code);
  if (code != SQLITE_OK) found = connection.failure(code).message;
  if (found == "ok") return {};
  std::replace(found.begin(), found.end(), '\n', ' ');
  return damaged(path, found);
}

Status set_up(Connection& connection, const std::string& path, bool reader) {
  // Small caches: behind them is the system's, and pages are read once per write at most. Builds of SQLite
  // that overwrite what is deleted by default would make freeing a large value as costly as writing it.
  const char* sql = reader ? "PRAGMA query_only=1; PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY"
                           : "PRAGMA synchronous=FULL; PRAGMA cache_size=-2048; PRAGMA temp_store=MEMORY;"
                             "PRAGMA secure_delete=FAST";
  const int code = connection.exec(sql);
  if (code != SQLITE_OK) return damaged(path, connection.failure(code).message);
  return {};
}

Status load(Opened& opened, const std::string& path) {
  Statement meta = opened.connection.prepare("SELECT clean, revision, reserved, compacted, swept FROM meta");
  int code = meta.step();
  if (code != SQLITE_ROW) {
    if (code == SQLITE_DONE) return damaged(path, "its state is missing");
    return damaged(path, opened.connection.failure(code).message);
  }
  opened.clean = meta.integer(0) == 1;
  opened.revision = opened.clean ? meta.integer(1) : meta.integer(2);
  opened.compacted = meta.integer(3);
  opened.swept = meta.integer(4);
  meta.reset();
  if (!opened.clean) {
    base::log_warning("store", "the store was not closed in order: checking it", {{"file", path}});
    ORCH_RETURN_IF_ERROR(check_integrity(opened.connection, path));
  }
  const Revision last = opened.connection.query_integer("SELECT max(rev) FROM kv", code);
  if (code != SQLITE_OK) return damaged(path, opened.connection.failure(code).message);
  opened.revision = std::max(opened.revision, last);
  if (opened.revision < 1 || opened.compacted < 0 || opened.compacted > opened.revision || opened.swept < 0 ||
      opened.swept > opened.compacted) {
    return damaged(path, "its revisions contradict each other");
  }
  return {};
}

}  // namespace

Result<Opened> open_database(const std::string& path) {
  const std::string folder = folder_of(path);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return Status(Code::kInternal,
                  cat("cannot write to folder ", folder, ": ", std::generic_category().message(errno)));
  }
  if (file_bytes(path) < 0) {
    // A log without its database would be replayed into a new one.
    if (file_bytes(path + "-wal") > 0) return damaged(path, "the file is missing, but its log is there");
    ORCH_RETURN_IF_ERROR(create(path));
  }
  ORCH_RETURN_IF_ERROR(check_file(path));
  Result<Connection> connection = Connection::open(path, false);
  if (!connection.ok()) return connection.error();
  Opened opened{std::move(*connection)};
  ORCH_RETURN_IF_ERROR(check_identity(opened.connection, path));
  int code = SQLITE_OK;
  const std::string mode = opened.connection.query_text("PRAGMA journal_mode=WAL", code);
  if (code != SQLITE_OK || mode != "wal") {
    return refuse(path,
                  cat("cannot be opened for writing: ",
                      code != SQLITE_OK ? opened.connection.failure(code).message : "no write-ahead log"));
  }
  ORCH_RETURN_IF_ERROR(set_up(opened.connection, path, false));
  ORCH_RETURN_IF_ERROR(load(opened, path));
  return opened;
}

Result<Connection> open_reader(const std::string& path) {
  Result<Connection> connection = Connection::open(path, false);
  if (!connection.ok()) return connection;
  ORCH_RETURN_IF_ERROR(set_up(*connection, path, true));
  return connection;
}

}  // namespace orch::datastore::sqlite
