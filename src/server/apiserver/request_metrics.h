// What /metrics says of requests, with the names and labels of kube-apiserver.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "server/apiserver/request_info.h"

namespace orch::server {

/// Thread-safe. Series are found by a short key without any lock held for long: this runs for every request.
class RequestMetrics {
 public:
  explicit RequestMetrics(base::Metrics& metrics);
  ~RequestMetrics();

  /// Counts a request that is being answered in apiserver_current_inflight_requests while it lives.
  class InFlight {
   public:
    InFlight(RequestMetrics& metrics, const RequestInfo& info);
    ~InFlight();
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

   private:
    base::Gauge& gauge_;
  };

  /// An answered request: apiserver_request_total and, unless it runs long (watch, log, exec, proxy, …),
  /// apiserver_request_duration_seconds. Requests for resources that are not served count under "other", so
  /// that clients cannot make up series.
  void answered(const RequestInfo& info, std::string_view method, bool known, bool dry_run, int code,
                std::chrono::nanoseconds took);
  /// +1 when a watch or the like begins, -1 at its end: apiserver_longrunning_requests.
  base::Gauge& long_running(const RequestInfo& info, std::string_view method);
  /// apiserver_watch_events_total of one resource.
  base::Counter& watch_events(const RequestInfo& info);

  /// As the labels call it: LIST, WATCH, CONNECT, …; methods nobody knows are "other".
  static std::string_view verb_label(const RequestInfo& info, std::string_view method);
  /// resource, namespace, cluster, or "" outside of resources.
  static std::string_view scope_label(const RequestInfo& info);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::server
