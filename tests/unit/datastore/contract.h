// What every datastore::Store must do, as test cases that take a way to open, close and crash one. An
// implementation's own test file calls check_contract() and check_model() (model.h) from its test cases.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "datastore/store.h"
#include "tests/catch.h"

namespace orch::testing {

using datastore::Event;
using datastore::KeyValue;
using datastore::Outcome;
using datastore::Range;
using datastore::Revision;
using datastore::Store;
using datastore::Subscription;
using datastore::Write;
using datastore::WriteResult;

/// One store through its life; opened when made.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual Store& store() = 0;
  /// Closes in order and opens again.
  virtual void reopen() = 0;
  /// Opens again as after a crash; `power_cut`: what had not been flushed is lost. Writes in flight are lost
  /// or not; those acknowledged are not.
  virtual void crash(bool power_cut) = 0;
  /// Arranges that the storage stops taking anything some steps from now (crash() comes next).
  virtual void fail_after(int steps) = 0;
  /// The next writes find no space, until called with false. False if this implementation cannot.
  virtual bool set_full(bool full) = 0;
  /// A second store opened from a snapshot file.
  virtual std::unique_ptr<Store> open_snapshot(const std::string& path) = 0;
  /// A path where there is nothing.
  virtual std::string fresh_path() = 0;
};
using StoreFactory = std::function<std::unique_ptr<StoreUnderTest>()>;

/// The prefix an implementation under test keeps in memory only.
inline const std::string kVolatile = "/leases/";

inline Write put(std::string key, std::string value, Revision expected = Write::kAny) {
  return {Write::Type::kPut, std::move(key), std::move(value), expected};
}
inline Write erase(std::string key, Revision expected = Write::kAny) {
  return {Write::Type::kDelete, std::move(key), {}, expected};
}

inline std::string text_of(const KeyValue& kv) {
  return base::cat(kv.key, "=", kv.value, "@", kv.mod_revision, "/", kv.create_revision, "v", kv.version);
}
inline std::string text_of(const Event& e) {
  return base::cat(e.type == Event::Type::kPut ? "put " : "del ", text_of(e.kv), "<", e.prev_revision);
}
template <typename T>
std::vector<std::string> texts_of(const std::vector<T>& all) {
  std::vector<std::string> out;
  for (const T& one : all) out.push_back(text_of(one));
  return out;
}

/// A listener that remembers. Thread-safe.
class Ledger {
 public:
  datastore::Listener listener() {
    return [this](const std::vector<Event>& events) {
      const std::lock_guard lock(mutex_);
      for (const Event& e : events) events_.push_back(e);
      if (!events.empty()) last_ = events.back().kv.mod_revision;
    };
  }
  std::vector<Event> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  Revision last() const { return last_; }

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;  // under mutex_
  std::atomic<Revision> last_{0};
};

inline std::vector<std::string> keys_of(const Range& range) {
  std::vector<std::string> keys;
  for (const KeyValue& kv : range.items) keys.push_back(kv.key);
  return keys;
}

using Strings = std::vector<std::string>;

