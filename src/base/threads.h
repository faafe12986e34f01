// Named threads and a pool that grows with the work and shrinks to nothing when idle.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace orch::base {

/// Starts a thread, not in the background, whose name (15 bytes) shows in ps and debuggers; small stack (2
/// MiB of address space; memory only as touched) that still holds a walk over the deepest JSON tree
/// parse_json() gives. The function must not throw. Throws std::system_error when the system has no thread
/// left.
std::thread start_thread(const std::string& name, std::function<void()> run);

/// From now on this thread gets a processor only while no other one wants it (Linux: SCHED_IDLE), and any
/// that wakes up takes it away at once.
void work_in_background();

/// What sets a pool apart.
struct PoolOptions {
  /// How many tasks may run at once, those inside a Waiting not counted; at least one. Asked whenever one
  /// may begin, by any thread and under the pool's lock. Null: as many as there are threads.
  std::function<size_t()> max_working = nullptr;
  bool background = false;  // see work_in_background()
};

class Arrival;

/// Runs posted tasks, each on some thread of the pool. Grows up to max_threads while tasks wait, lets idle
/// threads end after a few seconds. Tasks may block. Thread-safe.
class ThreadPool {
 public:
  ThreadPool(std::string name, size_t max_threads, PoolOptions options = {});
  /// Runs what was posted before, then joins.
  ~ThreadPool();
  void post(std::function<void()> task);
  /// Waits until nothing is queued or running (tests, shutdown).
  void drain();

  /// While it exists, the task that made it waits for something other than a processor (a disk, another
  /// server): where the pool bounds how many work, another one may meanwhile. On threads of no pool: nothing.
  class Waiting {
   public:
    Waiting();
    ~Waiting();
    Waiting(const Waiting&) = delete;

   private:
    ThreadPool* const pool_;
  };

 private:
  friend class Arrival;
  using Handle = std::list<std::thread>::iterator;
  void run(Handle self);
  void let_back(std::unique_lock<std::mutex>& lock);
  static ThreadPool* bounded();
  size_t free_places() const;
  bool can_take() const { return !queue_.empty() && free_places() > 0; }
  void hire(std::unique_lock<std::mutex> lock);
  void join_ended(std::unique_lock<std::mutex>& lock);

  const std::string name_;
  const size_t max_threads_;
  const PoolOptions options_;
  std::mutex mutex_;
  std::condition_variable work_, quiet_;
  std::deque<std::function<void()>> queue_;    // under mutex_
  std::deque<std::shared_ptr<Arrival>> back_;  // under mutex_: what they waited for came, a place did not yet
  std::list<std::thread> live_, ended_;        // under mutex_; ended_ ones only need their join
  size_t idle_ = 0, working_ = 0;              // under mutex_
  bool stopping_ = false;                      // under mutex_
};

/// What one thread waits for and another one brings, once. Held by both, in a shared pointer. On a thread of
/// a pool that bounds how many work it frees a place as ThreadPool::Waiting does, and the thread goes on when
/// it has one again: when one commit ends the waiting of many, no more of them want a processor than may
/// work.
class Arrival : public std::enable_shared_from_this<Arrival> {
 public:
  /// On the thread that will wait.
  Arrival();
  Arrival(const Arrival&) = delete;
  /// What it calls happens before wait() returns. Any thread.
  void come();
  void wait();

 private:
  friend class ThreadPool;
  ThreadPool* const pool_;  // of the thread that waits, if it bounds how many work
  std::mutex own_;          // where there is no such pool
  std::condition_variable changed_;
  bool come_ = false, waits_ = false, may_go_on_ = false;  // under the pool's mutex or own_
};

}  // namespace orch::base
