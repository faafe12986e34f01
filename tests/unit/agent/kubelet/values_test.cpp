// Pure functions from specs to values: variables, resources, DNS, images, probes, node status, files.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "agent/kubelet/atomic_writer.h"
#include "agent/kubelet/container_config.h"
#include "agent/kubelet/dns.h"
#include "agent/kubelet/downward.h"
#include "agent/kubelet/env.h"
#include "agent/kubelet/image_name.h"
#include "agent/kubelet/images.h"
#include "agent/kubelet/node_status.h"
#include "agent/kubelet/probe.h"
#include "agent/kubelet/resources.h"
#include "agent/kubelet/volume_payload.h"
#include "base/file.h"
#include "base/json.h"
#include "pki/pki.h"
#include "tests/catch.h"

namespace orch::agent {
namespace {

using base::Code;

/// Config maps and secrets by name.
struct Objects final : ObjectSource {
  std::map<std::string, Json> maps, secrets;
  static base::Result<api::ObjectPtr> find(const std::map<std::string, Json>& in, const char* kind,
                                           std::string_view name) {
    const auto it = in.find(std::string(name));
    if (it == in.end()) return base::Status(Code::kNotFound, base::cat(kind, " \"", name, "\" not found"));
    Json tree = it->second;
    tree["kind"] = kind;
    tree["apiVersion"] = "v1";
    tree["metadata"] = {{"name", name}, {"namespace", "n"}};
    return api::Object::from_tree(tree);
  }
  base::Result<api::ObjectPtr> config_map(std::string_view, std::string_view name) override {
    return find(maps, "configmap", name);
  }
  base::Result<api::ObjectPtr> secret(std::string_view, std::string_view name) override {
    return find(secrets, "secret", name);
  }
};

struct NoTokens final : TokenSource {
  base::Result<Token> token(const Pod&, const std::string& audience, int64_t seconds) override {
    return Token{base::cat("tok:", audience, ":", seconds), base::WallTime(std::chrono::seconds(99))};
  }
};

Json pod_with(Json container, Json spec = Json::object()) {
  container["name"] = "c";
  spec["containers"] = Json::array({std::move(container)});
  return Json{{"metadata",
               {{"name", "web-0"},
                {"namespace", "n"},
                {"uid", "u-1"},
                {"labels", {{"app", "web"}}},
                {"annotations", {{"note", "a \"quoted\"\nline"}}}}},
              {"spec", std::move(spec)}};
}

std::map<std::string, std::string> env_of(const Json& tree, Objects& objects, base::Status* error = nullptr) {
  const Pod pod(tree);
  EnvInput in;
  in.addresses = {{"10.0.0.5", "fd00::5"}, {"192.0.2.1"}};
  in.node = {"4", "8Gi", "100Gi"};
  in.services = {{"KUBERNETES_SERVICE_HOST", "10.43.0.1"}};
  auto out = container_env(pod, pod.containers()[0], objects, in);
  if (!out.ok()) {
    if (error != nullptr) *error = out.error();
    return {};
  }
  return {out->begin(), out->end()};
}

TEST_CASE("references in values are expanded as Kubernetes does") {
  const std::map<std::string, std::string> v{{"A", "1"}, {"B_C", "two"}};
  CHECK(expand("$(A)-$(B_C)", v) == "1-two");
  CHECK(expand("$(NO)", v) == "$(NO)");
  CHECK(expand("$$(A)", v) == "$(A)");
  CHECK(expand("$$$(A)", v) == "$1");
  CHECK(expand("a$", v) == "a$");
  CHECK(expand("$(A", v) == "$(A");
  CHECK(expand("$A", v) == "$A");
}

TEST_CASE("environment of a container") {
  Objects objects;
  objects.maps["cm"] = {{"data", {{"K", "v"}, {"X", "from-map"}}}};
  objects.secrets["s"] = {{"data", {{"P", pki::base64_encode("secret!")}}}};
  Json c{{"envFrom", Json::array({{{"configMapRef", {{"name", "cm"}}}, {"prefix", "CM_"}},
                                  {{"secretRef", {{"name", "s"}}}},
                                  {{"configMapRef", {{"name", "none"}, {"optional", true}}}}})},
         {"env",
          Json::array(
              {{{"name", "PLAIN"}, {"value", "x"}},
               {{"name", "REF"}, {"value", "$(PLAIN)/$(CM_K)/$(KUBERNETES_SERVICE_HOST)"}},
               {{"name", "CM_X"}, {"value", "overridden"}},
               {{"name", "POD"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "metadata.name"}}}}}},
               {{"name", "IPS"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "status.podIPs"}}}}}},
               {{"name", "APP"}, {"valueFrom", {{"fieldRef", {{"fieldPath", "metadata.labels['app']"}}}}}},
               {{"name", "CPU"}, {"valueFrom", {{"resourceFieldRef", {{"resource", "limits.cpu"}}}}}},
               {{"name", "MEM"},
                {"valueFrom", {{"resourceFieldRef", {{"resource", "requests.memory"}, {"divisor", "1Mi"}}}}}},
               {{"name", "KEY"}, {"valueFrom", {{"configMapKeyRef", {{"name", "cm"}, {"key", "K"}}}}}},
               {{"name", "GONE"},
                {"valueFrom", {{"configMapKeyRef", {{"name", "cm"}, {"key", "no"}, {"optional", true}}}}}},
               {{"name", "EMPTY"}}})},
         {"resources", {{"requests", {{"memory", "100M"}}}}}};
  const auto env = env_of(pod_with(c), objects);
  CHECK(env.at("CM_K") == "v");
  CHECK(env.at("P") == "secret!");
  CHECK(env.at("REF") == "x/v/10.43.0.1");
  CHECK(env.at("CM_X") == "overridden");
  CHECK(env.at("POD") == "web-0");
  CHECK(env.at("IPS") == "10.0.0.5,fd00::5");
  CHECK(env.at("APP") == "web");
  CHECK(env.at("CPU") == "4");   // the node's, as there is no limit
  CHECK(env.at("MEM") == "96");  // rounded up
  CHECK(env.at("KEY") == "v");
  CHECK(env.count("GONE") == 0);
  CHECK(env.at("EMPTY").empty());

  base::Status error;
  c["env"] =
      Json::array({{{"name", "K"}, {"valueFrom", {{"secretKeyRef", {{"name", "s"}, {"key", "no"}}}}}}});
  (void)env_of(pod_with(c), objects, &error);
  CHECK(error.message() == "couldn't find key no in Secret n/s");
  c["env"] =
      Json::array({{{"name", "K"}, {"valueFrom", {{"configMapKeyRef", {{"name", "zz"}, {"key", "no"}}}}}}});
  (void)env_of(pod_with(c), objects, &error);
  CHECK(error.message() == "configmap \"zz\" not found");
}