inline void check_writes(const StoreFactory& make) {
  const auto test = make();
  Store& s = test->store();
  CHECK(s.revision() == 1);
  CHECK(s.range("", datastore::prefix_end(""), 0, 0).items.empty());

  const WriteResult a = s.write_sync(put("/a", "1"));
  CHECK(a.outcome == Outcome::kOk);
  CHECK(a.revision == 2);
  CHECK(s.revision() == 2);
  CHECK(text_of(s.range("/a", "", 0, 0).items.at(0)) == "/a=1@2/2v1");

  // Each row: a write, what comes of it, and the key's state after.
  struct Case {
    Write write;
    Outcome outcome;
    Revision current;
    Strings after;
  };
  const Revision r = s.revision();
  const Case cases[] = {
      {put("/a", "x", 0), Outcome::kConflict, 2, {"/a=1@2/2v1"}},
      {put("/a", "x", 1), Outcome::kConflict, 2, {"/a=1@2/2v1"}},
      {put("/a", "2", 2), Outcome::kOk, 0, {"/a=2@3/2v2"}},
      {put("/a", "3"), Outcome::kOk, 0, {"/a=3@4/2v3"}},
      {erase("/a", 3), Outcome::kConflict, 4, {"/a=3@4/2v3"}},
      {erase("/a", 0), Outcome::kConflict, 4, {"/a=3@4/2v3"}},
      {erase("/a", 4), Outcome::kOk, 0, {}},
      {erase("/a"), Outcome::kConflict, 0, {}},
      {erase("/a", 0), Outcome::kConflict, 0, {}},
      {put("/a", "x", 4), Outcome::kConflict, 0, {}},
      {put("/a", "4", 0), Outcome::kOk, 0, {"/a=4@6/6v1"}},
      {put("/a", ""), Outcome::kOk, 0, {"/a=@7/6v2"}},
      {put("", "empty key"), Outcome::kOk, 0, {"=empty key@8/8v1"}},
      {put(std::string("\0\xFF", 2), std::string("\0b\xFF", 3)),
       Outcome::kOk,
       0,
       {std::string("\0\xFF=\0b\xFF@9/9v1", 12)}},
  };
  Revision expected = r;
  for (const Case& c : cases) {
    const WriteResult result = s.write_sync(c.write);
    CHECK(result.outcome == c.outcome);
    CHECK(result.current == c.current);
    if (c.outcome == Outcome::kOk) {
      CHECK(result.revision == ++expected);
    }
    CHECK(s.revision() == expected);
    CHECK(texts_of(s.range(c.write.key, "", 0, 0).items) == c.after);
  }
  const std::string big(3 << 20, 'v');
  CHECK(s.write_sync(put("/big", big)).outcome == Outcome::kOk);
  CHECK(s.range("/big", "", 0, 0).items.at(0).value == big);
  CHECK(s.health().ok());
  CHECK(s.size() > 0);
}

inline void check_ranges(const StoreFactory& make) {
  const auto test = make();
  Store& s = test->store();
  for (const char* key : {"/b/1", "/a/2", "/a/1", "/c", "/b/2", "/a/3"}) (void)s.write_sync(put(key, key));
  (void)s.write_sync(erase("/b/1"));           // 8
  (void)s.write_sync(put("/a/2", "changed"));  // 9
  const std::string all = datastore::prefix_end("");
  CHECK(all == std::string(1, '\0'));
  CHECK(datastore::prefix_end("/a/") == "/a0");
  CHECK(datastore::prefix_end("a\xFF\xFF") == "b");
  CHECK(datastore::prefix_end("\xFF") == all);

  struct Case {
    std::string start, end;
    Revision at;
    int64_t limit;
    Strings keys;
    bool more;
    int64_t remaining;
  };
  const Case cases[] = {
      {"", all, 0, 0, {"/a/1", "/a/2", "/a/3", "/b/2", "/c"}, false, 0},
      {"/a/", "/a0", 0, 0, {"/a/1", "/a/2", "/a/3"}, false, 0},
      {"/a/1", "", 0, 0, {"/a/1"}, false, 0},
      {"/a", "", 0, 0, {}, false, 0},
      {"/b/1", "", 0, 0, {}, false, 0},
      {"/b/1", "", 7, 0, {"/b/1"}, false, 0},
      {"/a/2", "/c", 0, 0, {"/a/2", "/a/3", "/b/2"}, false, 0},
      {"/c", "/a", 0, 0, {}, false, 0},
      {"", all, 0, 2, {"/a/1", "/a/2"}, true, 3},
      {"", all, 0, 4, {"/a/1", "/a/2", "/a/3", "/b/2"}, true, 1},
      {"", all, 0, 5, {"/a/1", "/a/2", "/a/3", "/b/2", "/c"}, false, 0},
      {"", all, 7, 3, {"/a/1", "/a/2", "/a/3"}, true, 3},
      {"", all, 4, 0, {"/a/1", "/a/2", "/b/1"}, false, 0},
      {"", all, 1, 0, {}, false, 0},
  };
  for (const Case& c : cases) {
    INFO(c.start << " .. " << c.end << " at " << c.at << " limit " << c.limit);
    const Range range = s.range(c.start, c.end, c.at, c.limit);
    CHECK(range.outcome == Outcome::kOk);
    CHECK(keys_of(range) == c.keys);
    CHECK(range.more == c.more);
    CHECK(range.remaining == c.remaining);
    CHECK(range.revision == (c.at == 0 ? s.revision() : c.at));
  }
  CHECK(s.range("/a/2", "", 8, 0).items.at(0).value == "/a/2");
  CHECK(s.range("/a/2", "", 9, 0).items.at(0).value == "changed");
  CHECK(s.range("/a/2", "", 10, 0).outcome == Outcome::kFuture);
}

