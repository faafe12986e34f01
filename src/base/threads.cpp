#include "base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace orch::base {
namespace {

constexpr std::chrono::seconds kIdleTime{5};

// std::thread takes no attributes, so the small stack is set as the default of the process.
void set_default_stack() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr size_t kStack = 8U << 20;  // instrumented frames are several times as large
#else
  constexpr size_t kStack = 2U << 20;
#endif
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  if (pthread_attr_setstacksize(&attributes, kStack) == 0) pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

thread_local ThreadPool* pool_of_thread = nullptr;

void notify(std::unique_lock<std::mutex>& held, std::condition_variable& changed) {
  // A thread of background priority may lose its processor at the end of any system call, and should not hold
  // the lock then.
  held.unlock();
  changed.notify_one();
}

}  // namespace

void work_in_background() {
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);  // of this thread; refused, it works as the others do
}

std::thread start_thread(const std::string& name, std::function<void()> run) {
  static std::once_flag once;
  std::call_once(once, set_default_stack);
  return std::thread([name = name.substr(0, 15), run = std::move(run)] {
    pthread_setname_np(pthread_self(), name.c_str());
    // Threads take over how the one that makes them is scheduled.
    const sched_param none{};
    if (sched_getscheduler(0) == SCHED_IDLE) sched_setscheduler(0, SCHED_OTHER, &none);
    run();
  });
}

ThreadPool::ThreadPool(std::string name, size_t max_threads, PoolOptions options)
    : name_(std::move(name)),
      max_threads_(max_threads == 0 ? 1 : max_threads),
      options_(std::move(options)) {}

ThreadPool::~ThreadPool() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  quiet_.wait(lock, [this] { return live_.empty(); });
  join_ended(lock);
}

void ThreadPool::post(std::function<void()> task) {
  std::unique_lock lock(mutex_);
  queue_.push_back(std::move(task));
  join_ended(lock);
  hire(std::move(lock));
}

/// So many more may run.
size_t ThreadPool::free_places() const {
  if (!options_.max_working) return SIZE_MAX;
  const size_t all = options_.max_working();
  return all > working_ ? all - working_ : 0;
}

/// Sees to it that somebody comes for what is queued, if it may run.
void ThreadPool::hire(std::unique_lock<std::mutex> lock) {
  let_back(lock);
  if (!can_take()) return;  // who ends his task, or waits within it, sees to the next
  if (idle_ >= std::min(queue_.size(), free_places()) || live_.size() >= max_threads_) {
    return notify(lock, work_);
  }
  live_.emplace_back();
  const Handle self = std::prev(live_.end());
  try {
    *self = start_thread(name_, [this, self] { run(self); });
  } catch (const std::system_error&) {
    // Out of threads: those there are will come to it; with none, the caller does the work.
    live_.erase(self);
    if (!live_.empty()) return;
    std::function<void()> mine = std::move(queue_.back());
    queue_.pop_back();
    lock.unlock();
    mine();
  }
}

void ThreadPool::drain() {
  std::unique_lock lock(mutex_);
  quiet_.wait(lock, [this] { return queue_.empty() && idle_ == live_.size(); });
}

void ThreadPool::join_ended(std::unique_lock<std::mutex>& lock) {
  if (ended_.empty()) return;
  std::list<std::thread> gone;
  gone.swap(ended_);
  lock.unlock();  // an ended thread may still be on its last lines, which need the mutex
  for (std::thread& t : gone) t.join();
  lock.lock();
}

void ThreadPool::run(Handle self) {
  pool_of_thread = this;
  if (options_.background) work_in_background();
  std::unique_lock lock(mutex_);
  while (true) {
    if (!can_take()) {
      if (stopping_ && queue_.empty()) break;
      ++idle_;
      if (idle_ == live_.size()) quiet_.notify_all();
      const bool woken =
          work_.wait_for(lock, kIdleTime, [this] { return (stopping_ && queue_.empty()) || can_take(); });
      --idle_;
      if (!woken) break;
      continue;
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    ++working_;
    lock.unlock();
    task();
    task = nullptr;  // what it holds is freed outside the lock
    lock.lock();
    --working_;
    let_back(lock);
  }
  ended_.splice(ended_.end(), live_, self);
  quiet_.notify_all();
  work_.notify_all();  // the others end too, once the queue is empty
}

/// Those who waited and have begun go on before others begin, if there are places.
void ThreadPool::let_back(std::unique_lock<std::mutex>& lock) {
  while (!back_.empty() && free_places() > 0) {
    const std::shared_ptr<Arrival> one = std::move(back_.front());
    back_.pop_front();
    ++working_;
    one->may_go_on_ = true;
    notify(lock, one->changed_);
    lock.lock();
  }
}

/// The pool of this thread, if it bounds how many work.
ThreadPool* ThreadPool::bounded() {
  return pool_of_thread != nullptr && pool_of_thread->options_.max_working ? pool_of_thread : nullptr;
}

ThreadPool::Waiting::Waiting() : pool_(bounded()) {
  if (pool_ == nullptr) return;
  std::unique_lock lock(pool_->mutex_);
  --pool_->working_;
  pool_->hire(std::move(lock));
}

ThreadPool::Waiting::~Waiting() {
  if (pool_ == nullptr) return;
  const std::lock_guard lock(pool_->mutex_);
  ++pool_->working_;  // more than may, perhaps, until one has ended
}

Arrival::Arrival() : pool_(ThreadPool::bounded()) {}

void Arrival::come() {
  std::unique_lock lock(pool_ == nullptr ? own_ : pool_->mutex_);
  come_ = true;
  if (!waits_) return;
  if (pool_ == nullptr) return notify(lock, changed_);
  pool_->back_.push_back(shared_from_this());
  pool_->let_back(lock);
}

void Arrival::wait() {
  std::unique_lock lock(pool_ == nullptr ? own_ : pool_->mutex_);
  waits_ = true;
  if (pool_ == nullptr) return changed_.wait(lock, [this] { return come_; });
  if (come_) return;
  --pool_->working_;
  pool_->hire(std::move(lock));
  lock = std::unique_lock(pool_->mutex_);
  changed_.wait(lock, [this] { return may_go_on_; });
}

}  // namespace orch::base
