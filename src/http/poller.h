// An epoll thread: sockets that become ready, work posted to it, deadlines.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace orch::http {

/// Monotonic time as deadlines and pollers count it.
int64_t mono_milliseconds();

/// What a poller calls, always on its thread. Whoever registers one keeps it alive until a task posted after
/// the removal has run.
class Pollable : public std::enable_shared_from_this<Pollable> {
 public:
  virtual ~Pollable() = default;
  virtual void on_events(uint32_t events) = 0;
  virtual void on_wake() {}
  virtual void on_deadline() {}

  /// A Poller::modify() of this on some thread has not returned yet, although the event it asked for may have
  /// come already: the socket must stay open until then.
  bool being_modified() const { return modifying_.load() != 0; }

 private:
  friend class Poller;
  std::atomic<bool> wake_queued_{false};
  std::atomic<uint32_t> modifying_{0};
};

class Poller {
 public:
  /// `background`: see base::work_in_background().
  explicit Poller(const std::string& name, bool background = false);
  /// Stops the thread; what was posted before runs first.
  ~Poller();
  Poller(const Poller&) = delete;

  // From any thread:

  /// Watches a socket for EPOLL* events; with EPOLLONESHOT, until the next modify(). False on failure (too
  /// many descriptors).
  bool add(int fd, uint32_t events, Pollable* target) const;
  /// Takes no lock: a thread of background priority that held one would lose its processor to the poller it
  /// just woke.
  bool modify(int fd, uint32_t events, Pollable* target) const;
  void remove(int fd) const;
  /// Runs on the thread, in order.
  void post(std::function<void()> task);
  /// Calls on_wake() soon; several wakes before that are one.
  void wake(const std::shared_ptr<Pollable>& target);
  /// Returns when all tasks posted before have run. Not on the thread itself.
  void sync();
  bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

  // On the thread only. One deadline per target at most; `previous` is what was set last (0: none).

  void set_deadline(Pollable* target, int64_t previous, int64_t due);
  /// mono_milliseconds(), taken once per round.
  int64_t now() const { return now_; }

 private:
  void run();
  int timeout() const;
  void run_posted();
  void run_deadlines();
  void interrupt() const;

  int epoll_ = -1, event_ = -1;
  int64_t now_ = 0;
  std::set<std::pair<int64_t, Pollable*>> deadlines_;  // on the thread only
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;        // under mutex_
  std::vector<std::shared_ptr<Pollable>> to_wake_;  // under mutex_
  bool interrupted_ = false;                        // under mutex_: event_ is already raised
  bool stopping_ = false;                           // under mutex_
  std::thread thread_;
};

}  // namespace orch::http
