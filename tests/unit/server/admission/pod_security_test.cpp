#include "server/admission/plugins.h"
#include "server/admission/pod_security_policy.h"
#include "tests/catch.h"
#include "tests/unit/server/admission/requests.h"

using namespace orch;
using namespace orch::server;
using namespace orch::testing;
using namespace orch::server::pod_security;
using Operation = TestRequest::Operation;

namespace {

const char* const kHardened = R"({"securityContext":{"allowPrivilegeEscalation":false,"runAsNonRoot":true,
  "capabilities":{"drop":["ALL"]},"seccompProfile":{"type":"RuntimeDefault"}}})";

/// What the level says of a pod with these members of spec and of its container.
std::string judge(Level level, const char* spec, const char* container, int minor = LevelVersion::kLatest) {
  const Json pod = pod_with(spec, container);
  return describe(violations({level, minor}, Json::object(), pod["spec"]));
}

void put_namespace(FakeLookup& lookup, const char* labels) {
  lookup.put("namespaces", object(Json{{"apiVersion", "v1"},
                                       {"kind", "Namespace"},
                                       {"metadata", {{"name", "ns"}, {"labels", json(labels)}}}}));
}

}  // namespace

TEST_CASE("what baseline forbids") {
  struct Row {
    const char *spec, *container, *said;
  };
  const Row rows[] = {
      {"{}", "{}", ""},
      {R"({"hostNetwork":true,"hostPID":true,"hostIPC":true})", "{}",
       "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"},
      {R"({"volumes":[{"name":"v","hostPath":{"path":"/"}}]})", "{}", R"(hostPath volumes (volume "v"))"},
      {"{}", R"({"ports":[{"hostPort":80},{"hostPort":443}]})",
       R"(hostPort (container "c" uses hostPorts 443, 80))"},
      {"{}", R"({"securityContext":{"privileged":true}})",
       R"(privileged (container "c" must not set securityContext.privileged=true))"},
      {"{}", R"({"securityContext":{"capabilities":{"add":["NET_ADMIN","CHOWN"]}}})",
       R"(non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add))"},
      {"{}", R"({"securityContext":{"procMount":"Unmasked"}})",
       R"(procMount (container "c" must not set securityContext.procMount to "Unmasked"))"},
      {R"({"hostUsers":false})", R"({"securityContext":{"procMount":"Unmasked"}})", ""},
      {R"({"securityContext":{"seccompProfile":{"type":"Unconfined"}}})", "{}",
       R"(seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined"))"},
      {R"({"securityContext":{"appArmorProfile":{"type":"Unconfined"}}})", "{}",
       R"(forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined"))"},
      {R"({"securityContext":{"seLinuxOptions":{"type":"spc_t","user":"u"}}})",
       R"({"securityContext":{"seLinuxOptions":{"role":"r"}}})",
       R"(seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set))"},
      {R"({"securityContext":{"sysctls":[{"name":"kernel.msgmax"},{"name":"net.ipv4.tcp_rmem"}]}})", "{}",
       "forbidden sysctls (kernel.msgmax)"},
      {"{}", R"({"livenessProbe":{"httpGet":{"host":"1.2.3.4"}}})",
       R"(probe or lifecycle host (container "c" uses probe or lifecycle host "1.2.3.4"))"},
      {"{}", R"({"securityContext":{"windowsOptions":{"hostProcess":true}}})",
       R"(hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true))"},
      {R"({"initContainers":[{"name":"i","securityContext":{"privileged":true}}]})",
       R"({"securityContext":{"privileged":true}})",
       R"(privileged (containers "i", "c" must not set securityContext.privileged=true))"},
  };
  for (const Row& r : rows) {
    INFO(r.spec << " " << r.container);
    CHECK(judge(Level::kBaseline, r.spec, r.container) == r.said);
    CHECK(judge(Level::kPrivileged, r.spec, r.container).empty());
  }
}

TEST_CASE("what restricted demands") {
  CHECK(
      judge(Level::kRestricted, "{}", "{}") ==
      R"(allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), )"
      R"(unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), )"
      R"(runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), )"
      R"(seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"))");
  CHECK(judge(Level::kRestricted, "{}", kHardened).empty());
  struct Row {
    const char *spec, *said;
  };
  const Row rows[] = {
      {R"({"volumes":[{"name":"a","hostPath":{}},{"name":"b","nfs":{}},{"name":"c","emptyDir":{}}]})",
       R"(restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs"))"},
      {R"({"securityContext":{"runAsUser":0}})", "runAsUser=0 (pod must not set runAsUser=0)"},
      {R"({"securityContext":{"runAsUser":0},"hostUsers":false})", ""},
      {R"({"securityContext":{"runAsNonRoot":false}})",
       "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"},
      {R"({"securityContext":{"seccompProfile":{"type":"Unconfined"}}})",
       R"(seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined"))"},
  };
  for (const Row& r : rows) {
    INFO(r.spec);
    CHECK(judge(Level::kRestricted, r.spec, kHardened) == r.said);
  }
  CHECK(
      judge(Level::kRestricted, R"({"os":{"name":"windows"},"securityContext":{"runAsNonRoot":true}})", "{}")
          .empty());
}