TEST_CASE("variables of services") {
  const Json service{{"kind", "Service"},
                     {"apiVersion", "v1"},
                     {"metadata", {{"name", "my-db"}, {"namespace", "n"}}},
                     {"spec",
                      {{"clusterIP", "10.43.7.7"},
                       {"ports", Json::array({{{"name", "sql-x"}, {"port", 5432}, {"protocol", "TCP"}}})}}}};
  const auto object = *api::Object::from_tree(service);
  const auto v = service_variables({object}, "n", true);
  CHECK(v.at("MY_DB_SERVICE_HOST") == "10.43.7.7");
  CHECK(v.at("MY_DB_SERVICE_PORT") == "5432");
  CHECK(v.at("MY_DB_SERVICE_PORT_SQL_X") == "5432");
  CHECK(v.at("MY_DB_PORT") == "tcp://10.43.7.7:5432");
  CHECK(v.at("MY_DB_PORT_5432_TCP_PROTO") == "tcp");
  CHECK(v.at("MY_DB_PORT_5432_TCP_ADDR") == "10.43.7.7");
  CHECK(service_variables({object}, "n", false).empty());
  CHECK(service_variables({object}, "other", true).empty());
}

TEST_CASE("downward API text") {
  const Json tree = pod_with(Json::object());
  const Pod pod(tree);
  CHECK(*field_value(pod, "metadata.annotations", {}) == "note=\"a \\\"quoted\\\"\\nline\"");
  CHECK(*field_value(pod, "metadata.labels", {}) == "app=\"web\"");
  CHECK(field_value(pod, "spec.x", {}).error().message() == "unsupported fieldPath: spec.x");
}

