// API servers behind this one: APIServices, their conditions, discovery, documents and proxying.
#include <atomic>
#include <mutex>
#include <thread>

#include "tests/integration/server/https_server.h"

namespace orch::testing {
namespace {

const std::string kApiServices = "/apis/apiregistration.k8s.io/v1/apiservices";
constexpr const char* kName = "v1alpha1.wardle.example.com";
const std::string kGroup = "/apis/wardle.example.com";
const std::string kVersion = kGroup + "/v1alpha1";

/// Serves flunders, without keeping any.
class ExtensionServer {
 public:
  explicit ExtensionServer(const std::string& client_ca)
      : server_([this](http::Request& r) { return handle(r); }, {"flunders.default.svc"}, client_ca) {}
  HttpsServer& server() { return server_; }
  http::Request last() {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  http::Response handle(http::Request& request) {
    if (request.path == "/apis") {
      auto r = http::Response::json(R"({"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2",
        "metadata":{},"items":[{"metadata":{"name":"wardle.example.com"},"versions":[{"version":"v1alpha1",
        "resources":[{"resource":"flunders","responseKind":{"group":"","version":"","kind":"Flunder"},
        "scope":"Namespaced","singularResource":"flunder","verbs":["get","list","create"]}]}]}]})");
      r.content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
      return r;
    }
    if (request.path == kVersion) {
      return http::Response::json(R"({"kind":"APIResourceList","apiVersion":"v1",
        "groupVersion":"wardle.example.com/v1alpha1","resources":[{"name":"flunders","kind":"Flunder",
        "namespaced":true,"singularName":"flunder","verbs":["get","list","create"]}]})");
    }
    if (request.path == "/openapi/v3") {
      return http::Response::json(R"({"paths":{"apis/wardle.example.com/v1alpha1":
        {"serverRelativeURL":"/openapi/v3/apis/wardle.example.com/v1alpha1?hash=1"}}})");
    }
    if (request.path == "/openapi/v2") {
      return http::Response::json(R"({"swagger":"2.0","paths":{"/apis/wardle.example.com/v1alpha1/flunders":
        {"get":{"responses":{"200":{"schema":{"$ref":"#/definitions/Flunder"}}}}}},
        "definitions":{"Flunder":{"type":"object"}}})");
    }
    http::Response response;
    if (request.path.find("/upgrade") != std::string::npos) {
      response.takeover = [](const std::shared_ptr<http::Stream>& stream) {
        stream->write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        char buffer[64];
        for (long n = 0; (n = stream->read(buffer, sizeof buffer)) > 0;)
          stream->write({buffer, static_cast<size_t>(n)});
      };
      return response;
    }
    std::lock_guard lock(mutex_);
    last_ = request;
    return http::Response::json(
        R"({"kind":"FlunderList","apiVersion":"wardle.example.com/v1alpha1","items":[]})");
  }

  std::mutex mutex_;
  http::Request last_;
  HttpsServer server_;
};

Json condition(const Control& c) {
  const Json tree = c.get(kApiServices + "/" + kName).tree();
  const Json& conditions = base::array_at(tree, {"status", "conditions"});
  return conditions.empty() ? Json() : conditions[0];
}

