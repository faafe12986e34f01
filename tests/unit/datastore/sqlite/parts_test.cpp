// The parts of the SQLite store that are values, and what the store does unasked.
#include <ctime>
#include <set>

#include "datastore/sqlite/checked_vfs.h"
#include "datastore/sqlite/history.h"
#include "datastore/sqlite/schema.h"
#include "datastore/sqlite/table.h"
#include "datastore/sqlite/volatile_keys.h"
#include "tests/unit/datastore/sqlite/fixture.h"

using namespace orch::testing;
using namespace orch::datastore::sqlite;
using orch::base::cat;
using orch::base::FakeClock;
using orch::datastore::open_sqlite;
using orch::datastore::SqliteOptions;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_CASE("compaction is due when enough is old enough") {
  const orch::base::MonoTime start{};
  History history(minutes(5), 100);
  CHECK(history.due(start) == 0);
  history.note(start, 10, 0);
  history.note(start + minutes(1), 200, 150);
  history.note(start + minutes(1) + seconds(1), 9999, 9999);  // too soon after the last: not noted
  history.note(start + minutes(3), 400, 180);
  struct Case {
    minutes when;
    Revision due;
  };
  for (const Case& c : {Case{minutes(4), 0}, Case{minutes(5), 0}, Case{minutes(6), 200}, Case{minutes(7), 0},
                        Case{minutes(9), 0}}) {
    INFO(c.when.count());
    CHECK(history.due(start + c.when) == c.due);
  }
  history.note(start + minutes(10), 900, 280);  // 130 more than what was compacted
  CHECK(history.due(start + minutes(14)) == 0);
  CHECK(history.due(start + minutes(15)) == 900);
  CHECK(history.due(start + minutes(60)) == 0);
}

TEST_CASE("volatile keys know what they cover") {
  const VolatileKeys keys({"/r/leases/", "/x"});
  struct Case {
    std::string start, end;
    bool overlaps;
  };
  const std::string all(1, '\0');
  for (const Case& c :
       {Case{"/r/leases/a", "", true}, Case{"/r/leases", "", false}, Case{"/r/", "/r0", true},
        Case{"/r/leases/a", "/r/leases/b", true}, Case{"/r/leases0", "/r/z", false}, Case{"", all, true},
        Case{"/y", all, false}, Case{"/a", "/r/leases/", false}, Case{"/x/1", "/x/2", true}}) {
    INFO(c.start << " .. " << c.end);
    CHECK(keys.overlaps_range(c.start, c.end) == c.overlaps);
  }
  CHECK(keys.contains_prefix("/r/leases/n"));
  CHECK_FALSE(keys.contains_prefix("/r/"));
  CHECK(keys.overlaps_prefix("/r/"));
  CHECK_FALSE(keys.overlaps_prefix("/r/pods/"));
}

TEST_CASE("volatile keys forget history beyond their bound, exactly") {
  VolatileKeys keys({"/l/"}, 3);
  Revision revision = 0;
  const auto write = [&](const std::string& key, bool deletes) {
    Event event;
    const Head head = keys.head(key);
    event.type = deletes ? Event::Type::kDelete : Event::Type::kPut;
    event.prev_revision = head.mod_revision;
    event.kv = {key, deletes ? "" : cat("v", revision + 1), deletes ? 0 : 1, ++revision,
                deletes ? 0 : head.version + 1};
    keys.apply(event);
  };
  const auto at = [&](Revision when) {
    std::vector<KeyValue> out;
    keys.range("/l/", "/l0", when, out);
    Strings values;
    for (const KeyValue& kv : out) values.push_back(kv.key + "=" + kv.value);
    return values;
  };
  write("/l/a", false);  // 1
  write("/l/b", false);  // 2
  write("/l/a", false);  // 3, supersedes
  write("/l/b", true);   // 4, supersedes
  write("/l/a", false);  // 5, supersedes
  CHECK(keys.floor() == 0);
  CHECK(at(2) == Strings{"/l/a=v1", "/l/b=v2"});
  write("/l/c", false);  // 6
  write("/l/a", false);  // 7, the fourth: 3 is forgotten
  CHECK(keys.floor() == 3);
  CHECK(at(3) == Strings{"/l/a=v3", "/l/b=v2"});
  CHECK(at(4) == Strings{"/l/a=v3"});
  CHECK(keys.history("/l/", 3, 6).size() == 3);
  write("/l/a", false);  // 8: 4, the delete, is forgotten
  CHECK(keys.floor() == 4);
  CHECK(keys.head("/l/b").mod_revision == 0);
  keys.compact(8);
  CHECK(keys.floor() == 8);
  CHECK(at(8) == Strings{"/l/a=v8", "/l/c=v6"});
}

TEST_CASE("a page's checksum changes with every bit and with its place") {
  std::vector<unsigned char> page(4088, 0);
  std::set<uint64_t> seen = {page_checksum(1, page.data(), page.size()),
                             page_checksum(2, page.data(), page.size())};
  CHECK(seen.size() == 2);
  CHECK(seen.count(0) == 0);  // a page of zeros is not valid
  for (size_t bit = 0; bit < page.size() * 8; bit += 61) {
    page[bit / 8] ^= static_cast<unsigned char>(1U << bit % 8);
    seen.insert(page_checksum(1, page.data(), page.size()));
    page[bit / 8] ^= static_cast<unsigned char>(1U << bit % 8);
  }
  CHECK(seen.size() == 2 + (page.size() * 8 + 60) / 61);
}

