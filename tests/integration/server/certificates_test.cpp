// Certificate requests through the API: approved by people or by right, signed, usable.
#include <thread>

#include "tests/integration/server/fixture.h"

using namespace orch;
using namespace orch::testing;

namespace {

const std::string kRequests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

Json signing_request(const std::string& name, const std::string& key, const pki::CertificateRequest& wanted,
                     const std::string& signer, std::vector<std::string> usages) {
  return {{"apiVersion", "certificates.k8s.io/v1"},
          {"kind", "CertificateSigningRequest"},
          {"metadata", {{"name", name}}},
          {"spec",
           {{"request", pki::base64_encode(*pki::make_csr(key, wanted))},
            {"signerName", signer},
            {"expirationSeconds", 3600},
            {"usages", std::move(usages)}}}};
}

/// What the controllers do takes a moment.
Json wait_for(const Control& control, const std::string& name, const std::function<bool(const Json&)>& done) {
  Json now;
  for (int i = 0; i < 200; ++i) {
    now = control.get(kRequests + "/" + name).tree();
    if (done(now)) return now;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  FAIL("still " << now.dump());
  return now;
}

bool has_certificate(const Json& r) { return !base::string_at(r, {"status", "certificate"}).empty(); }

Json approved(Json request) {
  request["status"]["conditions"] = Json::array(
      {{{"type", "Approved"}, {"status", "True"}, {"reason", "KubectlApprove"}, {"message", "by hand"}}});
  return request;
}

}  // namespace

TEST_CASE("a user's certificate is approved, signed and used") {
  const Control& control = shared();
  const std::string key = pki::generate_key();
  const Answer made = control.post(kRequests, signing_request("alice", key, {"alice", {"dev"}, {}, {}},
                                                              "kubernetes.io/kube-apiserver-client",
                                                              {"client auth", "digital signature"}));
  INFO(made.body);
  REQUIRE(made.status == 201);
  Json request = made.tree();
  CHECK(request["spec"]["username"] == "system:admin");
  CHECK(request["spec"]["groups"] == Json({"system:masters", "system:authenticated"}));
  // Not by the main resource, and not by status.
  CHECK(control.put(kRequests + "/alice", approved(request)).tree()["status"] == Json::object());
  check_error(control.put(kRequests + "/alice/status", approved(request)), 422, "Invalid",
              "updates may not add a condition of type \"Approved\"");
  const Answer approval = control.put(kRequests + "/alice/approval", approved(request));
  INFO(approval.body);
  REQUIRE(approval.status == 200);
  CHECK(approval.tree()["status"]["conditions"][0]["lastUpdateTime"].is_string());
  const Json done = wait_for(control, "alice", has_certificate);
  const std::string pem = *pki::base64_decode(base::string_at(done, {"status", "certificate"}));
  const Answer who = control.send_as(
      Credentials{{pem, key}, {}}, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
      R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})");
  REQUIRE(who.status == 201);
  CHECK(who.tree()["status"]["userInfo"]["username"] == "alice");
  CHECK(who.tree()["status"]["userInfo"]["groups"] == Json({"dev", "system:authenticated"}));
  // A decision stays.
  Json again = done;
  again["status"]["conditions"] = Json::array();
  check_error(control.put(kRequests + "/alice/approval", again), 422, "Invalid",
              "updates may not remove a condition of type \"Approved\"");
  CHECK(control.send("DELETE", kRequests + "/alice").status == 200);
}

TEST_CASE("a kubelet's client certificate needs nobody, if the requester has the right") {
  const Control& control = shared();
  const std::string key = pki::generate_key();
  const Json body =
      signing_request("node-a", key, {"system:node:a", {"system:nodes"}, {}, {}},
                      "kubernetes.io/kube-apiserver-client-kubelet", {"client auth", "digital signature"});
  REQUIRE(control.post(kRequests, body).status == 201);
  const Json done = wait_for(control, "node-a", has_certificate);
  CHECK(done["status"]["conditions"][0]["reason"] == "AutoApproved");
  CHECK(control.send("DELETE", kRequests + "/node-a").status == 200);
}

TEST_CASE("approved requests that their signer cannot sign fail") {
  const Control& control = shared();
  const Json body = signing_request("odd", pki::generate_key(), {"system:node:a", {"dev"}, {}, {}},
                                    "kubernetes.io/kubelet-serving", {"server auth", "digital signature"});
  const Answer made = control.post(kRequests, body);
  REQUIRE(made.status == 201);
  REQUIRE(control.put(kRequests + "/odd/approval", approved(made.tree())).status == 200);
  const Json done = wait_for(control, "odd", [](const Json& r) {
    return base::array_at(r, {"status", "conditions"}).size() == 2;
  });
  CHECK(done["status"]["conditions"][1]["message"] == "subject organization is not system:nodes");
  CHECK(control.send("DELETE", kRequests + "/odd").status == 200);
  check_error(
      control.post(kRequests, signing_request("m", pki::generate_key(), {"x", {"system:masters"}, {}, {}},
                                              "kubernetes.io/kube-apiserver-client", {"client auth"})),
      403, "Forbidden", "signer with system:masters group is not allowed");
}
