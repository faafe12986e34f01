#include "base/tasks.h"

#include <atomic>

#include "tests/catch.h"

namespace orch::base {
namespace {

TEST_CASE("what is posted to threads has run when they are drained, or gone") {
  std::atomic<int> ran{0};
  {
    const auto tasks = pools_of_threads().make("test", 2);
    for (int i = 0; i < 10; ++i) tasks->post([&] { ++ran; });
    tasks->drain();
    CHECK(ran == 10);
    tasks->post([&] { ++ran; });
  }
  CHECK(ran == 11);
}

}  // namespace
}  // namespace orch::base
