#include "client/event_flow.h"

#include <algorithm>

namespace orch::client {

namespace {

constexpr size_t kMaxKnown = 4096;
/// So many messages within the time are told one by one.
constexpr size_t kMaxSimilar = 10;
constexpr std::chrono::minutes kSimilarFor{10};
/// Events about one object: a burst, then one in five minutes.
constexpr double kBurst = 25;
constexpr std::chrono::minutes kRefill{5};

}  // namespace

bool EventFlow::spend(const std::string& object, base::WallTime now) {
  if (budgets_.size() >= kMaxKnown) budgets_.clear();
  auto [it, fresh] = budgets_.try_emplace(object, Budget{kBurst, now});
  Budget& b = it->second;
  if (now > b.at) {
    b.left = std::min(
        kBurst, b.left + std::chrono::duration<double>(now - b.at) / std::chrono::duration<double>(kRefill));
  }
  b.at = now;
  if (b.left < 1) return false;
  b.left -= 1;
  return true;
}

EventFlow::Answer EventFlow::pass(const std::string& object, const std::string& group,
                                  const std::string& message, base::WallTime now) {
  if (groups_.size() >= kMaxKnown) groups_.clear();
  Group& g = groups_[group];
  if (now - g.last > kSimilarFor || now < g.last) g.messages.clear();
  g.last = now;
  g.messages.insert(message);
  const bool combined = g.messages.size() > kMaxSimilar;
  if (combined) g.messages.erase(g.messages.begin());
  if (!spend(object, now)) return Answer::kDrop;
  return combined ? Answer::kCombined : Answer::kAsItIs;
}

}  // namespace orch::client
