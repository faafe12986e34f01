#include "server/flowcontrol/seats.h"

#include <algorithm>
#include <cmath>

namespace orch::server {
namespace {

constexpr double kDecay = 0.977;  // in one period; a half in five minutes
constexpr double kLeastTarget = 0.001;
constexpr double kEpsilon = 0.0000001;
constexpr int64_t kLongestRetry = 32;

double total_at(double factor, const std::vector<Allocation>& items) {
  double sum = 0;
  for (const Allocation& item : items) sum += std::clamp(factor * item.target, item.low, item.high);
  return sum;
}

}  // namespace

void DemandMeter::pass(base::MonoTime now) {
  const double seconds = std::chrono::duration<double>(now - last_).count();
  if (seconds <= 0) return;
  const auto x = static_cast<double>(value_);
  seconds_ += seconds;
  sum_ += x * seconds;
  squares_ += x * x * seconds;
  last_ = now;
}

void DemandMeter::set(base::MonoTime now, int64_t value) {
  pass(now);
  value_ = value;
  highest_ = std::max(highest_, value);
}

DemandMeter::Result DemandMeter::take(base::MonoTime now) {
  pass(now);
  Result out;
  out.seconds = seconds_;
  out.highest = highest_;
  if (seconds_ > 0) {
    out.average = sum_ / seconds_;
    out.deviation = std::sqrt(std::max(0.0, squares_ / seconds_ - out.average * out.average));
  }
  seconds_ = sum_ = squares_ = 0;
  highest_ = value_;
  return out;
}

void SeatDemand::update(const DemandMeter::Result& seen) {
  highest = seen.highest;
  if (seen.seconds <= 0) return;
  average = seen.average;
  deviation = seen.deviation;
  const double envelope = average + deviation;
  // As often as a period has passed: nobody looks while nothing is asked for.
  const double periods =
      std::max(1.0, std::round(seen.seconds / std::chrono::duration<double>(kSeatPeriod).count()));
  const double decay = std::pow(kDecay, periods);
  smoothed = std::max(envelope, decay * smoothed + (1 - decay) * envelope);
}

std::vector<int64_t> borrow_seats(const std::vector<SeatClaim>& claims) {
  int64_t sum = 0;
  for (const SeatClaim& claim : claims) sum += claim.limits.nominal;
  int64_t left = sum, least_sum = 0, wanted_sum = 0;
  std::vector<int64_t> out;
  std::vector<Allocation> items;
  for (const SeatClaim& claim : claims) {
    const SeatLimits& limits = claim.limits;
    if (claim.exempt) {
      out.push_back(std::max(limits.least, claim.demand.highest));
      left -= out.back();
      continue;
    }
    const int64_t wanted = std::max(limits.least, std::min(limits.nominal, claim.demand.highest));
    out.push_back(wanted);
    least_sum += limits.least;
    wanted_sum += wanted;
    items.push_back({std::max(static_cast<double>(wanted), claim.demand.smoothed),
                     static_cast<double>(wanted), static_cast<double>(limits.most)});
  }
  std::optional<std::vector<double>> shares;
  if (left > wanted_sum) shares = allocate(sum, items);
  size_t item = 0;
  for (size_t i = 0; i < claims.size(); ++i) {
    const SeatClaim& claim = claims[i];
    if (claim.exempt) continue;
    if (left <= least_sum) {
      out[i] = claim.limits.least;
    } else if (left <= wanted_sum) {
      const double part = static_cast<double>(left - least_sum) / static_cast<double>(wanted_sum - least_sum);
      out[i] = claim.limits.least +
               static_cast<int64_t>(std::round(static_cast<double>(out[i] - claim.limits.least) * part));
    } else {
      out[i] = shares ? static_cast<int64_t>(std::round((*shares)[item])) : claim.current;
    }
    ++item;
  }
  return out;
}

std::optional<std::vector<double>> allocate(int64_t sum, const std::vector<Allocation>& given) {
  std::vector<Allocation> items = given;
  std::vector<double> bounds;
  double low = 0, high = 0;
  for (Allocation& item : items) {
    if (item.low < 0 || item.target < item.low || item.high < item.low) return std::nullopt;
    item.target = std::max(item.target, kLeastTarget);
    low += item.low;
    high += item.high;
    bounds.push_back(item.low / item.target);
    bounds.push_back(item.high / item.target);
  }
  const auto wanted = static_cast<double>(sum);
  if (sum < 0 || low - wanted > kEpsilon || wanted - high > kEpsilon) return std::nullopt;
  // What is given out only rises with the factor, along straight lines between the factors at which some
  // item meets a bound: find the line that passes the sum.
  std::sort(bounds.begin(), bounds.end());
  double from = 0, factor = bounds.empty() ? 0 : bounds.back();
  for (double to : bounds) {
    const double after = total_at(to, items);
    if (after >= wanted) {
      const double before = total_at(from, items);
      factor = after - before < kEpsilon ? to : from + (to - from) * (wanted - before) / (after - before);
      break;
    }
    from = to;
  }
  std::vector<double> out;
  out.reserve(items.size());
  for (const Allocation& item : items) out.push_back(std::clamp(factor * item.target, item.low, item.high));
  return out;
}

void RetryAfter::refused(int64_t second) {
  if (current_.second == second) {
    ++current_.refused;
    return;
  }
  history_.push_back(current_);
  const int64_t keep = std::min(2 * seconds_, kLongestRetry);
  history_.erase(std::remove_if(history_.begin(), history_.end(),
                                [&](const Count& c) { return second - c.second > keep; }),
                 history_.end());
  current_ = {second, 1};
  adjust(second);
}

void RetryAfter::adjust(int64_t second) {
  int64_t refused = 0;
  for (const Count& count : history_) {
    if (second - count.second <= seconds_ && count.second < second) refused += count.refused;
  }
  if (second - raised_ >= seconds_ && refused >= 3 * seconds_) {
    seconds_ = std::min(seconds_ * 2, kLongestRetry);
    raised_ = second;
  } else if (refused < seconds_ && seconds_ > 1) {
    --seconds_;
  }
}

}  // namespace orch::server