inline void check_subscriptions(const StoreFactory& make) {
  const auto test = make();
  Store& s = test->store();
  (void)s.write_sync(put("/a/1", "x"));  // 2
  (void)s.write_sync(put("/b/1", "x"));  // 3
  (void)s.write_sync(put("/a/1", "y"));  // 4
  Ledger all, a, late;
  auto on_all = s.subscribe("", 0, all.listener());
  auto on_a = s.subscribe("/a/", 2, a.listener());
  REQUIRE(on_all.outcome == Outcome::kOk);
  REQUIRE(on_a.outcome == Outcome::kOk);
  CHECK(texts_of(a.events()) == Strings{"put /a/1=y@4/2v2<2"});  // history is there on return
  (void)s.write_sync(erase("/a/1"));                             // 5
  CHECK(a.last() == 5);                                          // and the event is before the answer
  (void)s.write_sync(put("/b/2", "z"));                          // 6
  (void)s.write_sync(put("/a/1", "w"));                          // 7
  CHECK(texts_of(a.events()) == Strings{"put /a/1=y@4/2v2<2", "del /a/1=@5/0v0<4", "put /a/1=w@7/7v1<0"});
  CHECK(texts_of(all.events()) == Strings{"put /a/1=x@2/2v1<0", "put /b/1=x@3/3v1<0", "put /a/1=y@4/2v2<2",
                                          "del /a/1=@5/0v0<4", "put /b/2=z@6/6v1<0", "put /a/1=w@7/7v1<0"});
  on_a.subscription.reset();
  (void)s.write_sync(put("/a/1", "v"));  // 8
  CHECK(a.last() == 7);
  CHECK(all.last() == 8);
  CHECK(s.subscribe("", 9, late.listener()).outcome == Outcome::kFuture);
  const auto now = s.subscribe("/a/", 8, late.listener());
  CHECK(now.outcome == Outcome::kOk);
  CHECK(late.events().empty());
  (void)s.write_sync(put("/a/2", "n"));
  CHECK(late.events().size() == 1);

  // A subscription that ends itself from inside.
  std::unique_ptr<Subscription> own;
  std::atomic<int> calls{0};
  auto once = s.subscribe("/a/", s.revision(), [&](const std::vector<Event>&) {
    ++calls;
    own.reset();
  });
  own = std::move(once.subscription);
  (void)s.write_sync(put("/a/3", "1"));
  (void)s.write_sync(put("/a/3", "2"));
  CHECK(calls == 1);
}

