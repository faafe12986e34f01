#include "tests/unit/datastore/sqlite/fault_vfs.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace orch::testing {
namespace {

struct FaultFile {
  sqlite3_file base;
  const char* path;
  sqlite3_file* lower() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

FaultFile* self(sqlite3_file* f) { return reinterpret_cast<FaultFile*>(f); }
sqlite3_file* lower(sqlite3_file* f) { return self(f)->lower(); }
sqlite3_vfs* lower(sqlite3_vfs* v) { return static_cast<sqlite3_vfs*>(v->pAppData); }
FaultDisk& disk() { return FaultDisk::instance(); }

int64_t size_of(sqlite3_file* f) {
  sqlite3_int64 size = 0;
  lower(f)->pMethods->xFileSize(lower(f), &size);
  return size;
}

std::string bytes_at(sqlite3_file* f, int64_t offset, int64_t amount) {
  std::string bytes(static_cast<size_t>(std::max<int64_t>(0, std::min(amount, size_of(f) - offset))), '\0');
  if (!bytes.empty()) {
    lower(f)->pMethods->xRead(lower(f), bytes.data(), static_cast<int>(bytes.size()), offset);
  }
  return bytes;
}

int f_close(sqlite3_file* f) { return lower(f)->pMethods->xClose(lower(f)); }
int f_read(sqlite3_file* f, void* buffer, int n, sqlite3_int64 at) {
  return lower(f)->pMethods->xRead(lower(f), buffer, n, at);
}
int f_write(sqlite3_file* f, const void* buffer, int n, sqlite3_int64 at) {
  if (!disk().allowed()) return SQLITE_IOERR_WRITE;
  const int64_t size = size_of(f);
  if (at + n > size && !disk().grow(at + n - size)) return SQLITE_FULL;
  disk().changed(self(f)->path, {at, bytes_at(f, at, n), std::string(static_cast<const char*>(buffer), n),
                                 size, std::max<int64_t>(size, at + n)});
  return lower(f)->pMethods->xWrite(lower(f), buffer, n, at);
}
int f_truncate(sqlite3_file* f, sqlite3_int64 size) {
  if (!disk().allowed()) return SQLITE_IOERR_TRUNCATE;
  const int64_t before = size_of(f);
  disk().changed(self(f)->path, {size, bytes_at(f, size, before - size), {}, before, size});
  return lower(f)->pMethods->xTruncate(lower(f), size);
}
int f_sync(sqlite3_file* f, int) {
  if (!disk().allowed()) return SQLITE_IOERR_FSYNC;
  disk().flushed(self(f)->path);  // the real thing would only cost time
  return SQLITE_OK;
}
int f_size(sqlite3_file* f, sqlite3_int64* size) { return lower(f)->pMethods->xFileSize(lower(f), size); }
int f_lock(sqlite3_file* f, int level) { return lower(f)->pMethods->xLock(lower(f), level); }
int f_unlock(sqlite3_file* f, int level) { return lower(f)->pMethods->xUnlock(lower(f), level); }
int f_reserved(sqlite3_file* f, int* out) { return lower(f)->pMethods->xCheckReservedLock(lower(f), out); }
int f_control(sqlite3_file* f, int op, void* arg) {
  return lower(f)->pMethods->xFileControl(lower(f), op, arg);
}
int f_sector(sqlite3_file* f) { return lower(f)->pMethods->xSectorSize(lower(f)); }
int f_traits(sqlite3_file* f) { return lower(f)->pMethods->xDeviceCharacteristics(lower(f)); }
int f_map(sqlite3_file* f, int region, int size, int extend, void volatile** out) {
  return lower(f)->pMethods->xShmMap(lower(f), region, size, extend, out);
}
int f_shm_lock(sqlite3_file* f, int at, int n, int flags) {
  return lower(f)->pMethods->xShmLock(lower(f), at, n, flags);
}
void f_barrier(sqlite3_file* f) { lower(f)->pMethods->xShmBarrier(lower(f)); }
int f_unmap(sqlite3_file* f, int remove) { return lower(f)->pMethods->xShmUnmap(lower(f), remove); }

const sqlite3_io_methods kMethods = {
    2,         f_close,  f_read,   f_write, f_truncate, f_sync,    f_size,  f_lock,  f_unlock, f_reserved,
    f_control, f_sector, f_traits, f_map,   f_shm_lock, f_barrier, f_unmap, nullptr, nullptr};

int v_open(sqlite3_vfs* v, sqlite3_filename name, sqlite3_file* f, int flags, int* out) {
  constexpr int kWatched = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
  if (name == nullptr || (flags & kWatched) == 0) return lower(v)->xOpen(lower(v), name, f, flags, out);
  FaultFile* mine = self(f);
  mine->base.pMethods = nullptr;
  mine->path = name;
  mine->lower()->pMethods = nullptr;
  const int code = lower(v)->xOpen(lower(v), name, mine->lower(), flags, out);
  if (mine->lower()->pMethods != nullptr) mine->base.pMethods = &kMethods;
  return code;
}
int v_delete(sqlite3_vfs* v, const char* name, int sync) {
  if (!disk().allowed()) return SQLITE_IOERR_DELETE;
  disk().flushed(name);
  return lower(v)->xDelete(lower(v), name, sync);
}
int v_access(sqlite3_vfs* v, const char* name, int flags, int* out) {
  return lower(v)->xAccess(lower(v), name, flags, out);
}
int v_path(sqlite3_vfs* v, const char* name, int n, char* out) {
  return lower(v)->xFullPathname(lower(v), name, n, out);
}
int v_random(sqlite3_vfs* v, int n, char* out) { return lower(v)->xRandomness(lower(v), n, out); }
int v_sleep(sqlite3_vfs* v, int n) { return lower(v)->xSleep(lower(v), n); }
int v_time(sqlite3_vfs* v, double* out) { return lower(v)->xCurrentTime(lower(v), out); }
int v_error(sqlite3_vfs* v, int n, char* out) { return lower(v)->xGetLastError(lower(v), n, out); }
int v_time64(sqlite3_vfs* v, sqlite3_int64* out) { return lower(v)->xCurrentTimeInt64(lower(v), out); }

void register_layer() {
  sqlite3_initialize();
  sqlite3_vfs* below = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs vfs = {};
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(FaultFile)) + below->szOsFile;
  vfs.mxPathname = below->mxPathname;
  vfs.zName = "fault";
  vfs.pAppData = below;
  vfs.xOpen = v_open;
  vfs.xDelete = v_delete;
  vfs.xAccess = v_access;
  vfs.xFullPathname = v_path;
  vfs.xRandomness = v_random;
  vfs.xSleep = v_sleep;
  vfs.xCurrentTime = v_time;
  vfs.xGetLastError = v_error;
  vfs.xCurrentTimeInt64 = v_time64;
  sqlite3_vfs_register(&vfs, 1);
}

void write_at(int fd, std::string_view bytes, int64_t offset) {
  if (::pwrite(fd, bytes.data(), bytes.size(), offset) != static_cast<ssize_t>(bytes.size())) ::abort();
}

void resize(int fd, int64_t size) {
  if (::ftruncate(fd, size) != 0) ::abort();
}

}  // namespace

