// Certificate requests: approved, signed and cleared away.
#include "server/controllers/certificate_requests.h"

#include "pki/signing.h"
#include "server/auth/auth.h"
#include "tests/unit/server/controllers/fixture.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;

namespace {

const client::ResourceRef kRequests{"certificates.k8s.io", "v1", "certificatesigningrequests"};
constexpr const char* kClient = "kubernetes.io/kube-apiserver-client";
constexpr const char* kKubelet = "kubernetes.io/kube-apiserver-client-kubelet";
constexpr const char* kServing = "kubernetes.io/kubelet-serving";

struct Ask {
  std::string name = "system:node:a";
  std::vector<std::string> groups = {"system:nodes"};
  std::vector<std::string> dns = {}, ips = {};
  std::string signer = kKubelet;
  std::vector<std::string> usages = {"digital signature", "client auth"};
  std::string user = "system:node:a";
};

Json request(const Ask& ask) {
  pki::CertificateRequest r;
  r.common_name = ask.name;
  r.organizations = ask.groups;
  r.dns_names = ask.dns;
  r.ip_addresses = ask.ips;
  auto csr = pki::make_csr(pki::generate_key(), r);
  REQUIRE(csr.ok());
  return {{"kind", "CertificateSigningRequest"},
          {"metadata", {{"name", "r"}, {"namespace", ""}}},
          {"spec",
           {{"request", pki::base64_encode(*csr)},
            {"signerName", ask.signer},
            {"usages", ask.usages},
            {"username", ask.user},
            {"groups", {"system:nodes"}}}}};
}

Json with_condition(Json r, const char* type, int64_t seconds_ago = 0) {
  r["status"]["conditions"] =
      Json::array({{{"type", type}, {"status", "True"}, {"lastUpdateTime", ago(seconds_ago)}}});
  return r;
}

const CertificateSigning& signing() {
  static const CertificateSigning s{*pki::make_ca("clients", kNow), *pki::make_ca("servers", kNow),
                                    std::chrono::hours(1000)};
  return s;
}

Plan plan_of(const Controller& c, const Json& r) {
  MapView view;
  view.put(kRequests, r);
  return c.plan(view, {"", "r"}, kNow);
}

/// The certificate that a plan gives, or nothing.
std::optional<pki::CertificateInfo> issued(const Plan& plan) {
  if (plan.writes.size() != 1) return std::nullopt;
  CHECK(plan.writes[0].subresource == "status");
  auto pem = pki::base64_decode(base::string_at(*plan.writes[0].body, {"status", "certificate"}));
  if (!pem.ok() || pem->empty()) return std::nullopt;
  CHECK(pki::check_certificates(*pem).ok());
  auto info = pki::parse_certificate(*pem);
  REQUIRE(info.ok());
  return *info;
}

std::string failure(const Plan& plan) {
  if (plan.writes.size() != 1) return "";
  for (const Json& c : base::array_at(*plan.writes[0].body, {"status", "conditions"})) {
    if (c["type"] == "Failed") return c["reason"].get<std::string>() + ": " + c["message"].get<std::string>();
  }
  return "";
}

}  // namespace

TEST_CASE("kubelet client certificates are approved by right") {
  std::vector<std::string> asked;
  std::string granted;
  const Controller c = make_csr_approving_controller([&](const Attributes& a) {
    asked.push_back(a.user->name + " " + a.verb + " " + a.resource + "/" + a.subresource);
    return a.subresource == granted;
  });
  CHECK(plan_of(c, request({})).writes.empty());
  CHECK(asked == std::vector<std::string>{"system:node:a create certificatesigningrequests/selfnodeclient",
                                          "system:node:a create certificatesigningrequests/nodeclient"});
  // Rights may come later.
  CHECK(plan_of(c, request({})).requeue > base::Duration::zero());
  granted = "selfnodeclient";
  const Plan self = plan_of(c, request({}));
  REQUIRE(self.writes.size() == 1);
  CHECK(self.writes[0].subresource == "approval");
  CHECK((*self.writes[0].body)["status"]["conditions"][0]["message"] ==
        "Auto approving self kubelet client certificate after SubjectAccessReview.");
  Ask other;
  other.user = "bootstrapper";
  CHECK(plan_of(c, request(other)).writes.empty());
  granted = "nodeclient";
  CHECK(plan_of(c, request(other)).writes.size() == 1);
  // What is decided, of another signer, or no kubelet's, is left to people.
  asked.clear();
  CHECK(plan_of(c, with_condition(request({}), "Denied")).writes.empty());
  Ask serving;
  serving.signer = kServing;
  CHECK(plan_of(c, request(serving)).writes.empty());
  Ask user;
  user.groups = {"dev"};
  CHECK(plan_of(c, request(user)).writes.empty());
  Ask named;
  named.dns = {"a"};
  CHECK(plan_of(c, request(named)).writes.empty());
  CHECK(asked.empty());
}

