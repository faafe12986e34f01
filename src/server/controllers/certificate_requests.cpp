#include "server/controllers/certificate_requests.h"

#include <algorithm>
#include <set>

#include "api/meta.h"
#include "base/json.h"
#include "base/log.h"
#include "pki/signing.h"

namespace orch::server {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const client::ResourceRef kRequests{"certificates.k8s.io", "v1", "certificatesigningrequests"};

constexpr std::string_view kClient = "kubernetes.io/kube-apiserver-client";
constexpr std::string_view kKubeletClient = "kubernetes.io/kube-apiserver-client-kubelet";
constexpr std::string_view kKubeletServing = "kubernetes.io/kubelet-serving";
constexpr std::string_view kLegacy = "kubernetes.io/legacy-unknown";

using Usages = std::set<std::string>;

Usages usages_of(const Json& list) {
  Usages out;
  for (const Json& u : list) {
    if (u.is_string()) out.insert(u.get<std::string>());
  }
  return out;
}

std::string kubelet_problem(const pki::CertificateInfo& request, const Usages& usages, bool serving) {
  if (request.organizations != std::vector<std::string>{std::string(kGroupNodes)})
    return "subject organization is not system:nodes";
  if (serving && request.dns_names.empty() && request.ip_addresses.empty())
    return "DNS or IP subjectAltName is required";
  if (!serving && !request.dns_names.empty()) return "DNS subjectAltNames are not allowed";
  if (!request.email_addresses.empty()) return "Email subjectAltNames are not allowed";
  if (!serving && !request.ip_addresses.empty()) return "IP subjectAltNames are not allowed";
  if (!request.uris.empty()) return "URI subjectAltNames are not allowed";
  const std::string auth = serving ? "server auth" : "client auth";
  const bool right = usages == Usages{"digital signature", "key encipherment", auth} ||
                     usages == Usages{"digital signature", auth};
  // Both are said when both are wrong in Kubernetes' order, which differs.
  const bool named = request.common_name.rfind("system:node:", 0) == 0;
  std::string unnamed = "subject common name does not begin with system:node:";
  if (!serving && !named) return unnamed;
  if (!right) {
    return serving ? "usages did not match [digital signature key encipherment server auth]"
                   : "usages did not match [client auth digital signature key encipherment]";
  }
  return named ? std::string() : unnamed;
}

std::string client_problem(const Json& usages) {
  bool client = false;
  for (const Json& u : usages) {
    client |= u == "client auth";
    if (u != "client auth" && u != "digital signature" && u != "key encipherment")
      return base::cat("invalid usage for client certificate: ",
                       u.is_string() ? u.get<std::string>() : std::string());
  }
  return client ? std::string() : std::string("missing required usage for client certificate: client auth");
}

struct Bit {
  std::string_view usage;
  unsigned bit;
};
constexpr Bit kBits[] = {
    {"signing", pki::kDigitalSignature},
    {"digital signature", pki::kDigitalSignature},
    {"content commitment", pki::kContentCommitment},
    {"key encipherment", pki::kKeyEncipherment},
    {"key agreement", pki::kKeyAgreement},
    {"data encipherment", pki::kDataEncipherment},
    {"cert sign", pki::kCertSign},
    {"crl sign", pki::kCrlSign},
    {"encipher only", pki::kEncipherOnly},
    {"decipher only", pki::kDecipherOnly},
};
struct Purpose {
  std::string_view usage, oid;
};
/// In the order in which certificates list them.
constexpr Purpose kPurposes[] = {
    {"any", "2.5.29.37.0"},
    {"server auth", "1.3.6.1.5.5.7.3.1"},
    {"client auth", "1.3.6.1.5.5.7.3.2"},
    {"code signing", "1.3.6.1.5.5.7.3.3"},
    {"email protection", "1.3.6.1.5.5.7.3.4"},
    {"s/mime", "1.3.6.1.5.5.7.3.4"},
    {"ipsec end system", "1.3.6.1.5.5.7.3.5"},
    {"ipsec tunnel", "1.3.6.1.5.5.7.3.6"},
    {"ipsec user", "1.3.6.1.5.5.7.3.7"},
    {"timestamping", "1.3.6.1.5.5.7.3.8"},
    {"ocsp signing", "1.3.6.1.5.5.7.3.9"},
    {"microsoft sgc", "1.3.6.1.4.1.311.10.3.3"},
    {"netscape sgc", "2.16.840.1.113730.4.1"},
};

void set_usages(const Usages& usages, pki::SigningPolicy& policy) {
  for (const Bit& b : kBits) {
    if (usages.count(std::string(b.usage)) != 0) policy.key_usage |= b.bit;
  }
  for (const Purpose& p : kPurposes) {
    const bool wanted = usages.count(std::string(p.usage)) != 0;
    const bool there = !policy.extended_usage.empty() && policy.extended_usage.back() == p.oid;
    if (wanted && !there) policy.extended_usage.emplace_back(p.oid);
  }
}

/// Backdated for clocks that are behind, never longer than the CA's own life.
base::Result<std::string> sign(const pki::KeyPair& ca, const std::string& request, const Json& spec,
                               seconds longest, base::WallTime now) {
  constexpr minutes kBackdate{5}, kShortest{10};
  seconds life = longest;
  if (const Json* asked = base::find_path(spec, {"expirationSeconds"});
      asked != nullptr && asked->is_number_integer()) {
    life = std::min(longest, std::max<seconds>(kShortest, seconds(asked->get<int64_t>())));
  }
  pki::SigningPolicy policy;
  set_usages(usages_of(base::array_at(spec, {"usages"})), policy);
  policy.not_before = now - kBackdate;
  policy.not_after = now + life;
  if (life >= hours(8)) policy.not_after -= kBackdate;
  auto issuer = pki::parse_certificate(ca.certificate_pem);
  if (!issuer.ok()) return issuer.error();
  policy.not_after = std::min(policy.not_after, issuer->not_after);
  if (now >= issuer->not_after) return base::Status(base::Code::kInternal, "the signer has expired");
  return pki::sign_request(ca, request, policy);
}

bool has_condition(const Json& request, std::string_view type) {
  for (const Json& c : base::array_at(request, {"status", "conditions"})) {
    if (base::string_at(c, {"type"}) == type && base::string_at(c, {"status"}) == "True") return true;
  }
  return false;
}

void add_condition(Json& request, std::string_view type, std::string_view reason, std::string_view message) {
  Json& conditions = request["status"]["conditions"];
  if (!conditions.is_array()) conditions = Json::array();
  conditions.push_back({{"type", type}, {"status", "True"}, {"reason", reason}, {"message", message}});
}

std::string request_pem(const Json& request) {
  auto pem = pki::base64_decode(base::string_at(request, {"spec", "request"}));
  return pem.ok() ? std::move(*pem) : std::string();
}

/// Rights may be given later: looked at again, ever more rarely.
base::Duration patience(const Json& request, base::WallTime now) {
  const base::Duration age = now - api::creation_time(request);
  return std::clamp<base::Duration>(age, seconds(1), seconds(1000));
}

/// Who asked, as the request says.
UserInfo requester(const Json& spec) {
  UserInfo user;
  user.name = base::string_at(spec, {"username"});
  user.uid = base::string_at(spec, {"uid"});
  for (const Json& g : base::array_at(spec, {"groups"})) {
    if (g.is_string()) user.groups.push_back(g.get<std::string>());
  }
  for (const auto& [key, values] : base::object_at(spec, {"extra"}).items()) {
    for (const Json& v : values) {
      if (v.is_string()) user.extra[key].push_back(v.get<std::string>());
    }
  }
  return user;
}

Plan approve(const View& view, const Key& key, base::WallTime now,
             const std::function<bool(const Attributes&)>& may) {
  Plan plan;
  const api::ObjectPtr object = view.get(kRequests, "", key.name);
  if (!object || object->deleting()) return plan;
  Json request = object->tree();
  const Json spec = base::object_at(request, {"spec"});
  if (base::string_at(spec, {"signerName"}) != kKubeletClient) return plan;
  if (!base::string_at(request, {"status", "certificate"}).empty()) return plan;
  if (has_condition(request, "Approved") || has_condition(request, "Denied")) return plan;
  auto csr = pki::parse_csr(request_pem(request));
  if (!csr.ok() || !kubelet_problem(*csr, usages_of(base::array_at(spec, {"usages"})), false).empty())
    return plan;
  const UserInfo user = requester(spec);
  Attributes a;
  a.user = &user;
  a.verb = "create";
  a.resource_request = true;
  a.group = "certificates.k8s.io";
  a.version = "*";
  a.resource = "certificatesigningrequests";
  struct Way {
    bool applies;
    const char *subresource, *message;
  };
  for (const Way& way :
       {Way{user.name == csr->common_name, "selfnodeclient",
            "Auto approving self kubelet client certificate after SubjectAccessReview."},
        Way{true, "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."}}) {
    a.subresource = way.subresource;
    if (!way.applies || !may(a)) continue;
    add_condition(request, "Approved", "AutoApproved", way.message);
    return plan.update(kRequests, std::move(request), "approval");
  }
  return plan.again_after(patience(request, now));
}

Plan sign_approved(const View& view, const Key& key, base::WallTime now, const CertificateSigning& signing) {
  Plan plan;
  const api::ObjectPtr object = view.get(kRequests, "", key.name);
  if (!object || object->deleting()) return plan;
  Json request = object->tree();
  const Json spec = base::object_at(request, {"spec"});
  const std::string_view signer = base::string_at(spec, {"signerName"});
  const bool servers = signer == kKubeletServing || signer == kLegacy;
  if (!servers && signer != kClient && signer != kKubeletClient) return plan;
  if (!base::string_at(request, {"status", "certificate"}).empty()) return plan;
  if (!has_condition(request, "Approved") || has_condition(request, "Denied") ||
      has_condition(request, "Failed"))
    return plan;
  const std::string pem = request_pem(request);
  auto csr = pki::parse_csr(pem);
  if (!csr.ok()) return plan;
  if (const std::string why = signer_problem(signer, *csr, base::array_at(spec, {"usages"})); !why.empty()) {
    add_condition(request, "Failed", "SignerValidationFailure", why);
    return plan.update(kRequests, std::move(request), "status");
  }
  auto certificate = sign(servers ? signing.server_ca : signing.client_ca, pem, spec, signing.duration, now);
  if (!certificate.ok()) {
    base::log_error("csrsigning", "cannot sign",
                    {{"request", key.name}, {"reason", certificate.error().message()}});
    return plan.again_after(minutes(1));
  }
  request["status"]["certificate"] = pki::base64_encode(*certificate);
  return plan.update(kRequests, std::move(request), "status");
}

/// When the request has no more use; nothing while that is not known.
std::optional<base::WallTime> useless_at(const Json& request) {
  constexpr hours kDecided{1}, kPending{24};
  std::optional<base::WallTime> at;
  const auto until = [&at](base::WallTime t) { at = at ? std::min(*at, t) : t; };
  const std::string_view certificate = base::string_at(request, {"status", "certificate"});
  const Json& conditions = base::array_at(request, {"status", "conditions"});
  if (conditions.empty()) until(api::creation_time(request) + kPending);
  for (const Json& c : conditions) {
    const std::string_view type = base::string_at(c, {"type"});
    auto updated = base::parse_time(base::string_at(c, {"lastUpdateTime"}));
    const bool approved = type == "Approved";
    if (updated.ok() && (type == "Denied" || type == "Failed" || approved))
      until(*updated + (approved && certificate.empty() ? kPending : kDecided));
    if (!approved || certificate.empty()) continue;
    auto pem = pki::base64_decode(certificate);
    if (!pem.ok()) continue;
    if (auto info = pki::parse_certificate(*pem); info.ok()) until(info->not_after);
  }
  return at;
}

Plan clean(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr object = view.get(kRequests, "", key.name);
  if (!object || object->deleting()) return plan;
  const std::optional<base::WallTime> due = useless_at(object->tree());
  if (!due) return plan;
  if (*due < now) return plan.remove(kRequests, *object);
  return plan.again_after(*due - now + seconds(1));
}

Controller of_requests(std::string name) {
  Controller c;
  c.name = std::move(name);
  c.sources = {{kRequests, own_key, {}}};
  return c;
}

}  // namespace

std::string signer_problem(std::string_view signer, const pki::CertificateInfo& request, const Json& usages) {
  if (signer == kKubeletServing) return kubelet_problem(request, usages_of(usages), true);
  if (signer == kKubeletClient) return kubelet_problem(request, usages_of(usages), false);
  if (signer == kClient) return client_problem(usages);
  return {};
}

Controller make_csr_approving_controller(std::function<bool(const Attributes&)> may) {
  Controller c = of_requests("csrapproving");
  c.plan = [may = std::move(may)](const View& view, const Key& key, base::WallTime now) {
    return approve(view, key, now, may);
  };
  return c;
}

Controller make_csr_signing_controller(CertificateSigning signing) {
  Controller c = of_requests("csrsigning");
  c.plan = [signing = std::move(signing)](const View& view, const Key& key, base::WallTime now) {
    return sign_approved(view, key, now, signing);
  };
  return c;
}

Controller make_csr_cleaner_controller() {
  Controller c = of_requests("csrcleaner");
  c.plan = clean;
  return c;
}

}  // namespace orch::server
