#include "datastore/sqlite/checked_vfs.h"

#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace orch::datastore::sqlite {
namespace {

using base::cat;

// What SQLite allocates for an open database file; the lower layer's file follows it in memory.
struct CheckedFile {
  sqlite3_file base;         // first: SQLite sees only this
  const char* name;          // lives as long as the file is open
  int page_size;             // 0: not known yet, or a file without checksums
  bool fresh;                // made by us and without a first page so far: all its pages will have checksums
  sqlite3_int64 known_size;  // of a log: it was at least this long when we last looked

  sqlite3_file* lower() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
static_assert(sizeof(CheckedFile) % alignof(std::max_align_t) == 0 || alignof(std::max_align_t) <= 16);

CheckedFile* self(sqlite3_file* file) { return reinterpret_cast<CheckedFile*>(file); }
sqlite3_file* lower(sqlite3_file* file) { return self(file)->lower(); }
sqlite3_vfs* lower(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

// Learns the page size from the first page's header. Called when the file is opened, too: SQLite may read
// that page from the log only.
void learn(CheckedFile* file, const unsigned char* page, int amount, sqlite3_int64 offset) {
  if (offset != 0 || amount < 512) return;
  const int size = (page[16] << 8 | page[17]) == 1 ? 65536 : page[16] << 8 | page[17];
  file->page_size = page[20] == kPageChecksumBytes && size >= 512 ? size : 0;
  file->fresh = false;
}

bool whole_page(const CheckedFile* file, int amount, sqlite3_int64 offset) {
  return file->page_size != 0 && amount == file->page_size && offset % amount == 0;
}

uint64_t checksum_of(const unsigned char* page, int amount, sqlite3_int64 offset) {
  return page_checksum(static_cast<uint64_t>(offset / amount) + 1, page,
                       static_cast<size_t>(amount - kPageChecksumBytes));
}

int file_close(sqlite3_file* file) { return lower(file)->pMethods->xClose(lower(file)); }

int file_read(sqlite3_file* file, void* buffer, int amount, sqlite3_int64 offset) {
  const int code = lower(file)->pMethods->xRead(lower(file), buffer, amount, offset);
  if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
  const auto* page = static_cast<const unsigned char*>(buffer);
  if (code == SQLITE_OK) learn(self(file), page, amount, offset);
  if (!whole_page(self(file), amount, offset)) return code;
  // SQLite would take the missing part of a page cut off as zeros, hence the same check.
  uint64_t stored = 0;
  std::memcpy(&stored, page + amount - kPageChecksumBytes, sizeof stored);
  if (stored == checksum_of(page, amount, offset)) return code;
  base::log_error("store", "a page of the database is damaged",
                  {{"file", self(file)->name}, {"page", cat(offset / amount + 1)}});
  return SQLITE_IOERR_DATA;
}

int file_write(sqlite3_file* file, const void* buffer, int amount, sqlite3_int64 offset) {
  // SQLite does not use the reserved bytes of its page buffers, so the checksum can be put there in place.
  auto* page = static_cast<unsigned char*>(const_cast<void*>(buffer));
  learn(self(file), page, amount, offset);
  // The first page of a new file may be written last.
  const bool early = self(file)->fresh && amount >= 512 && offset % amount == 0;
  if (early || whole_page(self(file), amount, offset)) {
    const uint64_t sum = checksum_of(page, amount, offset);
    std::memcpy(page + amount - kPageChecksumBytes, &sum, sizeof sum);
  }
  return lower(file)->pMethods->xWrite(lower(file), buffer, amount, offset);
}

int file_truncate(sqlite3_file* f, sqlite3_int64 size) {
  return lower(f)->pMethods->xTruncate(lower(f), size);
}
int file_sync(sqlite3_file* f, int flags) { return lower(f)->pMethods->xSync(lower(f), flags); }
int file_size(sqlite3_file* f, sqlite3_int64* size) { return lower(f)->pMethods->xFileSize(lower(f), size); }
int file_lock(sqlite3_file* f, int level) { return lower(f)->pMethods->xLock(lower(f), level); }
int file_unlock(sqlite3_file* f, int level) { return lower(f)->pMethods->xUnlock(lower(f), level); }
int file_reserved(sqlite3_file* f, int* out) { return lower(f)->pMethods->xCheckReservedLock(lower(f), out); }
int file_control(sqlite3_file* f, int op, void* arg) {
  return lower(f)->pMethods->xFileControl(lower(f), op, arg);
}
int file_sector(sqlite3_file* f) { return lower(f)->pMethods->xSectorSize(lower(f)); }
int file_traits(sqlite3_file* f) { return lower(f)->pMethods->xDeviceCharacteristics(lower(f)); }
int file_shm_map(sqlite3_file* f, int region, int size, int extend, void volatile** out) {
  const int code = lower(f)->pMethods->xShmMap(lower(f), region, size, extend, out);
  if (code != SQLITE_OK || extend == 0 || *out == nullptr) return code;
  // SQLite makes sure of one block per 4096 bytes; where blocks are smaller, a full disk would end the
  // process (SIGBUS) when it writes between them. Kernels before 5.14 do not know this advice.
  const int known = ::madvise(const_cast<void*>(*out), static_cast<size_t>(size), MADV_POPULATE_WRITE);
  if (known == 0 || errno != EFAULT) return SQLITE_OK;
  *out = nullptr;
  return SQLITE_FULL;
}
int file_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
  return lower(f)->pMethods->xShmLock(lower(f), offset, n, flags);
}
void file_shm_barrier(sqlite3_file* f) { lower(f)->pMethods->xShmBarrier(lower(f)); }
int file_shm_unmap(sqlite3_file* f, int remove) { return lower(f)->pMethods->xShmUnmap(lower(f), remove); }

// Version 2: shared memory for the log, but no memory-mapped pages, which would pass by the check.
const sqlite3_io_methods kMethods = {
    2,           file_close,   file_read,     file_write,       file_truncate,  file_sync,
    file_size,   file_lock,    file_unlock,   file_reserved,    file_control,   file_sector,
    file_traits, file_shm_map, file_shm_lock, file_shm_barrier, file_shm_unmap, nullptr,
    nullptr};

// A flush of a file that has grown has the file system write its own journal, too. So the log grows by steps,
// with zeros (unwritten space would have to be journalled as it is filled), and most commits find room.
// To SQLite the zeros are what lies behind the last frame. On a disk that is nearly full it grows by frames.
constexpr sqlite3_int64 kLogStep = 1 << 20;
constexpr uint64_t kSpaceToSpare = 16U << 20;

bool has_space_to_spare(const char* path) {
  struct statvfs fs {};
  return ::statvfs(path, &fs) == 0 && static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize >= kSpaceToSpare;
}

void make_room(CheckedFile* log, sqlite3_int64 end) {
  const sqlite3_io_methods* methods = log->lower()->pMethods;
  sqlite3_int64 size = 0;
  if (methods->xFileSize(log->lower(), &size) != SQLITE_OK) return;
  log->known_size = std::max(size, end);
  if (end <= size || !has_space_to_spare(log->name)) return;
  const sqlite3_int64 target = (end / kLogStep + 1) * kLogStep;
  const std::vector<char> zeros(64U << 10);
  for (sqlite3_int64 at = size; at < target;) {
    const auto amount = static_cast<int>(std::min<sqlite3_int64>(target - at, zeros.size()));
    if (methods->xWrite(log->lower(), zeros.data(), amount, at) != SQLITE_OK) {
      // A quota, most likely: what little there is belongs to the frame itself.
      methods->xTruncate(log->lower(), size);
      return;
    }
    at += amount;
  }
  log->known_size = target;
}

int log_write(sqlite3_file* file, const void* buffer, int amount, sqlite3_int64 offset) {
  if (offset + amount > self(file)->known_size) make_room(self(file), offset + amount);
  return lower(file)->pMethods->xWrite(lower(file), buffer, amount, offset);
}

int log_read(sqlite3_file* file, void* buffer, int amount, sqlite3_int64 offset) {
  return lower(file)->pMethods->xRead(lower(file), buffer, amount, offset);
}

int log_truncate(sqlite3_file* file, sqlite3_int64 size) {
  self(file)->known_size = 0;
  return file_truncate(file, size);
}

const sqlite3_io_methods kLogMethods = {
    1,         file_close,  log_read,      log_write,    log_truncate, file_sync,   file_size,
    file_lock, file_unlock, file_reserved, file_control, file_sector,  file_traits, nullptr,
    nullptr,   nullptr,     nullptr,       nullptr,      nullptr};

int open_log(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  CheckedFile* mine = self(file);
  *mine = {};
  mine->name = name;
  mine->lower()->pMethods = nullptr;
  const int code = lower(vfs)->xOpen(lower(vfs), name, mine->lower(), flags, out_flags);
  if (mine->lower()->pMethods != nullptr) mine->base.pMethods = &kLogMethods;
  return code;
}

int vfs_open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  if ((flags & SQLITE_OPEN_WAL) != 0) return open_log(vfs, name, file, flags, out_flags);
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return lower(vfs)->xOpen(lower(vfs), name, file, flags, out_flags);
  CheckedFile* mine = self(file);
  mine->base.pMethods = nullptr;
  mine->name = name;
  mine->page_size = 0;
  mine->fresh = false;
  mine->lower()->pMethods = nullptr;
  const int code = lower(vfs)->xOpen(lower(vfs), name, mine->lower(), flags, out_flags);
  // SQLite closes a file whose open failed if it has methods; the lower one's are reached through ours.
  if (mine->lower()->pMethods == nullptr) return code;
  mine->base.pMethods = &kMethods;
  if (code != SQLITE_OK) return code;
  std::array<unsigned char, 512> header{};
  const sqlite3_io_methods* methods = mine->lower()->pMethods;
  if (methods->xRead(mine->lower(), header.data(), header.size(), 0) == SQLITE_OK) {
    learn(mine, header.data(), header.size(), 0);
  } else {
    sqlite3_int64 size = 0;
    mine->fresh = methods->xFileSize(mine->lower(), &size) == SQLITE_OK && size == 0;
  }
  return SQLITE_OK;
}

int vfs_delete(sqlite3_vfs* v, const char* name, int sync) { return lower(v)->xDelete(lower(v), name, sync); }
int vfs_access(sqlite3_vfs* v, const char* name, int flags, int* out) {
  return lower(v)->xAccess(lower(v), name, flags, out);
}
int vfs_path(sqlite3_vfs* v, const char* name, int size, char* out) {
  return lower(v)->xFullPathname(lower(v), name, size, out);
}
int vfs_random(sqlite3_vfs* v, int n, char* out) { return lower(v)->xRandomness(lower(v), n, out); }
int vfs_sleep(sqlite3_vfs* v, int microseconds) { return lower(v)->xSleep(lower(v), microseconds); }
int vfs_time(sqlite3_vfs* v, double* out) { return lower(v)->xCurrentTime(lower(v), out); }
int vfs_error(sqlite3_vfs* v, int n, char* out) { return lower(v)->xGetLastError(lower(v), n, out); }
int vfs_time64(sqlite3_vfs* v, sqlite3_int64* out) { return lower(v)->xCurrentTimeInt64(lower(v), out); }

const char* register_vfs() {
  sqlite3_initialize();
  sqlite3_vfs* below = sqlite3_vfs_find(nullptr);
  if (below == nullptr || below->iVersion < 2) return nullptr;
  static sqlite3_vfs vfs = {};  // SQLite keeps the pointer until the process ends
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(CheckedFile)) + below->szOsFile;
  vfs.mxPathname = below->mxPathname;
  vfs.zName = "orch-checked";
  vfs.pAppData = below;
  vfs.xOpen = vfs_open;
  vfs.xDelete = vfs_delete;
  vfs.xAccess = vfs_access;
  vfs.xFullPathname = vfs_path;
  vfs.xRandomness = vfs_random;
  vfs.xSleep = vfs_sleep;
  vfs.xCurrentTime = vfs_time;
  vfs.xGetLastError = vfs_error;
  vfs.xCurrentTimeInt64 = vfs_time64;
  return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : nullptr;
}

}  // namespace

uint64_t page_checksum(uint64_t number, const unsigned char* page, size_t size) {
  // Four lanes that do not wait for each other; each step is a bijection of the lane, so that a change of
  // any one word always changes the result.
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15U;
  uint64_t lanes[4] = {number * kOdd + 1, number + 2, number + 3, number + 4};
  const size_t words = size / 8;
  for (size_t i = 0; i < words; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, page + i * 8, 8);
    uint64_t& lane = lanes[i & 3U];
    lane = (lane ^ word) * kOdd;
    lane ^= lane >> 29;
  }
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) {
    sum = (sum ^ lane) * kOdd;
    sum ^= sum >> 32;
  }
  return sum;
}

const char* checked_vfs() {
  static const char* const name = register_vfs();
  return name;
}

}  // namespace orch::datastore::sqlite
