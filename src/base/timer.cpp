#include "base/timer.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/threads.h"

namespace orch::base {
namespace {

// Pending callbacks by deadline, then by the order they were asked for. Not thread-safe.
class Agenda {
 public:
  Timers::Id add(MonoTime due, std::function<void()> callback) {
    const Timers::Id id = next_++;
    due_of_.emplace(id, due);
    entries_.emplace(std::pair(due, id), std::move(callback));
    return id;
  }
  Timers::Id add_watcher(std::function<void()> callback) {
    watchers_.emplace(next_, std::move(callback));
    return next_++;
  }
  std::vector<std::function<void()>> watchers() const {
    std::vector<std::function<void()>> out;
    out.reserve(watchers_.size());
    for (const auto& [id, callback] : watchers_) out.push_back(callback);
    return out;
  }
  bool remove(Timers::Id id) {
    if (watchers_.erase(id) != 0) return true;
    const auto it = due_of_.find(id);
    if (it == due_of_.end()) return false;
    entries_.erase(std::pair(it->second, id));
    due_of_.erase(it);
    return true;
  }
  bool empty() const { return entries_.empty(); }
  MonoTime earliest() const { return entries_.begin()->first.first; }
  std::function<void()> take_first() {
    auto node = entries_.extract(entries_.begin());
    due_of_.erase(node.key().second);
    return std::move(node.mapped());
  }

 private:
  Timers::Id next_ = 1;
  std::map<std::pair<MonoTime, Timers::Id>, std::function<void()>> entries_;
  std::unordered_map<Timers::Id, MonoTime> due_of_;
  std::map<Timers::Id, std::function<void()>> watchers_;  // of the wall clock
};

/// Becomes readable when the wall clock is set.
class ClockSetFile {
 public:
  ClockSetFile() : fd_(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK)) { arm(); }
  ~ClockSetFile() {
    if (fd_ >= 0) close(fd_);
  }
  ClockSetFile(const ClockSetFile&) = delete;
  ClockSetFile& operator=(const ClockSetFile&) = delete;

  int fd() const { return fd_; }
  /// True if the clock was set since this was last asked.
  bool take() {
    uint64_t expirations = 0;
    const bool cancelled = read(fd_, &expirations, sizeof expirations) < 0 && errno == ECANCELED;
    if (cancelled) arm();
    return cancelled;
  }

 private:
  /// A deadline that never comes: only that the clock's change cancels it matters.
  void arm() const {
    itimerspec never{};
    never.it_value.tv_sec = std::numeric_limits<time_t>::max();
    timerfd_settime(fd_, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr);
  }
  const int fd_;  // < 0 where the system has none: then poll() leaves it alone
};

// A delay so long that the sum would overflow means never; a century is.
MonoTime deadline(MonoTime now, Duration delay) {
  constexpr Duration kLongest = std::chrono::hours(24 * 365 * 100);
  return now + std::min(std::max(delay, Duration(0)), kLongest);
}

class ThreadTimers final : public Timers {
 public:
  ThreadTimers() : thread_(start_thread("timers", [this] { run(); })) {}
  ~ThreadTimers() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake();
    thread_.join();
    close(wake_);
  }
  ThreadTimers(const ThreadTimers&) = delete;
  ThreadTimers& operator=(const ThreadTimers&) = delete;

  Id after(Duration delay, std::function<void()> callback) override {
    const MonoTime due = deadline(SystemClock().mono(), delay);
    const std::lock_guard lock(mutex_);
    const bool first = agenda_.empty() || due < agenda_.earliest();
    const Id id = agenda_.add(due, std::move(callback));
    if (first) wake();
    return id;
  }
  Id on_clock_set(std::function<void()> callback) override {
    const std::lock_guard lock(mutex_);
    return agenda_.add_watcher(std::move(callback));
  }
  bool cancel(Id id) override {
    const std::lock_guard lock(mutex_);
    return agenda_.remove(id);
  }

 private:
  void wake() const {
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
  }

  /// Until there is something to do: at `due` (never if that is null), woken, or because the clock was set.
  /// True in the last case.
  bool sleep(const MonoTime* due) {
    pollfd files[] = {{wake_, POLLIN, 0}, {clock_set_.fd(), POLLIN, 0}};
    timespec left{};
    if (due != nullptr) {
      const Duration wait = std::max(*due - SystemClock().mono(), Duration(0));
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait);
      left.tv_sec = static_cast<time_t>(seconds.count());
      left.tv_nsec = static_cast<long>((wait - seconds).count());
    }
    if (ppoll(files, 2, due != nullptr ? &left : nullptr, nullptr) <= 0) return false;
    uint64_t ignored = 0;
    if (files[0].revents != 0) (void)!read(wake_, &ignored, sizeof ignored);
    return files[1].revents != 0 && clock_set_.take();
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      std::vector<std::function<void()>> due_now;
      const MonoTime due = agenda_.empty() ? MonoTime() : agenda_.earliest();
      if (!agenda_.empty() && due <= SystemClock().mono()) {
        due_now.push_back(agenda_.take_first());
        lock.unlock();
      } else {
        const MonoTime* until = agenda_.empty() ? nullptr : &due;
        lock.unlock();
        if (sleep(until)) {
          lock.lock();
          due_now = agenda_.watchers();
          lock.unlock();
        }
      }
      for (const auto& callback : due_now) callback();
      due_now.clear();
      lock.lock();
    }
  }

  const int wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ClockSetFile clock_set_;  // used by the thread
  std::mutex mutex_;
  Agenda agenda_;          // under mutex_
  bool stopping_ = false;  // under mutex_
  std::thread thread_;     // last: runs over everything above
};

}  // namespace

std::unique_ptr<Timers> make_timers() { return std::make_unique<ThreadTimers>(); }

struct FakeTimers::Rep {
  FakeClock& clock;
  std::mutex mutex;
  Agenda agenda;  // under mutex
};

FakeTimers::FakeTimers(FakeClock& clock) : rep_(new Rep{clock, {}, {}}) {}
FakeTimers::~FakeTimers() = default;

Timers::Id FakeTimers::after(Duration delay, std::function<void()> callback) {
  const std::lock_guard lock(rep_->mutex);
  return rep_->agenda.add(deadline(rep_->clock.mono(), delay), std::move(callback));
}

Timers::Id FakeTimers::on_clock_set(std::function<void()> callback) {
  const std::lock_guard lock(rep_->mutex);
  return rep_->agenda.add_watcher(std::move(callback));
}

void FakeTimers::clock_was_set() {
  std::unique_lock lock(rep_->mutex);
  const auto watchers = rep_->agenda.watchers();
  lock.unlock();
  for (const auto& callback : watchers) callback();
}

bool FakeTimers::cancel(Id id) {
  const std::lock_guard lock(rep_->mutex);
  return rep_->agenda.remove(id);
}

void FakeTimers::advance(Duration d) {
  const MonoTime end = rep_->clock.mono() + d;
  std::unique_lock lock(rep_->mutex);
  while (!rep_->agenda.empty() && rep_->agenda.earliest() <= end) {
    const MonoTime due = rep_->agenda.earliest();
    std::function<void()> callback = rep_->agenda.take_first();
    lock.unlock();
    if (due > rep_->clock.mono()) rep_->clock.advance(due - rep_->clock.mono());
    callback();
    lock.lock();
  }
  lock.unlock();
  if (end > rep_->clock.mono()) rep_->clock.advance(end - rep_->clock.mono());
}

}  // namespace orch::base