inline void check_compaction(const StoreFactory& make) {
  const auto test = make();
  {
    Store& s = test->store();
    (void)s.write_sync(put("/a", "1"));  // 2
    (void)s.write_sync(put("/a", "2"));  // 3
    (void)s.write_sync(put("/b", "1"));  // 4
    (void)s.write_sync(erase("/b"));     // 5
    (void)s.write_sync(put("/c", "1"));  // 6
    (void)s.write_sync(put("/a", "3"));  // 7
    CHECK(s.compact(8) == Outcome::kFuture);
    CHECK(s.compact(5) == Outcome::kOk);
    CHECK(s.compacted() == 5);
    CHECK(s.compact(4) == Outcome::kCompacted);
    CHECK(s.compact(5) == Outcome::kOk);
  }
  for (int round = 0; round < 3; ++round) {
    Store& s = test->store();
    INFO("round " << round);
    // A write waits for the steps before it, or is followed by the next; some of each have been by now. If
    // the store ended before the first of them, it knows of no compaction.
    (void)s.write_sync(put("/x", "1"));
    if (s.compacted() == 0) CHECK(s.compact(5) == Outcome::kOk);
    CHECK(s.compacted() == 5);
    const std::string all = datastore::prefix_end("");
    CHECK(s.range("", all, 4, 0).outcome == Outcome::kCompacted);
    CHECK(texts_of(s.range("", "/x", 5, 0).items) == Strings{"/a=2@3/2v2"});
    CHECK(texts_of(s.range("", "/x", 6, 0).items) == Strings{"/a=2@3/2v2", "/c=1@6/6v1"});
    CHECK(texts_of(s.range("", "/x", 0, 0).items) == Strings{"/a=3@7/2v3", "/c=1@6/6v1"});
    Ledger ledger;
    CHECK(s.subscribe("/a", 4, ledger.listener()).outcome == Outcome::kCompacted);
    CHECK(ledger.events().empty());
    const auto subscribed = s.subscribe("/a", 5, ledger.listener());
    CHECK(subscribed.outcome == Outcome::kOk);
    CHECK(texts_of(ledger.events()) == Strings{"put /a=3@7/2v3<3"});
    if (round == 0) test->reopen();
    if (round == 1) test->crash(true);
  }
}

inline void check_restarts(const StoreFactory& make) {
  const auto test = make();
  (void)test->store().write_sync(put("/a", "1"));
  Revision last = test->store().write_sync(put("/a", "2")).revision;
  test->reopen();
  CHECK(test->store().revision() == last);  // in order: not one is skipped
  Strings events = {"put /a=1@2/2v1<0", "put /a=2@3/2v2<2"};
  Revision expected = last;
  for (int round = 0; round < 6; ++round) {
    test->crash(round % 2 == 0);
    Store& s = test->store();
    CHECK(s.revision() >= last);
    const KeyValue before = s.range("/a", "", 0, 0).items.at(0);
    CHECK(before.mod_revision == expected);
    const WriteResult result = s.write_sync(put("/a", "n", before.mod_revision));
    REQUIRE(result.outcome == Outcome::kOk);
    CHECK(result.revision > last);
    events.push_back(base::cat("put /a=n@", result.revision, "/2v", before.version + 1, "<", expected));
    expected = last = result.revision;
    Ledger ledger;  // a watch goes on from before the crash
    const auto subscribed = s.subscribe("/a", 0, ledger.listener());
    CHECK(texts_of(ledger.events()) == events);
    // What is not on disk has taken revisions all the same.
    last = s.write_sync(put(kVolatile + "n", "x")).revision;
  }
}

