// Servers of the tests' own that the API server calls: webhooks and aggregated API servers.
#pragma once

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/server.h"
#include "tests/integration/server/fixture.h"

namespace orch::testing {

/// An address of this machine that a pod might have; "" on a machine without a network.
inline std::string own_address() {
  std::string out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return out;
  for (const ifaddrs* a = all; a != nullptr && out.empty(); a = a->ifa_next) {
    if (a->ifa_addr == nullptr || a->ifa_addr->sa_family != AF_INET || (a->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    char host[64];
    if (::getnameinfo(a->ifa_addr, sizeof(sockaddr_in), host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0 &&
        std::string(host).rfind("169.254.", 0) != 0)
      out = host;
  }
  ::freeifaddrs(all);
  return out;
}

/// HTTPS with a certificate of a CA of its own.
class HttpsServer {
 public:
  /// `names`: DNS names besides localhost. `client_ca_pem`: who may sign certificates of clients.
  explicit HttpsServer(http::Handler handler, std::vector<std::string> names = {},
                       const std::string& client_ca_pem = {}) {
    const base::WallTime now = base::SystemClock().now();
    auto ca = pki::make_ca("test-webhooks", now);
    REQUIRE(ca.ok());
    ca_ = std::move(*ca);
    pki::CertificateRequest request;
    request.common_name = "test";
    request.server = true;
    request.dns_names = std::move(names);
    request.dns_names.emplace_back("localhost");
    request.ip_addresses = {"127.0.0.1"};
    auto own = pki::issue(ca_, request, now);
    REQUIRE(own.ok());
    http::ServerOptions options;
    options.tls_config = {own->certificate_pem, own->key_pem, client_ca_pem};
    auto server = http::Server::listen(std::move(options), std::move(handler));
    REQUIRE(server.ok());
    server_ = std::move(*server);
  }
  ~HttpsServer() { stop(); }
  void stop() {
    if (server_) server_->stop(std::chrono::milliseconds(100));
    server_.reset();
  }
  uint16_t port() const { return server_->port(); }
  std::string url(const std::string& path) const {
    return "https://127.0.0.1:" + std::to_string(port()) + path;
  }
  std::string ca_bundle() const { return pki::base64_encode(ca_.certificate_pem); }

 private:
  pki::KeyPair ca_;
  std::unique_ptr<http::Server> server_;
};

/// A Service without selector, and the slice that leads to this port of this machine.
inline void make_service(const Control& c, const std::string& name, uint16_t port) {
  const Json service = {{"kind", "Service"},
                        {"apiVersion", "v1"},
                        {"metadata", {{"name", name}}},
                        {"spec", {{"ports", {{{"name", "https"}, {"port", 443}}}}}}};
  REQUIRE(c.post("/api/v1/namespaces/default/services", service).status == 201);
  const Json slice = {
      {"kind", "EndpointSlice"},
      {"apiVersion", "discovery.k8s.io/v1"},
      {"metadata", {{"name", name + "-1"}, {"labels", {{"kubernetes.io/service-name", name}}}}},
      {"addressType", "IPv4"},
      {"ports", {{{"name", "https"}, {"port", port}}}},
      {"endpoints", {{{"addresses", {own_address()}}}}}};
  REQUIRE(c.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).status == 201);
}

}  // namespace orch::testing
