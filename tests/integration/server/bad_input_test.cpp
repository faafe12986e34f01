// What bad input gets: an error in Kubernetes' form, nothing half done, and a server that is still there.
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

TEST_CASE("bodies that are not what they say") {
  const Control& c = shared();
  struct Case {
    const char* what;
    const char* type;
    std::string body;
  };
  const std::vector<Case> cases = {
      {"cut off JSON", "application/json", R"({"kind":"ConfigMap","metadata":{"name":"x")"},
      {"no JSON", "application/json", "hello"},
      {"JSON with a tail", "application/json", R"({"metadata":{"name":"x"}} {})"},
      {"a list", "application/json", "[]"},
      {"a string", "application/json", "\"x\""},
      {"a NUL byte", "application/json", std::string("{\"a\":\0}", 7)},
      {"broken YAML", "application/yaml", "metadata: {name: x\n  - ["},
      {"YAML tabs", "application/yaml", "metadata:\n\tname: x\n"},
      {"YAML that is a list", "application/yaml", "- a\n- b\n"},
      {"empty protobuf", "application/vnd.kubernetes.protobuf", std::string("k8s\0", 4)},
      {"protobuf without its mark", "application/vnd.kubernetes.protobuf", "abcdefgh"},
      {"cut off protobuf", "application/vnd.kubernetes.protobuf",
       std::string("k8s\0\x0a\xff\xff\xff\xff\x0f", 10)},
      {"random protobuf", "application/vnd.kubernetes.protobuf",
       std::string("k8s\0\x0a\x02\x0a\x00\x12\x05\xff\xff\xff\xff\xff", 15)},
  };
  for (const auto& bad : cases) {
    INFO(bad.what);
    check_error(c.send("POST", kMaps, bad.body, {bad.type, {}}), 400, "BadRequest");
  }
  check_error(c.send("POST", kMaps, "x", {"text/plain", {}}), 415, "UnsupportedMediaType");
  check_error(c.send("POST", kMaps), 400, "BadRequest");
  c.check_alive();
}

TEST_CASE("wrong types and kinds") {
  const Control& c = shared();
  Json wrong = config_map("x");
  wrong["data"]["a"] = 5;
  check_error(c.post(kMaps, wrong), 400, "BadRequest",
              "ConfigMap in version \"v1\" cannot be handled as a ConfigMap");
  wrong["data"] = "text";
  check_error(c.post(kMaps, wrong), 400, "BadRequest");
  wrong = config_map("x");
  wrong["metadata"] = Json::array();
  check_error(c.post(kMaps, wrong), 400, "BadRequest");
  wrong = config_map("x");
  wrong["metadata"]["labels"] = {{"a", Json::array()}};
  check_error(c.post(kMaps, wrong), 400, "BadRequest");
  wrong = config_map("x");
  wrong["kind"] = "Secret";
  check_error(c.post(kMaps, wrong), 400, "BadRequest", "cannot be handled as a ConfigMap");
  wrong["kind"] = "NoSuchKind";
  check_error(c.post(kMaps, wrong), 400, "BadRequest");
  wrong = config_map("x");
  wrong["apiVersion"] = "v9";
  check_error(c.post(kMaps, wrong), 400, "BadRequest");
  wrong["apiVersion"] = 7;
  check_error(c.post(kMaps, wrong), 400, "BadRequest");
  for (const char* path : {"/api/v1/namespaces/default/nosuch", "/apis/apps/v9/deployments",
                           "/api/v1/namespaces/default/configmaps/x/nosub"}) {
    INFO(path);
    check_error(c.get(path), 404, "NotFound");
  }
  CHECK(c.get("/apis/no.such/v1/things").status == 404);
  Json strict = config_map("x");
  strict["nosuchfield"] = 1;
  check_error(c.send("POST", kMaps + "?fieldValidation=Strict", strict.dump()), 400, "BadRequest",
              "strict decoding error: unknown field \"nosuchfield\"");
  check_error(c.send("POST", kMaps + "?fieldValidation=Strict", R"({"metadata":{"name":"x","name":"y"}})"),
              400, "BadRequest", "duplicate field");
  const Answer warned = c.post(kMaps + "?dryRun=All", strict);
  CHECK(warned.status == 201);
  CHECK_THAT(warned.headers, contains("299 - \"unknown field \\\"nosuchfield\\\"\""));
  CHECK_FALSE(warned.tree().contains("nosuchfield"));
  c.check_alive();
}

