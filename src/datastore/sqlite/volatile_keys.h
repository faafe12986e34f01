// The keys that live in memory only (node leases), with as much of their history as fits a small bound.
// Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/store.h"

namespace orch::datastore::sqlite {

/// The newest state of a key, as far as a write needs it.
struct Head {
  Revision mod_revision = 0;  // 0: the key does not exist
  Revision create_revision = 0;
  int64_t version = 0;
};

class VolatileKeys {
 public:
  /// `max_history`: superseded values and deletes kept, at most; more than are ever written at once, so that
  /// what is published is always known.
  explicit VolatileKeys(std::vector<std::string> prefixes, size_t max_history = 2000);

  bool covers(std::string_view key) const;
  /// Whether any key of [start, end), as Store::range() takes them, may be volatile.
  bool overlaps_range(std::string_view start, std::string_view end) const;
  /// Whether any key with this prefix may be / all of them are volatile.
  bool overlaps_prefix(std::string_view prefix) const;
  bool contains_prefix(std::string_view prefix) const;

  /// Whether anything was ever applied.
  bool used() const;
  Head head(std::string_view key) const;
  /// Adds a committed write; revisions ascend.
  void apply(const Event& event);
  /// Forgets history before `at`.
  void compact(Revision at);
  /// States and events before this revision are no longer known in full.
  Revision floor() const;

  /// Appends the live keys of the range as of `at` >= floor(), in order.
  void range(std::string_view start, std::string_view end, Revision at, std::vector<KeyValue>& out) const;
  /// The events of a prefix with after < revision <= upto, in order; after >= floor().
  std::vector<Event> history(std::string_view prefix, Revision after, Revision upto) const;

 private:
  using Versions = std::deque<Event>;  // of one key, ascending
  void forget_oldest();

  const std::vector<std::string> prefixes_;
  const size_t max_history_;
  mutable std::mutex mutex_;
  std::map<std::string, Versions, std::less<>> keys_;         // under mutex_
  std::deque<std::pair<Revision, std::string>> superseding_;  // under mutex_; events that end an older state
  Revision floor_ = 0;                                        // under mutex_
};

}  // namespace orch::datastore::sqlite