TEST_CASE("resources become kernel values") {
  CHECK(cpu_shares(0) == 2);
  CHECK(cpu_shares(1) == 2);
  CHECK(cpu_shares(500) == 512);
  CHECK(cpu_shares(1'000'000) == 262144);
  CHECK(cpu_quota(0) == 0);
  CHECK(cpu_quota(1) == 1000);
  CHECK(cpu_quota(250) == 25000);
  CHECK(cpu_weight(2) == 1);
  CHECK(cpu_weight(1024) == 39);
  CHECK(cpu_weight(262144) == 10000);
  const Json limited{{"resources", {{"limits", {{"cpu", "250m"}, {"memory", "64Mi"}}}}}};
  const ContainerResources r = container_resources(limited);
  CHECK(r.shares == 256);
  CHECK(r.quota == 25000);
  CHECK(r.memory_limit == 64 << 20);
}

TEST_CASE("quality of service, scores and pod sums") {
  struct Row {
    Json resources;
    const char* qos;
    int64_t score;
  };
  const std::vector<Row> rows{
      {Json::object(), "BestEffort", 1000},
      {{{"requests", {{"cpu", "100m"}}}}, "Burstable", 999},
      {{{"requests", {{"memory", "1Gi"}}}}, "Burstable", 875},
      {{{"requests", {{"memory", "8Gi"}}}}, "Burstable", 3},
      {{{"limits", {{"cpu", "1"}, {"memory", "1Gi"}}}, {"requests", {{"cpu", "1"}, {"memory", "1024Mi"}}}},
       "Guaranteed",
       -997},
      {{{"limits", {{"cpu", "1"}, {"memory", "1Gi"}}}, {"requests", {{"cpu", "500m"}, {"memory", "1Gi"}}}},
       "Burstable",
       875},
  };
  for (const Row& row : rows) {
    const Json tree = pod_with({{"resources", row.resources}});
    const Pod pod(tree);
    CHECK(qos_name(qos_class(pod)) == row.qos);
    CHECK(oom_score(pod, pod.containers()[0], int64_t{8} << 30) == row.score);
  }
  Json tree = pod_with({{"resources", {{"requests", {{"cpu", "100m"}}}}}});
  tree["spec"]["initContainers"] = Json::array(
      {{{"name", "s"}, {"restartPolicy", "Always"}, {"resources", {{"requests", {{"cpu", "50m"}}}}}},
       {{"name", "i"}, {"resources", {{"requests", {{"cpu", "300m"}}}}}}});
  CHECK(pod_resources(Pod(tree)).milli_cpu_request == 350);
  CHECK(pod_resources(Pod(tree)).milli_cpu_limit == 0);
  CHECK(pod_cgroup(Pod(tree), QosClass::kBurstable, "", false) == "/kubepods/burstable/podu-1");
  CHECK(pod_cgroup(Pod(tree), QosClass::kGuaranteed, "", true) == "kubepods-podu_1.slice");
}

