#include "client/event_flow.h"

#include "tests/catch.h"

namespace orch::testing {
namespace {

using client::EventFlow;
using Answer = EventFlow::Answer;

base::WallTime at(int64_t seconds) { return base::WallTime(std::chrono::seconds(1767225600 + seconds)); }

TEST_CASE("many events that differ in their message alone become one") {
  EventFlow flow;
  for (int i = 0; i < 10; ++i) CHECK(flow.pass("o", "g", std::to_string(i), at(i)) == Answer::kAsItIs);
  CHECK(flow.pass("o", "g", "10", at(10)) == Answer::kCombined);
  CHECK(flow.pass("o", "g", "11", at(11)) == Answer::kCombined);
  CHECK(flow.pass("o", "other", "1", at(12)) == Answer::kAsItIs);
  // Quiet for ten minutes: they are told one by one again.
  CHECK(flow.pass("o", "g", "12", at(11 + 601)) == Answer::kAsItIs);
}

TEST_CASE("equal events are not many") {
  EventFlow flow;
  for (int i = 0; i < 20; ++i) CHECK(flow.pass("o", "g", "same", at(i)) == Answer::kAsItIs);
}

TEST_CASE("a flood about one object is dropped, about others not") {
  EventFlow flow;
  for (int i = 0; i < 25; ++i) CHECK(flow.pass("o", "g", "same", at(0)) == Answer::kAsItIs);
  CHECK(flow.pass("o", "g", "same", at(0)) == Answer::kDrop);
  CHECK(flow.pass("o", "other", "same", at(10)) == Answer::kDrop);
  CHECK(flow.pass("p", "g2", "same", at(10)) == Answer::kAsItIs);
  // One more each five minutes.
  CHECK(flow.pass("o", "g", "same", at(301)) == Answer::kAsItIs);
  CHECK(flow.pass("o", "g", "same", at(302)) == Answer::kDrop);
}

TEST_CASE("a clock that is set back does not silence for long") {
  EventFlow flow;
  for (int i = 0; i < 25; ++i) flow.pass("o", "g", "same", at(1000000));
  CHECK(flow.pass("o", "g", "same", at(0)) == Answer::kDrop);
  CHECK(flow.pass("o", "g", "same", at(301)) == Answer::kAsItIs);
}

}  // namespace
}  // namespace orch::testing
