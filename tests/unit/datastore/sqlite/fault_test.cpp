// Damaged, foreign and unwritable files: a clear refusal, or an error on what is damaged; never wrong data.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "base/log.h"
#include "base/process.h"
#include "datastore/sqlite/checked_vfs.h"
#include "tests/unit/datastore/sqlite/fixture.h"

using namespace orch::testing;
using orch::base::cat;
using orch::base::Code;
using orch::datastore::open_sqlite;
using orch::datastore::SqliteOptions;

namespace {

SqliteOptions at(const std::string& path) {
  SqliteOptions options;
  options.path = path;
  options.revision_block = 100;
  return options;
}

std::string refusal(const std::string& path) {
  const auto opened = open_sqlite(at(path));
  if (opened.ok()) return "opened";
  CHECK(opened.error().code() == Code::kInternal);
  return opened.error().message();
}

std::string content(const std::string& path) { return *orch::base::read_file(path); }

void replace(const std::string& path, std::string_view bytes) {
  REQUIRE(orch::base::write_file_atomic(path, bytes).ok());
}

// Runs in a child process, since it changes what the whole process can do. Returns what `run` returned.
std::string in_child(const std::function<std::string()>& run) {
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string result = run();
    const ssize_t n = ::write(fds[1], result.data(), result.size());
    ::_exit(n == static_cast<ssize_t>(result.size()) ? 0 : 1);
  }
  ::close(fds[1]);
  std::string result(4096, '\0');
  const ssize_t n = ::read(fds[0], result.data(), result.size());
  result.resize(n > 0 ? static_cast<size_t>(n) : 0);
  ::close(fds[0]);
  ::waitpid(child, nullptr, 0);
  return result;
}

void fill(Store& store, int keys) {
  for (int i = 0; i < keys; ++i) {
    REQUIRE(store.write_sync(put(cat("/k/", 1000 + i), std::string(i % 20 == 0 ? 9000 : 200, 'a' + i % 26)))
                .outcome == Outcome::kOk);
    if (i % 3 == 0) (void)store.write_sync(put(cat("/k/", 1000 + i), cat("second ", i)));
    if (i % 7 == 0) (void)store.write_sync(erase(cat("/k/", 1000 + i)));
  }
}

struct Truth {
  Strings now, events;
  Strings keys;
};

Truth truth_of(Store& store) {
  Truth truth;
  const Range range = store.range("", orch::datastore::prefix_end(""), 0, 0);
  truth.now = texts_of(range.items);
  truth.keys = keys_of(range);
  Ledger ledger;
  (void)store.subscribe("", 0, ledger.listener());
  truth.events = texts_of(ledger.events());
  return truth;
}

// True if the damage was noticed; fails the test if it shows as anything but an error.
bool noticed(const std::string& path, const Truth& truth) {
  const auto opened = open_sqlite(at(path));
  if (!opened.ok()) {
    CHECK_THAT(opened.error().message(), contains("damaged"));
    return true;
  }
  Store& store = **opened;
  bool found = false;
  const auto error = [&](Outcome outcome, const std::string& message) {
    CHECK(outcome == Outcome::kFailed);
    CHECK_THAT(message, contains("damaged"));
    found = true;
  };
  const Range all = store.range("", orch::datastore::prefix_end(""), 0, 0);
  if (all.outcome != Outcome::kOk) {
    error(all.outcome, all.message);
  } else if (texts_of(all.items) != truth.now) {
    FAIL("wrong data in a range");
  }
  for (size_t i = 0; i < truth.keys.size(); i += 7) {
    const Range one = store.range(truth.keys[i], "", 0, 0);
    if (one.outcome != Outcome::kOk) {
      error(one.outcome, one.message);
    } else if (texts_of(one.items) != Strings{truth.now[i]}) {
      FAIL("wrong data for a key");
    }
  }
  Ledger ledger;
  const auto subscribed = store.subscribe("", 0, ledger.listener());
  const Strings events = texts_of(ledger.events());
  if (subscribed.outcome != Outcome::kOk) {
    error(subscribed.outcome, subscribed.message);
    if (!std::equal(events.begin(), events.end(), truth.events.begin())) FAIL("wrong events");
  } else if (events != truth.events) {
    FAIL("wrong events");
  }
  return found;
}

}  // namespace

