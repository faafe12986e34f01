// WatchCache: every object of one stored resource in memory, and the recent events, fed by the store.
//
// Serves gets, lists and watches of that resource, consistent and without touching the disk. One copy per
// object, shared with everybody who reads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/resources/resource.h"
#include "api/selector.h"
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
  virtual ~CacheWatch() = default;  // no sink call after this returns
};

struct Page {
  std::vector<api::ObjectPtr> items;
  int64_t revision = 0;
  std::string next_key;     // "" when complete; else the last key given, to go on after
  int64_t remaining = -1;   // -1 unknown (selectors in use)
};

class WatchCache {
 public:
  /// Reads the resource's whole range from the store and subscribes; kInternal if the store fails.
  static base::Result<std::unique_ptr<WatchCache>> start(datastore::Store& store, api::ResourcePtr resource);
  virtual ~WatchCache() = default;

  /// Null when there is none.
  virtual api::ObjectPtr get(std::string_view ns, std::string_view name) const = 0;
  /// In key order (namespace, then name), after `after_key` ("" = from the start), at most `limit` (0 = all).
  virtual Page list(const Filter& filter, std::string_view after_key, int64_t limit) const = 0;
  virtual size_t size() const = 0;
  /// The store revision up to which this cache is complete.
  virtual int64_t revision() const = 0;
  /// Events after `since` that are still held, then live ones. kExpired ("too old resource version: N (M)")
  /// when `since` is before what is held. `initial`, when not null, receives the current state atomically with
  /// the start of the watch (since is ignored).
  virtual base::Result<std::unique_ptr<CacheWatch>> watch(const Filter& filter, int64_t since, Page* initial,
                                                          Sink sink) = 0;
};

}  // namespace orch::server
