// Storage and ingress classes, finalizers, certificates, RBAC escalation, the chain.
#include "pki/pki.h"
#include "server/admission/defaults.h"
#include "server/auth/authorizers.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using Operation = TestRequest::Operation;

namespace {

void put_class(FakeLookup& lookup, const char* resource, const char* annotation, const char* name,
               const char* created, bool expand = false) {
  lookup.put(
      resource,
      object(Json{{"apiVersion", "x/v1"},
                  {"kind", "Class"},
                  {"metadata",
                   {{"name", name}, {"creationTimestamp", created}, {"annotations", {{annotation, "true"}}}}},
                  {"allowVolumeExpansion", expand}}));
}

}  // namespace

TEST_CASE("claims and ingresses get the newest default class") {
  FakeLookup lookup;
  auto storage = make_default_storage_class(lookup);
  const auto claim = [&](const char* spec) {
    TestRequest r(Operation::kCreate, "", "PersistentVolumeClaim", "persistentvolumeclaims", "ns",
                  Json{{"metadata", {{"name", "d"}}}, {"spec", json(spec)}});
    CHECK(r.run(*storage).empty());
    return std::string(base::string_at(r.object(), {"spec", "storageClassName"}, "none"));
  };
  CHECK(claim("{}") == "none");
  const char* annotation = "storageclass.kubernetes.io/is-default-class";
  put_class(lookup, "storageclasses.storage.k8s.io", annotation, "old", "2026-01-01T00:00:00Z");
  put_class(lookup, "storageclasses.storage.k8s.io", annotation, "zoo", "2026-01-02T00:00:00Z");
  put_class(lookup, "storageclasses.storage.k8s.io", annotation, "new", "2026-01-02T00:00:00Z");
  CHECK(claim("{}") == "new");
  CHECK(claim(R"({"storageClassName":""})").empty());
  CHECK(claim(R"({"storageClassName":"mine"})") == "mine");

  auto ingress_class = make_default_ingress_class(lookup);
  put_class(lookup, "ingressclasses.networking.k8s.io", "ingressclass.kubernetes.io/is-default-class", "web",
            "2026-01-01T00:00:00Z");
  TestRequest ingress(Operation::kCreate, "networking.k8s.io", "Ingress", "ingresses", "ns",
                      json(R"({"metadata":{"name":"i"},"spec":{}})"));
  CHECK(ingress.run(*ingress_class).empty());
  CHECK(ingress.object()["spec"]["ingressClassName"] == "web");
}

TEST_CASE("volumes and claims are protected while in use") {
  auto plugin = make_storage_protection();
  struct Row {
    const char *group, *kind, *plural, *finalizer;
  };
  for (const Row& row :
       {Row{"", "PersistentVolume", "persistentvolumes", "kubernetes.io/pv-protection"},
        Row{"", "PersistentVolumeClaim", "persistentvolumeclaims", "kubernetes.io/pvc-protection"},
        Row{"storage.k8s.io", "VolumeAttributesClass", "volumeattributesclasses",
            "kubernetes.io/vac-protection"}}) {
    TestRequest r(Operation::kCreate, row.group, row.kind, row.plural, "",
                  json(R"({"metadata":{"name":"x"}})"));
    CHECK(r.run(*plugin).empty());
    CHECK(r.run(*plugin).empty());
    CHECK(r.object()["metadata"]["finalizers"] == Json::array({row.finalizer}));
  }
}

