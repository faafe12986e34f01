// Plugins that run when asked for, and how the selection is read.
#include "server/admission/optional_plugins.h"

#include <stdlib.h>

#include "base/file.h"
#include "server/admission/plugins.h"
#include "server/admission/selection.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using Operation = TestRequest::Operation;

TEST_CASE("AlwaysPullImages") {
  auto plugin = make_always_pull_images();
  auto pod = create_pod(pod_with(R"({"initContainers":[{"name":"i","image":"x"}],
                                     "volumes":[{"name":"v","image":{"reference":"r"}}]})",
                                 R"({"imagePullPolicy":"Never"})"));
  CHECK(pod->run(*plugin).empty());
  CHECK(pod->object()["spec"]["containers"][0]["imagePullPolicy"] == "Always");
  CHECK(pod->object()["spec"]["initContainers"][0]["imagePullPolicy"] == "Always");
  CHECK(pod->object()["spec"]["volumes"][0]["image"]["pullPolicy"] == "Always");
  pod->object()["spec"]["containers"][0]["imagePullPolicy"] = "Never";
  CHECK(
      plugin->validate(**pod).message() ==
      "pods \"p\" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: \"Never\": supported "
      "values: \"Always\"");
  TestRequest same(Operation::kUpdate, "", "Pod", "pods", "ns", pod_with(), pod_with());
  CHECK_FALSE(plugin->handles(*same));
}

TEST_CASE("DenyServiceExternalIPs") {
  auto plugin = make_deny_external_ips();
  const auto service = [](const char* spec) {
    return Json{{"metadata", {{"name", "s"}}}, {"spec", json(spec)}};
  };
  const Json with = service(R"({"externalIPs":["1.2.3.4"]})"), without = service("{}");
  TestRequest create(Operation::kCreate, "", "Service", "services", "ns", with);
  CHECK(create.run(*plugin) ==
        "services \"s\" is forbidden: Use of external IPs is denied by admission control");
  TestRequest plain(Operation::kCreate, "", "Service", "services", "ns", without);
  CHECK(plain.run(*plugin).empty());
  TestRequest kept(Operation::kUpdate, "", "Service", "services", "ns", with, with);
  CHECK(kept.run(*plugin).empty());
  TestRequest added(Operation::kUpdate, "", "Service", "services", "ns", with, without);
  CHECK_FALSE(added.run(*plugin).empty());
}

TEST_CASE("the other optional plugins") {
  auto pod = create_pod(pod_with());
  CHECK(pod->run(*make_always_admit()).empty());
  CHECK(pod->run(*make_always_deny()) ==
        "pods \"p\" is forbidden: admission control is denying all modifications");
  FakeLookup lookup;
  CHECK(pod->run(*make_namespace_exists(lookup)) == "namespaces \"ns\" not found");
  lookup.put("namespaces", simple_object("Namespace", "", "ns", "1"));
  CHECK(pod->run(*make_namespace_exists(lookup)).empty());

  auto extended = create_pod(pod_with("{}", R"({"resources":{"requests":{"cpu":"1","acme.com/gpu":"1"}}})"));
  CHECK(extended->run(*make_extended_resource_toleration()).empty());
  CHECK(extended->object()["spec"]["tolerations"] ==
        json(R"([{"key":"acme.com/gpu","operator":"Exists","effect":"NoSchedule"}])"));
  CHECK(extended->run(*make_extended_resource_toleration()).empty());
  CHECK(extended->object()["spec"]["tolerations"].size() == 1);

  const auto apart = [](const char* key) {
    Json pod = pod_with();
    pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        Json::array({{{"topologyKey", key}}});
    return create_pod(pod)->run(*make_limit_anti_affinity());
  };
  CHECK(apart("kubernetes.io/hostname").empty());
  CHECK(apart("zone") ==
        "pods \"p\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but "
        "only "
        "key kubernetes.io/hostname is allowed");
}

TEST_CASE("certificate requests say who asks") {
  TestRequest r(
      Operation::kCreate, "certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests",
      "", json(R"({"spec":{"username":"root","groups":["system:masters"],"extra":{"a":["b"]},"uid":"1"}})"));
  r.requester().name = "bob";
  r.requester().groups = {"dev"};
  CHECK(r.run(*make_certificate_requester()).empty());
  CHECK(r.object() == json(R"({"spec":{"username":"bob","groups":["dev"]}})"));
}

