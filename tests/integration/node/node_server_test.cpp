// The node's HTTPS server over a real runtime: logs, exec, attach, port-forward, statistics.
#include "agent/api/node_server.h"
#include "http/dial.h"
#include "pki/pki.h"
#include "tests/integration/node/machine.h"

namespace orch {
namespace {

using namespace node_test;

/// A server with certificates of its own, and requests to it as one identity or another.
struct Api {
  explicit Api(Node& node) {
    const base::WallTime now = node.clock.now();
    ca = *pki::make_ca("test", now);
    pki::CertificateRequest serving;
    serving.common_name = "node";
    serving.ip_addresses = {"127.0.0.1"};
    serving.server = true;
    const auto server_pair = *pki::issue(ca, serving, now);
    agent::NodeServerOptions options;
    options.http.bind_address = "127.0.0.1";
    options.http.tls_config = {server_pair.certificate_pem, server_pair.key_pem, ca.certificate_pem};
    auto started = agent::NodeServer::start(options, *node.kubelet, node.metrics, node.clock);
    REQUIRE(started.ok());
    server = std::move(*started);
    admin = identity("kube-apiserver-kubelet-client", {"system:masters"}, now);
    other = identity("system:node:other", {"system:nodes"}, now);
  }
  pki::KeyPair identity(const std::string& name, std::vector<std::string> groups, base::WallTime now) const {
    pki::CertificateRequest r;
    r.common_name = name;
    r.organizations = std::move(groups);
    r.client = true;
    return *pki::issue(ca, r, now);
  }
  http::DialOptions dial(const pki::KeyPair& as) const {
    http::DialOptions o;
    o.host = "127.0.0.1";
    o.port = server->port();
    o.tls = true;
    o.tls_config = {ca.certificate_pem, as.certificate_pem, as.key_pem, "127.0.0.1", false};
    return o;
  }
  struct Answer {
    int status = 0;
    std::string body;
  };
  Answer get(const std::string& target, const pki::KeyPair& as, const std::string& method = "GET") const {
    http::ClientRequest request;
    request.method = method;
    request.target = target;
    auto exchange = http::ClientExchange::start(dial(as), request, milliseconds(10000));
    if (!exchange.ok()) return {0, exchange.error().message()};
    Answer out;
    out.status = (*exchange)->status();
    auto body = (*exchange)->read_all(1 << 20);
    if (body.ok()) out.body = *body;
    return out;
  }
  Answer get(const std::string& target) const { return get(target, admin); }