bool wait_for(const Control& c, const std::string& reason) {
  for (int i = 0; i < 150; ++i) {
    if (base::string_at(condition(c), {"reason"}) == reason) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

Json api_service(const std::string& ca_bundle) {
  return {{"kind", "APIService"},
          {"apiVersion", "apiregistration.k8s.io/v1"},
          {"metadata", {{"name", kName}}},
          {"spec",
           {{"group", "wardle.example.com"},
            {"version", "v1alpha1"},
            {"groupPriorityMinimum", 2000},
            {"versionPriority", 200},
            {"caBundle", ca_bundle},
            {"service", {{"namespace", "default"}, {"name", "flunders"}}}}}};
}

TEST_CASE("what this server serves is registered as local APIServices") {
  Control& c = shared();
  Json apps;
  for (int i = 0; i < 100 && apps.is_null(); ++i) {
    const Answer answer = c.get(kApiServices + "/v1.apps");
    if (answer.status == 200) apps = answer.tree();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  REQUIRE(apps.is_object());
  CHECK(apps["spec"] ==
        Json{{"group", "apps"}, {"version", "v1"}, {"groupPriorityMinimum", 17800}, {"versionPriority", 15}});
  CHECK(apps["metadata"]["labels"] == Json{{"kube-aggregator.kubernetes.io/automanaged", "onstart"}});
  CHECK(apps["status"]["conditions"][0]["reason"] == "Local");
  CHECK(c.get(kApiServices + "/v1.").status == 200);
}

TEST_CASE("APIServices are checked as in Kubernetes") {
  Control& c = shared();
  Json bad = api_service("");
  bad["metadata"]["name"] = "x";
  bad["spec"]["groupPriorityMinimum"] = 0;
  bad["spec"]["insecureSkipTLSVerify"] = true;
  bad["spec"]["caBundle"] = "Y2E=";
  const Answer answer = c.post(kApiServices, bad);
  check_error(answer, 422, "Invalid",
              "must be `spec.version+\".\"+spec.group`: \"v1alpha1.wardle.example.com\"");
  check_error(answer, 422, "Invalid",
              "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000");
  check_error(answer, 422, "Invalid",
              "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present");
}

TEST_CASE("requests for a group version are passed on to the server behind it") {
  if (own_address().empty()) return;
  DataFolder folder;
  Control c(folder);
  c.start();
  const std::string front_proxy_ca = folder.read("server/tls/request-header-ca.crt");
  auto extension = std::make_unique<ExtensionServer>(front_proxy_ca);
  REQUIRE(c.post(kApiServices, api_service(extension->server().ca_bundle())).status == 201);
  REQUIRE(wait_for(c, "ServiceNotFound"));
  Answer answer = c.get(kVersion + "/flunders");
  CHECK(answer.status == 503);
  CHECK(answer.body == "service unavailable\n");
  make_service(c, "flunders", extension->server().port());
  REQUIRE(wait_for(c, "Passed"));
  CHECK(condition(c)["message"] == "all checks passed");

  answer =
      c.send("GET", kVersion + "/namespaces/default/flunders?limit=5", {}, {{}, {"X-Remote-User: mallory"}});
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  CHECK(answer.tree()["kind"] == "FlunderList");
  const http::Request seen = extension->last();
  CHECK(seen.target == kVersion + "/namespaces/default/flunders?limit=5");
  CHECK(seen.header_values("X-Remote-User") == std::vector<std::string_view>{"system:admin"});
  CHECK(seen.header("X-Remote-Group") == "system:masters");
  CHECK(seen.peer.common_name == "system:auth-proxy");
  CHECK_FALSE(seen.has_header("Authorization"));
  // Rights are checked before.
  Credentials nobody;
  CHECK(c.send_as(nobody, "GET", kVersion + "/flunders").status >= 401);

  CHECK(c.get(kVersion).tree()["resources"][0]["name"] == "flunders");
  const Json group = c.get(kGroup).tree();
  CHECK(group["preferredVersion"]["groupVersion"] == "wardle.example.com/v1alpha1");
  bool listed = false;
  const Json groups = c.get("/apis").tree();
  for (const auto& g : groups["groups"]) listed = listed || g["name"] == "wardle.example.com";
  CHECK(listed);
  CHECK(groups["groups"][0]["name"] == "apiregistration.k8s.io");
  Json version;
  for (int i = 0; i < 50 && version.is_null(); ++i) {
    const Json aggregated =
        c.send("GET", "/apis", {},
               {{}, {"Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}})
            .tree();
    for (const auto& item : aggregated["items"]) {
      if (item["metadata"]["name"] == "wardle.example.com" && item["versions"][0].contains("resources"))
        version = item["versions"][0];
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK(version["freshness"] == "Current");
  CHECK(version["resources"][0]["resource"] == "flunders");
  Json v3;
  for (int i = 0; i < 50 && !v3.contains("apis/wardle.example.com/v1alpha1"); ++i) {
    v3 = c.get("/openapi/v3").tree()["paths"];
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK(v3["apis/wardle.example.com/v1alpha1"]["serverRelativeURL"] ==
        "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=1");
  Json v2;
  for (int i = 0; i < 50 && !base::object_at(v2, {"definitions"}).contains("Flunder"); ++i) {
    v2 = c.get("/openapi/v2").tree();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK(v2["paths"].contains("/apis/wardle.example.com/v1alpha1/flunders"));
  CHECK(v2["paths"].contains("/api/v1/nodes"));

  extension.reset();
  answer = c.get(kVersion + "/flunders");
  CHECK(answer.status == 503);
  CHECK_THAT(answer.body, contains("error trying to reach service: dial tcp"));
  // The slice goes, and with it the service.
  CHECK(c.send("DELETE", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/flunders-1").status ==
        200);
  CHECK(wait_for(c, "EndpointsNotFound"));
  CHECK(c.send("DELETE", kApiServices + "/" + kName).status == 200);
  CHECK(c.get(kVersion + "/flunders").status == 404);
}

}  // namespace
}  // namespace orch::testing