TEST_CASE("which plugins run") {
  AdmissionSelection s;
  CHECK(s.runs("PodSecurity"));
  CHECK_FALSE(s.runs("AlwaysPullImages"));
  CHECK(s.runs("RbacEscalation"));
  s.enable = {"AlwaysPullImages", "NodeRestriction"};
  s.disable = {"PodSecurity", "ImagePolicyWebhook"};
  CHECK(s.check().ok());
  CHECK(s.runs("AlwaysPullImages"));
  CHECK_FALSE(s.runs("PodSecurity"));
  s.disable = {"AlwaysPullImages"};
  CHECK(s.check().message() ==
        "[AlwaysPullImages] in enable-admission-plugins and disable-admission-plugins overlapped");
  s.disable = {"Nothing"};
  CHECK(s.check().message() == "disable-admission-plugins plugins \"Nothing\" are unknown");
  s = {};
  s.enable = {"ImagePolicyWebhook"};
  CHECK(s.check().message() == "enable-admission-plugins: orch does not have the plugin ImagePolicyWebhook");
}

TEST_CASE("the admission control configuration") {
  std::string folder = "/var/tmp/orch-adm-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const auto read = [&](const std::string& text, AdmissionSelection& s) {
    REQUIRE(base::write_file_atomic(folder + "/a.yaml", text).ok());
    return read_admission_config(folder + "/a.yaml", s).message();
  };
  const std::string head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
  const std::string security =
      "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n"
      "defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}\n"
      "exemptions: {usernames: [bob], namespaces: [kube-system], runtimeClasses: [vm]}\n";
  REQUIRE(base::write_file_atomic(folder + "/ps.yaml", security).ok());
  AdmissionSelection s;
  CHECK(read(head + "- name: PodSecurity\n  path: ps.yaml\n", s).empty());
  CHECK(s.pod_security.defaults.enforce.text() == "baseline:v1.30");
  CHECK(s.pod_security.defaults.warn.text() == "restricted:latest");
  CHECK(s.pod_security.exempt_namespaces == std::vector<std::string>{"kube-system"});
  CHECK_THAT(read(head + "- name: EventRateLimit\n  configuration: {kind: X}\n", s),
             contains("orch takes no configuration for"));
  CHECK_THAT(read(head + "- name: PodSecurity\n  path: none.yaml\n", s), contains("none.yaml"));
  CHECK_THAT(read("kind: Pod\n", s), contains("not of kind AdmissionConfiguration"));
  CHECK_THAT(
      read(head + "- name: PodSecurity\n  configuration:\n    kind: PodSecurityConfiguration\n    defaults: "
                  "{enforce: strict}\n    exemptions: {namespaces: [A, b, b], usernames: ['']}\n",
           s),
      contains(
          "defaults.enforce: Invalid value: \"strict\": must be one of privileged, baseline, restricted"));
  (void)base::remove_all(folder);
}

TEST_CASE("defaults and exemptions of PodSecurity") {
  FakeLookup lookup;
  for (const char* ns : {"ns", "free"}) lookup.put("namespaces", simple_object("Namespace", "", ns, ns));
  pod_security::Settings settings;
  settings.defaults.enforce.level = pod_security::Level::kBaseline;
  settings.exempt_namespaces = {"free"};
  settings.exempt_users = {"admin"};
  settings.exempt_runtime_classes = {"vm"};
  auto plugin = make_pod_security(lookup, settings);
  const Json pod = pod_with(R"({"hostNetwork":true})");
  auto plain = create_pod(pod);
  CHECK_THAT(plain->run(*plugin), contains("violates PodSecurity \"baseline:latest\": host namespaces"));
  plain->requester().name = "admin";
  CHECK(plain->run(*plugin).empty());
  CHECK(create_pod(pod, "free")->run(*plugin).empty());
  CHECK(create_pod(pod_with(R"({"hostNetwork":true,"runtimeClassName":"vm"})"))->run(*plugin).empty());
  TestRequest ns(
      Operation::kCreate, "", "Namespace", "namespaces", "",
      json(R"({"metadata":{"name":"free","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}})"));
  CHECK(ns.run(*plugin).empty());
  REQUIRE(ns.warnings().size() == 1);
  CHECK(ns.warnings()[0] ==
        "namespace \"free\" is exempt from Pod Security, and the policy (enforce=restricted:latest) "
        "will be ignored");
}
