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
  const auto info = pki::parse_certificate(j.client.certificate_pem);
  const auto due = renewal_due(j);
  return info.ok() && info->common_name == "system:node:" + node_name && due.ok() && now < *due;
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

/// Asks for certificates with the trust and the identity of `remote`.
Result<Joined> ask(const client::RemoteOptions& remote, const JoinOptions& options) {
  Joined j;
  j.client.key_pem = pki::generate_key();
  j.serving.key_pem = pki::generate_key();
  pki::CertificateRequest subject;
  subject.common_name = "system:node:" + options.node_name;
  subject.organizations = {"system:nodes"};
  auto client_request = pki::make_csr(j.client.key_pem, subject);
  if (!client_request.ok()) return client_request.error();
  subject.ip_addresses = options.addresses;
  subject.dns_names = {options.node_name};
  auto serving_request = pki::make_csr(j.serving.key_pem, subject);
  if (!serving_request.ok()) return serving_request.error();
  Json body = {{"name", options.node_name},
               {"addresses", options.addresses},
               {"clientRequest", *client_request},
               {"servingRequest", *serving_request}};
  auto answer =
      client::raw_request(remote, "POST", "/v1-orch/node", "application/json", base::dump_json(body));
  if (!answer.ok()) return answer.error();
  auto tree = base::parse_json(answer->body);
  if (!tree.ok()) return tree.error();
  Joined got = from_json(*tree);
  got.client.key_pem = j.client.key_pem;
  got.serving.key_pem = j.serving.key_pem;
  if (got.client.certificate_pem.empty() || got.serving.certificate_pem.empty()) {
    return Status(Code::kInternal,
                  base::cat(remote.server, " answered without certificates: is it an orch server?"));
  }
  return got;
}

Result<Joined> ask_with_token(const JoinOptions& options) {
  auto token = server::parse_join_token(options.token);
  if (!token.ok()) return token.error().with_context("--token");
  auto ca = fetch_ca(options.server_url, *token);
  if (!ca.ok()) return ca.error();
  client::RemoteOptions o;
  o.server = options.server_url;
  o.ca_pem = *ca;
  o.authorization = token->authorization();
  return ask(o, options);
}

Result<Joined> keep(const JoinOptions& options, Result<Joined> joined) {
  if (!joined.ok()) return joined;
  ORCH_RETURN_IF_ERROR(base::make_dirs(options.data_dir + "/agent", 0700));
  ORCH_RETURN_IF_ERROR(
      base::write_file_atomic(cache_path(options.data_dir), base::dump_json(to_json(*joined)), 0600));
  return joined;
}

}  // namespace

Result<Joined> renew(const JoinOptions& options, const Joined& current, base::WallTime now) {
  const auto info = pki::parse_certificate(current.client.certificate_pem);
  const bool valid =
      info.ok() && now < info->not_after && info->common_name == "system:node:" + options.node_name;
  if (!valid) return keep(options, ask_with_token(options));
  client::RemoteOptions o;
  o.server = options.server_url;
  o.ca_pem = current.server_ca_pem;
  o.certificate_pem = current.client.certificate_pem;
  o.key_pem = current.client.key_pem;
  return keep(options, ask(o, options));
}

Result<base::WallTime> renewal_due(const Joined& joined) {
  base::WallTime first = base::WallTime::max();
  for (const pki::KeyPair* pair : {&joined.client, &joined.serving}) {
    const auto info = pki::parse_certificate(pair->certificate_pem);
    if (!info.ok()) return info.error();
    first = std::min(first, pki::renewal_time(*info));
  }
  return first;
}

Result<Joined> join_cluster(const JoinOptions& options, base::WallTime now) {
  if (auto text = base::read_file(cache_path(options.data_dir)); text.ok()) {
    if (auto tree = base::parse_json(*text); tree.ok()) {
      Joined kept = from_json(*tree);
      if (still_good(kept, options.node_name, now)) return kept;
      auto renewed = renew(options, kept, now);
      // With what it has the node can at least run its pods.
      if (!renewed.ok())
        base::log_warning("join", "certificates not renewed", {{"error", renewed.error().message()}});
      return renewed.ok() ? renewed : kept;
    }
  }
  if (options.token.empty()) {
    return Status(Code::kBadRequest,
                  "--token is required to join a cluster: see <data-dir>/server/node-token on the server");
  }
  return keep(options, ask_with_token(options));
}

}  // namespace orch::cli
