// What the cost tracker and the cost estimate share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace orch::api::cel {

/// A tenth for each character that is looked at, a quarter for each of a pattern.
inline constexpr double kTraversal = 0.1;
inline constexpr double kRegexFactor = 0.25;

inline bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (std::string_view n : names) {
    if (n == name) return true;
  }
  return false;
}

/// Functions of Kubernetes' libraries that cost one, whatever their arguments.
bool costs_one(std::string_view function);
/// Overloads that compare character by character.
bool compares_text(std::string_view overload);

// What is too large stays at the limit.
inline uint64_t plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
inline uint64_t times(uint64_t a, uint64_t b) { return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b; }
inline uint64_t scaled(uint64_t a, double factor) {
  const double d = std::ceil(static_cast<double>(a) * factor);
  return d >= 18446744073709551616.0 ? UINT64_MAX : static_cast<uint64_t>(d);
}

/// From the smallest to the largest cost or size.
struct Range {
  uint64_t min = 0, max = 0;
  static Range of(uint64_t n) { return {n, n}; }
  static Range unknown() { return {0, UINT64_MAX}; }
  Range operator+(const Range& o) const { return {plus(min, o.min), plus(max, o.max)}; }
  Range operator*(const Range& o) const { return {times(min, o.min), times(max, o.max)}; }
  Range operator*(double factor) const { return {scaled(min, factor), scaled(max, factor)}; }
  Range operator|(const Range& o) const { return {std::min(min, o.min), std::max(max, o.max)}; }
};

}  // namespace orch::api::cel