TEST_CASE("approved requests are signed, as asked and no longer than allowed") {
  const Controller c = make_csr_signing_controller(signing());
  CHECK(plan_of(c, request({})).writes.empty());
  const auto info = issued(plan_of(c, with_condition(request({}), "Approved")));
  REQUIRE(info.has_value());
  CHECK(info->common_name == "system:node:a");
  CHECK(info->organizations == std::vector<std::string>{"system:nodes"});
  CHECK_FALSE(info->is_ca);
  CHECK(info->not_before == kNow - std::chrono::minutes(5));
  CHECK(info->not_after == kNow + std::chrono::hours(1000) - std::chrono::minutes(5));

  const auto life = [&](int64_t seconds) {
    Json r = with_condition(request({}), "Approved");
    r["spec"]["expirationSeconds"] = seconds;
    return std::chrono::duration_cast<std::chrono::seconds>(issued(plan_of(c, r))->not_after - kNow).count();
  };
  CHECK(life(3600) == 3600);
  CHECK(life(1) == 600);
  CHECK(life(8 * 3600) == 8 * 3600 - 300);
  CHECK(life(100'000'000) == 3'600'000 - 300);

  Ask serving;
  serving.signer = kServing;
  serving.dns = {"a.example"};
  serving.ips = {"10.0.0.1", "fd00::1"};
  serving.usages = {"key encipherment", "digital signature", "server auth"};
  const auto server = issued(plan_of(c, with_condition(request(serving), "Approved")));
  REQUIRE(server.has_value());
  CHECK(server->dns_names == serving.dns);
  CHECK(server->ip_addresses == serving.ips);

  Ask foreign;
  foreign.signer = "example.com/signer";
  CHECK(plan_of(c, with_condition(request(foreign), "Approved")).writes.empty());
  Json done = with_condition(request({}), "Approved");
  done["status"]["certificate"] = "eA==";
  CHECK(plan_of(c, done).writes.empty());
}

TEST_CASE("requests that break their signer's rules fail, in Kubernetes' words") {
  const Controller c = make_csr_signing_controller(signing());
  const auto said = [&](const Ask& ask) {
    return failure(plan_of(c, with_condition(request(ask), "Approved")));
  };
  const std::string head = "SignerValidationFailure: ";
  const std::vector<std::string> client = {"digital signature", "client auth"};
  const std::vector<std::string> server = {"digital signature", "server auth"};
  const std::vector<std::string> nodes = {"system:nodes"};
  CHECK(said({"system:node:a", {"x"}}) == head + "subject organization is not system:nodes");
  CHECK(said({"a", nodes}) == head + "subject common name does not begin with system:node:");
  CHECK(said({"system:node:a", nodes, {"d"}}) == head + "DNS subjectAltNames are not allowed");
  CHECK(said({"system:node:a", nodes, {}, {"1.2.3.4"}}) == head + "IP subjectAltNames are not allowed");
  CHECK(said({"system:node:a", nodes, {}, {}, kKubelet, server}) ==
        head + "usages did not match [client auth digital signature key encipherment]");
  CHECK(said({"system:node:a", nodes, {}, {}, kServing, server}) ==
        head + "DNS or IP subjectAltName is required");
  CHECK(said({"system:node:a", nodes, {"d"}, {}, kServing, client}) ==
        head + "usages did not match [digital signature key encipherment server auth]");
  CHECK(said({"a", {"x"}, {}, {}, kClient, server}) ==
        head + "invalid usage for client certificate: server auth");
  CHECK(said({"a", {"x"}, {}, {}, kClient, {"digital signature"}}) ==
        head + "missing required usage for client certificate: client auth");
  CHECK(said({"a", {"x"}, {}, {}, kClient, client}).empty());
}

TEST_CASE("old requests go") {
  const Controller c = make_csr_cleaner_controller();
  const auto goes = [&](Json r, int64_t created_ago) {
    r["metadata"]["creationTimestamp"] = ago(created_ago);
    const Plan plan = plan_of(c, r);
    CHECK((plan.writes.empty() == (plan.requeue > base::Duration::zero())));
    return !plan.writes.empty();
  };
  constexpr int64_t kHour = 3600;
  CHECK_FALSE(goes(request({}), 23 * kHour));
  CHECK(goes(request({}), 24 * kHour + 1));
  CHECK_FALSE(goes(with_condition(request({}), "Denied", kHour - 1), 48 * kHour));
  CHECK(goes(with_condition(request({}), "Denied", kHour + 1), 48 * kHour));
  CHECK(goes(with_condition(request({}), "Failed", kHour + 1), 48 * kHour));
  CHECK_FALSE(goes(with_condition(request({}), "Approved", kHour + 1), 48 * kHour));
  CHECK(goes(with_condition(request({}), "Approved", 24 * kHour + 1), 48 * kHour));
  Json issued = with_condition(request({}), "Approved", kHour + 1);
  issued["status"]["certificate"] = "eA==";
  CHECK(goes(issued, 48 * kHour));
  Json expired = with_condition(request({}), "Approved", 10);
  expired["status"]["certificate"] = pki::base64_encode(
      pki::issue(signing().client_ca, {"x", {}, {}, {}, false, true, std::chrono::seconds(-5)}, kNow)
          ->certificate_pem);
  CHECK(goes(expired, 20));
}
