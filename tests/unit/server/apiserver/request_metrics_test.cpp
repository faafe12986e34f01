#include "server/apiserver/request_metrics.h"

#include "tests/catch.h"

namespace orch::server {
namespace {

RequestInfo info(const std::string& method, const std::string& path, const std::string& query = "") {
  http::Request request;
  request.method = method;
  request.path = path;
  request.query = query;
  return *parse_request(request);
}

using testing::contains;

TEST_CASE("requests are counted under kube-apiserver's labels") {
  base::Metrics all;
  RequestMetrics metrics(all);
  const auto took = std::chrono::milliseconds(3);
  metrics.answered(info("GET", "/api/v1/namespaces/default/pods"), "GET", true, false, 200, took);
  metrics.answered(info("GET", "/api/v1/namespaces/default/pods"), "GET", true, false, 200, took);
  metrics.answered(info("POST", "/apis/apps/v1/namespaces/default/deployments"), "POST", true, true, 201,
                   took);
  metrics.answered(info("GET", "/api/v1/pods", "watch=1"), "GET", true, false, 200, took);
  metrics.answered(info("GET", "/readyz"), "GET", true, false, 500, took);
  // Whatever clients make up is one series.
  metrics.answered(info("GET", "/api/v1/namespaces/default/a"), "GET", false, false, 404, took);
  metrics.answered(info("GET", "/api/v1/namespaces/default/b"), "GET", false, false, 404, took);
  metrics.answered(info("GET", "/c"), "GET", true, false, 404, took);
  {
    const RequestMetrics::InFlight one(metrics, info("GET", "/api/v1/pods"));
    CHECK_THAT(all.expose(),
               testing::contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"));
  }
  const std::string text = all.expose();
  for (const char* line :
       {"apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource="
        "\"pods\","
        "scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 2\n",
        "apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=\"All\",group=\"apps\","
        "resource=\"deployments\",scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"} 1\n",
        "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource="
        "\"pods\","
        "scope=\"cluster\",subresource=\"\",verb=\"WATCH\",version=\"v1\"} 1\n",
        "apiserver_request_total{code=\"500\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"\","
        "scope=\"\",subresource=\"/readyz\",verb=\"GET\",version=\"\"} 1\n",
        "subresource=\"other\",verb=\"GET\",version=\"\"} 3\n",
        "apiserver_request_duration_seconds_count{component=\"apiserver\",dry_run=\"\",group=\"\","
        "resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 2\n",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 0\n"}) {
    CHECK_THAT(text, testing::contains(line));
  }
  CHECK(text.find("apiserver_request_duration_seconds_count{component=\"apiserver\",dry_run=\"\",group=\"\","
                  "resource=\"pods\",scope=\"cluster\"") == std::string::npos);
}

TEST_CASE("the verb of a request, as metrics call it") {
  CHECK(RequestMetrics::verb_label(info("POST", "/api/v1/namespaces/a/pods/b/exec"), "POST") == "CONNECT");
  CHECK(RequestMetrics::verb_label(info("DELETE", "/api/v1/namespaces/a/pods"), "DELETE") ==
        "DELETECOLLECTION");
  CHECK(RequestMetrics::verb_label(info("BREW", "/api/v1/namespaces/a/pods/b"), "BREW") == "other");
}

}  // namespace
}  // namespace orch::server
