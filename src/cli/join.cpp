#include "cli/join.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "client/remote_client.h"
#include "server/auth/token.h"

namespace orch::cli {

using base::Code;
using base::Result;
using base::Status;

namespace {

std::string cache_path(const std::string& data_dir) { return data_dir + "/agent/node.json"; }

Json to_json(const Joined& j) {
  return {{"serverCA", j.server_ca_pem},
          {"clientCA", j.client_ca_pem},
          {"clientCertificate", j.client.certificate_pem},
          {"clientKey", j.client.key_pem},
          {"servingCertificate", j.serving.certificate_pem},
          {"servingKey", j.serving.key_pem},
          {"clusterCIDR", j.cluster_cidr},
          {"serviceCIDR", j.service_cidr},
          {"clusterDNS", j.cluster_dns},
          {"clusterDomain", j.cluster_domain}};
}

Joined from_json(const Json& t) {
  auto text = [&](const char* name) { return std::string(base::string_at(t, {name})); };
  Joined j;
  j.server_ca_pem = text("serverCA");
  j.client_ca_pem = text("clientCA");
  j.client = {text("clientCertificate"), text("clientKey")};
  j.serving = {text("servingCertificate"), text("servingKey")};
  j.cluster_cidr = text("clusterCIDR");
  j.service_cidr = text("serviceCIDR");
  j.cluster_dns = text("clusterDNS");
  j.cluster_domain = text("clusterDomain");
  return j;
}

bool still_good(const Joined& j, const std::string& node_name, base::WallTime now) {
  auto info = pki::parse_certificate(j.client.certificate_pem);
  if (!info.ok() || info->common_name != "system:node:" + node_name) return false;
  return now < info->not_before + (info->not_after - info->not_before) * 2 / 3;
}

Result<std::string> fetch_ca(const std::string& server_url, const server::JoinToken& token) {
  client::RemoteOptions o;
  o.server = server_url;
  o.insecure = true;  // the token says whether what comes is to be trusted; nothing is sent but the path
  auto answer = client::raw_request(o, "GET", "/cacerts", "", "");
  if (!answer.ok()) return answer.error();
  ORCH_RETURN_IF_ERROR(server::check_ca(token, answer->body));
  return answer->body;
}

Result<Joined> ask(const std::string& server_url, const std::string& token_text, const std::string& node_name,
                   const std::vector<std::string>& addresses) {
  auto token = server::parse_join_token(token_text);
  if (!token.ok()) return token.error().with_context("--token");
  auto ca = fetch_ca(server_url, *token);
  if (!ca.ok()) return ca.error();
  Joined j;
  j.client.key_pem = pki::generate_key();
  j.serving.key_pem = pki::generate_key();
  pki::CertificateRequest subject;
  subject.common_name = "system:node:" + node_name;
  subject.organizations = {"system:nodes"};
  auto client_request = pki::make_csr(j.client.key_pem, subject);
  if (!client_request.ok()) return client_request.error();
  subject.ip_addresses = addresses;
  subject.dns_names = {node_name};
  auto serving_request = pki::make_csr(j.serving.key_pem, subject);
  if (!serving_request.ok()) return serving_request.error();
  client::RemoteOptions o;
  o.server = server_url;
  o.ca_pem = *ca;
  o.authorization = token->authorization();
  Json body = {{"name", node_name},
               {"addresses", addresses},
               {"clientRequest", *client_request},
               {"servingRequest", *serving_request}};
  auto answer = client::raw_request(o, "POST", "/v1-orch/node", "application/json", base::dump_json(body));
  if (!answer.ok()) return answer.error();
  auto tree = base::parse_json(answer->body);
  if (!tree.ok()) return tree.error();
  Joined got = from_json(*tree);
  got.client.key_pem = j.client.key_pem;
  got.serving.key_pem = j.serving.key_pem;
  if (got.client.certificate_pem.empty() || got.serving.certificate_pem.empty()) {
    return Status(Code::kInternal,
                  base::cat(server_url, " answered without certificates: is it an orch server?"));
  }
  return got;
}

}  // namespace

Result<Joined> join_cluster(const std::string& data_dir, const std::string& server_url,
                            const std::string& token, const std::string& node_name,
                            const std::vector<std::string>& addresses, base::WallTime now) {
  Joined kept;
  bool have = false;
  if (auto text = base::read_file(cache_path(data_dir)); text.ok()) {
    if (auto tree = base::parse_json(*text); tree.ok()) {
      kept = from_json(*tree);
      have = true;
      if (still_good(kept, node_name, now)) return kept;
    }
  }
  if (token.empty()) {
    if (have) return kept;
    return Status(Code::kBadRequest,
                  "--token is required to join a cluster: see <data-dir>/server/node-token on the server");
  }
  auto joined = ask(server_url, token, node_name, addresses);
  if (!joined.ok()) {
    if (!have) return joined;
    base::log_warning("join", "certificates not renewed", {{"error", joined.error().message()}});
    return kept;
  }
  ORCH_RETURN_IF_ERROR(base::make_dirs(data_dir + "/agent", 0700));
  ORCH_RETURN_IF_ERROR(
      base::write_file_atomic(cache_path(data_dir), base::dump_json(to_json(*joined)), 0600));
  return joined;
}

}  // namespace orch::cli
