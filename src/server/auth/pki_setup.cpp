#include "server/auth/pki_setup.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::server {
namespace {

constexpr auto kRenewBefore = std::chrono::hours(24 * 90);
/// 2026-01-01: no machine runs this earlier, whatever its clock says.
constexpr base::WallTime kEarliest{std::chrono::seconds(1767225600)};

constexpr const char* kLeaves[] = {"serving-kube-apiserver", "client-admin",          "client-controller",
                                   "client-scheduler",       "client-kube-apiserver", "client-auth-proxy"};

bool is_address(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

/// One spelling for each IPv6 address, so that equal ones compare equal.
std::string canonical_address(const std::string& text) {
  in6_addr six;
  if (inet_pton(AF_INET6, text.c_str(), &six) != 1) return text;
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, &six, buffer, sizeof(buffer)) != nullptr ? buffer : text;
}

void add_unique(std::vector<std::string>& list, const std::string& value) {
  if (!value.empty() && std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

pki::CertificateRequest serving_request(const PkiOptions& o) {
  pki::CertificateRequest r;
  r.common_name = "kube-apiserver";
  r.server = true;
  for (const std::string& name :
       {o.hostname, std::string("localhost"), std::string("kubernetes"), std::string("kubernetes.default"),
        std::string("kubernetes.default.svc"), "kubernetes.default.svc." + o.cluster_domain}) {
    add_unique(r.dns_names, name);
  }
  for (const char* ip : {"127.0.0.1", "::1"}) add_unique(r.ip_addresses, ip);
  add_unique(r.ip_addresses, canonical_address(o.service_ip));
  for (const std::string& ip : o.node_ips) add_unique(r.ip_addresses, canonical_address(ip));
  for (const std::string& name : o.extra_names) {
    if (is_address(name)) {
      add_unique(r.ip_addresses, canonical_address(name));
    } else {
      add_unique(r.dns_names, name);
    }
  }
  return r;
}

pki::CertificateRequest client_request(std::string common_name, std::vector<std::string> organizations) {
  pki::CertificateRequest r;
  r.common_name = std::move(common_name);
  r.organizations = std::move(organizations);
  r.client = true;
  return r;
}

bool same_set(const std::vector<std::string>& a, const std::vector<std::string>& b, bool addresses) {
  const auto set_of = [&](const std::vector<std::string>& list) {
    std::set<std::string> out;
    for (const std::string& v : list) out.insert(addresses ? canonical_address(v) : v);
    return out;
  };
  return set_of(a) == set_of(b);
}

bool still_good(const pki::KeyPair& pair, const pki::CertificateRequest& wanted, base::WallTime now) {
  const base::Result<pki::CertificateInfo> info = pki::parse_certificate(pair.certificate_pem);
  return info.ok() && info->common_name == wanted.common_name &&
         same_set(info->organizations, wanted.organizations, false) &&
         same_set(info->dns_names, wanted.dns_names, false) &&
         same_set(info->ip_addresses, wanted.ip_addresses, true) && info->not_after - now > kRenewBefore;
}

/// Reads and makes files of one folder.
class Folder {
 public:
  Folder(std::string path, base::WallTime now) : path_(std::move(path)), now_(now) {}

  base::Status ca(const std::string& name, const std::string& common_name, pki::KeyPair& out) {
    ORCH_RETURN_IF_ERROR(load(name, out));
    if (!out.certificate_pem.empty() && !out.key_pem.empty()) return {};
    if (!out.certificate_pem.empty()) {
      return {base::Code::kInternal,
              base::cat(path_, "/", name,
                        ".crt is there without its key: put the key back, or remove both for a "
                        "new CA that nobody trusts yet")};
    }
    // A key without certificate was written half-way and has signed nothing. What an earlier CA signed is
    // void.
    for (const char* leaf : kLeaves)
      ORCH_RETURN_IF_ERROR(base::remove_all(base::cat(path_, "/", leaf, ".crt")));
    base::Result<pki::KeyPair> made = pki::make_ca(common_name, now_);
    if (!made.ok()) return made.error();
    out = std::move(*made);
    return store(name, out);
  }

  base::Status leaf(const std::string& name, const pki::KeyPair& ca, const pki::CertificateRequest& request,
                    pki::KeyPair& out) {
    ORCH_RETURN_IF_ERROR(load(name, out));
    if (!out.key_pem.empty() && !out.certificate_pem.empty() && still_good(out, request, now_)) return {};
    if (!out.certificate_pem.empty()) base::log_info("pki", "issuing a certificate anew", {{"file", name}});
    base::Result<pki::KeyPair> made = pki::issue(ca, request, now_);
    if (!made.ok()) return made.error().with_context(name);
    out = std::move(*made);
    return store(name, out);
  }

  base::Status key(const std::string& name, std::string& out) {
    const std::string file = base::cat(path_, "/", name, ".key");
    ORCH_RETURN_IF_ERROR(read(file, out));
    if (!out.empty()) return {};
    out = pki::generate_key();
    return base::write_file_atomic(file, out, 0600);
  }

 private:
  static base::Status read(const std::string& file, std::string& out) {
    base::Result<std::string> text = base::read_file(file);
    if (!text.ok() && text.error().code() != base::Code::kNotFound) return text.error();
    out = text.ok() ? std::move(*text) : std::string();
    return {};
  }

  base::Status load(const std::string& name, pki::KeyPair& out) const {
    ORCH_RETURN_IF_ERROR(read(base::cat(path_, "/", name, ".crt"), out.certificate_pem));
    return read(base::cat(path_, "/", name, ".key"), out.key_pem);
  }

  /// The certificate is removed first: with it there, a power cut between the two writes would leave an old
  /// certificate beside a new key.
  base::Status store(const std::string& name, const pki::KeyPair& pair) const {
    const std::string base_name = base::cat(path_, "/", name);
    ORCH_RETURN_IF_ERROR(base::remove_all(base_name + ".crt"));
    ORCH_RETURN_IF_ERROR(base::write_file_atomic(base_name + ".key", pair.key_pem, 0600));
    return base::write_file_atomic(base_name + ".crt", pair.certificate_pem, 0600);
  }

  const std::string path_;
  const base::WallTime now_;
};

}  // namespace

base::Result<ClusterPki> ensure_pki(const PkiOptions& options, base::WallTime now) {
  const std::string path = options.data_dir + "/server/tls";
  ORCH_RETURN_IF_ERROR(base::make_dirs(path, 0700));
  Folder folder(path, std::max(now, kEarliest));
  ClusterPki out;
  ORCH_RETURN_IF_ERROR(folder.ca("server-ca", "orch-server-ca", out.server_ca));
  ORCH_RETURN_IF_ERROR(folder.ca("client-ca", "orch-client-ca", out.client_ca));
  ORCH_RETURN_IF_ERROR(folder.ca("request-header-ca", "orch-request-header-ca", out.request_header_ca));
  ORCH_RETURN_IF_ERROR(folder.key("service", out.service_account_key));
  ORCH_RETURN_IF_ERROR(
      folder.leaf("serving-kube-apiserver", out.server_ca, serving_request(options), out.serving));
  ORCH_RETURN_IF_ERROR(folder.leaf("client-admin", out.client_ca,
                                   client_request("system:admin", {"system:masters"}), out.admin));
  ORCH_RETURN_IF_ERROR(folder.leaf("client-controller", out.client_ca,
                                   client_request("system:kube-controller-manager", {}),
                                   out.controller_manager));
  ORCH_RETURN_IF_ERROR(folder.leaf("client-scheduler", out.client_ca,
                                   client_request("system:kube-scheduler", {}), out.scheduler));
  ORCH_RETURN_IF_ERROR(folder.leaf("client-kube-apiserver", out.client_ca,
                                   client_request("kube-apiserver", {"system:masters"}), out.kubelet_client));
  ORCH_RETURN_IF_ERROR(folder.leaf("client-auth-proxy", out.request_header_ca,
                                   client_request("system:auth-proxy", {}), out.proxy_client));
  return out;
}

std::string make_kubeconfig(const std::string& server_url, const std::string& ca_pem,
                            const pki::KeyPair& client) {
  return base::cat(
      "apiVersion: v1\n"
      "kind: Config\n"
      "clusters:\n"
      "- name: default\n"
      "  cluster:\n"
      "    server: ",
      server_url, "\n    certificate-authority-data: ", pki::base64_encode(ca_pem),
      "\ncontexts:\n"
      "- name: default\n"
      "  context:\n"
      "    cluster: default\n"
      "    user: default\n"
      "current-context: default\n"
      "preferences: {}\n"
      "users:\n"
      "- name: default\n"
      "  user:\n"
      "    client-certificate-data: ",
      pki::base64_encode(client.certificate_pem),
      "\n    client-key-data: ", pki::base64_encode(client.key_pem), "\n");
}

base::Status write_kubeconfig(const std::string& path, const std::string& content, unsigned mode) {
  struct stat info {};
  const base::Result<std::string> old = base::read_file(path);
  if (old.ok() && *old == content && stat(path.c_str(), &info) == 0 && (info.st_mode & 07777U) == mode)
    return {};
  if (const size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0) {
    ORCH_RETURN_IF_ERROR(base::make_dirs(path.substr(0, slash), 0755));
  }
  return base::write_file_atomic(path, content, mode);
}

base::Result<std::string> sign_node_client(const ClusterPki& pki, const std::string& csr_pem,
                                           const std::string& node_name, std::chrono::seconds lifetime,
                                           base::WallTime now) {
  pki::CertificateRequest granted = client_request("system:node:" + node_name, {"system:nodes"});
  granted.lifetime = lifetime;
  return pki::sign_csr(pki.client_ca, csr_pem, granted, std::max(now, kEarliest));
}

base::Result<std::string> sign_node_serving(const ClusterPki& pki, const std::string& csr_pem,
                                            const std::string& node_name,
                                            const std::vector<std::string>& addresses,
                                            std::chrono::seconds lifetime, base::WallTime now) {
  pki::CertificateRequest granted;
  granted.lifetime = lifetime;
  granted.common_name = "system:node:" + node_name;
  granted.organizations = {std::string("system:nodes")};
  granted.server = true;
  granted.dns_names = {node_name};
  for (const std::string& address : addresses) {
    if (is_address(address)) {
      add_unique(granted.ip_addresses, canonical_address(address));
    } else {
      add_unique(granted.dns_names, address);
    }
  }
  return pki::sign_csr(pki.server_ca, csr_pem, granted, std::max(now, kEarliest));
}

base::Result<base::WallTime> pki_renewal_time(const ClusterPki& pki) {
  base::WallTime first = base::WallTime::max();
  for (const pki::KeyPair* leaf : {&pki.serving, &pki.admin, &pki.controller_manager, &pki.scheduler,
                                   &pki.kubelet_client, &pki.proxy_client}) {
    const auto info = pki::parse_certificate(leaf->certificate_pem);
    if (!info.ok()) return info.error();
    first = std::min<base::WallTime>(first, info->not_after - kRenewBefore);
  }
  return first;
}

}  // namespace orch::server
