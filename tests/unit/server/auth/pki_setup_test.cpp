#include "server/auth/pki_setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::server;

namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/var/tmp/orch-pki-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { (void)base::remove_all(path); }
};

PkiOptions options(const Folder& folder) {
  PkiOptions o;
  o.data_dir = folder.path;
  o.hostname = "pi";
  o.service_ip = "10.43.0.1";
  o.node_ips = {"192.168.1.5"};
  o.extra_names = {"k8s.example.org", "203.0.113.9"};
  return o;
}

bool has(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

TEST_CASE("the first start makes everything, private to root") {
  const Folder folder;
  const base::FakeClock clock;
  auto made = ensure_pki(options(folder), clock.now());
  REQUIRE(made.ok());
  auto serving = pki::parse_certificate(made->serving.certificate_pem);
  REQUIRE(serving.ok());
  for (const char* name : {"pi", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                           "kubernetes.default.svc.cluster.local", "k8s.example.org"}) {
    INFO(name);
    CHECK(has(serving->dns_names, name));
  }
  for (const char* ip : {"127.0.0.1", "10.43.0.1", "192.168.1.5", "203.0.113.9"})
    CHECK(has(serving->ip_addresses, ip));
  auto admin = pki::parse_certificate(made->admin.certificate_pem);
  REQUIRE(admin.ok());
  CHECK(has(admin->organizations, "system:masters"));
  CHECK(pki::parse_certificate(made->scheduler.certificate_pem)->common_name == "system:kube-scheduler");
  const std::string tls = folder.path + "/server/tls";
  const auto files = base::list_dir(tls);
  REQUIRE(files.ok());
  for (const std::string& name : *files) {
    struct stat info {};
    REQUIRE(stat((tls + "/" + name).c_str(), &info) == 0);
    INFO(name);
    CHECK((info.st_mode & 0777) == 0600);
  }
  struct stat info {};
  REQUIRE(stat(tls.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);

  auto again = ensure_pki(options(folder), clock.now());
  REQUIRE(again.ok());
  CHECK(again->serving.certificate_pem == made->serving.certificate_pem);
  CHECK(again->service_account_key == made->service_account_key);
}

TEST_CASE("leaf certificates are issued anew when names change or the end is near") {
  const Folder folder;
  base::FakeClock clock;
  auto first = ensure_pki(options(folder), clock.now());
  REQUIRE(first.ok());
  PkiOptions moved = options(folder);
  moved.node_ips = {"192.168.1.6", "2001:db8:0::1"};
  auto second = ensure_pki(moved, clock.now());
  REQUIRE(second.ok());
  CHECK(second->serving.certificate_pem != first->serving.certificate_pem);
  CHECK(second->admin.certificate_pem == first->admin.certificate_pem);
  CHECK(second->server_ca.certificate_pem == first->server_ca.certificate_pem);
  CHECK(ensure_pki(moved, clock.now())->serving.certificate_pem == second->serving.certificate_pem);
  clock.advance(std::chrono::hours(24 * 280));
  auto third = ensure_pki(moved, clock.now());
  REQUIRE(third.ok());
  CHECK(third->admin.certificate_pem != first->admin.certificate_pem);
  CHECK(third->client_ca.certificate_pem == first->client_ca.certificate_pem);
  CHECK(third->service_account_key == first->service_account_key);
}

TEST_CASE("a half-made set is completed") {
  const Folder folder;
  const base::FakeClock clock;
  auto first = ensure_pki(options(folder), clock.now());
  REQUIRE(first.ok());
  const std::string tls = folder.path + "/server/tls/";
  REQUIRE(base::remove_all(tls + "client-admin.crt").ok());
  REQUIRE(base::remove_all(tls + "service.key").ok());
  auto second = ensure_pki(options(folder), clock.now());
  REQUIRE(second.ok());
  CHECK_FALSE(second->admin.certificate_pem.empty());
  CHECK_FALSE(second->service_account_key.empty());
  CHECK(second->serving.certificate_pem == first->serving.certificate_pem);

  // Cut between key and certificate of the first CA: nothing is signed by it, what there is is void.
  REQUIRE(base::remove_all(tls + "server-ca.crt").ok());
  auto third = ensure_pki(options(folder), clock.now());
  REQUIRE(third.ok());
  CHECK(third->server_ca.certificate_pem != first->server_ca.certificate_pem);
  CHECK(third->serving.certificate_pem != first->serving.certificate_pem);

  REQUIRE(base::remove_all(tls + "client-ca.key").ok());
  CHECK_FALSE(ensure_pki(options(folder), clock.now()).ok());
}

TEST_CASE("a clock from before this software is not believed") {
  const Folder folder;
  auto made = ensure_pki(options(folder), base::WallTime(std::chrono::seconds(1000)));
  REQUIRE(made.ok());
  CHECK(pki::parse_certificate(made->server_ca.certificate_pem)->not_after >
        base::WallTime(std::chrono::seconds(2050000000)));
}

TEST_CASE("node certificates say what the server says, not what is asked") {
  const Folder folder;
  const base::FakeClock clock;
  auto made = ensure_pki(options(folder), clock.now());
  REQUIRE(made.ok());
  pki::CertificateRequest wish;
  wish.common_name = "root";
  wish.organizations = {"system:masters"};
  wish.dns_names = {"kubernetes"};
  const std::string csr = *pki::make_csr(pki::generate_key(), wish);
  auto client = sign_node_client(*made, csr, "n1", std::chrono::hours(2), clock.now());
  REQUIRE(client.ok());
  auto info = pki::parse_certificate(*client);
  CHECK(info->common_name == "system:node:n1");
  CHECK(info->organizations == std::vector<std::string>{"system:nodes"});
  CHECK(info->dns_names.empty());
  auto serving =
      sign_node_serving(*made, csr, "n1", {"10.0.0.7", "n1.lan"}, std::chrono::hours(2), clock.now());
  REQUIRE(serving.ok());
  auto names = pki::parse_certificate(*serving);
  CHECK(names->dns_names == std::vector<std::string>{"n1", "n1.lan"});
  CHECK(names->ip_addresses == std::vector<std::string>{"10.0.0.7"});
  CHECK_FALSE(sign_node_client(*made, "rubbish", "n1", std::chrono::hours(2), clock.now()).ok());
}

TEST_CASE("the kubeconfig is written with its mode, once") {
  const Folder folder;
  const std::string path = folder.path + "/etc/orch/orch.yaml";
  const std::string text = make_kubeconfig("https://127.0.0.1:6443", "CA", {"CERT", "KEY"});
  REQUIRE(write_kubeconfig(path, text, 0600).ok());
  struct stat before {};
  REQUIRE(stat(path.c_str(), &before) == 0);
  CHECK((before.st_mode & 0777) == 0600);
  REQUIRE(write_kubeconfig(path, text, 0600).ok());
  struct stat same {};
  REQUIRE(stat(path.c_str(), &same) == 0);
  CHECK(same.st_ino == before.st_ino);
  REQUIRE(write_kubeconfig(path, text, 0644).ok());
  REQUIRE(stat(path.c_str(), &same) == 0);
  CHECK((same.st_mode & 0777) == 0644);
  CHECK(text.find("client-key-data: S0VZ\n") != std::string::npos);
}
