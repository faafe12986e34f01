#include "server/controllers/job_indexes.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace orch::server {

namespace {

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

/// Ascending order of `first` is the caller's.
void Indexes::append(Interval interval) {
  if (intervals_.empty() || interval.first > intervals_.back().last + 1) {
    intervals_.push_back(interval);
  } else {
    intervals_.back().last = std::max(intervals_.back().last, interval.last);
  }
}

Indexes Indexes::parse(std::string_view text, int64_t completions) {
  Indexes out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t dash = part.find('-');
    const auto first = number(part.substr(0, dash));
    if (!first) continue;
    if (*first >= completions) break;
    const auto last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
    if (last) out.append({*first, std::min(*last, completions - 1)});
  }
  return out;
}

Indexes Indexes::of(std::vector<int64_t> indexes) {
  std::sort(indexes.begin(), indexes.end());
  Indexes out;
  for (const int64_t i : indexes) out.append({i, i});
  return out;
}

int64_t Indexes::total() const {
  int64_t n = 0;
  for (const Interval& i : intervals_) n += i.last - i.first + 1;
  return n;
}

bool Indexes::has(int64_t index) const {
  const auto it = std::lower_bound(intervals_.begin(), intervals_.end(), index,
                                   [](const Interval& i, int64_t value) { return i.last < value; });
  return it != intervals_.end() && it->first <= index;
}

Indexes Indexes::united(const Indexes& other) const {
  std::vector<Interval> all = intervals_;
  all.insert(all.end(), other.intervals_.begin(), other.intervals_.end());
  std::sort(all.begin(), all.end(), [](const Interval& a, const Interval& b) { return a.first < b.first; });
  Indexes out;
  for (const Interval& i : all) out.append(i);
  return out;
}

int64_t Indexes::common(const Indexes& other) const {
  int64_t n = 0;
  auto a = intervals_.begin(), b = other.intervals_.begin();
  while (a != intervals_.end() && b != other.intervals_.end()) {
    n += std::max<int64_t>(0, std::min(a->last, b->last) - std::max(a->first, b->first) + 1);
    if (a->last < b->last) {
      ++a;
    } else {
      ++b;
    }
  }
  return n;
}

std::vector<int64_t> Indexes::first_missing(int64_t count, int64_t completions) const {
  std::vector<int64_t> out;
  int64_t candidate = 0;
  auto take_until = [&](int64_t end) {
    for (; candidate < std::min(end, completions) && static_cast<int64_t>(out.size()) < count; ++candidate)
      out.push_back(candidate);
  };
  for (const Interval& i : intervals_) {
    take_until(i.first);
    candidate = std::max(candidate, i.last + 1);
  }
  take_until(completions);
  return out;
}

std::string Indexes::text() const {
  std::string out;
  for (const Interval& i : intervals_) {
    if (!out.empty()) out += ',';
    out += std::to_string(i.first);
    if (i.last == i.first) continue;
    out += i.last == i.first + 1 ? ',' : '-';
    out += std::to_string(i.last);
  }
  return out;
}

}  // namespace orch::server