inline void check_volatile(const StoreFactory& make) {
  const auto test = make();
  Revision before = 0;
  {
    Store& s = test->store();
    (void)s.write_sync(put("/a", "1"));                                // 2
    CHECK(s.write_sync(put(kVolatile + "n1", "1", 0)).revision == 3);  // 3
    CHECK(s.write_sync(put(kVolatile + "n1", "x", 0)).outcome == Outcome::kConflict);
    CHECK(s.write_sync(put(kVolatile + "n1", "2", 3)).revision == 4);
    CHECK(s.write_sync(put(kVolatile + "n2", "1")).revision == 5);
    CHECK(s.write_sync(erase(kVolatile + "n2")).revision == 6);
    (void)s.write_sync(put("/z", "1"));  // 7
    const std::string all = datastore::prefix_end("");
    CHECK(keys_of(s.range("", all, 0, 0)) == Strings{"/a", kVolatile + "n1", "/z"});
    CHECK(keys_of(s.range("", all, 5, 0)) == Strings{"/a", kVolatile + "n1", kVolatile + "n2"});
    CHECK(texts_of(s.range(kVolatile + "n1", "", 3, 0).items) == Strings{kVolatile + "n1=1@3/3v1"});
    const Range part = s.range("", all, 5, 2);
    CHECK(keys_of(part) == Strings{"/a", kVolatile + "n1"});
    CHECK(part.remaining == 1);
    Ledger mixed;
    const auto subscribed = s.subscribe("", 1, mixed.listener());
    CHECK(texts_of(mixed.events()) == Strings{"put /a=1@2/2v1<0", "put " + kVolatile + "n1=1@3/3v1<0",
                                              "put " + kVolatile + "n1=2@4/3v2<3",
                                              "put " + kVolatile + "n2=1@5/5v1<0",
                                              "del " + kVolatile + "n2=@6/0v0<5", "put /z=1@7/7v1<0"});
    before = s.revision();
  }
  for (const bool crash : {false, true}) {
    if (crash) {
      test->crash(true);
    } else {
      test->reopen();
    }
    Store& s = test->store();
    CHECK(s.range(kVolatile, datastore::prefix_end(kVolatile), 0, 0).items.empty());
    Ledger ledger;
    CHECK(s.revision() > before);
    CHECK(s.subscribe(kVolatile, before, ledger.listener()).outcome == Outcome::kCompacted);
    CHECK(s.history_begins(kVolatile) == s.revision());
    CHECK(s.history_begins("/") == s.revision());
    CHECK(s.history_begins("/a") == s.compacted());
    CHECK(s.subscribe(kVolatile, s.revision(), ledger.listener()).outcome == Outcome::kOk);
    CHECK(s.write_sync(put(kVolatile + "n1", "new", 0)).revision > before);
    before = s.revision();
  }
}

inline void check_concurrency(const StoreFactory& make) {
  const auto test = make();
  Store& s = test->store();
  constexpr int kThreads = 8;
  constexpr int kWrites = 150;
  Ledger early;
  const auto whole = s.subscribe("", 0, early.listener());
  std::atomic<int> lost{0};
  std::atomic<bool> unseen{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Revision own = 0;
      for (int i = 0; i < kWrites; ++i) {
        // One key of its own, in order; one that all fight for.
        const WriteResult mine = s.write_sync(put(base::cat("/own/", t), base::cat(i), own));
        if (mine.outcome != Outcome::kOk) ++lost;
        own = mine.revision;
        if (early.last() < own) unseen = true;
        const Range shared = s.range("/shared", "", 0, 0);
        const Revision seen = shared.items.empty() ? 0 : shared.items[0].mod_revision;
        const int64_t count = shared.items.empty() ? 0 : std::stoll(shared.items[0].value);
        (void)s.write_sync(put("/shared", base::cat(count + 1), seen));
      }
    });
  }
  // Subscriptions come and go meanwhile; each must see all there is from its start, once.
  std::vector<std::unique_ptr<Ledger>> ledgers;
  std::vector<std::pair<Revision, datastore::SubscribeResult>> subscribed;
  for (int i = 0; i < 40; ++i) {
    ledgers.push_back(std::make_unique<Ledger>());
    const Revision after = s.revision() / 2;
    subscribed.emplace_back(after, s.subscribe("", after, ledgers.back()->listener()));
    std::this_thread::yield();
  }
  for (std::thread& t : threads) t.join();
  CHECK(lost == 0);
  CHECK_FALSE(unseen);
  const std::vector<Event> events = early.events();
  Revision previous = 0;
  for (const Event& e : events) {
    if (e.kv.mod_revision <= previous) FAIL("revisions do not ascend");
    previous = e.kv.mod_revision;
  }
  CHECK(previous == s.revision());
  // A counter changed only from the value it was read at counts every success.
  const Range shared = s.range("/shared", "", 0, 0);
  CHECK(std::stoll(shared.items.at(0).value) == shared.items.at(0).version);
  for (size_t i = 0; i < ledgers.size(); ++i) {
    REQUIRE(subscribed[i].second.outcome == Outcome::kOk);
    std::vector<Event> want;
    for (const Event& e : events) {
      if (e.kv.mod_revision > subscribed[i].first) want.push_back(e);
    }
    CHECK((texts_of(ledgers[i]->events()) == texts_of(want)));
  }
}