TEST_CASE("a damaged file is refused or read with errors, never wrongly") {
  orch::base::set_log_level(orch::base::LogLevel(-1));
  const Folder dir;
  const std::string good = dir / "good.db";
  Truth truth;
  {
    auto store = open_sqlite(at(good));
    REQUIRE(store.ok());
    fill(**store, 300);
    truth = truth_of(**store);
  }
  const std::string bytes = content(good);
  const size_t pages = bytes.size() / 4096;
  REQUIRE(pages > 30);
  const std::string bad = dir / "bad.db";
  std::mt19937_64 random(7);
  replace(bad, bytes);
  CHECK_FALSE(noticed(bad, truth));

  int found = 0;
  constexpr int kRounds = 150;
  for (int round = 0; round < kRounds; ++round) {
    std::string changed = bytes;
    changed[random() % changed.size()] ^= static_cast<char>(1U << random() % 8);
    replace(bad, changed);
    found += noticed(bad, truth) ? 1 : 0;
  }
  CHECK(found > kRounds * 3 / 4);  // the rest lies in pages nothing is read from
  for (int round = 0; round < 40; ++round) {
    std::string changed = bytes;
    const size_t page = 1 + random() % (pages - 1);
    const size_t other = 1 + random() % (pages - 1);
    const char* filler = round % 2 == 0 ? "\0" : "\xFF";
    if (round % 4 < 2) {
      changed.replace(page * 4096, 4096, 4096, *filler);
    } else {
      changed.replace(page * 4096, 4096, bytes, other * 4096, 4096);  // written to the wrong place
    }
    replace(bad, changed);
    (void)noticed(bad, truth);
  }
  for (int round = 0; round < 60; ++round) {
    const size_t length = round == 0 ? 0 : round == 1 ? 10 : random() % bytes.size();
    replace(bad, bytes.substr(0, length));
    INFO("cut to " << length << " of " << bytes.size());
    CHECK(noticed(bad, truth));
  }
  orch::base::set_log_level(orch::base::LogLevel::kInfo);
}

TEST_CASE("a damaged log gives an earlier state, not a wrong one") {
  orch::base::set_log_level(orch::base::LogLevel(-1));
  const Folder dir;
  std::mt19937_64 random(3);
  std::string base, log;
  Truth truth;
  {
    auto store = open_sqlite(at(dir / "good.db"));
    REQUIRE(store.ok());
    fill(**store, 50);
    truth = truth_of(**store);
    base = content(dir / "good.db");
    log = content(dir / "good.db-wal");
    log.resize(log.find_last_not_of('\0') + 1);  // without the room ahead, so that every change hits a frame
  }
  for (int round = 0; round < 40; ++round) {
    std::string changed = log;
    changed[random() % changed.size()] ^= static_cast<char>(1U << random() % 8);
    if (round % 2 == 0) changed.resize(random() % changed.size());
    replace(dir / "bad.db", base);
    replace(dir / "bad.db-wal", changed);
    const auto store = open_sqlite(at(dir / "bad.db"));
    REQUIRE(store.ok());
    Ledger ledger;
    REQUIRE((*store)->subscribe("", 0, ledger.listener()).outcome == Outcome::kOk);
    const Strings events = texts_of(ledger.events());
    CHECK(events.size() <= truth.events.size());
    if (!std::equal(events.begin(), events.end(), truth.events.begin())) FAIL("wrong events");
  }
  orch::base::set_log_level(orch::base::LogLevel::kInfo);
}

