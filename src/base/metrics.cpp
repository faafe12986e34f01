#include "base/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <mutex>

namespace orch::base {
namespace {

// Seconds, as Kubernetes' request duration histograms have them.
const std::vector<double>& default_bounds() {
  static const std::vector<double> bounds = {0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6,
                                             0.8,   1,     1.25,  1.5,  2,   3,   4,   5,
                                             6,     8,     10,    15,   20,  30,  45,  60};
  return bounds;
}

std::string number(double v) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), v).ptr;
  return {text.data(), end};
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// `{a="x",b="y"}`, with one more label when `extra` is given; empty when there are none.
std::string label_text(const MetricLabels& labels, std::string_view extra = {}, std::string_view value = {}) {
  if (labels.empty() && extra.empty()) return {};
  std::string out = "{";
  const auto add = [&out](std::string_view name, std::string_view v) {
    if (out.size() > 1) out += ',';
    out += name;
    out += "=\"";
    append_escaped(out, v, true);
    out += '"';
  };
  for (const auto& [name, v] : labels) add(name, v);
  if (!extra.empty()) add(extra, value);
  return out + '}';
}

void append_sample(std::string& out, std::string_view name, const std::string& labels,
                   const std::string& value) {
  out += name;
  out += labels;
  out += ' ';
  out += value;
  out += '\n';
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), buckets_(new std::atomic<uint64_t>[bounds_.size() + 1]()) {}

void Histogram::observe(double seconds) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), seconds) - bounds_.begin();
  buckets_[static_cast<size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  if (seconds > 0) sum_ns_.fetch_add(static_cast<uint64_t>(seconds * 1e9), std::memory_order_relaxed);
}

struct Metrics::Rep {
  // One metric of one family; exactly the pointer of the family's type is set.
  struct Child {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> computed;
  };
  struct Family {
    std::string help;
    std::map<MetricLabels, Child> children;
  };
  mutable std::mutex mutex;
  std::map<std::string, Family, std::less<>> families;  // under mutex

  Child& child(std::string_view name, std::string_view help, MetricLabels labels) {
    auto it = families.find(name);
    if (it == families.end()) it = families.emplace(std::string(name), Family{std::string(help), {}}).first;
    return it->second.children[std::move(labels)];
  }
};

Metrics::Metrics() : rep_(std::make_unique<Rep>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(std::string_view name, std::string_view help, MetricLabels labels) {
  const std::lock_guard lock(rep_->mutex);
  auto& slot = rep_->child(name, help, std::move(labels)).counter;
  if (!slot) slot = std::make_unique<Counter>();
  return *slot;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  const std::lock_guard lock(rep_->mutex);
  auto& slot = rep_->child(name, help, std::move(labels)).gauge;
  if (!slot) slot = std::make_unique<Gauge>();
  return *slot;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, MetricLabels labels) {
  const std::lock_guard lock(rep_->mutex);
  auto& slot = rep_->child(name, help, std::move(labels)).histogram;
  if (!slot) slot = std::make_unique<Histogram>(default_bounds());
  return *slot;
}

void Metrics::computed(std::string_view name, std::string_view help, MetricLabels labels,
                       std::function<double()> value) {
  const std::lock_guard lock(rep_->mutex);
  rep_->child(name, help, std::move(labels)).computed = std::move(value);
}

std::string Metrics::expose() const {
  const std::lock_guard lock(rep_->mutex);
  std::string out;
  for (const auto& [name, family] : rep_->families) {
    const Rep::Child& first = family.children.begin()->second;
    out += "# HELP " + name + ' ';
    append_escaped(out, family.help, false);
    out += "\n# TYPE " + name;
    out += first.histogram ? " histogram\n" : first.gauge || first.computed ? " gauge\n" : " counter\n";
    for (const auto& [labels, child] : family.children) {
      if (child.counter) append_sample(out, name, label_text(labels), std::to_string(child.counter->value()));
      if (child.gauge) append_sample(out, name, label_text(labels), std::to_string(child.gauge->value()));
      if (child.computed) append_sample(out, name, label_text(labels), number(child.computed()));
      if (!child.histogram) continue;
      const Histogram& h = *child.histogram;
      uint64_t total = 0;
      for (size_t i = 0; i < h.bounds().size(); ++i) {
        total += h.bucket(i);
        append_sample(out, name + "_bucket", label_text(labels, "le", number(h.bounds()[i])),
                      std::to_string(total));
      }
      total += h.bucket(h.bounds().size());
      append_sample(out, name + "_bucket", label_text(labels, "le", "+Inf"), std::to_string(total));
      append_sample(out, name + "_sum", label_text(labels), number(h.sum()));
      append_sample(out, name + "_count", label_text(labels), std::to_string(total));
    }
  }
  return out;
}

}  // namespace orch::base
