// Bounds, rates and stabilization of an autoscaler's wishes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "server/controllers/autoscaler_state.h"

namespace orch::server {

namespace {

using std::chrono::seconds;

constexpr const char* kWithin = "DesiredWithinRange";
constexpr const char* kWithinMessage = "the desired count is within the acceptable range";
constexpr const char* kReady = "ReadyForNewScale";
constexpr const char* kReadyMessage = "recommended size matches current size";
constexpr const char* kDownStabilized = "ScaleDownStabilized";
constexpr const char* kDownStabilizedMessage =
    "recent recommendations were higher than current one, applying the highest recent recommendation";
constexpr const char* kTooFast = "the desired replica count is increasing faster than the maximum scale rate";
constexpr const char* kTooMany = "the desired replica count is more than the maximum replica count";
constexpr const char* kTooFew = "the desired replica count is less than the minimum replica count";

/// Puts it in the place of one that is out of date, if there is one: the list stays as long as its window.
template <typename T, typename Old>
void remember(std::vector<T>& list, T item, const Old& old) {
  auto place = list.rend();
  for (auto it = list.rbegin(); it != list.rend() && place == list.rend(); ++it) {
    if (old(*it)) place = it;
  }
  if (place == list.rend()) {
    list.push_back(item);
  } else {
    *place = item;
  }
}

void limit(Normalized& out, int64_t replicas, bool limited, const char* reason, const char* message) {
  out.replicas = replicas;
  out.limited = limited;
  out.limited_reason = reason;
  out.limited_message = message;
}

// --- Without behavior ---------------------------------------------------------------------------------

Normalized by_flags(const AutoscalerOptions& options, AutoscalerHistory& history, const Bounds& b,
                    base::WallTime now) {
  Normalized out;
  const base::WallTime cutoff =
      now - std::chrono::duration_cast<std::chrono::microseconds>(options.downscale_stabilization);
  int64_t stable = b.desired;
  for (const auto& r : history.recommendations) {
    if (r.time >= cutoff) stable = std::max(stable, r.replicas);
  }
  remember(history.recommendations, {b.desired, now}, [&](const auto& r) { return r.time < cutoff; });
  out.able_reason = stable != b.desired ? kDownStabilized : kReady;
  out.able_message = stable != b.desired ? kDownStabilizedMessage : kReadyMessage;
  constexpr int64_t kSmallestLimit = 4;
  const int64_t rate = std::max(2 * b.current, kSmallestLimit);
  if (stable < b.least) {
    limit(out, b.least, true, "TooFewReplicas", kTooFew);
  } else if (stable > std::min(b.most, rate)) {
    if (b.most > rate) {
      limit(out, rate, true, "ScaleUpLimit", kTooFast);
    } else {
      limit(out, b.most, true, "TooManyReplicas", kTooMany);
    }
  } else {
    limit(out, stable, false, kWithin, kWithinMessage);
  }
  return out;
}

// --- With behavior ------------------------------------------------------------------------------------

int64_t window_of(const Json& rules, int64_t usual) {
  return base::int_at(rules, {"stabilizationWindowSeconds"}, usual);
}

/// Changes of the last `period` seconds.
int64_t changed(const std::vector<AutoscalerHistory::Scaling>& list, int64_t period, base::WallTime now) {
  int64_t sum = 0;
  for (const auto& s : list) {
    if (s.time > now - seconds(period)) sum += s.change;
  }
  return sum;
}

int64_t clamp32(double value) {
  constexpr double kMost = std::numeric_limits<int32_t>::max(), kLeast = std::numeric_limits<int32_t>::min();
  return static_cast<int64_t>(std::clamp(value, kLeast, kMost));
}

/// How far the policies let it go up or down now.
int64_t reach(const Json& rules, const AutoscalerHistory& history, int64_t current, bool up,
              base::WallTime now) {
  const std::string_view select = base::string_at(rules, {"selectPolicy"}, "Max");
  if (select == "Disabled") return current;
  // The smallest change, up or down, or the largest.
  const bool larger_number = (select == "Min") != up;
  int64_t result = larger_number ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int32_t>::max();
  for (const Json& policy : base::array_at(rules, {"policies"})) {
    const int64_t period = base::int_at(policy, {"periodSeconds"}), value = base::int_at(policy, {"value"});
    const int64_t begin = current - changed(history.ups, period, now) + changed(history.downs, period, now);
    int64_t proposed = 0;
    if (base::string_at(policy, {"type"}) == "Pods") {
      proposed = up ? begin + value : begin - value;
    } else if (up) {
      // Rounded up, or a small set would never grow.
      proposed = clamp32(std::ceil(static_cast<double>(begin) * (1 + static_cast<double>(value) / 100)));
    } else {
      proposed = clamp32(static_cast<double>(begin) * (1 - static_cast<double>(value) / 100));
    }
    result = larger_number ? std::max(result, proposed) : std::min(result, proposed);
  }
  return result;
}

/// The recommendation within what the windows of both directions allow.
int64_t stabilize(const Json& up, const Json& down, const AutoscalerOptions& options,
                  AutoscalerHistory& history, const Bounds& b, base::WallTime now) {
  const int64_t down_seconds =
      window_of(down, std::chrono::duration_cast<seconds>(options.downscale_stabilization).count());
  const base::WallTime up_cutoff = now - seconds(window_of(up, 0)), down_cutoff = now - seconds(down_seconds);
  int64_t lowest = b.desired, highest = b.desired;
  for (const auto& r : history.recommendations) {
    if (r.time > up_cutoff) lowest = std::min(lowest, r.replicas);
    if (r.time > down_cutoff) highest = std::max(highest, r.replicas);
  }
  remember(history.recommendations, {b.desired, now},
           [&](const auto& r) { return r.time < up_cutoff && r.time < down_cutoff; });
  int64_t out = b.current;
  if (out < lowest) out = lowest;
  if (out > highest) out = highest;
  return out;
}

Normalized by_behavior(const Json& behavior, const AutoscalerOptions& options, AutoscalerHistory& history,
                       const Bounds& b, base::WallTime now) {
  Normalized out;
  const Json& up = base::object_at(behavior, {"scaleUp"});
  const Json& down = base::object_at(behavior, {"scaleDown"});
  const int64_t stable = stabilize(up, down, options, history, b, now);
  if (stable == b.desired) {
    out.able_reason = kReady;
    out.able_message = kReadyMessage;
  } else if (b.desired >= b.current) {
    out.able_reason = "ScaleUpStabilized";
    out.able_message =
        "recent recommendations were lower than current one, applying the lowest recent recommendation";
  } else {
    out.able_reason = kDownStabilized;
    out.able_message = kDownStabilizedMessage;
  }
  limit(out, stable, false, kWithin, kWithinMessage);
  if (stable > b.current) {
    const int64_t rate = std::max(reach(up, history, b.current, true, now), b.current);
    const int64_t most = std::min(b.most, rate);
    if (stable > most) {
      limit(out, most, true, b.most > rate ? "ScaleUpLimit" : "TooManyReplicas",
            b.most > rate ? kTooFast : kTooMany);
    }
  } else if (stable < b.current) {
    const int64_t rate = std::min(reach(down, history, b.current, false, now), b.current);
    const int64_t least = std::max(b.least, rate);
    if (stable < least) {
      limit(out, least, true, b.least < rate ? "ScaleDownLimit" : "TooFewReplicas",
            b.least < rate ? "the desired replica count is decreasing faster than the maximum scale rate"
                           : kTooFew);
    }
  }
  return out;
}

}  // namespace

Normalized normalize(const Json* behavior, const AutoscalerOptions& options, AutoscalerHistory& history,
                     const Bounds& bounds, base::WallTime now) {
  return behavior == nullptr ? by_flags(options, history, bounds, now)
                             : by_behavior(*behavior, options, history, bounds, now);
}

void record_scaling(const Json* behavior, AutoscalerHistory& history, int64_t before, int64_t after,
                    base::WallTime now) {
  if (behavior == nullptr) return;  // nobody would look
  const bool up = after > before;
  int64_t longest = 0;
  for (const Json& policy : base::array_at(*behavior, {up ? "scaleUp" : "scaleDown", "policies"}))
    longest = std::max(longest, base::int_at(policy, {"periodSeconds"}));
  remember(up ? history.ups : history.downs, {std::abs(after - before), now},
           [&](const auto& s) { return s.time < now - seconds(longest); });
}

}  // namespace orch::server