TEST_CASE("files that are not this version's store are refused, each with its reason") {
  const Folder dir;
  const std::string path = dir / "store.db";
  { REQUIRE(open_sqlite(at(path)).ok()); }
  const auto change = [&](const char* sql) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE,
                            orch::datastore::sqlite::checked_vfs()) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
  };
  change("PRAGMA user_version=9");
  CHECK_THAT(refusal(path),
             contains("was written by a newer version of Orch (format 9; this one knows up to 1)"));
  change("PRAGMA user_version=1");
  CHECK(refusal(path) == "opened");
  change("DELETE FROM meta");
  CHECK_THAT(refusal(path), contains("damaged"));
  change("PRAGMA application_id=5");
  CHECK_THAT(refusal(path), contains("is not a store of Orch"));

  replace(path, "hello, this is some other file");
  CHECK_THAT(refusal(path), contains("it does not begin as a database does"));
  replace(path, "");
  CHECK_THAT(refusal(path), contains("the file is empty"));

  const std::string lone = dir / "lone.db";
  replace(lone + "-wal", "something");
  CHECK_THAT(refusal(lone), contains("the file is missing, but its log is there"));
  CHECK_THAT(refusal(dir / "none/store.db"), contains("No such file or directory"));
}

TEST_CASE("one process at a time") {
  const Folder dir;
  const auto first = open_sqlite(at(dir / "store.db"));
  REQUIRE(first.ok());
  const auto second = open_sqlite(at(dir / "store.db"));
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code() == Code::kConflict);
  CHECK_THAT(second.error().message(), contains(cat("in use by process ", ::getpid())));
}

TEST_CASE("a folder that cannot be written to is refused") {
  const Folder dir;
  { REQUIRE(open_sqlite(at(dir / "store.db")).ok()); }
  const std::string said = in_child([&]() -> std::string {
    if (::geteuid() != 0) {
      ::chmod(dir.path().c_str(), 0500);
    } else if (::unshare(CLONE_NEWNS) != 0 ||
               ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
               ::mount(dir.path().c_str(), dir.path().c_str(), nullptr, MS_BIND, nullptr) != 0 ||
               ::mount(nullptr, dir.path().c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) !=
                   0) {
      return "skip";
    }
    const auto opened = open_sqlite(at(dir / "store.db"));
    return opened.ok() ? "opened" : opened.error().message();
  });
  ::chmod(dir.path().c_str(), 0700);
  if (said == "skip") {
    if (::geteuid() == 0) FAIL("root without the right, or the tools, to mount");
    WARN("not root: not tested");
    return;
  }
  CHECK_THAT(said, contains(dir.path()));
  CHECK((contains("Read-only file system").match(said) || contains("Permission denied").match(said)));
}

TEST_CASE("a file that may not grow refuses writes until it may") {
  const Folder dir;
  const std::string said = in_child([&]() -> std::string {
    orch::base::set_log_level(orch::base::LogLevel(-1));
    ::signal(SIGXFSZ, SIG_IGN);
    const auto opened = open_sqlite(at(dir / "store.db"));
    if (!opened.ok()) return opened.error().message();
    Store& store = **opened;
    if (store.write_sync(put("/a", "1")).outcome != Outcome::kOk) return "first write";
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    rlimit low = limit;
    low.rlim_cur = 200000;
    ::setrlimit(RLIMIT_FSIZE, &low);
    WriteResult result;
    for (int i = 0; i < 100 && result.outcome == Outcome::kOk; ++i) {
      result = store.write_sync(put("/b", std::string(10000, 'b')));
    }
    if (result.outcome != Outcome::kReadOnly) return cat("not refused: ", result.message);
    if (store.health().ok()) return "healthy";
    if (store.range("/a", "", 0, 0).items.at(0).value != "1") return "wrong data";
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const WriteResult again = store.write_sync(put("/a", "2"));
    if (again.outcome != Outcome::kOk) return cat("still refused: ", again.message);
    return "refused with: " + result.message;
  });
  CHECK_THAT(said, contains("refused with: "));
  CHECK_THAT(said, contains("writing to the disk of the store failed"));
}

