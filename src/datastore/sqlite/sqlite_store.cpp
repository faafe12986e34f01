#include "datastore/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "datastore/fanout.h"
#include "datastore/sqlite/checkpointer.h"
#include "datastore/sqlite/history.h"
#include "datastore/sqlite/schema.h"
#include "datastore/sqlite/table.h"
#include "datastore/sqlite/volatile_keys.h"

namespace orch::datastore {
namespace {

using namespace std::chrono_literals;
using base::cat;
using base::Code;
using base::Result;
using base::Status;
using sqlite::Failure;
using sqlite::Head;

constexpr size_t kBatchWrites = 1024;
constexpr size_t kBatchBytes = 8U << 20;
constexpr auto kSweepBudget = 4ms;     // of one step; a flush or a portion of log may come on top
constexpr auto kSweepInterval = 25ms;  // between steps while writes wait

class SqliteStore final : public Store {
 public:
  SqliteStore(const SqliteOptions& options, std::unique_ptr<base::FileLock> lock, sqlite::Opened opened);
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  Revision revision() const override { return fanout_.revision(); }
  Revision compacted() const override { return compacted_.load(std::memory_order_acquire); }
  Revision history_begins(std::string_view prefix) const override;
  Range range(std::string_view start, std::string_view end, Revision at, int64_t limit) const override;
  void write(Write write, std::function<void(const WriteResult&)> done) override;
  SubscribeResult subscribe(std::string_view prefix, Revision after, Listener listener) override;
  Outcome compact(Revision at) override;
  Status snapshot(const std::string& path) override;
  int64_t size() const override;
  Status health() const override;

 private:
  struct Pending {
    Write write;
    std::function<void(const WriteResult&)> done;
  };
  // What became of a batch so far.
  struct Batch {
    std::vector<WriteResult> results;     // one per write
    std::vector<Event> durable, passing;  // committed together with the transaction / in any case
    std::vector<size_t> durable_of;       // index of the write of each durable event
    std::vector<size_t> refused;          // conflicts, perhaps with a write of this transaction
    bool in_transaction = false;
  };

  // The writer thread.
  void run();
  std::vector<Pending> next_batch(std::unique_lock<std::mutex>& lock);
  void run_batch(std::vector<Pending> pending);
  bool ensure_reserved(size_t writes, Failure& failure);
  void stage(Write& write, size_t index, Batch& batch);
  void stage_durable(Event event, size_t index, Batch& batch);
  void finish(Batch& batch);
  void row_failed(size_t index, int code, Batch& batch);
  void fail_durable(Batch& batch, const Failure& failure);
  void note_history();
  void sweep_step();
  void set_health(Status status);

  // Readers.
  Range read_range(std::string_view start, std::string_view end, Revision at, int64_t limit) const;
  Outcome read_history(std::string_view prefix, Revision after, Revision upto, const Fanout::Batch& batch,
                       std::string& message);

  const SqliteOptions options_;
  const base::SystemClock system_clock_;
  const base::Clock& clock_;
  const std::unique_ptr<base::FileLock> lock_;
  const Revision opened_at_;

  mutable sqlite::Readers readers_;
  sqlite::VolatileKeys volatile_;
  Fanout fanout_;
  std::atomic<Revision> compacted_;

  mutable std::mutex health_mutex_;
  Status health_;  // under health_mutex_

  std::mutex queue_mutex_;
  std::condition_variable wake_;
  std::deque<Pending> queue_;  // under queue_mutex_
  Revision sweep_target_;      // under queue_mutex_
  bool stopping_ = false;      // under queue_mutex_

