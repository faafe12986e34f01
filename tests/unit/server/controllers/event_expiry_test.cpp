#include "server/controllers/event_expiry.h"

#include <thread>

#include "tests/fake_api.h"
#include "tests/unit/server/controllers/fixture.h"

namespace orch::testing {
namespace {

using namespace std::chrono_literals;
using server::Deadlines;
using server::EventExpiry;

const client::ResourceRef kEvents{"", "v1", "events"};

base::MonoTime at(int64_t seconds) { return base::MonoTime(std::chrono::seconds(seconds)); }

TEST_CASE("deadlines: the earliest first, each name once") {
  Deadlines d;
  CHECK_FALSE(d.next());
  d.set("b", at(20));
  d.set("a", at(10));
  d.set("c", at(30));
  CHECK(*d.next() == at(10));
  d.set("a", at(40));
  CHECK(*d.next() == at(20));
  d.drop("b");
  d.drop("nobody");
  CHECK(d.take(at(29)).empty());
  CHECK(d.take(at(40)) == std::vector<std::string>{"c", "a"});
  CHECK_FALSE(d.next());
}

Json event(const std::string& name, const Json& more) {
  Json e = {
      {"kind", "Event"},
      {"apiVersion", "v1"},
      {"metadata",
       {{"name", name}, {"namespace", "ns"}, {"uid", "uid-" + name}, {"creationTimestamp", ago(3000)}}}};
  e.merge_patch(more);
  return e;
}

TEST_CASE("the age of an event") {
  struct Case {
    const char* what;
    Json more;
    int64_t seconds;
  };
  const std::vector<Case> cases = {
      {"since its creation", Json::object(), 3000},
      {"since it was counted up", {{"lastTimestamp", ago(20)}}, 20},
      {"since its series went on", {{"series", {{"lastObservedTime", ago(30)}}}}, 30},
      {"since its time", {{"eventTime", ago(40)}}, 40},
      {"a client's clock of 1970 does not count", {{"lastTimestamp", "1970-01-01T00:00:10Z"}}, 3000},
      {"nor one from the future", {{"lastTimestamp", ago(-500)}}, 0},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    auto object = api::Object::from_tree(event("e", c.more));
    REQUIRE(object.ok());
    CHECK(server::event_age(**object, kNow) == std::chrono::seconds(c.seconds));
  }
}

TEST_CASE("events go an hour after they were last written, and none before") {
  base::FakeClock clock(kNow);
  base::FakeTimers timers(clock);
  tests::FakeApi api;
  api.put(kEvents, event("older", {{"metadata", {{"creationTimestamp", ago(9999)}}}}));
  api.put(kEvents, event("old", {{"metadata", {{"creationTimestamp", ago(3500)}}}}));
  api.put(kEvents, event("young", {{"lastTimestamp", ago(100)}}));
  client::InformerFactory informers(api, timers);
  EventExpiry expiry(api, informers, timers, clock);
  informers.start();
  REQUIRE(informers.wait_synced(5s));
  expiry.start();
  auto names = [&] {
    std::string out;
    const auto events = api.list(kEvents, {});
    for (const auto& e : events->items) out += base::cat(out.empty() ? "" : " ", e->name());
    return out;
  };
  // A pool deletes: waits for it, and for the timer it sets after.
  auto becomes = [&](const std::string& expected) {
    for (int i = 0; i < 2000 && names() != expected; ++i) {
      timers.advance(0s);
      std::this_thread::sleep_for(1ms);
    }
    CHECK(names() == expected);
  };
  becomes("old young");
  timers.advance(99s);
  becomes("old young");
  timers.advance(1s);
  becomes("young");
  // Written again: another hour, although the first deadline rings before that.
  api.put(kEvents, event("young", {{"count", 2}}));
  api.put(kEvents, event("new", {{"metadata", {{"creationTimestamp", base::format_time(clock.now())}}}}));
  for (int i = 0; i < 2000 && informers.get(kEvents).list().size() != 2; ++i)
    std::this_thread::sleep_for(1ms);
  timers.advance(3599s);
  becomes("new young");
  timers.advance(1s);
  becomes("");
}

}  // namespace
}  // namespace orch::testing
