#include "server/apiserver/request_metrics.h"

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "base/status.h"

namespace orch::server {

namespace {

bool connects(const RequestInfo& info) {
  const std::string& s = info.subresource;
  return s == "log" || s == "exec" || s == "attach" || s == "portforward" || s == "proxy";
}

/// The labels that any series of a request has, in the order they are written.
base::MetricLabels labels_of(const RequestInfo& info, std::string_view verb) {
  const bool resource = info.resource_request;
  return {{"component", "apiserver"},
          {"group", info.group},
          {"resource", info.resource},
          {"scope", std::string(RequestMetrics::scope_label(info))},
          {"subresource", resource ? info.subresource : info.path},
          {"verb", std::string(verb)},
          {"version", info.version}};
}

base::MetricLabels with(base::MetricLabels labels, const char* name, std::string value) {
  labels.emplace_back(name, std::move(value));
  std::sort(labels.begin(), labels.end());
  return labels;
}

/// Paths outside of resources that have a series of their own.
bool known_path(std::string_view path) {
  static constexpr std::array<std::string_view, 7> kPaths = {"/healthz", "/livez", "/readyz", "/metrics",
                                                             "/version", "/api",   "/apis"};
  return std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end();
}

}  // namespace

struct RequestMetrics::Rep {
  explicit Rep(base::Metrics& all) : metrics(all) {}

  struct Series {
    base::Counter* total = nullptr;
    base::Histogram* duration = nullptr;  // null for what runs long
  };

  base::Metrics& metrics;
  base::Gauge *mutating = nullptr, *reading = nullptr;
  std::shared_mutex mutex;
  std::map<std::string, Series, std::less<>> series;  // under mutex
};

RequestMetrics::RequestMetrics(base::Metrics& metrics) : rep_(std::make_unique<Rep>(metrics)) {
  constexpr std::string_view kName = "apiserver_current_inflight_requests";
  constexpr std::string_view kHelp = "Requests being answered, by kind.";
  rep_->mutating = &metrics.gauge(kName, kHelp, {{"request_kind", "mutating"}});
  rep_->reading = &metrics.gauge(kName, kHelp, {{"request_kind", "readOnly"}});
}

RequestMetrics::~RequestMetrics() = default;

RequestMetrics::InFlight::InFlight(RequestMetrics& metrics, const RequestInfo& info)
    : gauge_(info.verb == "get" || info.verb == "list" || info.verb == "watch" ? *metrics.rep_->reading
                                                                               : *metrics.rep_->mutating) {
  gauge_.add(1);
}

RequestMetrics::InFlight::~InFlight() { gauge_.add(-1); }

std::string_view RequestMetrics::verb_label(const RequestInfo& info, std::string_view method) {
  if (info.resource_request && connects(info)) return "CONNECT";
  if (info.verb == "list") return "LIST";
  if (info.verb == "watch") return "WATCH";
  if (info.verb == "deletecollection") return "DELETECOLLECTION";
  for (std::string_view known : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
    if (method == known) return known;
  }
  return method == "HEAD" ? "GET" : "other";
}

std::string_view RequestMetrics::scope_label(const RequestInfo& info) {
  if (!info.resource_request) return "";
  if (!info.name.empty() || info.verb == "create") return "resource";
  return info.ns.empty() ? "cluster" : "namespace";
}

void RequestMetrics::answered(const RequestInfo& info, std::string_view method, bool known, bool dry_run,
                              int code, std::chrono::nanoseconds took) {
  RequestInfo unknown;
  const RequestInfo* what = &info;
  if (info.resource_request ? !known : !known_path(info.path)) {
    unknown.path = "other";
    what = &unknown;
  }
  const std::string_view verb = verb_label(*what, method), scope = scope_label(*what);
  const std::string key = base::cat(verb, " ", what->group, "/", what->version, "/", what->resource, "/",
                                    what->resource_request ? what->subresource : what->path, " ", scope,
                                    dry_run ? " All " : " ", code);
  Rep::Series series;
  {
    std::shared_lock lock(rep_->mutex);
    if (auto it = rep_->series.find(key); it != rep_->series.end()) series = it->second;
  }
  if (series.total == nullptr) {
    const auto labels = with(labels_of(*what, verb), "dry_run", dry_run ? "All" : "");
    series.total = &rep_->metrics.counter(
        "apiserver_request_total",
        "Requests by verb, dry run value, group, version, resource, scope, component and HTTP code.",
        with(labels, "code", std::to_string(code)));
    if (verb != "WATCH" && verb != "CONNECT") {
      series.duration = &rep_->metrics.histogram("apiserver_request_duration_seconds",
                                                 "Seconds from a request to its answer.", labels);
    }
    std::unique_lock lock(rep_->mutex);
    rep_->series[key] = series;
  }
  series.total->add();
  if (series.duration != nullptr) series.duration->observe(std::chrono::duration<double>(took).count());
}

base::Gauge& RequestMetrics::long_running(const RequestInfo& info, std::string_view method) {
  return rep_->metrics.gauge("apiserver_longrunning_requests", "Watches, execs and the like that go on.",
                             labels_of(info, verb_label(info, method)));
}

base::Counter& RequestMetrics::watch_events(const RequestInfo& info) {
  return rep_->metrics.counter(
      "apiserver_watch_events_total", "Events sent to watches.",
      {{"group", info.group}, {"resource", info.resource}, {"version", info.version}});
}

}  // namespace orch::server