  // Of the writer thread alone.
  sqlite::WriterTable table_;
  Revision issued_;        // the last revision given to a write, committed or not
  Revision reserved_ = 0;  // on disk: none above is issued
  Revision swept_;
  base::MonoTime last_sweep_{};
  bool sweep_failed_ = false;  // until the next compaction is asked for
  int log_frames_ = 0;
  int64_t superseded_ = 0;
  sqlite::History history_;
  std::unique_ptr<sqlite::Checkpointer> checkpointer_;
  std::thread writer_;
};

int on_log(void* frames, sqlite3* /*db*/, const char* /*name*/, int count) {
  *static_cast<int*>(frames) = count;
  return SQLITE_OK;
}

SqliteStore::SqliteStore(const SqliteOptions& options, std::unique_ptr<base::FileLock> lock,
                         sqlite::Opened opened)
    : options_(options),
      clock_(options.clock != nullptr ? *options.clock : system_clock_),
      lock_(std::move(lock)),
      opened_at_(opened.revision),
      readers_(options.path),
      volatile_(options.volatile_prefixes),
      fanout_(opened.revision),
      compacted_(opened.compacted),
      sweep_target_(opened.compacted),
      table_(std::move(opened.connection)),
      issued_(opened.revision),
      swept_(opened.swept),
      // What was superseded before is not counted: taken as worth a compaction once it is old enough.
      superseded_(opened.revision > opened.compacted + 1 ? options.compact_min_rows : 0),
      history_(options.history, std::max<int64_t>(options.compact_min_rows, 1)) {
  sqlite3_wal_hook(table_.connection().raw(), on_log, &log_frames_);
  table_.connection().exec(cat("PRAGMA journal_size_limit=", options.wal_limit_bytes).c_str());
  constexpr int64_t kFrameBytes = 4096 + 24;
  checkpointer_ = std::make_unique<sqlite::Checkpointer>(
      options.path, static_cast<int>(std::min<int64_t>(options.wal_limit_bytes / kFrameBytes, 1 << 20)));
  history_.note(clock_.mono(), issued_, superseded_);
  Failure failure;
  if (!ensure_reserved(1, failure)) {
    set_health(Status(Code::kStoreReadOnly, std::move(failure.message)));
  }
  writer_ = base::start_thread("store-writer", [this] { run(); });
}

SqliteStore::~SqliteStore() {
  {
    const std::lock_guard lock(queue_mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  writer_.join();
  checkpointer_.reset();
  // Keys in memory end with this; so that nobody who has seen the last of them takes that for the present,
  // their end is a revision of its own.
  const Revision last = volatile_.used() ? issued_ + 1 : issued_;
  if (const int code = table_.mark_clean(last); code != SQLITE_OK) {
    base::log_warning("store", "could not be marked as closed in order; it will be checked when it is opened",
                      {{"error", table_.connection().failure(code).message}});
  }
}

// --- The writer thread ----------------------------------------------------------------------------

void SqliteStore::write(Write write, std::function<void(const WriteResult&)> done) {
  {
    const std::lock_guard lock(queue_mutex_);
    queue_.push_back({std::move(write), std::move(done)});
    if (queue_.size() > 1) return;  // the writer has been woken for the first
  }
  wake_.notify_one();
}

void SqliteStore::run() {
  std::unique_lock lock(queue_mutex_);
  while (true) {
    const auto sweeping = [this] { return swept_ < sweep_target_ && !sweep_failed_; };
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty() || sweeping(); });
    if (!queue_.empty()) {
      std::vector<Pending> batch = next_batch(lock);
      lock.unlock();
      run_batch(std::move(batch));
      lock.lock();
    } else if (stopping_) {
      return;
    }
    if (sweeping() && !stopping_ && (queue_.empty() || clock_.mono() - last_sweep_ >= kSweepInterval)) {
      lock.unlock();
      sweep_step();
      lock.lock();
    }
  }
}

std::vector<SqliteStore::Pending> SqliteStore::next_batch(std::unique_lock<std::mutex>& /*held*/) {
  std::vector<Pending> batch;
  batch.reserve(std::min(queue_.size(), kBatchWrites));
  size_t bytes = 0;
  while (!queue_.empty() && batch.size() < kBatchWrites && bytes < kBatchBytes) {
    bytes += queue_.front().write.value.size();
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void SqliteStore::run_batch(std::vector<Pending> pending) {
  Batch batch;
  batch.results.resize(pending.size());
  Failure failure;
  if (ensure_reserved(pending.size(), failure)) {
    for (size_t i = 0; i < pending.size(); ++i) stage(pending[i].write, i, batch);
    finish(batch);
  } else {
    for (WriteResult& r : batch.results) r = {failure.outcome, failure.message, 0, 0};
    set_health(Status(Code::kStoreReadOnly, failure.message));
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i].done) pending[i].done(batch.results[i]);
  }
  note_history();
  checkpointer_->after_commit(table_.connection(), log_frames_);
}

bool SqliteStore::ensure_reserved(size_t writes, Failure& failure) {
  const Revision needed = issued_ + static_cast<Revision>(writes);
  // The last one reserved is what the store stands at after a crash; it is not given to a write.
  if (needed < reserved_) return true;
  const Revision reserved = needed + std::max<Revision>(options_.revision_block, 1);
  const int code = table_.reserve(reserved);
  if (code != SQLITE_OK) {
    failure = table_.connection().failure(code);
    table_.rollback();
    return false;
  }
  reserved_ = reserved;
  return true;
}

void SqliteStore::stage(Write& write, size_t index, Batch& batch) {
  WriteResult& result = batch.results[index];
  const bool passing = volatile_.covers(write.key);
  Head head;
  if (passing) {
    head = volatile_.head(write.key);
  } else if (const int code = table_.head(write.key, head); code != SQLITE_OK) {
    row_failed(index, code, batch);
    return;
  }
  const bool deletes = write.type == Write::Type::kDelete;
  if ((write.expected != Write::kAny && write.expected != head.mod_revision) ||
      (deletes && head.mod_revision == 0)) {
    result = {Outcome::kConflict, "the key's revision is not the one expected", 0, head.mod_revision};
    if (!passing && batch.in_transaction) batch.refused.push_back(index);
    return;
  }
  Event event;
  event.type = deletes ? Event::Type::kDelete : Event::Type::kPut;
  event.prev_revision = head.mod_revision;
  event.kv.key = std::move(write.key);
  event.kv.mod_revision = ++issued_;
  result.revision = event.kv.mod_revision;
  if (!deletes) {
    event.kv.value = std::move(write.value);
    event.kv.create_revision = head.mod_revision == 0 ? event.kv.mod_revision : head.create_revision;
    event.kv.version = head.version + 1;
  }
  if (passing) {
    // Readers look at published revisions only, so it can be there before it is published.
    volatile_.apply(event);
    batch.passing.push_back(std::move(event));
  } else {
    stage_durable(std::move(event), index, batch);
  }
}

void SqliteStore::stage_durable(Event event, size_t index, Batch& batch) {
  int code = SQLITE_OK;
  if (!batch.in_transaction) {
    code = table_.begin();
    batch.in_transaction = code == SQLITE_OK;
  }
  if (code == SQLITE_OK) code = table_.insert(event);
  if (code == SQLITE_OK) {
    batch.durable.push_back(std::move(event));
    batch.durable_of.push_back(index);
    return;
  }
  row_failed(index, code, batch);
}

void SqliteStore::row_failed(size_t index, int code, Batch& batch) {
  const Failure failure = table_.connection().failure(code);
  batch.results[index] = {failure.outcome, failure.message, 0, 0};
  set_health(Status(Code::kStoreReadOnly, failure.message));
  // Some errors undo only this row, some the whole transaction; then the rows before it are lost too, and
  // the rest of the batch begins a new one.
  if (batch.in_transaction && !table_.connection().in_transaction()) {
    fail_durable(batch, failure);
    batch.in_transaction = false;
  }
}

void SqliteStore::fail_durable(Batch& batch, const Failure& failure) {
  for (const auto* indices : {&batch.durable_of, &batch.refused}) {
    for (const size_t index : *indices) batch.results[index] = {failure.outcome, failure.message, 0, 0};
  }
  batch.durable.clear();
  batch.durable_of.clear();
  batch.refused.clear();
}

void SqliteStore::finish(Batch& batch) {
  if (batch.in_transaction) {
    if (const int code = table_.commit(); code == SQLITE_OK) {
      if (!batch.durable.empty()) set_health({});
    } else {
      const Failure failure = table_.connection().failure(code);
      table_.rollback();
      set_health(Status(Code::kStoreReadOnly, failure.message));
      fail_durable(batch, failure);
    }
  }
  for (const Event& event : batch.durable) {
    superseded_ += (event.prev_revision != 0 ? 1 : 0) + (event.type == Event::Type::kDelete ? 1 : 0);
  }
  std::vector<Event> events = std::move(batch.durable);
  if (events.empty()) {
    events = std::move(batch.passing);
  } else if (!batch.passing.empty()) {
    const auto middle = static_cast<std::ptrdiff_t>(events.size());
    std::move(batch.passing.begin(), batch.passing.end(), std::back_inserter(events));
    std::inplace_merge(events.begin(), events.begin() + middle, events.end(),
                       [](const Event& a, const Event& b) { return a.kv.mod_revision < b.kv.mod_revision; });
  }
  if (events.empty()) return;
  const Revision last = events.back().kv.mod_revision;
  fanout_.publish(last, std::move(events));
}

void SqliteStore::note_history() {
  const base::MonoTime now = clock_.mono();
  history_.note(now, revision(), superseded_);
  const Revision target = history_.due(now);
  if (target > compacted()) (void)compact(target);
}

void SqliteStore::sweep_step() {
  Revision target = 0;
  {
    const std::lock_guard lock(queue_mutex_);
    target = sweep_target_;
  }
  const int code = table_.sweep(target, swept_, system_clock_, kSweepBudget);
  if (code != SQLITE_OK) {
    sweep_failed_ = true;
    base::log_warning("store", "compaction stopped", {{"error", table_.connection().failure(code).message}});
  }
  last_sweep_ = clock_.mono();
  checkpointer_->after_commit(table_.connection(), log_frames_);
}

void SqliteStore::set_health(Status status) {
  const std::lock_guard lock(health_mutex_);
  if (health_.ok() && status.ok()) return;
  if (health_.ok()) base::log_error("store", "writes fail", {{"error", status.message()}});
  if (status.ok()) base::log_info("store", "writes succeed again");
  health_ = std::move(status);
}

Status SqliteStore::health() const {
  const std::lock_guard lock(health_mutex_);
  return health_;
}

Outcome SqliteStore::compact(Revision at) {
  if (at > revision()) return Outcome::kFuture;
  {
    const std::lock_guard lock(queue_mutex_);
    if (at < compacted()) return Outcome::kCompacted;
    // Readers look at this after they have read: set before any row goes.
    compacted_.store(at, std::memory_order_release);
    sweep_target_ = at;
    sweep_failed_ = false;
  }
  volatile_.compact(at);
  wake_.notify_one();
  return Outcome::kOk;
}

// --- Reads ----------------------------------------------------------------------------------------

Revision SqliteStore::history_begins(std::string_view prefix) const {
  if (!volatile_.overlaps_prefix(prefix)) return compacted();
  return std::max({compacted(), opened_at_, volatile_.floor()});
}

Range SqliteStore::range(std::string_view start, std::string_view end, Revision at, int64_t limit) const {
  // A compaction may overtake a read of the present; the next try is beyond it.
  for (int attempt = 0;; ++attempt) {
    const Revision now = revision();
    if (at > now) return {Outcome::kFuture, "revision has not been issued", {}, false, 0, now};
    Range result = read_range(start, end, at == 0 ? now : at, limit);
    if (result.outcome != Outcome::kCompacted || at != 0 || attempt == 100) return result;
  }
}

Range SqliteStore::read_range(std::string_view start, std::string_view end, Revision at,
                              int64_t limit) const {
  Range result;
  result.revision = at;
  const auto gone = [&] {
    return Range{Outcome::kCompacted, "revision has been compacted", {}, false, 0, at};
  };
  const bool passing = volatile_.overlaps_range(start, end);
  if (at < compacted()) return gone();
  int64_t total = 0;
  if (!end.empty() || !passing) {
    Result<std::unique_ptr<sqlite::ReaderTable>> reader = readers_.take();
    if (!reader.ok()) {
      result.outcome = Outcome::kFailed;
      result.message = reader.error().message();
      return result;
    }
    const int code = (*reader)->range(start, end, at, limit, result.items, total);
    if (code != SQLITE_OK) {
      result.items.clear();
      result.outcome = Outcome::kFailed;
      result.message = (*reader)->connection().failure(code).message;
      return result;
    }
    readers_.give_back(std::move(*reader));
  }
  if (passing) {
    const auto middle = static_cast<std::ptrdiff_t>(result.items.size());
    volatile_.range(start, end, at, result.items);
    if (at < volatile_.floor()) return gone();
    total += static_cast<int64_t>(result.items.size()) - middle;
    std::inplace_merge(result.items.begin(), result.items.begin() + middle, result.items.end(),
                       [](const KeyValue& a, const KeyValue& b) { return a.key < b.key; });
  }
  if (at < compacted()) return gone();
  if (limit > 0 && total > limit) {
    result.items.resize(static_cast<size_t>(limit));
    result.more = true;
    result.remaining = total - limit;
  }
  return result;
}

SubscribeResult SqliteStore::subscribe(std::string_view prefix, Revision after, Listener listener) {
  const auto read = [this](std::string_view p, Revision from, Revision upto, const Fanout::Batch& batch,
                           std::string& message) { return read_history(p, from, upto, batch, message); };
  if (after < compacted()) return {Outcome::kCompacted, "revision has been compacted", nullptr};
  return fanout_.subscribe(prefix, after, std::move(listener), read);
}

Outcome SqliteStore::read_history(std::string_view prefix, Revision after, Revision upto,
                                  const Fanout::Batch& batch, std::string& message) {
  constexpr size_t kAtOnce = 256;
  message = "revision has been compacted";
  std::vector<Event> passing;
  if (volatile_.overlaps_prefix(prefix)) {
    if (volatile_.contains_prefix(prefix) && after < opened_at_) return Outcome::kCompacted;
    passing = volatile_.history(prefix, after, upto);
    if (after < volatile_.floor()) return Outcome::kCompacted;
  }
  Result<std::unique_ptr<sqlite::ReaderTable>> reader = readers_.take();
  if (!reader.ok()) {
    message = reader.error().message();
    return Outcome::kFailed;
  }
  std::vector<Event> ready;
  auto next = passing.begin();
  bool fixed = false;
  bool gone = false;
  const auto add = [&](Event event) {
    // The first row has fixed the state of the file: what is compacted from here on is still in it.
    if (!std::exchange(fixed, true)) gone = after < compacted();
    while (next != passing.end() && next->kv.mod_revision < event.kv.mod_revision) {
      ready.push_back(std::move(*next++));
    }
    ready.push_back(std::move(event));
    if (ready.size() < kAtOnce) return;
    if (!gone) batch(ready);
    ready.clear();
  };
  const int code = (*reader)->events(prefix, after, upto, add);
  if (code != SQLITE_OK) {
    message = (*reader)->connection().failure(code).message;
    return Outcome::kFailed;
  }
  readers_.give_back(std::move(*reader));
  if (gone || (!fixed && after < compacted())) return Outcome::kCompacted;
  while (next != passing.end()) ready.push_back(std::move(*next++));
  batch(ready);
  return Outcome::kOk;
}

// --- Files ----------------------------------------------------------------------------------------

Status SqliteStore::snapshot(const std::string& path) {
  const std::string part = path + ".part";
  if (base::file_exists(path)) return Status(Code::kAlreadyExists, cat(path, " exists"));
  ::unlink(part.c_str());
  Result<sqlite::Connection> connection = sqlite::open_reader(options_.path);
  if (!connection.ok()) return connection.error();
  // One read transaction: writers go on meanwhile, and the copy is as of one moment, without unused pages.
  connection->exec("PRAGMA query_only=0");
  sqlite::Statement copy = connection->prepare("VACUUM INTO ?1");
  copy.bind_text(1, part);
  int code = copy.step();
  if (code == SQLITE_DONE) code = SQLITE_OK;
  Status status =
      code == SQLITE_OK ? Status() : connection->status(code).with_context(cat("snapshot to ", path));
  copy.reset();
  if (status.ok()) {
    const int fd = ::open(part.c_str(), O_RDWR | O_CLOEXEC);
    const bool synced = fd >= 0 && ::fchmod(fd, 0600) == 0 && ::fsync(fd) == 0;
    if (!synced || ::rename(part.c_str(), path.c_str()) != 0) {
      status =
          Status(Code::kInternal, cat("snapshot to ", path, ": ", std::generic_category().message(errno)));
    }
    if (fd >= 0) ::close(fd);
  }
  if (!status.ok()) ::unlink(part.c_str());
  return status;
}

int64_t SqliteStore::size() const {
  int64_t total = 0;
  for (const char* suffix : {"", "-wal"}) {
    struct stat info {};
    if (::stat((options_.path + suffix).c_str(), &info) == 0) total += info.st_size;
  }
  return total;
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite(const SqliteOptions& options) {
  Result<std::unique_ptr<base::FileLock>> lock = base::FileLock::acquire(options.path + ".lock");
  if (!lock.ok()) {
    if (lock.error().code() == Code::kConflict) return lock.error();
    return Status(Code::kInternal,
                  cat("store ", options.path, " cannot be opened: ", lock.error().message()));
  }
  Result<sqlite::Opened> opened = sqlite::open_database(options.path);
  if (!opened.ok()) return opened.error();
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(options, std::move(*lock), std::move(*opened)));
}

}  // namespace orch::datastore