TEST_CASE("bad names") {
  const Control& c = shared();
  Json unnamed = config_map("x");
  unnamed["metadata"].erase("name");
  check_error(c.post(kMaps, unnamed), 422, "Invalid", "name or generateName is required");
  for (const std::string& name :
       {std::string(254, 'a'), std::string(100000, 'a'), std::string("../x"), std::string(".."),
        std::string("a/b"), std::string("A"), std::string("a b"), std::string("x%2f")}) {
    INFO(name.substr(0, 50));
    check_error(c.post(kMaps, config_map(name)), 422, "Invalid", "metadata.name: Invalid value");
  }
  Json generated = unnamed;
  generated["metadata"]["generateName"] = "../";
  check_error(c.post(kMaps, generated), 422, "Invalid");
  for (const char* path :
       {"/api/v1/namespaces/../configmaps/x", "/api/v1/namespaces/default/configmaps/%2e%2e%2fsecrets",
        "/api/v1/namespaces/default/configmaps/x%00y", "/api/../api/v1/nosuch"}) {
    INFO(path);
    check_error(c.get(path), 404, "NotFound");
  }
  for (const char* method : {"GET", "DELETE", "PUT", "PATCH"}) {
    INFO(method);
    RequestOptions options{
        method == std::string("PATCH") ? "application/merge-patch+json" : "application/json", {}};
    check_error(c.send(method, kMaps + "/..", "{}", options), 400, "BadRequest",
                "Name parameter invalid: \"..\": may not be '..'");
    check_error(c.send(method, kMaps + "/a%25b", "{}", options), 400, "BadRequest", "may not contain '%'");
  }
  CHECK(c.get("/../../etc/passwd").status == 404);
  check_error(c.get("/api/v1/namespaces/%zz/configmaps"), 400, "BadRequest");
  check_error(c.put(kMaps + "/other", config_map("x")), 400, "BadRequest",
              "the name of the object (x) does not match the name on the URL (other)");
  check_error(c.post("/api/v1/namespaces/nosuch/configmaps", config_map("x")), 404, "NotFound",
              "namespaces \"nosuch\" not found");
  c.check_alive();
}

TEST_CASE("too much of everything") {
  const Control& c = shared();
  Json label = config_map("x");
  label["metadata"]["labels"] = {{"a", std::string(1 << 20, 'v')}};
  check_error(c.post(kMaps, label), 422, "Invalid", "metadata.labels");
  const int depth = 100000;
  std::string deep;
  for (int i = 0; i < depth; ++i) deep += "{\"a\":";
  deep += "1";
  deep.append(depth, '}');
  check_error(c.send("POST", kMaps, deep), 400, "BadRequest");
  check_error(c.send("POST", kMaps, std::string(depth, '[')), 400, "BadRequest");
  check_error(c.send("POST", kMaps, std::string(depth, '['), {"application/yaml", {}}), 400, "BadRequest");
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char n = 'b'; n < 'p'; ++n) {
    bomb += base::cat(n, ": &", n, " [");
    for (int i = 0; i < 9; ++i) bomb += base::cat(i == 0 ? "*" : ",*", static_cast<char>(n - 1));
    bomb += "]\n";
  }
  check_error(c.send("POST", kMaps, bomb, {"application/yaml", {}}), 400, "BadRequest");
  check_error(c.send("POST", kMaps, "a: &a [*a]\n", {"application/yaml", {}}), 400, "BadRequest");
  const Answer body = c.send("POST", kMaps, config_map("x", {{"a", std::string(8 << 20, 'x')}}).dump());
  if (body.status != 0) check_error(body, 413, "RequestEntityTooLarge");
  // Longer than headers may be: answered as Go's server does.
  for (const char* path : {"/", "/api/v1/namespaces/default/configmaps/"}) {
    const Answer refused = c.get(path + std::string(100000, 'a'));
    CHECK(refused.status == 431);
    CHECK(refused.body == "431 Request Header Fields Too Large");
  }
  const Answer slashes = c.get("/api/v1/" + std::string(100000, '/'));
  CHECK(slashes.status / 100 == 4);
  std::string segments = "/api/v1";
  for (int i = 0; i < 30000; ++i) segments += "/a";
  CHECK(c.get(segments).status / 100 == 4);
  const Answer query = c.get(kMaps + "?labelSelector=" + std::string(100000, '('));
  CHECK(query.status / 100 == 4);
  check_error(c.post(kMaps, config_map("x", {{"a", std::string((1 << 20) + 1, 'x')}})), 422, "Invalid",
              "Too long");
  c.check_alive();
}

