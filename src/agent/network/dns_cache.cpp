#include "agent/network/dns_cache.h"

#include <algorithm>

#include "agent/network/dns_message.h"

namespace orch::agent {

namespace {
constexpr uint32_t kLongest = 30;
}  // namespace

std::string DnsCache::key(std::string_view query) {
  return query.size() < 12 ? std::string() : std::string(query.substr(2));
}

void DnsCache::put(const std::string& key, std::string_view reply, base::MonoTime now) {
  const auto seconds = cache_seconds(reply);
  if (key.empty() || !seconds || *seconds == 0) return;
  if (entries_.size() >= capacity_) {
    for (auto it = entries_.begin(); it != entries_.end();)
      it = it->second.until <= now ? entries_.erase(it) : ++it;
  }
  // Whichever: what is asked for often comes back soon.
  if (entries_.size() >= capacity_) entries_.erase(entries_.begin());
  entries_[key] = {std::string(reply), now, now + std::chrono::seconds(std::min(*seconds, kLongest))};
}

std::optional<std::string> DnsCache::get(const std::string& key, uint16_t id, base::MonoTime now) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return std::nullopt;
  if (it->second.until <= now) {
    entries_.erase(it);
    return std::nullopt;
  }
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - it->second.stored).count();
  std::string out = aged_answer(it->second.wire, static_cast<uint32_t>(age), id);
  if (out.empty()) return std::nullopt;
  return out;
}

}  // namespace orch::agent
