#include "base/writer_first_mutex.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "tests/catch.h"

using orch::base::WriterFirstMutex;

TEST_CASE("a writer that waits goes before readers that come after it") {
  WriterFirstMutex mutex;
  std::atomic<bool> written{false};
  mutex.lock_shared();
  std::thread writer([&] {
    const std::unique_lock lock(mutex);
    written = true;
  });
  // As soon as the writer waits, nobody else may begin to read.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  bool refused = false;
  while (!refused && std::chrono::steady_clock::now() < end) {
    if (mutex.try_lock_shared()) {
      mutex.unlock_shared();
      std::this_thread::yield();
    } else {
      refused = true;
    }
  }
  CHECK(refused);
  CHECK_FALSE(written);
  mutex.unlock_shared();
  writer.join();
  CHECK(written);
}

TEST_CASE("readers share") {
  WriterFirstMutex mutex;
  const std::shared_lock first(mutex);
  std::thread([&] {
    CHECK(mutex.try_lock_shared());
    mutex.unlock_shared();
    CHECK_FALSE(mutex.try_lock());
  }).join();
}