TEST_CASE("bad parameters") {
  const Control& c = shared();
  check_error(c.get(kMaps + "?labelSelector=a%20in%20("), 400, "BadRequest");
  check_error(c.get(kMaps + "?fieldSelector=no.such=1"), 400, "BadRequest");
  check_error(c.get(kMaps + "?resourceVersion=abc"), 400, "BadRequest", "resourceVersion");
  check_error(c.get(kMaps + "?watch=1&resourceVersion=-5"), 500, "", "invalid syntax");
  check_error(c.get(kMaps + "?resourceVersion=99999999999"), 504, "Timeout", "Too large resource version");
  check_error(c.get(kMaps + "?resourceVersionMatch=Exact"), 422, "Invalid");
  check_error(c.get(kMaps + "?resourceVersionMatch=No&resourceVersion=1"), 422, "Invalid");
  check_error(c.send("POST", kMaps + "?dryRun=Some", config_map("x").dump()), 422, "Invalid", "dryRun");
  check_error(c.send("POST", kMaps + "?fieldValidation=Some", config_map("x").dump()), 422, "Invalid",
              "fieldValidation");
  check_error(c.send("DELETE", kMaps + "/x?propagationPolicy=Some"), 422, "Invalid", "propagationPolicy");
  check_error(c.send("PUT", kMaps, config_map("x").dump()), 405, "MethodNotAllowed");
  check_error(c.send("BREW", kMaps + "/x"), 405, "MethodNotAllowed");
  check_error(c.get(kMaps + "?watch=1&sendInitialEvents=true"), 422, "Invalid", "sendInitialEvents");
}

TEST_CASE("continue tokens that are garbage") {
  const Control& c = shared();
  auto encoded = [](const Json& token) {
    std::string text = pki::base64url_encode(token.dump());
    return kMaps + "?limit=1&continue=" + text;
  };
  for (const std::string& url :
       {kMaps + "?continue=garbage", kMaps + "?continue=%ff%fe", kMaps + "?continue=e30",
        encoded(Json::array()), encoded(7), encoded({{"v", "meta.k8s.io/v1"}}),
        encoded({{"v", "meta.k8s.io/v1"}, {"rv", "x"}, {"start", 5}}),
        encoded({{"v", "meta.k8s.io/v1"}, {"rv", 9000000000LL}, {"start", "default/a"}}),
        encoded({{"v", "meta.k8s.io/v1"}, {"rv", 5}, {"start", "../../x"}})}) {
    INFO(url);
    check_error(c.get(url), 400, "BadRequest", "continue key is not valid");
  }
  // A token does not lead out of the namespace it is used in.
  c.post("/api/v1/namespaces", {{"metadata", {{"name", "aaa"}}}});
  c.post("/api/v1/namespaces/aaa/configmaps", config_map("hidden"));
  const Json list = c.get(kMaps).tree();
  const int64_t now = std::stoll(list["metadata"]["resourceVersion"].get<std::string>());
  const Answer out = c.get(encoded({{"v", "meta.k8s.io/v1"}, {"rv", now}, {"start", "a"}}));
  CHECK(out.body.find("hidden") == std::string::npos);
  check_error(out, 400, "BadRequest", "continue key is not valid");
  // The history before the first revision is gone.
  check_error(
      c.get(encoded({{"v", "meta.k8s.io/v1"}, {"rv", -1}, {"start", "default/a"}}) + "&resourceVersion=7"),
      400, "BadRequest");
}

TEST_CASE("a patch that fails half-way changes nothing") {
  const Control& c = shared();
  REQUIRE(c.post(kMaps, config_map("patched")).status == 201);
  const std::string path = kMaps + "/patched";
  const Json before = c.get(path).tree();
  auto op = [](const char* what, const char* where, Json value) {
    return Json{{"op", what}, {"path", where}, {"value", value}};
  };
  check_error(c.patch(path, "json-patch+json", {op("replace", "/data/a", "2"), op("test", "/data/a", "9")}),
              422, "Invalid");
  check_error(
      c.patch(path, "json-patch+json", {op("replace", "/data/a", "2"), op("replace", "/nosuch/x", "9")}), 422,
      "Invalid");
  // What each of these is told is in answers/; here, that nothing comes of them.
  for (const Json& patch :
       {Json::array({op("replace", "/data/a", 5)}), Json{{"op", "remove"}},
        Json::array({op("replace", "/data/a", "2"), Json{{"op", "melt"}, {"path", "/data"}}}),
        Json::array(
            {op("replace", "/data/a", "2"), op("replace", "/metadata/labels", Json{{"a", "b c"}})})}) {
    INFO(patch.dump());
    CHECK(c.patch(path, "json-patch+json", patch).status / 100 == 4);
    CHECK(c.get(path).tree() == before);
  }
  for (const Json& patch : {Json{{"data", {{"a", "2"}, {"b", 5}}}},
                            Json{{"metadata", {{"labels", {{"a", "not valid!"}}}}}, {"data", {{"a", "2"}}}},
                            Json{{"metadata", nullptr}, {"data", {{"a", "2"}}}}, Json{{"kind", "Secret"}},
                            Json{{"metadata", {{"name", "other"}}}, {"data", {{"a", "2"}}}},
                            Json{{"metadata", {{"resourceVersion", "1"}}}, {"data", {{"a", "2"}}}}}) {
    INFO(patch.dump());
    CHECK(c.patch(path, "merge-patch+json", patch).status / 100 == 4);
    CHECK(c.get(path).tree() == before);
  }
  CHECK(c.patch(path, "strategic-merge-patch+json",
                {{"data", {{"a", "2"}}}, {"metadata", {{"$patch", "melt"}}}})
            .status == 500);
  check_error(c.patch(path, "nosuch+json", Json::object()), 415, "UnsupportedMediaType");
  CHECK(c.get(path).tree() == before);
  c.send("DELETE", path);
}

