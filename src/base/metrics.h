// Counters, gauges and histograms in the Prometheus text format.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace orch::base {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// Increments are lock-free.
class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void set(int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

/// Fixed bucket bounds in seconds.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void observe(double seconds);
  const std::vector<double>& bounds() const { return bounds_; }
  uint64_t bucket(size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  double sum() const { return static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1e9; }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> buckets_;  // one more than bounds_: +Inf
  std::atomic<uint64_t> count_{0}, sum_ns_{0};
};

/// Owns metrics; references it returns live as long as it does. Asking again for the same name and labels
/// gives the same metric. Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Counter& counter(std::string_view name, std::string_view help, MetricLabels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, MetricLabels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, MetricLabels labels = {});
  /// A gauge whose value is asked for whenever the metrics are read; asking again for the same name and
  /// labels replaces the function. It must not use these metrics, and hold what may be gone by then weakly.
  void computed(std::string_view name, std::string_view help, MetricLabels labels,
                std::function<double()> value);
  /// Text exposition format 0.0.4 of everything, names sorted.
  std::string expose() const;

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::base
