#include "agent/api/stats.h"

#include <cstdio>

#include <array>

#include "base/json.h"

namespace orch::agent {
namespace {

using base::WallTime;

Json cpu(uint64_t usage_ns, const std::string& time) {
  return Json{{"time", time}, {"usageCoreNanoSeconds", usage_ns}};
}

Json memory(uint64_t usage, uint64_t working_set, uint64_t rss, const std::string& time) {
  return Json{{"time", time}, {"usageBytes", usage}, {"workingSetBytes", working_set}, {"rssBytes", rss}};
}

Json container_stats(const ContainerStats& c, const std::string& name, const std::string& time) {
  return Json{{"name", name},
              {"startTime", time},
              {"cpu", cpu(c.cpu_usage_core_ns, time)},
              {"memory", memory(c.memory_usage, c.memory_working_set, c.memory_rss, time)},
              {"rootfs", {{"time", time}, {"usedBytes", c.fs_used_bytes}, {"inodesUsed", c.fs_inodes_used}}}};
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string seconds_text(uint64_t ns) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.9f", static_cast<double>(ns) / 1e9);
  return text.data();
}

int64_t millis(WallTime t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}

void header(std::string& out, const char* name, const char* help, const char* type) {
  out += base::cat("# HELP ", name, " [STABLE] ", help, "\n# TYPE ", name, " ", type, "\n");
}

}  // namespace

Json stats_summary(const UsageReport& r) {
  const std::string now = base::format_time(r.now);
  Json pods = Json::array();
  for (const Kubelet::PodUsage& p : r.pods) {
    Json containers = Json::array();
    for (const ContainerStats& c : r.containers) {
      const auto name = r.names.find(c.container_id);
      if (name == r.names.end() || name->second.ns != p.ns || name->second.pod != p.name) continue;
      containers.push_back(container_stats(c, name->second.container, now));
    }
    pods.push_back(Json{{"podRef", {{"name", p.name}, {"namespace", p.ns}, {"uid", p.uid}}},
                        {"startTime", base::format_time(p.started)},
                        {"containers", std::move(containers)},
                        {"cpu", cpu(p.cpu_ns, now)},
                        {"memory", memory(p.memory_usage, p.memory_working_set, p.memory_rss, now)}});
  }
  return Json{{"node",
               {{"nodeName", r.node.name},
                {"startTime", base::format_time(r.boot)},
                {"cpu", cpu(r.node.cpu_ns, now)},
                {"memory", memory(r.node.memory_usage, r.node.memory_working_set, r.node.memory_rss, now)}}},
              {"pods", std::move(pods)}};
}

std::string resource_metrics(const UsageReport& r) {
  std::string out;
  const std::string at = base::cat(" ", millis(r.now), "\n");
  const auto container_labels = [](const UsageReport::Name& n) {
    return base::cat("{container=\"", escape(n.container), "\",namespace=\"", escape(n.ns), "\",pod=\"",
                     escape(n.pod), "\"}");
  };
  const auto each_container = [&](const char* metric, const auto& value) {
    for (const ContainerStats& c : r.containers) {
      const auto name = r.names.find(c.container_id);
      if (name == r.names.end()) continue;
      // When the runtime counted: rates are over the time between counts, not between questions.
      const int64_t counted = c.timestamp_ns / 1'000'000;
      out += base::cat(metric, container_labels(name->second), " ", value(c), " ",
                       counted > 0 ? counted : millis(r.now), "\n");
    }
  };
  const auto each_pod = [&](const char* metric, const auto& value) {
    for (const Kubelet::PodUsage& p : r.pods) {
      out +=
          base::cat(metric, "{namespace=\"", escape(p.ns), "\",pod=\"", escape(p.name), "\"} ", value(p), at);
    }
  };
  header(out, "container_cpu_usage_seconds_total",
         "Cumulative cpu time consumed by the container in core-seconds", "counter");
  each_container("container_cpu_usage_seconds_total",
                 [](const ContainerStats& c) { return seconds_text(c.cpu_usage_core_ns); });
  header(out, "container_memory_working_set_bytes", "Current working set of the container in bytes", "gauge");
  each_container("container_memory_working_set_bytes",
                 [](const ContainerStats& c) { return std::to_string(c.memory_working_set); });
  header(out, "node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds",
         "counter");
  out += base::cat("node_cpu_usage_seconds_total ", seconds_text(r.node.cpu_ns), at);
  header(out, "node_memory_working_set_bytes", "Current working set of the node in bytes", "gauge");
  out += base::cat("node_memory_working_set_bytes ", r.node.memory_working_set, at);
  header(out, "pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds",
         "counter");
  each_pod("pod_cpu_usage_seconds_total", [](const Kubelet::PodUsage& p) { return seconds_text(p.cpu_ns); });
  header(out, "pod_memory_working_set_bytes", "Current working set of the pod in bytes", "gauge");
  each_pod("pod_memory_working_set_bytes",
           [](const Kubelet::PodUsage& p) { return std::to_string(p.memory_working_set); });
  header(out, "resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise",
         "gauge");
  out += "resource_scrape_error 0\n";
  return out;
}

}  // namespace orch::agent
