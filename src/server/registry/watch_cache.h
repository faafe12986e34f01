// WatchCache: every object of one stored resource in memory, and the recent events, fed by the store.
//
// Serves gets, lists and watches of that resource, consistent and without touching the disk. One copy per
// object, shared with everybody who reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/resources/resource.h"
#include "api/selector.h"
#include "base/clock.h"
#include "base/status.h"
#include "datastore/store.h"

namespace orch::server {

/// One change as watchers see it; shared by all of them.
struct CacheEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted };
  Type type;
  api::ObjectPtr object;    // for kDeleted: the last state with the revision of the delete
  api::ObjectPtr previous;  // null for kAdded
  int64_t revision;
  base::MonoTime at;  // when it was applied
};
using CacheEventPtr = std::shared_ptr<const CacheEvent>;

/// Selects what a list or watch sees.
struct Filter {
  std::string ns;  // "" all
  api::LabelSelector labels;
  api::FieldSelector fields;
};

/// One watcher's delivery as the filter sees it (an object that stops matching is kDeleted for this watcher,
/// with its previous state at the event's revision).
struct Delivery {
  CacheEvent::Type type;
  api::ObjectPtr object;
  int64_t revision;
};

/// Called from the store's writer thread after each commit with what matched; must only queue.
using Sink = std::function<void(const std::vector<Delivery>&)>;

class CacheWatch {
 public:
  /// No sink call after this returns; must not be called from the sink itself.
  virtual ~CacheWatch() = default;
};

struct Page {
  std::vector<api::ObjectPtr> items;
  int64_t revision = 0;
  std::string next;        // "" when complete; else the last object given, to go on after
  int64_t remaining = -1;  // -1 unknown (selectors in use)
};

/// Thread-safe. load() and apply() are called by the registry alone, from one thread at a time.
class WatchCache {
 public:
  /// `progress` is the store revision up to which every cache has been given its events. `reread`, if given,
  /// is what stored bytes go through before anybody sees them.
  using Reread = std::function<std::string(std::string stored, int64_t revision)>;
  WatchCache(api::ResourcePtr resource, const std::atomic<int64_t>& progress, Reread reread = {});
  ~WatchCache();

  /// Null when there is none.
  api::ObjectPtr get(std::string_view ns, std::string_view name) const;
  /// In key order (namespace, then name), after the object `after` ("" = from the start; "ns/name" or "name"
  /// for cluster-scoped kinds), at most `limit` (0 = all).
  Page list(const Filter& filter, std::string_view after = {}, int64_t limit = 0) const;
  size_t size() const;
  /// The store revision up to which this cache is complete.
  int64_t revision() const;
  /// Events after `since` that are still held, then live ones. kExpired ("too old resource version: N (M)")
  /// when `since` is before what is held. With `on_initial`, `since` is ignored: it is called once with the
  /// current state, and the sink gets what comes after exactly that. Both may be called before this returns.
  /// `on_close` is called at most once, when the cache is closed; it must not end the watch itself.
  base::Result<std::unique_ptr<CacheWatch>> watch(Filter filter, int64_t since,
                                                  const std::function<void(const Page&)>& on_initial,
                                                  Sink sink, std::function<void()> on_close = {});

  const api::Resource& resource() const { return *resource_; }

  /// An object from stored bytes, older ones too, as the cache has them.
  base::Result<api::ObjectPtr> read(const datastore::KeyValue& kv) const;
  /// State at start-up, before any apply(). Bytes that do not parse are logged and left out.
  void load(const datastore::KeyValue& kv);
  /// Events at or before this revision are not held: watches from before it are refused.
  void set_oldest(int64_t revision);
  /// One committed change of this resource. Events are held for ten minutes from `now`, or until there are
  /// too many: a resource that is written all the time (leases) must not keep hours of them.
  void apply(const datastore::Event& event, base::MonoTime now);
  /// For a cache that begins while the store is written: between the two, apply() only collects, and load()
  /// gives what there was at `revision`. Everything after it is applied once and in order, however history
  /// and live events were mixed.
  void begin_filling();
  void end_filling(int64_t revision);
  /// Ends all watches, now and from now on. What it holds can still be read.
  void close();
  /// Hands what apply() queued for watchers to their sinks; called once per committed batch.
  void flush();

 private:
  struct Rep;
  api::ResourcePtr resource_;
  const std::atomic<int64_t>& progress_;
  const Reread reread_;
  std::shared_ptr<Rep> rep_;
};

using WatchCachePtr = std::shared_ptr<WatchCache>;

/// The same object at another revision: what a DELETED event carries.
api::ObjectPtr with_revision(const api::Object& object, int64_t revision, const api::IndexedFields& fields);

}  // namespace orch::server
