// A small cache of answers from elsewhere, kept no longer than their TTL and 30 seconds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace orch::agent {

/// Not thread-safe.
class DnsCache {
 public:
  explicit DnsCache(size_t capacity = 1000) : capacity_(capacity) {}
  /// The query's question and flags, without its id: queries that are equal so get equal answers.
  static std::string key(std::string_view query);
  /// Keeps `reply` if its TTLs allow.
  void put(const std::string& key, std::string_view reply, base::MonoTime now);
  /// With the given id and TTLs lessened by its age; none when absent or over.
  std::optional<std::string> get(const std::string& key, uint16_t id, base::MonoTime now);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string wire;
    base::MonoTime stored, until;
  };
  const size_t capacity_;
  std::map<std::string, Entry> entries_;
};

}  // namespace orch::agent
