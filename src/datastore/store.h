// The revisioned key-value store under the API: what etcd is to Kubernetes, as a small interface.
//
// Every committed write gets the next revision; revisions only grow, across restarts and crashes too, and
// none is ever issued twice. History is kept for a while so that a watch can resume; compact() ends it.
// Implementations: datastore/sqlite. All of them pass tests/unit/datastore/contract.h.
//
// All functions are thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace orch::datastore {

/// Never 0 for a committed write.
using Revision = int64_t;

struct KeyValue {
  std::string key;
  std::string value;
  Revision create_revision = 0;
  Revision mod_revision = 0;
  int64_t version = 0;  // 1 at creation, +1 each write
};

/// One committed change. For a delete, `kv.mod_revision` is the revision of the delete, `kv.value` is empty
/// and `kv.create_revision` and `kv.version` are 0.
struct Event {
  enum class Type : uint8_t { kPut, kDelete };
  Type type = Type::kPut;
  KeyValue kv;
  Revision prev_revision = 0;  // 0: the key did not exist before (never was, or had been deleted)
};

/// Outcomes that callers act on; anything else is kFailed with the message.
enum class Outcome : uint8_t {
  kOk,
  kConflict,   // expected revision does not match; `current` says what is there
  kCompacted,  // the revision asked for is older than the kept history
  kFuture,     // the revision asked for has not been issued
  kReadOnly,   // disk full or read-only: not written, may be retried later
  kFailed,
};

struct Range {
  Outcome outcome = Outcome::kOk;
  std::string message;
  std::vector<KeyValue> items;  // by key, ascending
  bool more = false;            // limit reached
  int64_t remaining = 0;        // keys in the range behind the limit
  Revision revision = 0;        // the revision this range is exact at
};

/// A write of one key. Values are opaque bytes. Deleting a key that does not exist writes nothing and is
/// kConflict with `current` 0, whatever was expected.
struct Write {
  static constexpr Revision kAny = -1;
  enum class Type : uint8_t { kPut, kDelete };
  Type type = Type::kPut;
  std::string key;
  std::string value;
  /// The write happens only if the key's mod_revision equals this; 0: only if the key does not exist.
  Revision expected = kAny;
};

struct WriteResult {
  Outcome outcome = Outcome::kOk;
  std::string message;
  Revision revision = 0;  // of this write
  Revision current = 0;   // on kConflict: the key's mod_revision, 0 if it does not exist
};

/// Called with committed events in revision order, each exactly once, from one thread at a time; must not
/// block and must not call back into the store's writes synchronously.
using Listener = std::function<void(const std::vector<Event>&)>;

/// Ends its subscription when destroyed; after the destructor returns the listener is not called again.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

struct SubscribeResult {
  Outcome outcome = Outcome::kOk;
  std::string message;
  std::unique_ptr<Subscription> subscription;
};

class Store {
 public:
  virtual ~Store() = default;

  /// The revision of the last committed write (1 for a new store). Cheap.
  virtual Revision revision() const = 0;
  /// History before this revision is gone.
  virtual Revision compacted() const = 0;
  /// What is known of keys with this prefix is known from this revision on: compacted(), or later where some
  /// of them live in memory only, so that what they were before a restart is not known. Who followed them
  /// from before it has to look at the whole again.
  virtual Revision history_begins(std::string_view prefix) const = 0;

  /// Keys in [start, end) as of `at` (0: now). `end` empty: only the key `start`; `end` one NUL byte: no
  /// upper bound (what prefix_end("") gives). limit 0: all.
  virtual Range range(std::string_view start, std::string_view end, Revision at, int64_t limit) const = 0;

  /// Queues the write; `done` is called exactly once, from the writer thread, after the write is durable and
  /// every listener has been given its event (so a reader of a cache fed by subscribe() sees it). Writes
  /// queued by one thread commit in that order; writes waiting together share one transaction.
  virtual void write(Write write, std::function<void(const WriteResult&)> done) = 0;
  /// write() and wait.
  WriteResult write_sync(Write write);

  /// Events of keys beginning with `prefix` with revision > `after`: history first, then live, no gap and no
  /// repeat. The listener gets the history before this returns, on the caller's thread; what `write` promises
  /// of listeners holds from when this has returned. kCompacted if `after` < compacted(), kFuture if beyond
  /// revision(). A subscription may end itself from inside its listener.
  virtual SubscribeResult subscribe(std::string_view prefix, Revision after, Listener listener) = 0;

  /// Ends history before `at` (exclusive: the state as of `at` stays readable), in small steps in the
  /// background; returns at once. From then on compacted() is `at`; a store that ends before the first step
  /// forgets it. kCompacted if `at` < compacted(), kFuture if beyond revision().
  virtual Outcome compact(Revision at) = 0;

  /// A consistent copy of the whole store in one file at `path`, made without blocking writers.
  virtual base::Status snapshot(const std::string& path) = 0;

  /// Bytes on disk.
  virtual int64_t size() const = 0;
  /// OK, or why writes are refused at the moment.
  virtual base::Status health() const = 0;
};

/// The smallest key greater than every key with this prefix, for range(); one NUL byte (which range() takes
/// as "no upper bound") when there is none: for "" and for bytes 0xff only.
std::string prefix_end(std::string_view prefix);

}  // namespace orch::datastore
