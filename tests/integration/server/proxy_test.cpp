// The API server between a client and a pod, a service or a node: logs, proxies, upgrades; and what it
// refuses to lead to. A listener of the test's own plays the backend. Exec, attach and port-forward are
// driven by client-go in tests/e2e/client-go.sh.
#include <thread>

#include "http/dial.h"
#include "http/server.h"
#include "tests/integration/server/fixture.h"
#include "tests/integration/server/https_server.h"

namespace orch::testing {
namespace {

/// Echoes requests as JSON; "/up" is an upgrade that answers what it reads, "/gone" breaks off.
http::Response backend(http::Request& request) {
  http::Response response;
  if (request.path == "/up") {
    response.takeover = [](const std::shared_ptr<http::Stream>& stream) {
      stream->write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
      char buffer[64];
      for (long n = 0; (n = stream->read(buffer, sizeof buffer)) > 0;)
        stream->write({buffer, static_cast<size_t>(n)});
    };
    return response;
  }
  if (request.path == "/gone") {
    response.takeover = [](const std::shared_ptr<http::Stream>& stream) {
      stream->write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    };
    return response;
  }
  if (request.path == "/moved") {
    response.status = 302;
    response.headers.emplace_back("Location", "/there?a=b");
    return response;
  }
  Json headers = Json::object();
  for (const auto& [name, value] : request.headers) headers[name] = value;
  return http::Response::json(Json{{"method", request.method},
                                   {"target", request.target},
                                   {"body", request.body},
                                   {"headers", headers}}
                                  .dump(),
                              request.path == "/teapot" ? 418 : 200);
}

/// A pod that says it has this address and port.
void make_pod(const Control& c, const std::string& name, const std::string& ip, int port) {
  const Json pod = {
      {"metadata", {{"name", name}, {"labels", {{"app", name}}}}},
      {"spec",
       {{"nodeName", "nowhere"},
        {"containers",
         Json::array(
             {{{"name", "c"}, {"image", "i"}, {"ports", Json::array({{{"containerPort", port}}})}}})}}}};
  const Answer made = c.post("/api/v1/namespaces/default/pods", pod);
  INFO(made.body);
  REQUIRE(made.status == 201);
  const Json status = {{"status",
                        {{"phase", "Running"},
                         {"podIP", ip},
                         {"podIPs", Json::array({{{"ip", ip}}})},
                         {"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}}})}}}};
  REQUIRE(c.patch("/api/v1/namespaces/default/pods/" + name + "/status", "merge-patch+json", status).status ==
          200);
}

struct Backend {
  Backend() : address(own_address()) {
    http::ServerOptions options;
    options.bind_address = address;
    options.tls = false;
    auto listening = http::Server::listen(options, backend);
    REQUIRE(listening.ok());
    server = std::move(*listening);
  }
  std::string address;
  std::unique_ptr<http::Server> server;
};

TEST_CASE("the proxies of pods and services") {
  if (own_address().empty()) return;  // a machine without a network has nothing to proxy to
  Control& c = shared();
  Backend b;
  make_pod(c, "proxied", b.address, b.server->port());
  const std::string pod = "/api/v1/namespaces/default/pods/proxied/proxy";
  SECTION("requests") {
    RequestOptions options{"text/plain", {"X-Mine: yes"}};
    const Answer echoed = c.send("PATCH", pod + "/a%2Fb?q=%20", "content", options);
    CHECK(echoed.status == 200);
    const Json got = echoed.tree();
    CHECK(got["method"] == "PATCH");
    CHECK(got["target"] == "/a%2Fb?q=%20");
    CHECK(got["body"] == "content");
    CHECK(got["headers"]["X-Mine"] == "yes");
    CHECK(got["headers"]["X-Forwarded-Uri"] == pod + "/a%2Fb");
    CHECK(got["headers"]["X-Forwarded-For"] == "127.0.0.1");
    CHECK(c.get(pod + "/teapot").status == 418);
    CHECK(c.send("HEAD", pod + "/").status == 200);
    CHECK(c.send("OPTIONS", pod + "/").tree()["method"] == "OPTIONS");
    CHECK(c.get(base::cat("/api/v1/namespaces/default/pods/http:proxied:", b.server->port(), "/proxy/x"))
              .tree()["target"] == "/x");
  }
  SECTION("the caller's token stays here") {
    const Answer token = c.default_token(Json::object());
    REQUIRE(token.status == 201);
    c.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
           {{"metadata", {{"name", "proxy-test"}}},
            {"roleRef",
             {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "cluster-admin"}}},
            {"subjects",
             Json::array({{{"kind", "ServiceAccount"}, {"name", "default"}, {"namespace", "default"}}})}});
    const Answer echoed = c.send_as({{}, token.tree()["status"]["token"]}, "GET", pod + "/x");
    CHECK(echoed.status == 200);
    CHECK_FALSE(echoed.tree()["headers"].contains("Authorization"));
    c.send("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/proxy-test");
  }
  SECTION("redirects") {
    const Answer bare = c.get(pod + "?a=b");
    CHECK(bare.status == 301);
    CHECK_THAT(bare.headers, contains("Location: " + pod + "/?a=b\r\n"));
    CHECK_THAT(c.get(pod + "/moved").headers, contains("Location: " + pod + "/there?a=b\r\n"));
  }
  SECTION("an upgrade, and a second request behind the first") {
    http::DialOptions dial;
    dial.host = "127.0.0.1";
    dial.port = c.server().port();
    dial.tls = true;
    dial.tls_config.ca_pem = c.ca();
    dial.tls_config.certificate_pem = c.admin().certificate.certificate_pem;
    dial.tls_config.key_pem = c.admin().certificate.key_pem;
    http::ClientRequest up{"GET", pod + "/up", {{"Connection", "Upgrade"}, {"Upgrade", "echo"}}, ""};
    auto exchange = http::ClientExchange::start(dial, up, std::chrono::seconds(10));
    REQUIRE(exchange.ok());
    CHECK((*exchange)->status() == 101);
    auto stream = (*exchange)->upgraded();
    REQUIRE(stream != nullptr);
    stream->write("ping");
    char buffer[16];
    const long n = stream->read(buffer, sizeof buffer);
    CHECK(std::string(buffer, static_cast<size_t>(std::max<long>(n, 0))) == "ping");
    stream->close();

    // What follows a plain request on the connection never reaches the backend.
    auto raw = http::dial(dial);
    REQUIRE(raw.ok());
    const std::string one = "GET " + pod + "/first HTTP/1.1\r\nHost: x\r\n\r\n";
    (*raw)->write(one + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    std::string all;
    char more[4096];
    for (long got = 0; (got = (*raw)->read(more, sizeof more)) > 0;)
      all.append(more, static_cast<size_t>(got));
    CHECK_THAT(all, contains("/first"));
    CHECK(all.find("smuggled") == std::string::npos);
  }
  SECTION("a backend that breaks off") {
    const Answer half = c.get(pod + "/gone");
    CHECK(half.status == 200);
    CHECK(half.body == "half");
  }
  SECTION("a service") {
    const std::string services = "/api/v1/namespaces/default/services";
    REQUIRE(c.post(services,
                   {{"metadata", {{"name", "proxied"}}},
                    {"spec",
                     {{"selector", {{"app", "proxied"}}},
                      {"ports",
                       Json::array({{{"name", "web"}, {"port", 80}, {"targetPort", b.server->port()}}})}}}})
                .status == 201);
    Answer answer;
    for (int i = 0; i < 500; ++i) {
      answer = c.get(services + "/proxied:web/proxy/x");
      if (answer.status == 200) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    INFO(answer.body);
    CHECK(answer.status == 200);
    CHECK(c.get(services + "/http:proxied:80/proxy/x").tree()["target"] == "/x");
    check_error(c.get(services + "/proxied:81/proxy/x"), 503, "ServiceUnavailable",
                "no service port 81 found for service \"proxied\"");
    c.send("DELETE", services + "/proxied");
  }
  SECTION("a backend that is not there") {
    b.server->stop(std::chrono::milliseconds(0));
    check_error(c.get(pod + "/x"), 503, "ServiceUnavailable", "error trying to reach service: dial tcp");
  }
  c.send("DELETE", "/api/v1/namespaces/default/pods/proxied?gracePeriodSeconds=0");
  c.check_alive();
}

TEST_CASE("addresses no proxy leads to") {
  Control& c = shared();
  for (const char* ip : {"127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "224.0.0.1"}) {
    INFO(ip);
    make_pod(c, "inside", ip, 80);
    check_error(c.get("/api/v1/namespaces/default/pods/inside/proxy/"), 400, "BadRequest",
                "address not allowed");
    c.send("DELETE", "/api/v1/namespaces/default/pods/inside?gracePeriodSeconds=0");
  }
  // Endpoints that anybody may write say nothing about where pods are.
  const std::string address = own_address().empty() ? "10.9.9.9" : own_address();
  REQUIRE(c.post("/api/v1/namespaces/default/services",
                 {{"metadata", {{"name", "forged"}}}, {"spec", {{"ports", Json::array({{{"port", 80}}})}}}})
              .status == 201);
  const Answer slice =
      c.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
             {{"metadata", {{"name", "forged"}, {"labels", {{"kubernetes.io/service-name", "forged"}}}}},
              {"addressType", "IPv4"},
              {"ports", Json::array({{{"name", ""}, {"port", c.server().port()}}})},
              {"endpoints", Json::array({{{"addresses", Json::array({address})}}})}});
  INFO(slice.body);
  REQUIRE(slice.status == 201);
  check_error(c.get("/api/v1/namespaces/default/services/forged/proxy/"), 503, "ServiceUnavailable",
              "no endpoints available for service \"forged\"");
  c.send("DELETE", "/api/v1/namespaces/default/services/forged");
  c.send("DELETE", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/forged");
}

TEST_CASE("what a reader may not make of a GET") {
  Control& c = shared();
  make_pod(c, "connect", "10.9.9.9", 80);
  c.post(
      "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
      {{"metadata", {{"name", "reader"}}},
       {"rules", Json::array({{{"apiGroups", Json::array({""})},
                               {"resources", Json::array({"pods/exec", "pods/attach", "pods/portforward"})},
                               {"verbs", Json::array({"get"})}}})}});
  c.post(
      "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
      {{"metadata", {{"name", "reader"}}},
       {"roleRef", {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "Role"}, {"name", "reader"}}},
       {"subjects",
        Json::array({{{"kind", "User"}, {"apiGroup", "rbac.authorization.k8s.io"}, {"name", "reader"}}})}});
  for (const char* sub : {"exec?command=x&stdout=1", "attach?stdout=1", "portforward"}) {
    INFO(sub);
    RequestOptions as;
    as.headers = {"Impersonate-User: reader"};
    check_error(c.send("GET", base::cat("/api/v1/namespaces/default/pods/connect/", sub), {}, as), 403,
                "Forbidden", "pods \"connect\" is forbidden");
    // With the right to create it fails later.
    check_error(c.get(base::cat("/api/v1/namespaces/default/pods/connect/", sub)), 404, "NotFound",
                "nodes \"nowhere\" not found");
  }
  c.send("DELETE", "/api/v1/namespaces/default/pods/connect?gracePeriodSeconds=0");
}

}  // namespace
}  // namespace orch::testing
