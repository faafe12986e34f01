// APIServices as values: availability, order, registration; and the documents of servers behind this one.
#include "server/aggregator/api_service.h"

#include "server/aggregator/remote_documents.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

namespace orch::server {
namespace {

using testing::json;

ApiService remote_service() {
  ApiService s;
  s.group = "g.example.com";
  s.version = "v1";
  s.remote = true;
  s.service_ns = "n";
  s.service_name = "s";
  s.service_port = 443;
  return s;
}

TEST_CASE("availability of an APIService says what is missing first") {
  const ApiService wanted = remote_service();
  const Json service = json(R"({"spec":{"type":"ClusterIP","ports":[{"name":"web","port":443}]}})");
  const auto judge = [&](const Json* found, std::vector<const char*> slices) {
    std::vector<Json> trees;
    for (const char* text : slices) trees.push_back(json(text));
    const auto verdict = judge_endpoints(wanted, found, trees);
    return verdict ? verdict->status + " " + verdict->reason + ": " + verdict->message : "ask";
  };
  CHECK(judge(nullptr, {}) == "False ServiceNotFound: service/s in \"n\" is not present");
  const Json other = json(R"({"spec":{"type":"ClusterIP","ports":[{"port":80}]}})");
  CHECK(judge(&other, {}) == "False ServicePortError: service/s in \"n\" is not listening on port 443");
  CHECK(judge(&service, {}) == "False EndpointsNotFound: cannot find endpointslices for service/s in \"n\"");
  const std::string missing =
      "False MissingEndpoints: endpointslices for service/s in \"n\" have no addresses with port name "
      "\"web\"";
  CHECK(judge(&service, {R"({"ports":[{"name":"web","port":1}],"endpoints":[]})"}) == missing);
  CHECK(judge(&service, {R"({"ports":[{"name":"x","port":1}],"endpoints":[{"addresses":["a"]}]})"}) ==
        missing);
  CHECK(judge(&service, {R"({"ports":[{"name":"web","port":1}],
    "endpoints":[{"addresses":["a"],"conditions":{"ready":false}}]})"}) == missing);
  CHECK(judge(&service, {R"({"ports":[{"name":"web","port":1}],"endpoints":[{"addresses":["a"]}]})"}) ==
        "ask");
  const Json balanced = json(R"({"spec":{"type":"LoadBalancer"}})");
  CHECK(judge(&balanced, {}) == "ask");
  CHECK(judge_probe("").reason == "Passed");
  CHECK(judge_probe("x").condition().status == "False");
  ApiService local = wanted;
  local.remote = false;
  CHECK(judge_endpoints(local, nullptr, {})->reason == "Local");
}

TEST_CASE("versions and groups are in the order of discovery") {
  ApiService a = remote_service(), b = remote_service();
  a.group_priority = 10;
  b.group_priority = 20;
  b.group = "z";
  CHECK(before_in_discovery(b, a));
  b.group_priority = 10;
  CHECK(before_in_discovery(a, b));
}

TEST_CASE("objects of local group versions are made and kept as kube-aggregator does") {
  const auto all = local_api_services({{"", "v1", 18000, 1}, {"apps", "v1", 17800, 15}, {"x", "v1", 0, 0}},
                                      {{"c.example.com", "v1beta1"}});
  REQUIRE(all.size() == 3);
  CHECK(all.at("v1.")["spec"] ==
        json(R"({"version":"v1","groupPriorityMinimum":18000,"versionPriority":1})"));
  CHECK(all.at("v1beta1.c.example.com") ==
        json(R"({"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1",
    "metadata":{"name":"v1beta1.c.example.com","labels":{"kube-aggregator.kubernetes.io/automanaged":"true"}},
    "spec":{"group":"c.example.com","version":"v1beta1","groupPriorityMinimum":1000,"versionPriority":100}})"));
  using Kind = RegistrationStep::Kind;
  const Json& onstart = all.at("v1.apps");
  const Json& always = all.at("v1beta1.c.example.com");
  Json changed_onstart = onstart, changed_always = always, unmanaged = always;
  changed_onstart["spec"]["versionPriority"] = 1;
  changed_always["spec"]["versionPriority"] = 1;
  unmanaged["metadata"].erase("labels");
  struct Case {
    const Json* wanted;
    const Json* current;
    bool at_start, synced;
    Kind kind;
  };
  const std::vector<Case> cases = {
      {nullptr, nullptr, false, false, Kind::kNone},     // 2A
      {&onstart, nullptr, false, false, Kind::kCreate},  // 2B, once
      {&onstart, nullptr, false, true, Kind::kNone},     // deleted by somebody
      {&always, nullptr, false, false, Kind::kCreate},   // 2C
      {&always, nullptr, false, true, Kind::kCreate},
      {nullptr, &unmanaged, true, false, Kind::kNone},  // 3
      {&always, &unmanaged, true, false, Kind::kNone},
      {nullptr, &onstart, false, false, Kind::kNone},   // 4
      {nullptr, &onstart, true, false, Kind::kDelete},  // 5A
      {nullptr, &onstart, true, true, Kind::kNone},
      {&onstart, &changed_onstart, true, false, Kind::kUpdate},  // 5B
      {&onstart, &changed_onstart, true, true, Kind::kNone},
      {nullptr, &always, false, true, Kind::kDelete},          // 6A
      {&always, &changed_always, false, true, Kind::kUpdate},  // 6C
      {&always, &always, false, true, Kind::kNone},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    INFO(i);
    const Case& c = cases[i];
    CHECK(plan_registration(c.wanted, c.current, c.at_start, c.synced).kind == c.kind);
  }
}

TEST_CASE("an aggregated server is told who asks") {
  UserInfo user;
  user.name = "alice";
  user.uid = "7";
  user.groups = {"a", "b"};
  user.extra["example.com/x y"] = {"1"};
  const http::Headers headers = front_proxy_headers(user);
  const http::Headers expected = {{"X-Remote-User", "alice"},
                                  {"X-Remote-Uid", "7"},
                                  {"X-Remote-Group", "a"},
                                  {"X-Remote-Group", "b"},
                                  {"X-Remote-Extra-example.com%2Fx%20y", "1"}};
  CHECK(headers == expected);
}

TEST_CASE("paths belong to group versions") {
  const auto of = [](std::string_view path) {
    const auto found = group_version_of(path);
    return found ? std::string(found->first) + "|" + std::string(found->second) : std::string("-");
  };
  CHECK(of("/apis/g/v1") == "g|v1");
  CHECK(of("/apis/g/v1/namespaces/a/x") == "g|v1");
  CHECK(of("/openapi/v3/apis/g/v1") == "g|v1");
  for (const char* path : {"/apis", "/apis/g", "/apis/g/", "/api/v1/pods", "/openapi/v3", "/healthz"})
    CHECK(of(path) == "-");
}

TEST_CASE("remote discovery is taken from lists of either form") {
  const Json list =
      json(R"({"items":[{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[]}]}]})");
  CHECK(find_discovery(list, "g", "v1")["version"] == "v1");
  CHECK(find_discovery(list, "g", "v2").is_null());
  CHECK(find_discovery(list, "h", "v1").is_null());
  const Json legacy = json(R"({"resources":[
    {"name":"flunders/status","kind":"Flunder","namespaced":true,"singularName":"","verbs":["get"]},
    {"name":"flunders","kind":"Flunder","namespaced":true,"singularName":"flunder","verbs":["get","list"],
     "shortNames":["fl"]},
    {"name":"fischers","kind":"Fischer","namespaced":false,"singularName":"fischer","verbs":["get"]}]})");
  CHECK(discovery_of_resources(legacy, "v1") == json(R"({"version":"v1","resources":[
    {"resource":"flunders","responseKind":{"group":"","version":"","kind":"Flunder"},"scope":"Namespaced",
     "singularResource":"flunder","verbs":["get","list"],"shortNames":["fl"],
     "subresources":[{"subresource":"status","responseKind":{"group":"","version":"","kind":"Flunder"},
                      "verbs":["get"]}]},
    {"resource":"fischers","responseKind":{"group":"","version":"","kind":"Fischer"},"scope":"Cluster",
     "singularResource":"fischer","verbs":["get"]}]})"));
}

