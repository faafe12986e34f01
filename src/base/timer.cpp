#include "base/timer.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

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
  bool remove(Timers::Id id) {
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
    wake_.notify_all();
    thread_.join();
  }
  ThreadTimers(const ThreadTimers&) = delete;
  ThreadTimers& operator=(const ThreadTimers&) = delete;

  Id after(Duration delay, std::function<void()> callback) override {
    const MonoTime due = deadline(SystemClock().mono(), delay);
    const std::lock_guard lock(mutex_);
    const bool first = agenda_.empty() || due < agenda_.earliest();
    const Id id = agenda_.add(due, std::move(callback));
    if (first) wake_.notify_all();
    return id;
  }
  bool cancel(Id id) override {
    const std::lock_guard lock(mutex_);
    return agenda_.remove(id);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (agenda_.empty()) {
        wake_.wait(lock);
        continue;
      }
      const MonoTime due = agenda_.earliest();
      if (due > SystemClock().mono()) {
        wake_.wait_until(lock, due);
        continue;
      }
      std::function<void()> callback = agenda_.take_first();
      lock.unlock();
      callback();
      callback = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
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