TEST_CASE("claims grow where their class allows it") {
  FakeLookup lookup;
  put_class(lookup, "storageclasses.storage.k8s.io", "x", "fix", "2026-01-01T00:00:00Z", false);
  put_class(lookup, "storageclasses.storage.k8s.io", "x", "grow", "2026-01-01T00:00:00Z", true);
  auto plugin = make_claim_resize(lookup);
  const auto resize = [&](const char* class_name, const char* phase, const char* size) {
    const auto claim = [&](const char* storage) {
      return Json{
          {"metadata", {{"name", "d"}}},
          {"spec", {{"storageClassName", class_name}, {"resources", {{"requests", {{"storage", storage}}}}}}},
          {"status", {{"phase", phase}}}};
    };
    TestRequest r(Operation::kUpdate, "", "PersistentVolumeClaim", "persistentvolumeclaims", "ns",
                  claim(size), claim("1Gi"));
    return r.run(*plugin);
  };
  CHECK(resize("grow", "Bound", "2Gi").empty());
  CHECK(resize("fix", "Bound", "1024Mi").empty());
  CHECK_THAT(resize("fix", "Bound", "2Gi"), contains("only dynamically provisioned pvc can be resized"));
  CHECK_THAT(resize("grow", "Pending", "2Gi"),
             contains("Only bound persistent volume claims can be expanded"));
}

TEST_CASE("certificates need the right for their signer") {
  MastersAuthorizer masters;
  auto approval = make_certificate_approval(masters);
  auto signing = make_certificate_signing(masters);
  const Json csr = json(R"({"metadata":{"name":"x"},"spec":{"signerName":"a.b/c"}})");
  TestRequest approve(Operation::kUpdate, "certificates.k8s.io", "CertificateSigningRequest",
                      "certificatesigningrequests", "", csr, csr);
  approve->subresource = "approval";
  CHECK(approve.run(*approval) ==
        "certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: user not permitted "
        "to approve requests with signerName \"a.b/c\"");
  approve.requester().groups = {"system:masters"};
  CHECK(approve.run(*approval).empty());
  Json issued = csr;
  issued["status"]["certificate"] = "Zm9v";
  TestRequest sign(Operation::kUpdate, "certificates.k8s.io", "CertificateSigningRequest",
                   "certificatesigningrequests", "", issued, csr);
  sign->subresource = "status";
  CHECK_THAT(sign.run(*signing), contains("user not permitted to sign requests"));
  TestRequest same(Operation::kUpdate, "certificates.k8s.io", "CertificateSigningRequest",
                   "certificatesigningrequests", "", csr, csr);
  same->subresource = "status";
  CHECK(same.run(*signing).empty());

  auto subject = make_certificate_subject_restriction();
  pki::CertificateRequest wish;
  wish.common_name = "me";
  wish.organizations = {"system:masters"};
  const std::string request = pki::base64_encode(*pki::make_csr(pki::generate_key(), wish));
  TestRequest masters_csr(
      Operation::kCreate, "certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests",
      "",
      Json{{"metadata", {{"name", "x"}}},
           {"spec", {{"signerName", "kubernetes.io/kube-apiserver-client"}, {"request", request}}}});
  CHECK_THAT(masters_csr.run(*subject), contains("signer with system:masters group is not allowed"));
}

TEST_CASE("the default chain admits a plain pod and refuses an escalation") {
  FakeLookup lookup;
  MastersAuthorizer masters;
  RbacAuthorizer rbac;
  base::FakeClock clock;
  ServiceAccountHooks hooks;
  hooks.entropy = [] { return 1U; };
  hooks.wait = [](base::Duration) {};
  AdmissionChain chain;
  add_default_plugins(
      chain, {lookup, masters, rbac, clock,
              [](const Json&) { return base::Status(base::Code::kInternal, "no quota here"); }, hooks});
  lookup.put("namespaces", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"ns"}})");
  lookup.put("serviceaccounts",
             R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default","namespace":"ns"}})");
  auto r = create_pod(pod_with());
  REQUIRE(chain.admit(**r).ok());
  REQUIRE(chain.validate(**r).ok());
  const Json& spec = r->object()["spec"];
  CHECK(spec["serviceAccountName"] == "default");
  CHECK(spec["priority"] == 0);
  CHECK(spec["tolerations"].size() == 2);
  CHECK(spec["volumes"].size() == 1);

  TestRequest role(
      Operation::kCreate, "rbac.authorization.k8s.io", "ClusterRole", "clusterroles", "",
      json(R"({"metadata":{"name":"all"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]})"));
  REQUIRE(chain.admit(*role).ok());
  CHECK_THAT(chain.validate(*role).message(),
             contains("is attempting to grant RBAC permissions not currently held"));
}
