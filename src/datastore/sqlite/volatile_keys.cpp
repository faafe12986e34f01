#include "datastore/sqlite/volatile_keys.h"

#include <algorithm>
#include <utility>

namespace orch::datastore::sqlite {
namespace {

bool unbounded(std::string_view end) { return end == std::string_view("\0", 1); }

}  // namespace

VolatileKeys::VolatileKeys(std::vector<std::string> prefixes, size_t max_history)
    : prefixes_(std::move(prefixes)), max_history_(max_history) {}

bool VolatileKeys::covers(std::string_view key) const {
  return std::any_of(prefixes_.begin(), prefixes_.end(), [&](const auto& p) { return key.starts_with(p); });
}

bool VolatileKeys::overlaps_range(std::string_view start, std::string_view end) const {
  if (end.empty()) return covers(start);
  return std::any_of(prefixes_.begin(), prefixes_.end(), [&](const std::string& p) {
    const std::string after = prefix_end(p);
    return (unbounded(end) || p < end) && (unbounded(after) || start < after);
  });
}

bool VolatileKeys::overlaps_prefix(std::string_view prefix) const {
  return std::any_of(prefixes_.begin(), prefixes_.end(), [&](const std::string& p) {
    return prefix.starts_with(p) || std::string_view(p).starts_with(prefix);
  });
}

bool VolatileKeys::contains_prefix(std::string_view prefix) const { return covers(prefix); }

bool VolatileKeys::used() const {
  const std::lock_guard lock(mutex_);
  return !keys_.empty() || floor_ > 0;
}

Head VolatileKeys::head(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto it = keys_.find(key);
  if (it == keys_.end() || it->second.back().type == Event::Type::kDelete) return {};
  const KeyValue& kv = it->second.back().kv;
  return {kv.mod_revision, kv.create_revision, kv.version};
}

void VolatileKeys::apply(const Event& event) {
  const std::lock_guard lock(mutex_);
  Versions& versions = keys_[event.kv.key];
  if (!versions.empty()) superseding_.emplace_back(event.kv.mod_revision, event.kv.key);
  versions.push_back(event);
  while (superseding_.size() > max_history_) forget_oldest();
}

void VolatileKeys::compact(Revision at) {
  const std::lock_guard lock(mutex_);
  while (!superseding_.empty() && superseding_.front().first <= at) forget_oldest();
}

Revision VolatileKeys::floor() const {
  const std::lock_guard lock(mutex_);
  return floor_;
}

void VolatileKeys::forget_oldest() {
  const auto [revision, key] = std::move(superseding_.front());
  superseding_.pop_front();
  floor_ = revision;
  const auto it = keys_.find(key);
  if (it == keys_.end()) return;
  Versions& versions = it->second;
  while (!versions.empty() && versions.front().kv.mod_revision < revision) versions.pop_front();
  // A delete that superseded something now says only that there is nothing.
  if (!versions.empty() && versions.front().kv.mod_revision == revision &&
      versions.front().type == Event::Type::kDelete) {
    versions.pop_front();
  }
  if (versions.empty()) keys_.erase(it);
}

void VolatileKeys::range(std::string_view start, std::string_view end, Revision at,
                         std::vector<KeyValue>& out) const {
  const std::lock_guard lock(mutex_);
  for (auto it = keys_.lower_bound(start); it != keys_.end(); ++it) {
    if (end.empty() ? it->first != start : !unbounded(end) && it->first >= end) break;
    const Versions& versions = it->second;
    const auto newest = std::find_if(versions.rbegin(), versions.rend(),
                                     [&](const Event& e) { return e.kv.mod_revision <= at; });
    if (newest != versions.rend() && newest->type == Event::Type::kPut) out.push_back(newest->kv);
  }
}

std::vector<Event> VolatileKeys::history(std::string_view prefix, Revision after, Revision upto) const {
  std::vector<Event> events;
  const std::lock_guard lock(mutex_);
  for (auto it = keys_.lower_bound(prefix); it != keys_.end() && it->first.starts_with(prefix); ++it) {
    for (const Event& event : it->second) {
      if (event.kv.mod_revision > after && event.kv.mod_revision <= upto) events.push_back(event);
    }
  }
  std::sort(events.begin(), events.end(),
            [](const Event& a, const Event& b) { return a.kv.mod_revision < b.kv.mod_revision; });
  return events;
}

}  // namespace orch::datastore::sqlite
