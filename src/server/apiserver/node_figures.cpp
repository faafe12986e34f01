#include "server/apiserver/node_figures.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/log.h"

namespace orch::server {

namespace {

/// How far apart two readings are at least for a rate, and at most: what was before says nothing of now.
constexpr std::chrono::seconds kShortest{2};
constexpr std::chrono::seconds kLongest{30};

/// The value of a label in `{a="b",c="d"}`; quotes and backslashes are escaped.
std::string label_of(std::string_view labels, std::string_view name) {
  for (size_t at = 0; at < labels.size();) {
    const size_t equals = labels.find("=\"", at);
    if (equals == std::string_view::npos) return {};
    const std::string_view key = labels.substr(at, equals - at);
    std::string value;
    size_t i = equals + 2;
    for (; i < labels.size() && labels[i] != '"'; ++i) {
      if (labels[i] == '\\' && i + 1 < labels.size()) ++i;
      value += labels[i];
    }
    if (key == name) return value;
    at = i + 1;
    while (at < labels.size() && (labels[at] == ',' || labels[at] == ' ')) ++at;
  }
  return {};
}

struct Line {
  std::string_view metric, labels;
  double value = 0;
  int64_t millis = 0;
  bool ok = false;
};

Line parse_line(std::string_view line) {
  Line out;
  const size_t name_end = line.find_first_of("{ ");
  if (name_end == std::string_view::npos || line[0] == '#') return out;
  out.metric = line.substr(0, name_end);
  size_t at = name_end;
  if (line[at] == '{') {
    bool quoted = false;
    size_t i = at + 1;
    for (; i < line.size(); ++i) {
      if (line[i] == '\\' && quoted) {
        ++i;
      } else if (line[i] == '"') {
        quoted = !quoted;
      } else if (line[i] == '}' && !quoted) {
        break;
      }
    }
    if (i >= line.size()) return out;
    out.labels = line.substr(at + 1, i - at - 1);
    at = i + 1;
  }
  const std::string rest(line.substr(at));
  char* end = nullptr;
  out.value = std::strtod(rest.c_str(), &end);
  if (end == rest.c_str() || !std::isfinite(out.value)) return out;
  out.millis = std::strtoll(end, nullptr, 10);
  out.ok = true;
  return out;
}

bool restarted(const UsageSample& before, const UsageSample& after) {
  return after.cpu_seconds < before.cpu_seconds;
}

Usage rate(const UsageSample& before, const UsageSample& after) {
  Usage u;
  u.time = after.time;
  u.window = after.time - before.time;
  const double seconds = std::chrono::duration<double>(u.window).count();
  u.cpu_nanos = std::llround((after.cpu_seconds - before.cpu_seconds) / seconds * 1e9);
  u.memory = after.memory;
  return u;
}

bool usable(const UsageSample& before, const UsageSample& after) {
  return after.memory >= 0 && after.time > before.time && !restarted(before, after);
}

}  // namespace

NodeSample parse_resource_metrics(std::string_view text) {
  NodeSample out;
  const auto fill = [](UsageSample& sample, const Line& line, bool cpu) {
    if (cpu) {
      sample.cpu_seconds = line.value;
      sample.time = base::WallTime(std::chrono::milliseconds(line.millis));
    } else {
      sample.memory = static_cast<int64_t>(line.value);
    }
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (raw.empty()) continue;
    const Line line = parse_line(raw);
    if (!line.ok) continue;
    const bool cpu =
        line.metric == "node_cpu_usage_seconds_total" || line.metric == "container_cpu_usage_seconds_total";
    if (cpu || line.metric == "node_memory_working_set_bytes" ||
        line.metric == "container_memory_working_set_bytes") {
      if (line.metric[0] == 'n') {
        fill(out.node, line, cpu);
      } else {
        const ContainerKey key{label_of(line.labels, "namespace"), label_of(line.labels, "pod"),
                               label_of(line.labels, "container")};
        fill(out.containers[key], line, cpu);
      }
    }
  }
  return out;
}

NodeUsage rates(const NodeSample& before, const NodeSample& after) {
  NodeUsage out;
  if (usable(before.node, after.node)) {
    out.known = true;
    out.node = rate(before.node, after.node);
  }
  std::set<std::pair<std::string, std::string>> partial;
  for (const auto& [key, now] : after.containers) {
    const auto then = before.containers.find(key);
    if (then != before.containers.end() && usable(then->second, now)) {
      out.containers.emplace(key, rate(then->second, now));
    } else {
      partial.emplace(std::get<0>(key), std::get<1>(key));
    }
  }
  // The sum over some of a pod's containers would pass for the pod's.
  std::erase_if(out.containers, [&](const auto& c) {
    return partial.count({std::get<0>(c.first), std::get<1>(c.first)}) != 0;
  });
  return out;
}

NodeFigures::NodeFigures(Fetch fetch, const base::Clock& clock)
    : fetch_(std::move(fetch)), clock_(clock), pool_("figures", 8) {}

/// One reading of each of these nodes, at once; the last one becomes the one before.
void NodeFigures::read(const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes) {
    pool_.post([this, node] {
      auto text = fetch_(node);
      const std::lock_guard lock(mutex_);
      Readings& r = nodes_[node];
      if (!text.ok()) {
        base::log_warning("metrics", "node cannot be read",
                          {{"node", node}, {"error", text.error().message()}});
        r = {};
        return;
      }
      r.before = std::move(r.last);
      r.has_before = r.has_last;
      r.last = parse_resource_metrics(*text);
      r.has_last = true;
    });
  }
  const base::ThreadPool::Waiting waiting;
  pool_.drain();
}

std::map<std::string, NodeUsage> NodeFigures::get(const std::vector<std::string>& nodes) {
  const std::lock_guard one(one_at_a_time_);
  const base::WallTime now = clock_.now();
  const auto age = [now](const Readings& r) { return now - r.last.node.time; };
  std::vector<std::string> stale;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& node : nodes) {
      Readings& r = nodes_[node];
      // Clocks of nodes differ, and ours may have been set: what seems to be from the future is no base.
      if (r.has_last && (age(r) > kLongest || age(r) < -kShortest)) r = {};
      if (!r.has_last || !r.has_before || age(r) >= kShortest) stale.push_back(node);
    }
    // Who only began a moment ago has no base worth a rate yet.
    for (const std::string& node : stale) {
      Readings& r = nodes_[node];
      if (r.has_last && age(r) < kShortest) r = {};
    }
  }
  read(stale);
  std::vector<std::string> again;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& node : stale) {
      const Readings& r = nodes_[node];
      if (!r.has_last) continue;
      const bool all_known =
          r.has_before && std::all_of(r.last.containers.begin(), r.last.containers.end(), [&](const auto& c) {
            const auto then = r.before.containers.find(c.first);
            return then != r.before.containers.end() && !restarted(then->second, c.second);
          });
      if (!all_known) again.push_back(node);
    }
  }
  if (!again.empty()) {
    std::this_thread::sleep_for(kShortest);
    read(again);
  }
  std::map<std::string, NodeUsage> out;
  const std::lock_guard lock(mutex_);
  for (const std::string& node : nodes) {
    const Readings& r = nodes_[node];
    if (r.has_before && r.has_last) out.emplace(node, rates(r.before, r.last));
  }
  // Nodes that are gone are not asked for again.
  std::erase_if(nodes_, [&](const auto& entry) {
    return !entry.second.has_last || now - entry.second.last.node.time > 4 * kLongest;
  });
  return out;
}

}  // namespace orch::server
