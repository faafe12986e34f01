#include "http/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <future>

#include "base/threads.h"

namespace orch::http {

int64_t mono_milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

namespace {

bool control(int epoll, int operation, int fd, uint32_t events, Pollable* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  return epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

Poller::Poller(const std::string& name, bool background)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  now_ = mono_milliseconds();
  control(epoll_, EPOLL_CTL_ADD, event_, EPOLLIN, nullptr);
  thread_ = base::start_thread(name, [this, background] {
    if (background) base::work_in_background();
    run();
  });
}

Poller::~Poller() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  interrupt();
  thread_.join();
  close(epoll_);
  close(event_);
}

bool Poller::add(int fd, uint32_t events, Pollable* target) const {
  return control(epoll_, EPOLL_CTL_ADD, fd, events, target);
}
bool Poller::modify(int fd, uint32_t events, Pollable* target) const {
  ++target->modifying_;
  const bool good = control(epoll_, EPOLL_CTL_MOD, fd, events, target);
  --target->modifying_;
  return good;
}
void Poller::remove(int fd) const { control(epoll_, EPOLL_CTL_DEL, fd, 0, nullptr); }

void Poller::sync() {
  std::promise<void> done;
  post([&done] { done.set_value(); });
  done.get_future().wait();
}

void Poller::interrupt() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(event_, &one, sizeof one);
}

void Poller::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    if (std::exchange(interrupted_, true)) return;
  }
  interrupt();
}

void Poller::wake(const std::shared_ptr<Pollable>& target) {
  if (target->wake_queued_.exchange(true)) return;
  {
    const std::lock_guard lock(mutex_);
    to_wake_.push_back(target);
    if (std::exchange(interrupted_, true)) return;
  }
  interrupt();
}

void Poller::set_deadline(Pollable* target, int64_t previous, int64_t due) {
  if (previous != 0) deadlines_.erase({previous, target});
  if (due != 0) deadlines_.emplace(due, target);
}

int Poller::timeout() const {
  if (deadlines_.empty()) return -1;
  return static_cast<int>(std::clamp<int64_t>(deadlines_.begin()->first - now_, 0, 3'600'000));
}

void Poller::run_posted() {
  std::vector<std::function<void()>> tasks;
  std::vector<std::shared_ptr<Pollable>> to_wake;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    to_wake.swap(to_wake_);
    interrupted_ = false;
  }
  for (auto& task : tasks) task();
  for (auto& target : to_wake) {
    target->wake_queued_ = false;
    target->on_wake();
  }
}

void Poller::run_deadlines() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    Pollable* target = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    target->on_deadline();
  }
}

void Poller::run() {
  std::array<epoll_event, 128> events;
  while (true) {
    const int n = epoll_wait(epoll_, events.data(), events.size(), timeout());
    now_ = mono_milliseconds();
    bool posted = false;
    for (int i = 0; i < n; ++i) {
      auto* target = static_cast<Pollable*>(events[i].data.ptr);
      if (target != nullptr) {
        target->on_events(events[i].events);
        continue;
      }
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(event_, &count, sizeof count);
      posted = true;
    }
    // After the sockets: a task may free what an event of this round points at.
    if (posted) run_posted();
    run_deadlines();
    const std::lock_guard lock(mutex_);
    if (stopping_ && tasks_.empty() && to_wake_.empty()) return;
  }
}

}  // namespace orch::http
