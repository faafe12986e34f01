// Seats among levels: how many of its seats each level lends and borrows, by what it lately asked for
// (k8s.io/apiserver pkg/util/flowcontrol conc_alloc.go, apf_controller.go; KEP-1040 "Seat borrowing"). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "server/flowcontrol/flow_config.h"

namespace orch::server {

/// How long the seats asked for of one level stay as they were divided.
inline constexpr std::chrono::seconds kSeatPeriod{10};

/// Mean and deviation over time of a number that changes now and then.
class DemandMeter {
 public:
  explicit DemandMeter(base::MonoTime start) : last_(start) {}
  void set(base::MonoTime now, int64_t value);
  struct Result {
    double seconds = 0, average = 0, deviation = 0;
    int64_t highest = 0;
  };
  /// What was since the last time, and begins anew.
  Result take(base::MonoTime now);

 private:
  void pass(base::MonoTime now);

  base::MonoTime last_;
  int64_t value_ = 0, highest_ = 0;
  double seconds_ = 0, sum_ = 0, squares_ = 0;
};

/// What a level asked for, smoothed: it rises at once and falls by half in five minutes.
struct SeatDemand {
  int64_t highest = 0;
  double average = 0, deviation = 0, smoothed = 0;
  void update(const DemandMeter::Result& seen);
};

/// One level when seats are divided anew.
struct SeatClaim {
  bool exempt = false;
  SeatLimits limits;
  SeatDemand demand;
  int64_t current = 0;  // kept when no solution is found
};
/// The seats each may use now.
std::vector<int64_t> borrow_seats(const std::vector<SeatClaim>& claims);

/// One number to be found between two bounds.
struct Allocation {
  double target = 0, low = 0, high = 0;
};
/// Numbers that sum up to `sum`, each its target times the same factor, but within its bounds. None when the
/// bounds do not allow it.
std::optional<std::vector<double>> allocate(int64_t sum, const std::vector<Allocation>& items);

/// How long clients that were refused are told to wait, of one level: doubled while many are refused, one
/// second less when few are. At most 32 seconds.
class RetryAfter {
 public:
  /// Somebody was refused at this second.
  void refused(int64_t second);
  int64_t seconds() const { return seconds_; }

 private:
  struct Count {
    int64_t second = 0, refused = 0;
  };
  void adjust(int64_t second);

  std::vector<Count> history_;
  Count current_;
  int64_t seconds_ = 1, raised_ = 0;
};

}  // namespace orch::server
