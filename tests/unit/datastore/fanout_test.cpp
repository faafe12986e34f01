#include "datastore/fanout.h"

#include "tests/unit/datastore/contract.h"

using namespace orch::testing;
using orch::datastore::Fanout;

namespace {

Event event(std::string key, Revision revision) {
  return {Event::Type::kPut, {std::move(key), "value", revision, revision, 1}, 0};
}

Fanout::ReadHistory nothing() {
  return
      [](std::string_view, Revision, Revision, const Fanout::Batch&, std::string&) { return Outcome::kOk; };
}

}  // namespace

TEST_CASE("every subscriber gets its own events, whole, whatever the others want") {
  Fanout fanout(1);
  Ledger a, a2, b, all, none;
  auto on_a = fanout.subscribe("/a", 1, a.listener(), nothing());
  auto on_all = fanout.subscribe("", 1, all.listener(), nothing());
  auto on_b = fanout.subscribe("/b", 1, b.listener(), nothing());
  auto on_a2 = fanout.subscribe("/a", 1, a2.listener(), nothing());
  auto on_none = fanout.subscribe("/c", 1, none.listener(), nothing());
  fanout.publish(3, {event("/a", 2), event("/b", 3)});
  fanout.publish(4, {event("/a", 4)});
  const Strings want_a = {"put /a=value@2/2v1<0", "put /a=value@4/4v1<0"};
  CHECK(texts_of(a.events()) == want_a);
  CHECK(texts_of(a2.events()) == want_a);
  CHECK(texts_of(b.events()) == Strings{"put /b=value@3/3v1<0"});
  CHECK(texts_of(all.events()) == Strings{want_a[0], "put /b=value@3/3v1<0", want_a[1]});
  CHECK(none.events().empty());
  CHECK(fanout.revision() == 4);
}

TEST_CASE("what is committed while history is read comes after it") {
  Fanout fanout(5);
  Ledger ledger;
  const auto history = [&](std::string_view prefix, Revision after, Revision upto, const Fanout::Batch& batch,
                           std::string&) {
    CHECK(prefix == "/a");
    CHECK(after == 2);
    CHECK(upto == 5);
    batch({event("/a", 3)});
    fanout.publish(6, {event("/a", 6)});
    CHECK(ledger.last() == 3);
    batch({event("/a", 5)});
    return Outcome::kOk;
  };
  const auto subscribed = fanout.subscribe("/a", 2, ledger.listener(), history);
  CHECK(subscribed.outcome == Outcome::kOk);
  CHECK(ledger.events().size() == 3);
  CHECK(ledger.last() == 6);
  fanout.publish(7, {event("/a", 7)});
  CHECK(ledger.last() == 7);
}

TEST_CASE("a subscription whose history cannot be read is none") {
  Fanout fanout(5);
  Ledger ledger;
  const auto history = [](std::string_view, Revision, Revision, const Fanout::Batch&, std::string& message) {
    message = "gone";
    return Outcome::kCompacted;
  };
  const auto subscribed = fanout.subscribe("", 1, ledger.listener(), history);
  CHECK(subscribed.outcome == Outcome::kCompacted);
  CHECK(subscribed.message == "gone");
  CHECK_FALSE(subscribed.subscription);
  fanout.publish(6, {event("/a", 6)});
  CHECK(ledger.events().empty());
  CHECK(fanout.subscribe("", 7, ledger.listener(), nothing()).outcome == Outcome::kFuture);
}

TEST_CASE("a subscription may outlive the fanout") {
  auto fanout = std::make_unique<Fanout>(1);
  Ledger ledger;
  auto subscribed = fanout->subscribe("", 1, ledger.listener(), nothing());
  fanout.reset();
  subscribed.subscription.reset();
  CHECK(ledger.events().empty());
}
