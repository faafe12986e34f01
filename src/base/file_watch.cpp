#include "base/file_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "base/threads.h"

namespace orch::base {

namespace {

/// Several events of one change come together: they are told once, when it is quiet.
constexpr int kQuietMillis = 100;

}  // namespace

struct FileWatch::Rep {
  int events = -1, stop = -1;
  std::function<void()> changed;
  std::thread thread;

  ~Rep() {
    if (thread.joinable()) {
      const uint64_t one = 1;
      (void)!::write(stop, &one, sizeof one);
      thread.join();
    }
    if (events >= 0) ::close(events);
    if (stop >= 0) ::close(stop);
  }

  void run() const {
    bool pending = false;
    while (true) {
      pollfd fds[] = {{events, POLLIN, 0}, {stop, POLLIN, 0}};
      const int ready = ::poll(fds, 2, pending ? kQuietMillis : -1);
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0 || fds[1].revents != 0) return;
      if (fds[0].revents != 0) {
        char buffer[4096];
        if (::read(events, buffer, sizeof buffer) <= 0) return;
        pending = true;
      } else if (pending) {
        pending = false;
        changed();
      }
    }
  }
};

FileWatch::FileWatch(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
FileWatch::~FileWatch() = default;

Result<std::unique_ptr<FileWatch>> FileWatch::start(const std::string& path, std::function<void()> changed) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  auto rep = std::make_unique<Rep>();
  rep->events = ::inotify_init1(IN_CLOEXEC);
  rep->stop = ::eventfd(0, EFD_CLOEXEC);
  rep->changed = std::move(changed);
  constexpr uint32_t kKinds = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE;
  if (rep->events < 0 || rep->stop < 0 || ::inotify_add_watch(rep->events, folder.c_str(), kKinds) < 0)
    return Status(Code::kInternal, cat("watching ", folder, ": ", std::strerror(errno)));
  rep->thread = start_thread("file-watch", [r = rep.get()] { r->run(); });
  return std::unique_ptr<FileWatch>(new FileWatch(std::move(rep)));
}

}  // namespace orch::base
