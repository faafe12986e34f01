#include "base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>

#include "base/metrics.h"
#include "base/timer.h"
#include "tests/catch.h"

using orch::base::Duration;
using orch::base::ThreadPool;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a thread has its name, cut to what the kernel keeps") {
  std::array<char, 32> name{};
  orch::base::start_thread("a-very-long-thread-name", [&] {
    pthread_getname_np(pthread_self(), name.data(), name.size());
  }).join();
  CHECK(std::string(name.data()) == "a-very-long-thr");
}

TEST_CASE("what a thread in the background starts is not in the background") {
  int policy = -1, next_policy = -1;
  orch::base::start_thread("background", [&] {
    orch::base::work_in_background();
    policy = sched_getscheduler(0);
    orch::base::start_thread("foreground", [&] { next_policy = sched_getscheduler(0); }).join();
  }).join();
  CHECK(policy == SCHED_IDLE);
  CHECK(next_policy == SCHED_OTHER);
}

TEST_CASE("a pool runs everything posted before its end") {
  std::atomic<int> ran{0};
  {
    ThreadPool pool("pool", 4);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++ran; });
  }
  CHECK(ran == 1000);
}

TEST_CASE("a pool grows to its limit while tasks block, and no further") {
  ThreadPool pool("pool", 3);
  std::atomic<int> running{0};
  std::promise<void> three, go;
  std::shared_future<void> gate = go.get_future().share();
  for (int i = 0; i < 5; ++i) {
    pool.post([&, gate] {
      if (++running == 3) three.set_value();
      gate.wait();
    });
  }
  REQUIRE(three.get_future().wait_for(seconds(10)) == std::future_status::ready);
  CHECK(running == 3);
  go.set_value();
  pool.drain();
  CHECK(running == 5);
}

TEST_CASE("a pool bounds how many work, and those that wait do not count") {
  std::atomic<size_t> places{2};
  ThreadPool pool("pool", 8, {[&] { return places.load(); }, true});
  std::atomic<int> working{0}, most{0}, waiting{0};
  std::atomic<bool> told{false};
  std::promise<void> two, all, go, on;
  std::shared_future<void> gate = go.get_future().share(), further = on.get_future().share();
  for (int i = 0; i < 6; ++i) {
    pool.post([&, gate, further] {
      const int now = ++working;
      int before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
      if (now == 2 && !told.exchange(true)) two.set_value();
      gate.wait();
      --working;
      const ThreadPool::Waiting elsewhere;
      if (++waiting == 6) all.set_value();
      further.wait();
    });
  }
  REQUIRE(two.get_future().wait_for(seconds(10)) == std::future_status::ready);
  std::promise<void> other;
  // A third one does not begin, whatever else the machine does meanwhile.
  orch::base::start_thread("other", [&] { other.set_value(); }).join();
  CHECK(working == 2);
  go.set_value();
  REQUIRE(all.get_future().wait_for(seconds(10)) == std::future_status::ready);
  on.set_value();
  pool.drain();
  CHECK(most == 2);
  pool.post([&] { ++waiting; });
  pool.drain();
  CHECK(waiting == 7);
  const ThreadPool::Waiting nobodys;  // on a thread of no pool

  places = 1;
  most = 0;
  for (int i = 0; i < 20; ++i) {
    pool.post([&] {
      most = std::max(most.load(), ++working);
      std::this_thread::yield();
      --working;
    });
  }
  pool.drain();
  CHECK(most == 1);
}

TEST_CASE("of many whose waiting ends at once, as many go on as a pool lets work") {
  constexpr int kTasks = 6;
  ThreadPool pool("pool", 8, {[] { return size_t{1}; }, true});
  std::mutex mutex;
  std::vector<std::shared_ptr<orch::base::Arrival>> arrivals;  // under mutex
  std::promise<void> all;
  std::atomic<int> working{0}, most{0}, ended{0};
  for (int i = 0; i < kTasks; ++i) {
    pool.post([&] {
      const auto arrival = std::make_shared<orch::base::Arrival>();
      {
        const std::lock_guard lock(mutex);
        arrivals.push_back(arrival);
        if (arrivals.size() == kTasks) all.set_value();
      }
      arrival->wait();
      most = std::max(most.load(), ++working);
      std::this_thread::yield();
      --working;
      ++ended;
    });
  }
  REQUIRE(all.get_future().wait_for(seconds(10)) == std::future_status::ready);
  for (const auto& arrival : arrivals) arrival->come();
  pool.drain();
  CHECK(ended == kTasks);
  CHECK(most == 1);
}

