// How many seats a request is worth before anybody knows (k8s.io/apiserver pkg/util/flowcontrol/request).
// Pure, but for the count of watches.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "http/message.h"
#include "server/flowcontrol/fair_queues.h"

namespace orch::server {

/// A list, or a watch that begins with what there is.
struct ListFacts {
  int64_t objects = 0, average_bytes = 0, limit = 0;  // limit 0: all
  bool single = false;                                // one object by its name
  bool from_cache = true;  // else it goes back to the store: an old version, or the rest of a list
  bool selective = false;  // with a selector
};
Work estimate_list(const ListFacts& facts, int64_t widest);
/// Whether a list with these parameters is answered from the cache.
bool list_from_cache(const http::Query& query);
/// Whether a watch with these parameters begins with what there is.
bool watch_lists(const http::Query& query);
/// A write that so many watches will be told of.
Work estimate_write(int64_t watches, int64_t widest);
/// How long a request may wait for a seat: a quarter of the time it has (`timeout`, else 60 s), at most 60 s.
base::Duration wait_limit(std::string_view timeout);

/// How many watches there are of what. Thread-safe.
class WatchCounts {
 public:
  struct Of {
    std::string_view group, resource, ns, name;
  };
  /// Counts one while it lives; outlived by this.
  std::shared_ptr<const void> add(const Of& of);
  /// Those that a write to this object, or to its collection, concerns.
  int64_t interested(const Of& of) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int64_t, std::less<>> counts_;  // under mutex_
};

}  // namespace orch::server
