// Small files, done safely: whole-file read, atomic durable write, folders, locks.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace orch::base {

/// Whole content; kNotFound if missing, kInternal with the path and errno text otherwise.
Result<std::string> read_file(const std::string& path);
/// Writes to a temporary name in the same folder, fsyncs file and folder, renames. After a power cut either
/// the old or the new content is there.
Status write_file_atomic(const std::string& path, std::string_view content, mode_t mode = 0600);
/// mkdir -p with this mode for what it makes.
Status make_dirs(const std::string& path, mode_t mode = 0700);
/// rm -r; ok when missing.
Status remove_all(const std::string& path);
bool file_exists(const std::string& path);
/// Names (not paths) sorted, without . and ..
Result<std::vector<std::string>> list_dir(const std::string& path);

/// An exclusive flock on a file, held until destroyed; its content is the holder's process id, if the disk
/// has space for it.
class FileLock {
 public:
  /// kConflict with the holder's process id in the message when another process holds it.
  static Result<std::unique_ptr<FileLock>> acquire(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace orch::base