TEST_CASE("names inside a pod") {
  KubeletConfig config;
  config.cluster_dns = {"10.43.0.10"};
  const DnsConfig host =
      parse_resolv_conf("# x\nnameserver 192.0.2.53\nsearch corp.example. lan\noptions timeout:1\n");
  bool falls_back = false;
  Json tree = pod_with(Json::object());
  DnsConfig d = pod_dns(Pod(tree), config, host, &falls_back);
  CHECK(d.servers == std::vector<std::string>{"10.43.0.10"});
  CHECK(d.searches == std::vector<std::string>{"n.svc.cluster.local", "svc.cluster.local", "cluster.local",
                                               "corp.example", "lan"});
  CHECK(d.options == std::vector<std::string>{"ndots:5"});
  tree["spec"]["hostNetwork"] = true;
  CHECK(pod_dns(Pod(tree), config, host, &falls_back).servers == std::vector<std::string>{"192.0.2.53"});
  tree["spec"]["dnsPolicy"] = "None";
  tree["spec"]["dnsConfig"] = {
      {"nameservers", {"1.1.1.1"}},
      {"searches", {"a.b"}},
      {"options", Json::array({{{"name", "ndots"}, {"value", "2"}}, {{"name", "edns0"}}})}};
  d = pod_dns(Pod(tree), config, host, &falls_back);
  CHECK(d.servers == std::vector<std::string>{"1.1.1.1"});
  CHECK(d.options == std::vector<std::string>{"ndots:2", "edns0"});
  CHECK_FALSE(falls_back);
  config.cluster_dns.clear();
  tree = pod_with(Json::object());
  CHECK(pod_dns(Pod(tree), config, host, &falls_back).servers == std::vector<std::string>{"192.0.2.53"});
  CHECK(falls_back);

  tree["spec"]["hostname"] = "db";
  tree["spec"]["subdomain"] = "headless";
  tree["spec"]["hostAliases"] = Json::array({{{"ip", "1.2.3.4"}, {"hostnames", {"a", "b"}}}});
  auto names = pod_hostname(Pod(tree), "cluster.local");
  REQUIRE(names.ok());
  CHECK(names->hostname == "db");
  CHECK(names->domain == "headless.n.svc.cluster.local");
  const std::string hosts = hosts_file(Pod(tree), *names, {"10.0.0.5"}, "");
  CHECK_THAT(hosts, orch::testing::contains("10.0.0.5\tdb.headless.n.svc.cluster.local\tdb\n"));
  CHECK_THAT(hosts, orch::testing::contains("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
  tree["spec"]["setHostnameAsFQDN"] = true;
  CHECK(pod_hostname(Pod(tree), "cluster.local")->hostname == "db.headless.n.svc.cluster.local");
  tree["spec"]["subdomain"] = std::string(60, 'x');
  CHECK_FALSE(pod_hostname(Pod(tree), "cluster.local").ok());
}

TEST_CASE("names of images") {
  struct Row {
    const char* text;
    const char* full;
  };
  for (const Row& row : std::vector<Row>{
           {"busybox", "docker.io/library/busybox:latest"},
           {"busybox:1.36", "docker.io/library/busybox:1.36"},
           {"me/app", "docker.io/me/app:latest"},
           {"localhost/app:x", "localhost/app:x"},
           {"reg.example:5000/a/b:v1", "reg.example:5000/a/b:v1"},
           {"reg.example/a@sha256:0123456789abcdef0123456789abcdef",
            "reg.example/a@sha256:0123456789abcdef0123456789abcdef"},
       }) {
    const auto name = parse_image_name(row.text);
    REQUIRE(name.ok());
    CHECK(name->full() == row.full);
  }
  for (const char* bad : {"", "UPPER", "a:", "a b", "a//b", "-a", "a@sha256:zz"})
    CHECK_FALSE(parse_image_name(bad).ok());

  const Json secret{
      {"data",
       {{".dockerconfigjson",
         pki::base64_encode(
             R"({"auths":{"https://reg.example/v1/":{"auth":")" + pki::base64_encode("u:p:q") +
             R"("},"reg.example/team":{"username":"t","password":"x"},"*.other.io":{"username":"o"}}})")}}}};
  const auto auths = registry_auths(secret);
  REQUIRE(auths.size() == 3);
  const auto found = matching_auths(*parse_image_name("reg.example/team/app"), auths);
  REQUIRE(found.size() == 2);
  CHECK(found[0].username == "t");
  CHECK(found[1].username == "u");
  CHECK(found[1].password == "p:q");
  CHECK(matching_auths(*parse_image_name("a.other.io/x"), auths).size() == 1);
  CHECK(matching_auths(*parse_image_name("busybox"), auths).empty());
  const Json latest{{"image", "busybox"}}, tagged{{"image", "busybox:1"}};
  CHECK(pull_policy({&latest}) == "Always");
  CHECK(pull_policy({&tagged}) == "IfNotPresent");
}

TEST_CASE("security of containers") {
  Json tree = pod_with({{"image", "i"},
                        {"command", {"sh", "-c", "$(X)"}},
                        {"securityContext",
                         {{"runAsGroup", 5},
                          {"allowPrivilegeEscalation", false},
                          {"readOnlyRootFilesystem", true},
                          {"capabilities", {{"add", {"NET_ADMIN"}}, {"drop", {"ALL"}}}}}}},
                       {{"securityContext",
                         {{"runAsUser", 1000},
                          {"fsGroup", 2000},
                          {"supplementalGroups", {7}},
                          {"seccompProfile", {{"type", "RuntimeDefault"}}}}}});
  const Pod pod(tree);
  ContainerInput in;
  in.env = {{"X", "echo"}};
  auto c = container_config(pod, pod.containers()[0], in);
  REQUIRE(c.ok());
  CHECK(c->run_as_user == 1000);
  CHECK(c->run_as_group == 5);
  CHECK(c->supplemental_groups == std::vector<int64_t>{7, 2000});
  CHECK(c->no_new_privileges);
  CHECK(c->readonly_rootfs);
  CHECK(c->seccomp_profile == "RuntimeDefault");
  CHECK(c->command.back() == "echo");
  CHECK(c->log_path == "c/0.log");
  CHECK_FALSE(c->masked_paths.empty());

  tree["spec"]["containers"][0]["securityContext"] = {{"runAsNonRoot", true}};
  tree["spec"]["securityContext"] = Json::object();
  ImageInfo image;
  CHECK_THAT(root_problem(Pod(tree), Pod(tree).containers()[0], image),
             orch::testing::contains("container has runAsNonRoot and image will run as root"));
  image.username = "app";
  CHECK_THAT(root_problem(Pod(tree), Pod(tree).containers()[0], image),
             orch::testing::contains("image has non-numeric user (app)"));
  image.has_uid = true;
  image.uid = 9;
  CHECK(root_problem(Pod(tree), Pod(tree).containers()[0], image).empty());
  tree["spec"]["containers"][0]["securityContext"]["runAsUser"] = 0;
  CHECK_THAT(root_problem(Pod(tree), Pod(tree).containers()[0], image),
             orch::testing::contains("container's runAsUser breaks non-root policy"));
}

TEST_CASE("contents of volumes") {
  Objects objects;
  objects.maps["cm"] = {{"data", {{"a", "1"}, {"b", "2"}}},
                        {"binaryData", {{"bin", pki::base64_encode(std::string("\0x", 2))}}}};
  objects.secrets["s"] = {{"data", {{"pw", pki::base64_encode("x")}}}};
  NoTokens tokens;
  const Json tree = pod_with(Json::object());
  const PayloadInput in{objects, tokens, {}, {}};
  const auto payload = [&](const Json& volume) { return volume_payload(Pod(tree), volume, in); };
  auto p = payload({{"configMap", {{"name", "cm"}, {"defaultMode", 0400}}}});
  REQUIRE(p.ok());
  CHECK(p->files.at("a").data == "1");
  CHECK(p->files.at("bin").data == std::string("\0x", 2));
  CHECK(p->files.at("a").mode == 0400);
  p = payload(
      {{"configMap",
        {{"name", "cm"}, {"items", Json::array({{{"key", "a"}, {"path", "d/e"}, {"mode", 0600}}})}}}});
  REQUIRE(p.ok());
  CHECK(p->files.size() == 1);
  CHECK(p->files.at("d/e").mode == 0600);
  p = payload({{"configMap", {{"name", "cm"}, {"items", Json::array({{{"key", "zz"}, {"path", "d"}}})}}}});
  CHECK(p.error().message() == "references non-existent config key: zz");
  p = payload({{"secret", {{"secretName", "none"}}}});
  CHECK(p.error().message() == "secret \"none\" not found");
  p = payload({{"secret", {{"secretName", "none"}, {"optional", true}}}});
  REQUIRE(p.ok());
  CHECK(p->files.empty());
  p = payload(
      {{"projected",
        {{"sources",
          Json::array(
              {{{"secret", {{"name", "s"}}}},
               {{"serviceAccountToken", {{"path", "token"}, {"expirationSeconds", 3607}}}},
               {{"downwardAPI",
                 {{"items", Json::array({{{"path", "ns"},
                                          {"fieldRef", {{"fieldPath", "metadata.namespace"}}}}})}}}}})}}}});
  REQUIRE(p.ok());
  CHECK(p->files.at("pw").data == "x");
  CHECK(p->files.at("token").data == "tok::3607");
  CHECK(p->files.at("ns").data == "n");
  CHECK(p->refresh_at == base::WallTime(std::chrono::seconds(99)));
}

TEST_CASE("files change all at once") {
  const std::string folder = base::cat("/tmp/orch-atomic-", ::getpid());
  REQUIRE(base::make_dirs(folder).ok());
  const base::WallTime now{std::chrono::seconds(1'800'000'000)};
  REQUIRE(write_payload(folder, {{"a", {"1", 0640, -1}}, {"d/b", {"2", 0644, -1}}}, -1, now).ok());
  CHECK(*base::read_file(folder + "/a") == "1");
  CHECK(*base::read_file(folder + "/d/b") == "2");
  struct stat info {};
  REQUIRE(::stat((folder + "/a").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777U) == 0640);
  const auto before = base::list_dir(folder);
  REQUIRE(write_payload(folder, {{"a", {"1", 0640, -1}}, {"d/b", {"2", 0644, -1}}}, -1,
                        now + std::chrono::seconds(1))
              .ok());
  CHECK(*base::list_dir(folder) == *before);  // nothing touched
  REQUIRE(write_payload(folder, {{"a", {"3", 0640, -1}}}, -1, now + std::chrono::seconds(2)).ok());
  CHECK(*base::read_file(folder + "/a") == "3");
  CHECK_FALSE(base::file_exists(folder + "/d"));
  CHECK(base::list_dir(folder)->size() == 3);  // ..data, its target, a
  for (const char* bad : {"../x", "/x", "a/../b", "..x"}) {
    CHECK_FALSE(write_payload(folder, {{bad, {"1", 0644, -1}}}, -1, now).ok());
  }
  CHECK(base::remove_all(folder).ok());
}

TEST_CASE("outcomes become verdicts") {
  ProbeSpec spec;
  spec.failure_threshold = 3;
  spec.success_threshold = 2;
  ProbeTrack track;
  track.verdict = Health::kFailure;
  std::string verdicts;
  for (const char outcome : std::string("SSFSFFFFS")) {
    count_outcome(track, spec, ProbeKind::kReadiness, outcome == 'S');
    verdicts += track.verdict == Health::kSuccess ? 's' : 'f';
  }
  CHECK(verdicts == "fsssssfff");
  ProbeTrack live;
  live.verdict = Health::kSuccess;
  CHECK_FALSE(count_outcome(live, spec, ProbeKind::kLiveness, false));
  CHECK_FALSE(count_outcome(live, spec, ProbeKind::kLiveness, false));
  CHECK(count_outcome(live, spec, ProbeKind::kLiveness, false));
  CHECK(live.held);
}

TEST_CASE("probes by spec") {
  const Json c{{"name", "c"},
               {"ports", Json::array({{{"name", "web"}, {"containerPort", 8080}}})},
               {"livenessProbe",
                {{"httpGet",
                  {{"path", "healthz"},
                   {"port", "web"},
                   {"httpHeaders", Json::array({{{"name", "X"}, {"value", "y"}}})}}},
                 {"periodSeconds", 5}}},
               {"readinessProbe", {{"tcpSocket", {{"port", "nope"}}}}},
               {"startupProbe", {{"grpc", {{"port", 9}, {"service", "s"}}}}}};
  const ContainerRef ref{&c};
  const auto live = probe_spec(ref, ProbeKind::kLiveness, "10.0.0.5");
  REQUIRE(live);
  CHECK(live->http.url() == "http://10.0.0.5:8080/healthz");
  CHECK(live->period == std::chrono::seconds(5));
  CHECK(live->http.headers.size() == 1);
  CHECK_FALSE(probe_spec(ref, ProbeKind::kReadiness, "10.0.0.5"));
  CHECK(probe_spec(ref, ProbeKind::kStartup, "fd00::1")->service == "s");
}

TEST_CASE("node status") {
  KubeletConfig config;
  config.node_name = "n1";
  config.node_taints = {"dedicated=gpu:NoSchedule", "cold:NoExecute"};
  config.reserved = {{"memory", "100Mi"}};
  NodeStatusInput in;
  in.now = base::WallTime(std::chrono::seconds(1'800'000'000));
  in.machine.cpus = 2;
  in.machine.memory_bytes = int64_t{1} << 30;
  in.machine.disk_bytes = 1 << 30;
  in.machine.architecture = "arm64";
  in.pressure = {int64_t{500} << 20, 1 << 29, 1000, 10};
  in.runtime.name = "containerd";
  in.runtime.version = "1.6.20";
  in.runtime.runtime_ready = true;
  in.runtime.message = "cni plugin not initialized";
  in.addresses = {"192.0.2.1"};
  const Json first = node_status(Json::object(), config, in);
  CHECK(first["capacity"]["cpu"] == "2");
  CHECK(first["allocatable"]["memory"] == "924Mi");
  const auto ready = [](const Json& s) {
    for (const Json& c : s["conditions"]) {
      if (c["type"] == "Ready")
        return base::cat(c["status"].get<std::string>(), " ", c["message"].get<std::string>());
    }
    return std::string();
  };
  CHECK(ready(first) ==
        "False container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
        "message:cni plugin not initialized");
  in.runtime.network_ready = true;
  in.now += std::chrono::seconds(60);
  const Json second = node_status(first, config, in);
  CHECK(ready(second) == "True kubelet is posting ready status");
  CHECK(node_status_changed(first, second));
  in.now += std::chrono::seconds(60);
  CHECK_FALSE(node_status_changed(second, node_status(second, config, in)));
  // Mentioned only where services have failed once.
  const auto network = [](const Json& s) {
    for (const Json& c : s["conditions"]) {
      if (c["type"] == "NetworkUnavailable")
        return base::cat(c["status"].get<std::string>(), " ", c["message"].get<std::string>());
    }
    return std::string();
  };
  CHECK(network(second).empty());
  in.services_error = "services do not work on this node: no nft";
  const Json without = node_status(second, config, in);
  CHECK(network(without) == "True services do not work on this node: no nft");
  CHECK(ready(without) == "True kubelet is posting ready status");
  in.services_error.clear();
  const Json again = node_status(without, config, in);
  CHECK(network(again) == "False the rules of all services are in place");
  CHECK(again["conditions"].size() == without["conditions"].size());
  const Json node = new_node(config, in.machine, second);
  CHECK(node["spec"]["taints"][0] == Json{{"key", "dedicated"}, {"value", "gpu"}, {"effect", "NoSchedule"}});
  CHECK(node["spec"]["taints"][1] == Json{{"key", "cold"}, {"effect", "NoExecute"}});
  CHECK(node["metadata"]["labels"]["kubernetes.io/arch"] == "arm64");
  CHECK(kubelet_version("v0.1-3-gabc") == "v1.35.4+orch.v0.1-3-gabc");
}

TEST_CASE("node capacity is in the API's form, so that reading it back is no change") {
  MachineInfo machine;
  machine.cpus = 4;
  machine.memory_bytes = int64_t{8} << 30;
  machine.disk_bytes = 0;
  const Json capacity = capacity_of(machine, 110);
  CHECK(capacity["memory"] == "8Gi");
  CHECK(capacity["ephemeral-storage"] == "0");
  machine.memory_bytes = (int64_t{8} << 30) + 1024;
  CHECK(capacity_of(machine, 110)["memory"] == "8388609Ki");
}

TEST_CASE("the disk of a folder that is yet to be made is known") {
  const MachineInfo here = machine_info("/");
  CHECK(here.disk_bytes > 0);
  CHECK(machine_info("/no-such-folder/of/a/node").disk_bytes == here.disk_bytes);
  CHECK(machine_pressure("/no-such-folder/of/a/node").disk_available > 0);
}

}  // namespace
}  // namespace orch::agent
