#include "agent/api/log_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace orch::agent {
namespace {

using base::Code;
using base::Status;

constexpr size_t kBlock = 64 * 1024;
/// How often a follower asks whether the container still runs when nothing is written.
constexpr int kRunningCheckMs = 1000;

/// A descriptor that closes itself.
struct Fd {
  explicit Fd(int n) : fd(n) {}
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int fd;
};

int open_log(const std::string& path) { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }

class Follower {
 public:
  Follower(const std::string& path, const LogOptions& options, LogStop& stop,
           const std::function<bool()>& running, const std::function<bool(std::string)>& sink)
      : path_(path), options_(options), stop_(stop), running_(running), sink_(sink), filter_(options) {}

  Status run() {
    Fd file(open_log(path_));
    if (file.fd < 0)
      return {Code::kNotFound, base::cat("failed to open log file \"", path_, "\": ", std::strerror(errno))};
    if (options_.tail >= 0) ::lseek(file.fd, tail_offset(file.fd, options_.tail), SEEK_SET);
    Fd notify(options_.follow ? ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1);
    const std::string folder = path_.substr(0, path_.rfind('/'));
    if (notify.fd >= 0) ::inotify_add_watch(notify.fd, folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    while (!stop_.stopped()) {
      // Asked before reading: what was written before the end is read after it.
      const bool running = options_.follow && running_();
      if (!drain(file.fd)) return {};
      if (!options_.follow) break;
      if (reopen(file)) continue;
      if (!running) break;
      wait(notify.fd);
    }
    if (!carry_.empty() && !stop_.stopped()) {
      std::string out;
      (void)filter_.add(carry_, out);
      if (!out.empty()) (void)sink_(std::move(out));
    }
    return {};
  }

 private:
  /// Reads to the end; false when the limit was reached or nobody listens.
  bool drain(int fd) {
    std::string buffer(kBlock, '\0');
    while (!stop_.stopped()) {
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return true;
      carry_.append(buffer, 0, static_cast<size_t>(n));
      std::string out;
      size_t at = 0;
      bool more = true;
      for (size_t end = carry_.find('\n'); more && end != std::string::npos; end = carry_.find('\n', at)) {
        more = filter_.add(std::string_view(carry_).substr(at, end - at), out);
        at = end + 1;
      }
      carry_.erase(0, at);
      if (!out.empty() && !sink_(std::move(out))) return false;
      if (!more) return false;
    }
    return true;
  }

  /// True when the path names another file now: the log was rotated.
  bool reopen(Fd& file) {
    struct stat now {
    }, held{};
    if (::stat(path_.c_str(), &now) != 0 || ::fstat(file.fd, &held) != 0) return false;
    if (now.st_ino == held.st_ino && now.st_dev == held.st_dev) return false;
    const int fresh = open_log(path_);
    if (fresh < 0) return false;
    if (!drain(file.fd)) stop_.stop();
    ::close(file.fd);
    file.fd = fresh;
    return true;
  }

  void wait(int notify) {
    std::array<pollfd, 2> waits{{{stop_.fd(), POLLIN, 0}, {notify, POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), kRunningCheckMs) <= 0) return;
    std::array<char, 4096> events{};
    while (notify >= 0 && ::read(notify, events.data(), events.size()) > 0) {
    }
  }

  const std::string& path_;
  const LogOptions& options_;
  LogStop& stop_;
  const std::function<bool()>& running_;
  const std::function<bool(std::string)>& sink_;
  LogFilter filter_;
  std::string carry_;  // a line that is not whole yet
};

}  // namespace

LogStop::LogStop() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
LogStop::~LogStop() { ::close(fd_); }

void LogStop::stop() {
  stopped_ = true;
  const uint64_t one = 1;
  (void)!::write(fd_, &one, sizeof(one));
}

int64_t tail_offset(int fd, int64_t lines) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return 0;
  if (lines <= 0) return info.st_size;
  int64_t end = info.st_size;
  // The line feed that ends the last line starts no other.
  int64_t seen = 0;
  std::string block(kBlock, '\0');
  while (end > 0) {
    const int64_t start = std::max<int64_t>(end - static_cast<int64_t>(block.size()), 0);
    const ssize_t n = ::pread(fd, block.data(), static_cast<size_t>(end - start), start);
    if (n <= 0) return 0;
    for (ssize_t i = n - 1; i >= 0; --i) {
      if (block[static_cast<size_t>(i)] != '\n') continue;
      if (start + i == info.st_size - 1) continue;
      if (++seen == lines) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

Status read_log(const std::string& path, const LogOptions& options, LogStop& stop,
                const std::function<bool()>& running, const std::function<bool(std::string)>& sink) {
  return Follower(path, options, stop, running, sink).run();
}

}  // namespace orch::agent
