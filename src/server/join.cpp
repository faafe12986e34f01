#include "server/join.h"

#include "api/names.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::server {

using base::Code;
using base::Status;

http::Response handle_join(const http::Request& request, const UserInfo& user, const ClusterPki& pki,
                           const ClusterFacts& facts, base::WallTime now) {
  auto refuse = [](Code code, std::string why) {
    return http::Response::from_status(Status(code, std::move(why)));
  };
  if (request.method != "POST") return refuse(Code::kMethodNotAllowed, "join with POST");
  auto body = base::parse_json(request.body);
  if (!body.ok()) return http::Response::from_status(body.error());
  const std::string name(base::string_at(*body, {"name"}));
  if (!api::check_dns1123_subdomain(name).empty())
    return refuse(Code::kBadRequest, "the node's name is not a DNS subdomain");
  // A join token makes any node; a node's certificate renews only its own.
  const bool renews = node_identity(user) == std::optional<std::string_view>(name);
  if (!user.in_group(kGroupBootstrappers) && !renews) {
    return refuse(Code::kForbidden, base::cat("user \"", user.name, "\" may not join node \"", name, "\""));
  }
  std::vector<std::string> addresses;
  for (const auto& a : base::array_at(*body, {"addresses"})) {
    if (a.is_string()) addresses.push_back(a.get<std::string>());
  }
  auto client = sign_node_client(pki, std::string(base::string_at(*body, {"clientRequest"})), name,
                                 facts.certificate_lifetime, now);
  if (!client.ok()) return http::Response::from_status(client.error());
  auto serving = sign_node_serving(pki, std::string(base::string_at(*body, {"servingRequest"})), name,
                                   addresses, facts.certificate_lifetime, now);
  if (!serving.ok()) return http::Response::from_status(serving.error());
  base::log_info("join", "node certificates issued", {{"node", name}, {"user", user.name}});
  return http::Response::json(base::dump_json({{"clientCertificate", *client},
                                               {"servingCertificate", *serving},
                                               {"clientCA", pki.client_ca.certificate_pem},
                                               {"serverCA", pki.server_ca.certificate_pem},
                                               {"clusterCIDR", facts.cluster_cidr},
                                               {"serviceCIDR", facts.service_cidr},
                                               {"clusterDNS", facts.cluster_dns},
                                               {"clusterDomain", facts.cluster_domain}}));
}

base::Result<NodeCredentials> issue_node_credentials(const ClusterPki& pki, const std::string& node_name,
                                                     const std::vector<std::string>& addresses,
                                                     base::WallTime now) {
  NodeCredentials c;
  c.server_ca_pem = pki.server_ca.certificate_pem;
  c.client_ca_pem = pki.client_ca.certificate_pem;
  pki::CertificateRequest request;
  request.common_name = "system:node:" + node_name;
  request.organizations = {std::string(kGroupNodes)};
  request.client = true;
  auto client = pki::issue(pki.client_ca, request, now);
  if (!client.ok()) return client.error();
  c.client = std::move(*client);
  request.organizations = {};
  request.common_name = node_name;
  request.client = false;
  request.server = true;
  request.dns_names = {node_name, "localhost"};
  request.ip_addresses = addresses;
  request.ip_addresses.emplace_back("127.0.0.1");
  auto serving = pki::issue(pki.server_ca, request, now);
  if (!serving.ok()) return serving.error();
  c.serving = std::move(*serving);
  return c;
}

}  // namespace orch::server