TEST_CASE("a real full disk") {
  const Folder dir;
  const std::string said = in_child([&]() -> std::string {
    orch::base::set_log_level(orch::base::LogLevel(-1));
    const std::string image = dir / "image";
    const std::string place = dir / "mounted";
    if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mkdir(place.c_str(), 0700) != 0) {
      return "skip";
    }
    for (const Strings& command :
         {Strings{"truncate", "-s", "4M", image}, Strings{"mkfs.ext4", "-q", "-F", image},
          Strings{"mount", "-o", "loop", image, place}}) {
      const auto done = orch::base::run_process(command);
      if (!done.ok() || done->exit_code != 0) return "skip";
    }
    const auto filler = orch::base::run_process({"fallocate", "-l", "1M", place + "/filler"});
    if (!filler.ok() || filler->exit_code != 0) return "skip";
    auto opened = open_sqlite(at(place + "/store.db"));
    if (!opened.ok()) return opened.error().message();
    WriteResult result;
    int written = 0;
    for (; written < 10000 && result.outcome == Outcome::kOk; ++written) {
      result = (*opened)->write_sync(put(cat("/k/", written), std::string(5000, 'k')));
    }
    --written;
    if (result.outcome != Outcome::kReadOnly) return cat("not refused: ", result.message);
    const auto all_there = [&] {
      const Range range = (*opened)->range("/k/", "/k0", 0, 0);
      return range.outcome == Outcome::kOk && static_cast<int>(range.items.size()) == written;
    };
    if (!all_there()) return "lost while open";
    // Opened again on the full disk, it can be read.
    opened.value().reset();
    opened = open_sqlite(at(place + "/store.db"));
    if (!opened.ok()) return opened.error().message();
    if (!all_there()) return "lost when opened";
    if ((*opened)->write_sync(put("/k/more", std::string(100000, 'm'))).outcome != Outcome::kReadOnly) {
      return "written to a full disk";
    }
    ::unlink((place + "/filler").c_str());
    result = (*opened)->write_sync(put("/k/more", "m"));
    ++written;
    if (result.outcome != Outcome::kOk) return cat("still refused: ", result.message);
    return all_there() && (*opened)->health().ok() ? "recovered" : "lost at the end";
  });
  if (said == "skip") {
    if (::geteuid() == 0) FAIL("root without the right, or the tools, to mount");
    WARN("not root: not tested");
    return;
  }
  CHECK(said == "recovered");
}

TEST_CASE("killed while writing, nothing acknowledged is lost") {
  const Folder dir;
  std::mt19937_64 random(11);
  constexpr int kThreads = 4;
  struct Ack {
    int thread;
    int64_t value, revision;
  };
  std::vector<int64_t> acknowledged(kThreads, -1);
  std::set<int64_t> revisions;
  for (int round = 0; round < 15; ++round) {
    int fds[2];
    REQUIRE(::pipe(fds) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      orch::base::set_log_level(orch::base::LogLevel(-1));
      auto opened = open_sqlite(at(dir / "store.db"));
      if (!opened.ok()) ::_exit(1);
      std::vector<std::thread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          for (int64_t i = acknowledged[t] + 1;; ++i) {
            const WriteResult r = (*opened)->write_sync(put(cat("/t/", t), cat(i)));
            const Ack ack{t, i, r.outcome == Outcome::kOk ? r.revision : -1};
            if (::write(fds[1], &ack, sizeof ack) != sizeof ack) ::_exit(1);
          }
        });
      }
      for (std::thread& t : threads) t.join();
    }
    ::close(fds[1]);
    Ack ack{};
    const uint64_t stop = random() % 400;
    for (uint64_t n = 0; ::read(fds[0], &ack, sizeof ack) == sizeof ack; ++n) {
      if (ack.revision < 0) FAIL("a write failed");
      if (!revisions.insert(ack.revision).second) FAIL("revision " << ack.revision << " issued twice");
      acknowledged[ack.thread] = ack.value;
      if (n == stop) ::kill(child, SIGKILL);
    }
    ::close(fds[0]);
    ::waitpid(child, nullptr, 0);
    orch::base::set_log_level(orch::base::LogLevel(-1));
    const auto store = open_sqlite(at(dir / "store.db"));
    orch::base::set_log_level(orch::base::LogLevel::kInfo);
    REQUIRE(store.ok());
    CHECK((*store)->revision() >= *revisions.rbegin());
    for (int t = 0; t < kThreads; ++t) {
      const Range range = (*store)->range(cat("/t/", t), "", 0, 0);
      const int64_t value = range.items.empty() ? -1 : std::stoll(range.items[0].value);
      if (value < acknowledged[t] || value > acknowledged[t] + 1) {
        FAIL("thread " << t << " has " << value << " after " << acknowledged[t]);
      }
      acknowledged[t] = value;
    }
  }
}