FaultDisk& FaultDisk::instance() {
  static FaultDisk* const disk = [] {
    register_layer();
    return new FaultDisk;
  }();
  return *disk;
}

void FaultDisk::freeze(int64_t operations) { left_ = operations; }

bool FaultDisk::allowed() {
  ++operations_;
  int64_t left = left_.load();
  while (left > 0 && !left_.compare_exchange_weak(left, left - 1)) {
  }
  return left != 0;
}

bool FaultDisk::grow(int64_t bytes) {
  int64_t left = growth_.load();
  while (left >= 0 && left >= bytes && !growth_.compare_exchange_weak(left, left - bytes)) {
  }
  return left < 0 || left >= bytes;
}

void FaultDisk::changed(const std::string& path, Change change) {
  const std::lock_guard lock(mutex_);
  unflushed_[path].push_back(std::move(change));
}

void FaultDisk::flushed(const std::string& path) {
  const std::lock_guard lock(mutex_);
  unflushed_.erase(path);
}

void FaultDisk::thaw(bool cut, std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  for (auto& [path, changes] : unflushed_) {
    const int fd = cut ? ::open(path.c_str(), O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) continue;
    for (auto c = changes.rbegin(); c != changes.rend(); ++c) {
      write_at(fd, c->before, c->offset);
      resize(fd, c->size_before);
    }
    // Any of them may have reached the disk, in any order, in whole or up to some sector.
    const uint64_t part = random() % 4;  // how much survives, from nothing to all
    for (const Change& c : changes) {
      if (random() % 3 >= part) continue;
      if (c.after.empty() && c.size_after < c.size_before) {
        resize(fd, c.size_after);
        continue;
      }
      const size_t length = random() % 8 == 0 ? random() % (c.after.size() / 512 + 1) * 512 : c.after.size();
      write_at(fd, std::string_view(c.after).substr(0, length), c.offset);
    }
    ::close(fd);
  }
  unflushed_.clear();
  left_ = -1;
}

}  // namespace orch::testing