TEST_CASE("a stale resourceVersion is a conflict") {
  const Control& c = shared();
  const Json first = c.post(kMaps, config_map("stale")).tree();
  Json next = first;
  next["data"]["a"] = "2";
  CHECK(c.put(kMaps + "/stale", next).status == 200);
  next["data"]["a"] = "3";
  check_error(c.put(kMaps + "/stale", next), 409, "Conflict", "the object has been modified");
  CHECK(c.get(kMaps + "/stale").tree()["data"]["a"] == "2");
  check_error(c.post(kMaps, config_map("stale")), 409, "AlreadyExists",
              "configmaps \"stale\" already exists");
  c.send("DELETE", kMaps + "/stale");
}

TEST_CASE("who one is not") {
  const Control& c = shared();
  const auto now = base::SystemClock().now();
  pki::CertificateRequest request;
  request.client = true;
  request.common_name = "system:admin";
  request.organizations = {"system:masters"};
  Credentials other;
  const auto foreign_ca = pki::make_ca("another", now);
  other.certificate = *pki::issue(*foreign_ca, request, now);
  const Answer refused = c.send_as(other, "GET", kMaps);
  if (refused.status != 0) check_error(refused, 401, "Unauthorized");
  for (const char* token : {"garbage", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "K10abc::server:x",
                            "abcdef.0123456789abcdef"}) {
    INFO(token);
    check_error(c.send_as({{}, token}, "GET", kMaps), 401, "Unauthorized", "Unauthorized");
  }
  CHECK((c.send_as({}, "GET", kMaps).status == 401 || c.send_as({}, "GET", kMaps).status == 403));
  CHECK(c.send_as({}, "GET", "/readyz").status == 200);

  // A node may read what its own pods mount, nothing else.
  request.common_name = "system:node:n1";
  request.organizations = {"system:nodes"};
  Credentials node;
  node.certificate = *pki::issue(c.client_ca(), request, now);
  Json secret = {{"metadata", {{"name", "mounted"}}}, {"stringData", {{"k", "v"}}}};
  REQUIRE(c.post("/api/v1/namespaces/default/secrets", secret).status == 201);
  check_error(c.send_as(node, "GET", "/api/v1/namespaces/default/secrets/mounted"), 403, "Forbidden",
              "secrets \"mounted\" is forbidden: User \"system:node:n1\" cannot get resource \"secrets\"");
  check_error(c.send_as(node, "GET", "/api/v1/namespaces/default/secrets"), 403, "Forbidden");
  Json pod = {{"metadata", {{"name", "user-of-secret"}}},
              {"spec",
               {{"nodeName", "n2"},
                {"containers", Json::array({{{"name", "c"}, {"image", "i"}}})},
                {"volumes", Json::array({{{"name", "v"}, {"secret", {{"secretName", "mounted"}}}}})}}}};
  const Answer made = c.post("/api/v1/namespaces/default/pods", pod);
  INFO(made.body);
  REQUIRE(made.status == 201);
  check_error(c.send_as(node, "GET", "/api/v1/namespaces/default/secrets/mounted"), 403, "Forbidden");
  request.common_name = "system:node:n2";
  node.certificate = *pki::issue(c.client_ca(), request, now);
  CHECK(c.send_as(node, "GET", "/api/v1/namespaces/default/secrets/mounted").status == 200);
  // It may list the pods that are its own, and has to say so.
  const Answer own = c.send_as(node, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2");
  CHECK(own.status == 200);
  CHECK(own.tree()["items"].size() == 1);
  check_error(c.send_as(node, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"), 403, "Forbidden");
  check_error(c.send_as(node, "GET", "/api/v1/pods"), 403, "Forbidden",
              "can only list/watch pods with spec.nodeName field selector");
  c.send("DELETE", "/api/v1/namespaces/default/pods/user-of-secret?gracePeriodSeconds=0");
  c.send("DELETE", "/api/v1/namespaces/default/secrets/mounted");
  c.check_alive();
}

}  // namespace
}  // namespace orch::testing
