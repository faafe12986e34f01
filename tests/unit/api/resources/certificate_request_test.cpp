// CertificateSigningRequest: who asks is written down, requests are checked, decisions stay.
#include "api/resources/strategies.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "pki/pki.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;
using orch::testing::contains;

namespace {

const Strategy& strategy() {
  static const auto schema = Schema::builtin();
  static const auto found = strategy_for("certificates.k8s.io", "CertificateSigningRequest", *schema);
  return *found;
}

Json request() {
  static const std::string pem = *pki::make_csr(pki::generate_key(), {"alice", {"dev"}, {}, {}});
  return {{"metadata", {{"name", "r"}}},
          {"spec",
           {{"request", pki::base64_encode(pem)},
            {"signerName", "example.com/s"},
            {"usages", {"client auth", "digital signature"}}}},
          {"status", Json::object()}};
}

Json decided(const char* type, const char* status = "True") {
  Json r = request();
  r["status"]["conditions"] = Json::array({{{"type", type}, {"status", status}}});
  return r;
}

std::string problems(const Json& r) {
  FieldErrors errors;
  strategy().validate(r, errors);
  return errors.empty() ? std::string() : errors.text();
}

using Validate = std::function<void(const Json&, const Json&, FieldErrors&)>;
std::string problems(const Validate& validate, const Json& r, const Json& old) {
  FieldErrors errors;
  validate(r, old, errors);
  return errors.empty() ? std::string() : errors.text();
}

const base::WallTime kNow(std::chrono::seconds(1767225600));
const std::string kTime = "2026-01-01T00:00:00Z";

}  // namespace

TEST_CASE("nobody asks for a certificate that is there already") {
  Json r = request();
  r["status"] = {{"certificate", "eA=="}};
  strategy().prepare_create(r, {kNow, "bob"});
  CHECK(r["status"] == Json::object());
}

TEST_CASE("requests are checked") {
  CHECK(problems(request()) == "");
  const auto with = [](const char* key, Json value) {
    Json r = request();
    r["spec"][key] = std::move(value);
    return problems(r);
  };
  CHECK_THAT(with("request", "eA=="),
             contains("spec.request: Invalid value: \"eA==\": PEM block type must be "
                      "CERTIFICATE REQUEST"));
  CHECK_THAT(with("usages", Json::array()), contains("spec.usages: Required value"));
  CHECK_THAT(with("usages", {"flying"}), contains("spec.usages[0]: Unsupported value: \"flying\""));
  CHECK_THAT(with("usages", {"any", "any"}), contains("spec.usages[1]: Duplicate value: \"any\""));
  CHECK_THAT(with("signerName", "kubernetes.io/legacy-unknown"),
             contains("the legacy signerName is not allowed via this API version"));
  CHECK_THAT(with("signerName", "nothing"), contains("spec.signerName"));
  CHECK_THAT(with("expirationSeconds", 599),
             contains("may not specify a duration less than 600 seconds (10 minutes)"));
  CHECK(with("expirationSeconds", 600) == "");
}

TEST_CASE("decisions go through approval, certificates through status") {
  const auto& approval = strategy().subresource_updates.at("approval");
  Json r = decided("Approved");
  r["spec"]["signerName"] = "example.com/other";
  r["status"]["certificate"] = "eA==";
  approval.prepare(r, request(), {kNow, "x"});
  CHECK(r["spec"] == request()["spec"]);
  CHECK_FALSE(r["status"].contains("certificate"));
  CHECK(r["status"]["conditions"][0]["lastUpdateTime"] == kTime);
  CHECK(r["status"]["conditions"][0]["lastTransitionTime"] == kTime);
  CHECK(problems(approval.validate, r, request()) == "");
  Json both = r;
  both["status"]["conditions"].push_back({{"type", "Denied"}, {"status", "True"}});
  CHECK_THAT(problems(approval.validate, both, r),
             contains("Approved and Denied conditions are mutually exclusive"));
  CHECK_THAT(problems(approval.validate, request(), r),
             contains("updates may not remove a condition of type \"Approved\""));
  CHECK_THAT(
      problems(approval.validate, decided("Denied", "False"), request()),
      contains("status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\""));

  const Validate& status = strategy().validate_status_update;
  CHECK_THAT(problems(status, r, request()),
             contains("updates may not add a condition of type \"Approved\""));
  Json later = r;
  later["status"]["conditions"][0]["message"] = "changed";
  CHECK_THAT(problems(status, later, r), contains("updates may not modify a condition of type \"Approved\""));
  Json bare = decided("Approved");
  strategy().prepare_status_update(bare, r, {kNow, "x"});
  CHECK(problems(status, bare, r) == "");
  Json failed = decided("Failed");
  CHECK(problems(status, failed, request()) == "");
  CHECK_THAT(problems(status, request(), failed), contains("may not remove a condition of type \"Failed\""));

  const std::string pem = pki::make_ca("x", kNow)->certificate_pem;
  Json certified = request();
  certified["status"]["certificate"] = pki::base64_encode(pem);
  CHECK(problems(status, certified, request()) == "");
  CHECK_THAT(problems(strategy().validate_update, certified, request()),
             contains("status.certificate: Forbidden: updates may not set certificate content"));
  Json other = certified;
  other["status"]["certificate"] = pki::base64_encode(pem + pem);
  CHECK_THAT(problems(status, other, certified),
             contains("updates may not modify existing certificate content"));
  Json rubbish = request();
  rubbish["status"]["certificate"] = pki::base64_encode("x");
  CHECK_THAT(problems(status, rubbish, request()),
             contains("\"<certificate data>\": must contain at least one CERTIFICATE PEM block"));
  rubbish["status"]["certificate"] = pki::base64_encode(pki::generate_key());
  CHECK_THAT(problems(status, rubbish, request()), contains("only CERTIFICATE PEM blocks are allowed"));
}
