// CertificateSigningRequests: CertificateApproval, CertificateSigning, CertificateSubjectRestriction.
#include <algorithm>

#include "api/go_text.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr std::string_view kGroup = "certificates.k8s.io";

/// May the user do this for the signer, or for all signers of its domain?
bool may(Authorizer& authorizer, const UserInfo& user, std::string_view verb, std::string_view signer) {
  Attributes a;
  a.user = &user;
  a.verb = verb;
  a.resource_request = true;
  a.group = kGroup;
  a.version = "*";
  a.resource = "signers";
  a.name = signer;
  if (authorizer.authorize(a).decision == Decision::kAllow) return true;
  a.name = base::cat(signer.substr(0, signer.find('/')), "/*");
  return authorizer.authorize(a).decision == Decision::kAllow;
}

bool is_update(const AdmissionRequest& r, std::string_view subresource) {
  return r.operation == Operation::kUpdate && r.subresource == subresource && r.user != nullptr &&
         is_resource(r, kGroup, "certificatesigningrequests");
}

class Approval final : public AdmissionPlugin {
 public:
  explicit Approval(Authorizer& authorizer) : authorizer_(authorizer) {}
  std::string_view name() const override { return "CertificateApproval"; }
  bool handles(const AdmissionRequest& r) const override { return is_update(r, "approval"); }
  base::Status validate(const AdmissionRequest& r) override {
    const std::string_view signer = base::string_at(*r.old_object, {"spec", "signerName"});
    if (may(authorizer_, *r.user, "approve", signer)) return {};
    return refuse(
        r, base::cat("user not permitted to approve requests with signerName ", api::go_quote(signer)));
  }

 private:
  Authorizer& authorizer_;
};

class Signing final : public AdmissionPlugin {
 public:
  explicit Signing(Authorizer& authorizer) : authorizer_(authorizer) {}
  std::string_view name() const override { return "CertificateSigning"; }
  bool handles(const AdmissionRequest& r) const override { return is_update(r, "status"); }
  base::Status validate(const AdmissionRequest& r) override {
    const bool same = base::string_at(*r.object, {"status", "certificate"}) ==
                          base::string_at(*r.old_object, {"status", "certificate"}) &&
                      base::array_at(*r.object, {"status", "conditions"}) ==
                          base::array_at(*r.old_object, {"status", "conditions"});
    if (same) return {};
    const std::string_view signer = base::string_at(*r.old_object, {"spec", "signerName"});
    if (may(authorizer_, *r.user, "sign", signer)) return {};
    return refuse(r,
                  base::cat("user not permitted to sign requests with signerName ", api::go_quote(signer)));
  }

 private:
  Authorizer& authorizer_;
};

class SubjectRestriction final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "CertificateSubjectRestriction"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.subresource.empty() &&
           is_resource(r, kGroup, "certificatesigningrequests");
  }
  base::Status validate(const AdmissionRequest& r) override {
    constexpr std::string_view kSigner = "kubernetes.io/kube-apiserver-client";
    if (base::string_at(*r.object, {"spec", "signerName"}) != kSigner) return {};
    const base::Result<std::string> pem = pki::base64_decode(base::string_at(*r.object, {"spec", "request"}));
    if (!pem.ok()) return refuse(r, base::cat("failed to parse CSR: ", pem.error().message()));
    const base::Result<pki::CertificateInfo> csr = pki::parse_csr(*pem);
    if (!csr.ok()) return refuse(r, base::cat("failed to parse CSR: ", csr.error().message()));
    const auto& groups = csr->organizations;
    if (std::find(groups.begin(), groups.end(), kGroupMasters) == groups.end()) return {};
    return refuse(r, base::cat("use of ", kSigner, " signer with system:masters group is not allowed"));
  }
};

/// What kube-apiserver does when it stores a request: whoever asks is who the request says.
class Requester final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "CertificateRequester"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.subresource.empty() && r.user != nullptr &&
           is_resource(r, kGroup, "certificatesigningrequests");
  }
  base::Status admit(AdmissionRequest& r) override {
    Json& spec = (*r.object)["spec"];
    if (!spec.is_object()) spec = Json::object();
    const Json user = user_to_json(*r.user);
    for (const char* key : {"username", "uid", "groups", "extra"}) {
      spec.erase(key);
      if (user.contains(key)) spec[key] = user[key];
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_certificate_requester() { return std::make_unique<Requester>(); }
std::unique_ptr<AdmissionPlugin> make_certificate_approval(Authorizer& authorizer) {
  return std::make_unique<Approval>(authorizer);
}
std::unique_ptr<AdmissionPlugin> make_certificate_signing(Authorizer& authorizer) {
  return std::make_unique<Signing>(authorizer);
}
std::unique_ptr<AdmissionPlugin> make_certificate_subject_restriction() {
  return std::make_unique<SubjectRestriction>();
}

}  // namespace orch::server
