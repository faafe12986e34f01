// What clients read about the server itself: discovery, OpenAPI, health, metrics; and the forms of large
// answers.
#include <re2/re2.h>
#include <algorithm>

#include "tests/gunzip.h"
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

RequestOptions accept(const std::string& type) { return {"", {"Accept: " + type}}; }

TEST_CASE("groups in Kubernetes' order") {
  const Control& c = shared();
  // As kube-apiserver v1.35.4 lists them.
  const std::vector<std::string> order = {"apiregistration.k8s.io/v1",
                                          "apps/v1",
                                          "events.k8s.io/v1",
                                          "authentication.k8s.io/v1",
                                          "authorization.k8s.io/v1",
                                          "autoscaling/v2",
                                          "autoscaling/v1",
                                          "batch/v1",
                                          "certificates.k8s.io/v1",
                                          "networking.k8s.io/v1",
                                          "policy/v1",
                                          "rbac.authorization.k8s.io/v1",
                                          "storage.k8s.io/v1",
                                          "admissionregistration.k8s.io/v1",
                                          "apiextensions.k8s.io/v1",
                                          "scheduling.k8s.io/v1",
                                          "coordination.k8s.io/v1",
                                          "node.k8s.io/v1",
                                          "discovery.k8s.io/v1",
                                          "resource.k8s.io/v1",
                                          "flowcontrol.apiserver.k8s.io/v1",
                                          "metrics.k8s.io/v1beta1"};
  std::vector<std::string> legacy, aggregated;
  const Json groups = c.get("/apis").tree();
  for (const auto& g : groups["groups"]) {
    for (const auto& v : g["versions"]) legacy.push_back(v["groupVersion"]);
    CHECK(g["preferredVersion"] == g["versions"][0]);
  }
  const Answer answer = c.send(
      "GET", "/apis", {}, accept("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
  const Json items = answer.tree();
  for (const auto& g : items["items"]) {
    for (const auto& v : g["versions"])
      aggregated.push_back(
          base::cat(g["metadata"]["name"].get<std::string>(), "/", v["version"].get<std::string>()));
  }
  // Groups nothing is served in yet are left out, not moved.
  std::vector<std::string> expected;
  for (const auto& g : order) {
    if (std::find(legacy.begin(), legacy.end(), g) != legacy.end()) expected.push_back(g);
  }
  CHECK(legacy == expected);
  CHECK(aggregated == expected);
  CHECK(std::find(legacy.begin(), legacy.end(), "apps/v1") != legacy.end());
}

TEST_CASE("discovery in protobuf") {
  const Control& c = shared();
  const RequestOptions protobuf = accept("application/vnd.kubernetes.protobuf");
  for (const auto& [path, kind] : {std::pair("/api", "APIVersions"), std::pair("/api/v1", "APIResourceList"),
                                   std::pair("/apis", "APIGroupList"), std::pair("/apis/apps", "APIGroup"),
                                   std::pair("/apis/apps/v1", "APIResourceList")}) {
    INFO(path);
    const Answer answer = c.send("GET", path, {}, protobuf);
    CHECK(answer.status == 200);
    CHECK(answer.content_type == "application/vnd.kubernetes.protobuf");
    CHECK(answer.body.substr(0, 60).find(kind) != std::string::npos);
  }
}

TEST_CASE("documents that clients keep") {
  const Control& c = shared();
  for (const char* path : {"/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1"}) {
    INFO(path);
    const Answer whole = c.get(path);
    std::string tag;
    REQUIRE(RE2::PartialMatch(whole.headers, "(?i)\r\netag: ([^\r]+)", &tag));
    RequestOptions known;
    known.headers = {"If-None-Match: " + tag};
    const Answer same = c.send("GET", path, {}, known);
    CHECK(same.status == 304);
    CHECK(same.body.empty());
  }
  const Answer binary =
      c.send("GET", "/openapi/v2", {}, accept("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"));
  CHECK(binary.status == 200);
  CHECK(binary.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  // Field 1 of the document, the text "2.0".
  CHECK(binary.body.substr(0, 5) ==
        "\x0a\x03"
        "2.0");
}

TEST_CASE("health in all its forms") {
  const Control& c = shared();
  CHECK(c.get("/readyz").body == "ok");
  const std::string report = c.get("/readyz?verbose").body;
  CHECK_THAT(report, contains("[+]ping ok\n"));
  CHECK_THAT(report, contains("[+]datastore ok\n"));
  CHECK(report.substr(report.size() - 20) == "readyz check passed\n");
  const std::string less = c.get("/readyz?verbose&exclude=datastore&exclude=nosuch").body;
  CHECK_THAT(less, contains("[+]datastore excluded: ok\n"));
  CHECK_THAT(less, contains("warn: some health checks cannot be excluded: no matches for \"nosuch\"\n"));
  CHECK(c.get("/livez/ping").body == "ok");
  CHECK(c.get("/livez/nosuch").status == 404);
  CHECK(c.get("/readyz").content_type == "text/plain; charset=utf-8");
}

TEST_CASE("metrics of requests") {
  const Control& c = shared();
  c.get("/api/v1/namespaces/default/configmaps");
  const Answer answer = c.get("/metrics");
  CHECK(answer.content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(RE2::PartialMatch(
      answer.body,
      R"(apiserver_request_total\{code="200",component="apiserver",dry_run="",group="",)"
      R"(resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"\} [1-9])"));
  for (const char* name :
       {"# TYPE apiserver_request_total counter", "# TYPE apiserver_request_duration_seconds histogram",
        "# TYPE apiserver_current_inflight_requests gauge"}) {
    CHECK_THAT(answer.body, contains(name));
  }
}

TEST_CASE("large answers are compressed for who takes it") {
  const Control& c = shared();
  REQUIRE(c.post(kMaps, config_map("large", {{"a", std::string(200 << 10, 'x')}})).status == 201);
  RequestOptions gzip;
  gzip.headers = {"Accept-Encoding: gzip"};
  const Answer plain = c.get(kMaps + "/large"), packed = c.send("GET", kMaps + "/large", {}, gzip);
  CHECK_THAT(packed.headers, contains("Content-Encoding: gzip\r\n"));
  CHECK(packed.body.size() < 10000);
  CHECK(gunzip(packed.body) == plain.body);
  CHECK(c.send("GET", "/api/v1/namespaces/default", {}, gzip).headers.find("Content-Encoding") ==
        std::string::npos);
  c.send("DELETE", kMaps + "/large");
}

TEST_CASE("what a table carries of its objects") {
  const Control& c = shared();
  const RequestOptions table = accept("application/json;as=Table;v=v1;g=meta.k8s.io");
  const auto row = [&](const std::string& query) {
    return c.send("GET", "/api/v1/namespaces?fieldSelector=metadata.name%3Ddefault" + query, {}, table)
        .tree()["rows"][0];
  };
  CHECK(row("")["object"]["kind"] == "PartialObjectMetadata");
  CHECK(row("&includeObject=Metadata")["object"]["metadata"]["name"] == "default");
  CHECK(row("&includeObject=Object")["object"]["kind"] == "Namespace");
  CHECK(row("&includeObject=None")["object"].is_null());
}

}  // namespace
}  // namespace orch::testing