  pki::KeyPair ca, admin, other;
  std::unique_ptr<agent::NodeServer> server;
};

/// Upgrades to WebSocket (v4.channel.k8s.io) and collects what each channel says until the end.
std::map<int, std::string> websocket(const Api& api, const std::string& target,
                                     const std::string& input = {}) {
  http::ClientRequest request;
  request.target = target;
  request.headers = {{"Connection", "Upgrade"},
                     {"Upgrade", "websocket"},
                     {"Sec-WebSocket-Version", "13"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                     {"Sec-WebSocket-Protocol", "v4.channel.k8s.io"}};
  auto exchange = http::ClientExchange::start(api.dial(api.admin), request, milliseconds(10000));
  std::map<int, std::string> out;
  if (!exchange.ok() || (*exchange)->status() != 101) {
    out[-1] = exchange.ok() ? std::to_string((*exchange)->status()) : exchange.error().message();
    return out;
  }
  const auto stream = (*exchange)->upgraded();
  if (!input.empty()) {
    std::string frame{'\x82'};
    frame += static_cast<char>(0x80 | (input.size() + 1));
    frame += std::string(4, '\0');  // a mask of zeros changes nothing
    frame += '\0';
    frame += input;
    stream->write(frame);
  }
  std::string raw;
  std::array<char, 4096> buffer{};
  while (true) {
    while (raw.size() >= 2) {
      size_t length = static_cast<unsigned char>(raw[1]) & 0x7fU, head = 2;
      if (length == 126) {
        if (raw.size() < 4) break;
        length = static_cast<unsigned char>(raw[2]) * 256U + static_cast<unsigned char>(raw[3]);
        head = 4;
      }
      if (raw.size() < head + length) break;
      const int opcode = raw[0] & 0x0f;
      if (opcode == 8) return out;
      if ((opcode == 1 || opcode == 2 || opcode == 0) && length > 0)
        out[raw[head]] += raw.substr(head + 1, length - 1);
      raw.erase(0, head + length);
    }
    const long n = stream->read(buffer.data(), buffer.size());
    if (n <= 0) return out;
    raw.append(buffer.data(), static_cast<size_t>(n));
  }
}

TEST_CASE("the node's API", "[kubelet]") {
  NEEDS_MACHINE();
  Node node(*machine);
  node.start();
  Json spec{{"containers",
             Json::array(
                 {shell("main",
                        "echo one; sleep 0.3; echo two >&2; cat; mkdir -p /www; echo page > /www/index.html; "
                        "httpd -p 8080 -h /www; while :; do sleep 0.05; done")})},
            {"terminationGracePeriodSeconds", 1}};
  spec["containers"][0]["stdin"] = true;
  spec["containers"][0]["stdinOnce"] = true;
  node.create("web", spec);
  REQUIRE(eventually([&] { return node.phase("web") == "Running"; }));
  REQUIRE(eventually([&] { return node.log("web", "main").find("two") != std::string::npos; }));
  const Api api(node);

  CHECK(api.get("/healthz", api.other).status == 200);
  CHECK(api.get("/pods", api.other).status == 403);
  CHECK(api.get("/pods", pki::KeyPair()).status == 401);
  CHECK(api.get("/pods").body.find("\"name\":\"web\"") != std::string::npos);
  CHECK(api.get("/nothing").status == 404);

  CHECK(api.get("/containerLogs/default/web/main").body == "one\ntwo\n");
  CHECK(api.get("/containerLogs/default/web/main?tailLines=1").body == "two\n");
  CHECK(api.get("/containerLogs/default/none/main").status == 404);
  CHECK(api.get("/containerLogs/default/web/none").status == 400);
  CHECK(api.get("/containerLogs/default/web/main?previous=true").status == 400);

  auto said = websocket(
      api,
      "/exec/default/web/main?command=sh&command=-c&command=echo+out;echo+err+>%262;exit+3&output=1&error=1");
  CHECK(said[1] == "out\n");
  CHECK(said[2] == "err\n");
  CHECK(said[3].find("\"reason\":\"NonZeroExitCode\"") != std::string::npos);
  CHECK(api.get("/exec/default/web/main?command=id").status == 400);
  CHECK(api.get("/exec/default/web/none?command=id&output=1").status == 500);
  CHECK(api.get("/exec/default/none/main?command=id&output=1").status == 404);
  CHECK(api.get("/run/default/web/main?cmd=echo+hi", api.admin, "POST").body == "hi\n");

  CHECK(api.get("/metrics/resource")
            .body.find("pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"}") !=
        std::string::npos);
  const auto summary = base::parse_json(api.get("/stats/summary").body);
  REQUIRE(summary.ok());
  CHECK((*summary)["pods"][0]["containers"][0]["memory"]["workingSetBytes"].get<int64_t>() > 0);

  // A follower hears of what is written later, and of the end.
  std::atomic<bool> ended{false};
  std::string followed;
  std::thread follower([&] {
    followed = api.get("/containerLogs/default/web/main?follow=true").body;
    ended = true;
  });
  node.remove("web");
  CHECK(eventually([&] { return node.gone("web"); }));
  CHECK(eventually([&] { return ended.load(); }));
  follower.join();
  CHECK(followed.find("one\ntwo\n") == 0);
}

}  // namespace
}  // namespace orch