inline void check_snapshots(const StoreFactory& make) {
  const auto test = make();
  Store& s = test->store();
  for (int i = 0; i < 200; ++i) (void)s.write_sync(put(base::cat("/k/", i % 50), std::string(300, 'v')));
  const Range now = s.range("/k/", "/k0", 0, 0);
  const std::string path = test->fresh_path();
  // Writers go on while it is made.
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) (void)s.write_sync(put(base::cat("/w/", i), "w"));
  });
  const base::Status status = s.snapshot(path);
  stop = true;
  writer.join();
  INFO(status.message());
  REQUIRE(status.ok());
  CHECK_FALSE(s.snapshot(path).ok());
  const auto copy = test->open_snapshot(path);
  REQUIRE(copy);
  CHECK(texts_of(copy->range("/k/", "/k0", 0, 0).items) == texts_of(now.items));
  const Range more = copy->range("/w/", "/w0", 0, 0);
  for (const KeyValue& kv : more.items) {
    CHECK(text_of(s.range(kv.key, "", 0, 0).items.at(0)) == text_of(kv));
  }
  // Restored, it does not issue again what the original had issued by then.
  CHECK(copy->write_sync(put("/k/new", "x")).revision > now.revision);
}

inline void check_full(const StoreFactory& make) {
  const auto test = make();
  Store& s = test->store();
  const Revision last = s.write_sync(put("/a", "1")).revision;
  if (!test->set_full(true)) return;
  WriteResult refused;
  int accepted = 0;
  do {
    refused = s.write_sync(put("/b", std::string(50000, 'x')));
    accepted += refused.outcome == Outcome::kOk ? 1 : 0;
  } while (refused.outcome == Outcome::kOk && accepted < 1000);
  CHECK(refused.outcome == Outcome::kReadOnly);
  CHECK_THAT(refused.message, contains("space"));
  CHECK_FALSE(s.health().ok());
  CHECK(s.range("/a", "", 0, 0).items.at(0).mod_revision == last);
  CHECK(s.range("/b", "", 0, 0).items.size() == (accepted > 0 ? 1U : 0U));
  const Revision before = s.revision();
  test->set_full(false);
  const WriteResult again = s.write_sync(put("/b", "y"));
  CHECK(again.outcome == Outcome::kOk);
  CHECK(again.revision > before);
  CHECK(s.health().ok());
  test->crash(true);
  CHECK(test->store().range("/b", "", 0, 0).items.at(0).value == "y");
}

/// All of it but the model. To be called from one test case; each part makes stores of its own.
inline void check_contract(const StoreFactory& make) {
  SECTION("writes happen when they should") { check_writes(make); }
  SECTION("ranges are exact") { check_ranges(make); }
  SECTION("subscriptions have no gap and no repeat") { check_subscriptions(make); }
  SECTION("compaction ends history and nothing else") { check_compaction(make); }
  SECTION("restarts lose nothing and reuse no revision") { check_restarts(make); }
  SECTION("volatile keys are there until a restart") { check_volatile(make); }
  SECTION("many threads") { check_concurrency(make); }
  SECTION("snapshots are whole") { check_snapshots(make); }
  SECTION("a full disk is survived") { check_full(make); }
}

}  // namespace orch::testing