TEST_CASE("levels are as they were in a version") {
  CHECK(judge(Level::kBaseline, "{}", R"({"livenessProbe":{"httpGet":{"host":"h"}}})", 33).empty());
  CHECK_FALSE(
      judge(Level::kBaseline, R"({"hostUsers":false})", R"({"securityContext":{"procMount":"Unmasked"}})", 34)
          .empty());
  CHECK(judge(Level::kRestricted, R"({"securityContext":{"runAsUser":0}})", kHardened, 22).empty());
  CHECK_FALSE(
      judge(Level::kBaseline, R"({"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem"}]}})", "{}", 31)
          .empty());
  CHECK(judge(Level::kRestricted, "{}", "{}", 0) ==
        R"(runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true))");
  CHECK(judge(Level::kRestricted, "{}", kHardened, 99).empty());
}

TEST_CASE("labels of a namespace are read") {
  struct Row {
    const char *labels, *enforce, *warn;
    bool bad;
  };
  const Row rows[] = {
      {"{}", "privileged:latest", "privileged:latest", false},
      {R"({"pod-security.kubernetes.io/enforce":"baseline"})", "baseline:latest", "baseline:latest", false},
      {R"({"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/enforce-version":"v1.24"})",
       "restricted:v1.24", "restricted:v1.24", false},
      {R"({"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/warn":"privileged"})",
       "restricted:latest", "privileged:latest", false},
      {R"({"pod-security.kubernetes.io/enforce":"strict"})", "restricted:latest", "privileged:latest", true},
      {R"({"pod-security.kubernetes.io/warn":"strict"})", "privileged:latest", "privileged:latest", true},
      {R"({"pod-security.kubernetes.io/enforce-version":"1.24"})", "privileged:latest", "privileged:latest",
       true},
      {R"({"pod-security.kubernetes.io/enforce-version":"v1.024"})", "privileged:latest", "privileged:latest",
       true},
  };
  for (const Row& r : rows) {
    INFO(r.labels);
    api::FieldErrors errors;
    const Policy p = policy_of(json(r.labels), {}, errors);
    CHECK(p.enforce.text() == r.enforce);
    CHECK(p.warn.text() == r.warn);
    CHECK(errors.empty() != r.bad);
  }
}

TEST_CASE("pods are held to their namespace's level") {
  FakeLookup lookup;
  auto plugin = make_pod_security(lookup);
  put_namespace(
      lookup,
      R"({"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/warn":"restricted"})");
  auto bad = create_pod(pod_with(R"({"hostNetwork":true})"));
  CHECK(
      bad->run(*plugin) ==
      R"(pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true))");
  CHECK(bad->warnings().empty());
  auto warned = create_pod(pod_with());
  CHECK(warned->run(*plugin).empty());
  REQUIRE(warned->warnings().size() == 1);
  CHECK(warned->warnings()[0].starts_with(
      R"(would violate PodSecurity "restricted:latest": allowPrivilegeEscalation)"));
  auto fine = create_pod(pod_with("{}", kHardened));
  CHECK(fine->run(*plugin).empty());
  CHECK(fine->warnings().empty());

  const Json privileged = pod_with("{}", R"({"securityContext":{"privileged":true}})");
  TestRequest same(Operation::kUpdate, "", "Pod", "pods", "ns", privileged, privileged);
  CHECK(same.run(*plugin).empty());
  Json other_image = privileged;
  other_image["spec"]["containers"][0]["image"] = "j";
  TestRequest changed(Operation::kUpdate, "", "Pod", "pods", "ns", other_image, privileged);
  CHECK_THAT(changed.run(*plugin), contains("violates PodSecurity"));

  TestRequest deployment(Operation::kCreate, "apps", "Deployment", "deployments", "ns",
                         Json{{"metadata", {{"name", "d"}}}, {"spec", {{"template", privileged}}}});
  CHECK(deployment.run(*plugin).empty());  // only warned of: its pods are refused
  CHECK(deployment.warnings().size() == 1);
  put_namespace(lookup, "{}");
  CHECK(create_pod(privileged)->run(*plugin).empty());
}

TEST_CASE("levels of a namespace are checked, and its pods against a stricter one") {
  FakeLookup lookup;
  auto plugin = make_pod_security(lookup);
  const auto ns = [](const char* labels) {
    return Json{{"metadata", {{"name", "ns"}, {"labels", json(labels)}}}};
  };
  TestRequest wrong(Operation::kCreate, "", "Namespace", "namespaces", "",
                    ns(R"({"pod-security.kubernetes.io/enforce":"x"})"));
  CHECK(
      wrong.run(*plugin) ==
      R"(Namespace "ns" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted)");
  for (const char* name : {"a", "b", "c"}) {
    Json pod = pod_with(R"({"hostNetwork":true})");
    pod["metadata"]["name"] = name;
    lookup.put("pods", object(pod));
  }
  lookup.put("pods", object(pod_with()));
  TestRequest stricter(Operation::kUpdate, "", "Namespace", "namespaces", "",
                       ns(R"({"pod-security.kubernetes.io/enforce":"baseline"})"), ns("{}"));
  CHECK(stricter.run(*plugin).empty());
  CHECK(stricter.warnings() ==
        std::vector<std::string>{
            R"(existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest")",
            "a (and 2 other pods): host namespaces"});
  TestRequest relaxed(Operation::kUpdate, "", "Namespace", "namespaces", "", ns("{}"),
                      ns(R"({"pod-security.kubernetes.io/enforce":"baseline"})"));
  CHECK(relaxed.run(*plugin).empty());
  CHECK(relaxed.warnings().empty());
}
