// Indexes: a set of completion indexes of an indexed Job (batch/v1), in the compact form of
// status.completedIndexes and status.failedIndexes: "0,2-5,7".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orch::server {

class Indexes {
 public:
  Indexes() = default;
  /// Parts that are no numbers are left out, and so is everything from `completions` on.
  static Indexes parse(std::string_view text, int64_t completions);
  /// In any order, with repeats.
  static Indexes of(std::vector<int64_t> indexes);

  bool empty() const { return intervals_.empty(); }
  int64_t total() const;
  bool has(int64_t index) const;
  Indexes united(const Indexes& other) const;
  /// How many are in both.
  int64_t common(const Indexes& other) const;
  /// The lowest `count` indexes under `completions` that are not in the set.
  std::vector<int64_t> first_missing(int64_t count, int64_t completions) const;
  /// Two neighbours are "1,2", three are "1-3".
  std::string text() const;

 private:
  struct Interval {
    int64_t first, last;
  };
  void append(Interval interval);
  std::vector<Interval> intervals_;  // ascending, with gaps between them
};

}  // namespace orch::server
