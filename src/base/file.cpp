#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

namespace orch::base {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Status failed(std::string_view what, const std::string& path, int error) {
  const std::string text = cat(what, " ", path, ": ", std::generic_category().message(error));
  if (error == ENOENT) return Status(Code::kNotFound, text);
  if (error == ENOSPC || error == EDQUOT || error == EROFS) return Status(Code::kStoreReadOnly, text);
  return Status(Code::kInternal, text);
}

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return failed("write", path, errno);
    }
    content.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status sync_folder(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return failed("open", folder, errno);
  // Some file systems cannot sync a folder and say EINVAL; there the rename is ordered anyway.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return failed("fsync", folder, errno);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return failed("open", path, errno);
  std::string content;
  struct stat info {};
  if (::fstat(fd.get(), &info) == 0 && info.st_size > 0) content.reserve(static_cast<size_t>(info.st_size));
  std::array<char, 16384> part{};
  while (true) {
    const ssize_t n = ::read(fd.get(), part.data(), part.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return Status(Code::kInternal, failed("read", path, errno).message());
    }
    if (n == 0) return content;
    content.append(part.data(), static_cast<size_t>(n));
  }
}

Status write_file_atomic(const std::string& path, std::string_view content, mode_t mode) {
  std::string temporary = path + ".tmp.XXXXXX";
  const Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return failed("create", path, errno);
  const auto write_and_rename = [&]() -> Status {
    if (::fchmod(fd.get(), mode) != 0) return failed("chmod", temporary, errno);
    ORCH_RETURN_IF_ERROR(write_all(fd.get(), content, temporary));
    if (::fsync(fd.get()) != 0) return failed("fsync", temporary, errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("rename to", path, errno);
    return {};
  };
  if (Status status = write_and_rename(); !status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return sync_folder(folder_of(path));
}

Status make_dirs(const std::string& path, mode_t mode) {
  for (size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (part.empty() || part == "/") continue;
    if (::mkdir(part.c_str(), mode) == 0 || errno == EISDIR) continue;
    if (errno != EEXIST) {
      const int error = errno;
      if (error == EROFS || error == EACCES) {
        struct stat info {};  // a parent that exists may refuse mkdir before it says so
        if (::stat(part.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) continue;
      }
      return failed("make folder", part, error);
    }
    struct stat info {};
    if (::stat(part.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
      return failed("make folder", part, ENOTDIR);
  }
  return {};
}

Status remove_all(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return Status(Code::kInternal, cat("remove ", path, ": ", error.message()));
  return {};
}

bool file_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

Result<std::vector<std::string>> list_dir(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return failed("open", path, errno);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::unique_ptr<FileLock>> FileLock::acquire(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return failed("open", path, errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock", path, errno);
    std::array<char, 32> holder{};
    const ssize_t n = ::pread(fd.get(), holder.data(), holder.size(), 0);
    std::string pid(holder.data(), n > 0 ? static_cast<size_t>(n) : 0);
    while (!pid.empty() && pid.back() == '\n') pid.pop_back();
    return Status(Code::kConflict, cat(path, " is in use by process ", pid.empty() ? "(unknown)" : pid));
  }
  // For people only: on a full disk the lock is held without it.
  const std::string pid = cat(::getpid(), "\n");
  const bool noted = ::ftruncate(fd.get(), 0) == 0 &&
                     ::pwrite(fd.get(), pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size());
  if (!noted && ::ftruncate(fd.get(), 0) != 0) return failed("write", path, errno);
  return std::unique_ptr<FileLock>(new FileLock(fd.release()));
}

FileLock::~FileLock() { ::close(fd_); }

}  // namespace orch::base