TEST_CASE("remote OpenAPI is merged, conflicting definitions under other names") {
  const Json remote = json(R"({"paths":{"/apis/g/v1/x":{"get":{"schema":{"$ref":"#/definitions/X"}}},
    "/apis/":{"get":{"schema":{"$ref":"#/definitions/Z"}}}},
    "definitions":{"X":{"properties":{"m":{"$ref":"#/definitions/M"},"s":{"$ref":"#/definitions/S"}}},
    "M":{"type":"object","description":"other"},"S":{"type":"string"},"Z":{}}})");
  const Json part = openapi_v2_part(remote, "/apis/g/v1/");
  CHECK(part["paths"].size() == 1);
  CHECK(part["definitions"].size() == 3);
  Json own = json(R"({"paths":{"/api":{}},"definitions":{"M":{"type":"object"},"S":{"type":"string"}}})");
  merge_openapi_v2(own, part);
  CHECK(own == json(R"({"paths":{"/api":{},"/apis/g/v1/x":{"get":{"schema":{"$ref":"#/definitions/X"}}}},
    "definitions":{"M":{"type":"object"},"M_v2":{"type":"object","description":"other"},"S":{"type":"string"},
    "X":{"properties":{"m":{"$ref":"#/definitions/M_v2"},"s":{"$ref":"#/definitions/S"}}}}})"));
}

}  // namespace
}  // namespace orch::server