/// A millisecond passes with every look at it.
class LookedAtClock final : public orch::base::Clock {
 public:
  orch::base::WallTime now() const override { return {}; }
  orch::base::MonoTime mono() const override {
    return orch::base::MonoTime(std::chrono::milliseconds(++looks_));
  }

 private:
  mutable int64_t looks_ = 0;
};

TEST_CASE("a step of compaction looks at the time after each row, whatever it deletes") {
  const Folder dir;
  {
    SqliteOptions options;
    options.path = dir / "store.db";
    auto store = open_sqlite(options);
    REQUIRE(store.ok());
    std::atomic<int> left{2000};
    std::promise<void> done;
    for (int i = 0; i < 2000; ++i) {
      const size_t size = i % 500 == 0 ? 1U << 20 : 300;
      (*store)->write(put(cat("/k/", i % 50), std::string(size, 'x')), [&](const WriteResult&) {
        if (--left == 0) done.set_value();
      });
    }
    done.get_future().wait();
  }
  auto opened = open_database(dir / "store.db");
  REQUIRE(opened.ok());
  WriterTable table(std::move(opened->connection));
  const LookedAtClock clock;
  Revision swept = 0;
  int steps = 0;
  while (swept < opened->revision) {
    const Revision before = swept;
    REQUIRE(table.sweep(opened->revision, swept, clock, std::chrono::milliseconds(4)) == SQLITE_OK);
    REQUIRE(swept > before);
    CHECK(swept - before <= 5);
    ++steps;
  }
  CHECK(steps >= 500);
  int code = 0;
  CHECK(table.connection().query_integer("SELECT count(*) FROM kv", code) == 50);
  CHECK(table.connection().query_text("PRAGMA integrity_check", code) == "ok");
}

TEST_CASE("history is compacted in the wake of writes, and an idle store does nothing") {
  const Folder dir;
  FakeClock clock;
  SqliteOptions options;
  options.path = dir / "store.db";
  options.clock = &clock;
  options.volatile_prefixes = {kVolatile};
  {
    auto opened = open_sqlite(options);
    REQUIRE(opened.ok());
    Store& store = **opened;
    for (int i = 0; i < 1200; ++i) (void)store.write_sync(put("/a", cat(i)));
    const int64_t operations = FaultDisk::instance().operations();
    clock.advance(minutes(4));
    for (int i = 0; i < 300; ++i) {
      (void)store.write_sync(put(kVolatile + "node", cat(i)));
      (void)store.range("", orch::datastore::prefix_end(""), 0, 0);
    }
    CHECK(FaultDisk::instance().operations() == operations);  // heartbeats do not reach the disk
    CHECK(store.compacted() == 0);
    clock.advance(minutes(6));
    CHECK(store.compacted() == 0);  // nothing happens by itself
    CHECK(FaultDisk::instance().operations() == operations);
    (void)store.write_sync(put("/b", "1"));
    const Revision last = store.write_sync(put("/b", "2")).revision;
    CHECK(store.compacted() >= 1);
    CHECK(store.compacted() < last - 300);
  }
  clock.advance(minutes(20));
  auto opened = open_sqlite(options);
  REQUIRE(opened.ok());
  Ledger ledger;  // what is younger than the limit is there after a restart, too
  CHECK((*opened)->subscribe("/b", (*opened)->compacted(), ledger.listener()).outcome == Outcome::kOk);
  CHECK(ledger.events().size() == 2);
}

TEST_CASE("the log stays small") {
  const Folder dir;
  SqliteOptions options;
  options.path = dir / "store.db";
  options.wal_limit_bytes = 4 << 20;
  auto opened = open_sqlite(options);
  REQUIRE(opened.ok());
  int64_t longest = 0;
  for (int i = 0; i < 600; ++i) {
    REQUIRE((*opened)->write_sync(put(cat("/k/", i % 10), std::string(60000, 'x'))).outcome == Outcome::kOk);
    longest = std::max(longest, static_cast<int64_t>(orch::base::read_file(options.path + "-wal")->size()));
  }
  CHECK(longest < 6 << 20);
}

TEST_CASE("the log grows by steps, and what is behind its last frame is nothing") {
  const Folder dir;
  SqliteOptions options;
  options.path = dir / "store.db";
  const std::string log = options.path + "-wal";
  {
    auto opened = open_sqlite(options);
    REQUIRE(opened.ok());
    std::set<size_t> sizes;
    for (int i = 0; i < 100; ++i) {
      REQUIRE((*opened)->write_sync(put(cat("/k/", i), "value")).outcome == Outcome::kOk);
      sizes.insert(orch::base::read_file(log)->size());
    }
    CHECK(sizes.size() <= 2);
    for (const size_t size : sizes) CHECK(size % (1U << 20) == 0);
    // As after a crash: the files as they are now.
    for (const char* part : {"", "-wal"}) {
      const auto bytes = orch::base::read_file(options.path + part);
      REQUIRE(orch::base::write_file_atomic(cat(dir / "copy.db", part), *bytes, 0600).ok());
    }
  }
  options.path = dir / "copy.db";
  auto opened = open_sqlite(options);
  REQUIRE(opened.ok());
  CHECK((*opened)->range("/k/", "/k0", 0, 0).items.size() == 100);
}
