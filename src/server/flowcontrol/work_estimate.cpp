#include "server/flowcontrol/work_estimate.h"

#include <algorithm>
#include <cmath>

#include "api/duration.h"

namespace orch::server {
namespace {

constexpr int64_t kWidestList = 100, kWidestWrite = 10;
constexpr int64_t kBytesPerSeat = 100'000, kMostCachedBytes = 1'000'000;
constexpr double kWatchesPerSeat = 10;
constexpr base::Duration kEventTime = std::chrono::milliseconds(5);
constexpr base::Duration kRequestTimeout = std::chrono::seconds(60), kLongestWait = std::chrono::seconds(60);

int64_t bound(int64_t widest, int64_t most) { return widest == 0 ? most : std::min(widest, most); }

std::string key_of(const WatchCounts::Of& of) {
  return base::cat(of.group, "/", of.resource, "/", of.ns, "/", of.name);
}

}  // namespace

Work estimate_list(const ListFacts& facts, int64_t widest) {
  int64_t loaded = facts.limit > 0 ? std::min(facts.limit, facts.objects) : facts.objects;
  if (facts.single) {
    loaded = 1;
  } else if (!facts.from_cache && facts.selective) {
    loaded = std::max(loaded, facts.objects / 2);
  }
  int64_t bytes = loaded * facts.average_bytes;
  if (facts.from_cache) bytes = std::min(bytes, kMostCachedBytes);
  const int64_t seats = (bytes + kBytesPerSeat - 1) / kBytesPerSeat;
  return {std::clamp<int64_t>(seats, 1, bound(widest, kWidestList)), 0, {}};
}

bool list_from_cache(const http::Query& query) {
  const std::string_view match = query.get("resourceVersionMatch"), version = query.get("resourceVersion");
  if (!match.empty()) return match == "NotOlderThan";
  if (!query.get("continue").empty()) return false;
  const std::string_view limit = query.get("limit");
  return limit.empty() || limit == "0" || version.empty() || version == "0";
}

bool watch_lists(const http::Query& query) {
  const std::string_view version = query.get("resourceVersion");
  return query.get("sendInitialEvents") == "true" || version.empty() || version == "0";
}

Work estimate_write(int64_t watches, int64_t widest) {
  Work work;
  if (static_cast<double>(watches) < kWatchesPerSeat) return work;
  const auto seats = static_cast<int64_t>(std::ceil(static_cast<double>(watches) / kWatchesPerSeat));
  work.final_seats = std::min(seats, bound(widest, kWidestWrite));
  // The same work, narrower and longer.
  work.afterwards = kEventTime * seats / work.final_seats;
  return work;
}

base::Duration wait_limit(std::string_view timeout) {
  base::Duration whole = kRequestTimeout;
  if (auto asked = api::parse_duration(timeout); !timeout.empty() && asked.ok() && asked->count() > 0)
    whole = std::min(*asked, kRequestTimeout);
  return std::min(whole / 4, kLongestWait);
}

std::shared_ptr<const void> WatchCounts::add(const Of& of) {
  std::string key = key_of(of);
  {
    const std::lock_guard lock(mutex_);
    ++counts_[key];
  }
  return {this, [key = std::move(key)](const WatchCounts* self) {
            auto* counts = const_cast<WatchCounts*>(self);
            const std::lock_guard lock(counts->mutex_);
            const auto it = counts->counts_.find(key);
            if (it != counts->counts_.end() && --it->second == 0) counts->counts_.erase(it);
          }};
}

int64_t WatchCounts::interested(const Of& of) const {
  const std::lock_guard lock(mutex_);
  if (counts_.empty()) return 0;
  const auto count = [&](const Of& one) {
    const auto it = counts_.find(key_of(one));
    return it == counts_.end() ? 0 : it->second;
  };
  int64_t sum = count({of.group, of.resource, {}, {}});
  if (!of.ns.empty()) sum += count({of.group, of.resource, of.ns, {}});
  if (!of.name.empty()) sum += count({of.group, of.resource, of.ns, of.name});
  return sum;
}

}  // namespace orch::server
