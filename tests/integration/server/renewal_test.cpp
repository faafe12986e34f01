// Certificates of the control plane that are replaced while the server runs.
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

/// What a request sees of its connection.
struct Seen {
  std::string serial;     // of the server's certificate; only where the connection was made for it
  bool answered = false;  // by /version
  long connects = 0;      // connections that had to be made
};

Seen look(CURL* curl, const Control& c) {
  Seen seen;
  const std::string url = c.url() + "/version";
  const std::string& ca_text = c.ca();
  curl_blob ca{const_cast<char*>(ca_text.data()), ca_text.size(), CURL_BLOB_COPY};
  std::string body;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
  curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_to);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  if (curl_easy_perform(curl) != CURLE_OK) return seen;
  seen.answered = body.find("gitVersion") != std::string::npos;
  curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &seen.connects);
  curl_certinfo* info = nullptr;
  curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info);
  if (info == nullptr || info->num_of_certs == 0) return seen;
  for (const curl_slist* line = info->certinfo[0]; line != nullptr; line = line->next) {
    const std::string text = line->data;
    if (text.rfind("Serial Number:", 0) == 0) seen.serial = text;
  }
  return seen;
}

TEST_CASE("certificates that come to their end are replaced under running connections") {
  DataFolder folder;
  Control c(folder);
  c.start();
  CURL* kept = curl_easy_init();
  const std::string first = look(kept, c).serial;
  REQUIRE_FALSE(first.empty());

  // Nothing is due in the first months.
  auto next = c.server().renew_certificates();
  REQUIRE(next.ok());
  CHECK(*next - base::SystemClock().now() > std::chrono::hours(24 * 200));
  CURL* fresh = curl_easy_init();
  CHECK(look(fresh, c).serial == first);
  curl_easy_cleanup(fresh);

  // The server's own and the administrator's: 60 of their days are left.
  const pki::KeyPair server_ca{folder.read("server/tls/server-ca.crt"),
                               folder.read("server/tls/server-ca.key")};
  const auto shorten = [&](const pki::KeyPair& ca, const std::string& name) {
    const std::string file = folder.path() + "/server/tls/" + name;
    const auto info = pki::parse_certificate(folder.read("server/tls/" + name + ".crt"));
    REQUIRE(info.ok());
    pki::CertificateRequest request;
    request.common_name = info->common_name;
    request.organizations = info->organizations;
    request.dns_names = info->dns_names;
    request.ip_addresses = info->ip_addresses;
    request.server = !info->dns_names.empty();
    request.client = !request.server;
    request.lifetime = std::chrono::hours(24 * 60);
    const auto made = pki::issue(ca, request, base::SystemClock().now());
    REQUIRE(made.ok());
    REQUIRE(base::write_file_atomic(file + ".crt", made->certificate_pem, 0600).ok());
    REQUIRE(base::write_file_atomic(file + ".key", made->key_pem, 0600).ok());
  };
  shorten(server_ca, "serving-kube-apiserver");
  shorten(c.client_ca(), "client-admin");
  const std::string kubeconfig = folder.read("kubeconfig.yaml");
  next = c.server().renew_certificates();
  REQUIRE(next.ok());
  CHECK(*next - base::SystemClock().now() > std::chrono::hours(24 * 200));

  fresh = curl_easy_init();
  const std::string second = look(fresh, c).serial;
  curl_easy_cleanup(fresh);
  CHECK_FALSE(second.empty());
  CHECK(second != first);
  // A connection that is there goes on.
  const Seen later = look(kept, c);
  CHECK(later.answered);
  CHECK(later.connects == 0);
  curl_easy_cleanup(kept);

  // The new administrator is let in, is in the kubeconfig, and so is the one before.
  const Credentials renewed{
      {folder.read("server/tls/client-admin.crt"), folder.read("server/tls/client-admin.key")}, {}};
  CHECK(c.send_as(renewed, "GET", "/api/v1/nodes").status == 200);
  CHECK(c.send("GET", "/api/v1/nodes").status == 200);
  CHECK(folder.read("kubeconfig.yaml") != kubeconfig);
  CHECK_THAT(folder.read("kubeconfig.yaml"),
             contains(pki::base64_encode(renewed.certificate.certificate_pem)));
}

}  // namespace
}  // namespace orch::testing