TEST_CASE("whoever waits leaves his place to one who has begun") {
  ThreadPool pool("pool", 8, {[] { return size_t{1}; }, true});
  std::promise<std::shared_ptr<orch::base::Arrival>> waits;
  std::promise<void> went_on, ended;
  pool.post([&] {
    const auto arrival = std::make_shared<orch::base::Arrival>();
    waits.set_value(arrival);
    arrival->wait();
    went_on.set_value();
  });
  const auto arrival = waits.get_future().get();
  bool in_time = false;
  pool.post([&] {
    arrival->come();  // this task has the only place
    {
      const ThreadPool::Waiting elsewhere;
      in_time = went_on.get_future().wait_for(seconds(10)) == std::future_status::ready;
    }
    ended.set_value();
  });
  ended.get_future().wait();
  CHECK(in_time);
}

TEST_CASE("an arrival may come before or after it is waited for, on threads of no pool too") {
  const auto early = std::make_shared<orch::base::Arrival>();
  early->come();
  early->wait();
  std::promise<std::shared_ptr<orch::base::Arrival>> made;
  std::thread waits = orch::base::start_thread("waits", [&] {
    const auto late = std::make_shared<orch::base::Arrival>();
    made.set_value(late);
    late->wait();
  });
  made.get_future().get()->come();
  waits.join();
}

TEST_CASE("a task may post to its own pool") {
  std::atomic<int> ran{0};
  ThreadPool pool("pool", 2);
  pool.post([&] {
    for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
  });
  pool.drain();
  CHECK(ran == 10);
}

TEST_CASE("timers fire in order and can be cancelled") {
  auto timers = orch::base::make_timers();
  std::promise<void> last;
  std::vector<int> order;  // only the timer thread touches it until `last`
  timers->after(milliseconds(30), [&] {
    order.push_back(2);
    last.set_value();
  });
  timers->after(milliseconds(5), [&] { order.push_back(1); });
  timers->after(Duration(0), [&] { order.push_back(0); });
  const auto gone = timers->after(milliseconds(10), [&] { order.push_back(9); });
  CHECK(timers->cancel(gone));
  timers->after(Duration::max(), [&] { order.push_back(8); });
  REQUIRE(last.get_future().wait_for(seconds(10)) == std::future_status::ready);
  timers.reset();
  CHECK(order == std::vector<int>{0, 1, 2});
}

TEST_CASE("metrics are exposed as text, names sorted") {
  orch::base::Metrics metrics;
  metrics.gauge("z_size", "Size.").set(-5);
  metrics.counter("a_total", "All \\ of\nit.", {{"verb", "GET"}, {"q", "a\"b"}}).add(3);
  metrics.counter("a_total", "ignored", {{"verb", "GET"}, {"q", "a\"b"}}).add();
  orch::base::Histogram& h = metrics.histogram("m_seconds", "Time.");
  h.observe(0.0005);
  h.observe(0.3);
  h.observe(1000);
  const std::string text = metrics.expose();
  CHECK_THAT(text, orch::testing::contains("# HELP a_total All \\\\ of\\nit.\n# TYPE a_total counter\n"
                                           "a_total{verb=\"GET\",q=\"a\\\"b\"} 4\n"
                                           "# HELP m_seconds Time.\n# TYPE m_seconds histogram\n"
                                           "m_seconds_bucket{le=\"0.001\"} 1\n"));
  CHECK_THAT(text, orch::testing::contains("m_seconds_bucket{le=\"0.4\"} 2\n"));
  CHECK_THAT(text, orch::testing::contains("m_seconds_bucket{le=\"60\"} 2\n"
                                           "m_seconds_bucket{le=\"+Inf\"} 3\n"
                                           "m_seconds_sum 1000.3005\nm_seconds_count 3\n"));
  CHECK_THAT(text, orch::testing::contains("# TYPE z_size gauge\nz_size -5\n"));
}
