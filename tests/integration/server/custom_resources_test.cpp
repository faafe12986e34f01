// CustomResourceDefinitions and their objects, through the API of a whole server.
#include <chrono>
#include <thread>

#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

constexpr const char* kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

Json definition(const std::string& plural, const std::string& kind, const std::vector<Json>& versions,
                const std::string& scope = "Namespaced") {
  return {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata", {{"name", plural + ".stable.example.com"}}},
          {"spec",
           {{"group", "stable.example.com"},
            {"scope", scope},
            {"names", {{"plural", plural}, {"kind", kind}, {"shortNames", {plural.substr(0, 3) + "x"}}}},
            {"versions", versions}}}};
}

Json version(const std::string& name, const Json& schema, bool storage = true) {
  return {{"name", name}, {"served", true}, {"storage", storage}, {"schema", {{"openAPIV3Schema", schema}}}};
}

Json cron_schema() {
  return Json::parse(R"({"type":"object","properties":{
      "spec":{"type":"object","required":["cronSpec"],"properties":{
        "cronSpec":{"type":"string","pattern":"^(\\d+|\\*)$"},
        "image":{"type":"string","default":"nginx"},
        "replicas":{"type":"integer","minimum":1,"maximum":10},
        "color":{"type":"string"},
        "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["port"],
          "items":{"type":"object","required":["port"],
                   "properties":{"port":{"type":"integer"},"name":{"type":"string"}}}},
        "template":{"type":"object","x-kubernetes-embedded-resource":true,
                    "x-kubernetes-preserve-unknown-fields":true}}},
      "status":{"type":"object","properties":{"replicas":{"type":"integer"},"selector":{"type":"string"}}}}})");
}

/// Waits until the definition is established.
void establish(const Control& c, const std::string& name) {
  for (int i = 0; i < 200; ++i) {
    const Json crd = c.get(base::cat(kDefinitions, "/", name)).tree();
    for (const Json& condition : base::array_at(crd, {"status", "conditions"})) {
      if (condition["type"] == "Established" && condition["status"] == "True") return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL("not established: " << c.get(base::cat(kDefinitions, "/", name)).body);
}

std::string objects(const std::string& plural, const std::string& version = "v1",
                    const std::string& ns = "default") {
  return base::cat("/apis/stable.example.com/", version, "/namespaces/", ns, "/", plural);
}

Json object(const std::string& kind, const std::string& name, const Json& spec,
            const std::string& version = "v1") {
  return {{"apiVersion", "stable.example.com/" + version},
          {"kind", kind},
          {"metadata", {{"name", name}}},
          {"spec", spec}};
}

bool gone(const Control& c, const std::string& path) {
  for (int i = 0; i < 200; ++i) {
    if (c.get(path).status == 404) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// A definition that is made before and deleted after, and waited for.
struct Defined {
  Defined(const Control& c, const Json& crd) : c_(c), name_(crd["metadata"]["name"]) {
    const Answer made = c.post(kDefinitions, crd);
    INFO(made.body);
    REQUIRE(made.status == 201);
    establish(c, name_);
  }
  ~Defined() {
    c_.send("DELETE", base::cat(kDefinitions, "/", name_));
    gone(c_, base::cat(kDefinitions, "/", name_));
  }
  std::string path() const { return base::cat(kDefinitions, "/", name_); }
  const Control& c_;
  const std::string name_;
};

}  // namespace

TEST_CASE("a custom resource is made, defaulted, validated and pruned") {
  const Control& c = shared();
  Json v1 = version("v1", cron_schema());
  v1["subresources"] = {{"status", Json::object()},
                        {"scale",
                         {{"specReplicasPath", ".spec.replicas"},
                          {"statusReplicasPath", ".status.replicas"},
                          {"labelSelectorPath", ".status.selector"}}}};
  v1["additionalPrinterColumns"] = {
      {{"name", "Spec"}, {"type", "string"}, {"jsonPath", ".spec.cronSpec"}},
      {{"name", "Replicas"}, {"type", "integer"}, {"jsonPath", ".spec.replicas"}}};
  v1["selectableFields"] = {{{"jsonPath", ".spec.color"}}};
  const Defined crd(c, definition("crontabs", "CronTab", {v1}));
  const std::string path = objects("crontabs");

  Json tab = object("CronTab", "a", {{"cronSpec", "5"}, {"replicas", 2}, {"color", "blue"}, {"bogus", 1}});
  tab["status"] = {{"replicas", 9}};
  Answer made = c.send("POST", path + "?fieldValidation=Strict", tab.dump());
  check_error(
      made, 400, "BadRequest",
      "CronTab in version \"v1\" cannot be handled as a CronTab: strict decoding error: unknown field "
      "\"spec.bogus\"");
  made = c.send("POST", path + "?fieldValidation=Warn", tab.dump());
  CHECK(made.status == 201);
  CHECK(made.headers.find("unknown field \\\"spec.bogus\\\"") != std::string::npos);
  const Json first = made.tree();
  CHECK(first["spec"] == Json::parse(R"({"cronSpec":"5","replicas":2,"color":"blue","image":"nginx"})"));
  CHECK_FALSE(first.contains("status"));
  CHECK(first["metadata"]["generation"] == 1);

  const Answer bad = c.post(path, object("CronTab", "b", {{"cronSpec", "x"}, {"replicas", 11}}));
  check_error(
      bad, 422, "Invalid",
      "CronTab.stable.example.com \"b\" is invalid: [spec.cronSpec: Invalid value: \"x\": spec.cronSpec in "
      "body should match '^(\\d+|\\*)$', spec.replicas: Invalid value: 11: spec.replicas in body should be "
      "less than or equal to 10]");
  CHECK(c.post(path, object("CronTab", "c", {{"cronSpec", "7"}, {"color", "red"}})).status == 201);

  // Lists, field selectors, tables.
  CHECK(c.get(path + "?fieldSelector=spec.color%3Dred").tree()["items"].size() == 1);
  check_error(c.get(path + "?fieldSelector=spec.image%3Dred"), 400, "BadRequest",
              "field label not supported: spec.image");
  const Json table =
      c.send("GET", path, {}, {"", {"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"}}).tree();
  CHECK(table["columnDefinitions"][1]["name"] == "Spec");
  CHECK(table["rows"][0]["cells"] == Json::parse(R"(["a","5",2])"));

  // Patches.
  CHECK(c.patch(path + "/a", "merge-patch+json", {{"spec", {{"replicas", 3}}}}).tree()["spec"]["replicas"] ==
        3);
  CHECK(c.patch(path + "/a", "json-patch+json",
                Json::parse(R"([{"op":"replace","path":"/spec/replicas","value":4}])"))
            .tree()["spec"]["replicas"] == 4);
  check_error(c.patch(path + "/a", "strategic-merge-patch+json", {{"spec", {{"replicas", 3}}}}), 415,
              "UnsupportedMediaType",
              "the body of the request was in an unknown format - accepted media types include: "
              "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");

  // Subresources.
  Json current = c.get(path + "/a").tree();
  current["status"] = {{"replicas", 1}, {"selector", "app=a"}};
  current["spec"]["replicas"] = 9;
  const Json with_status = c.put(path + "/a/status", current).tree();
  CHECK(with_status["spec"]["replicas"] == 4);
  CHECK(with_status["status"]["selector"] == "app=a");
  const Json scale = c.get(path + "/a/scale").tree();
  CHECK(scale["spec"]["replicas"] == 4);
  CHECK(scale["status"] == Json::parse(R"({"replicas":1,"selector":"app=a"})"));
  CHECK(c.patch(path + "/a/scale", "merge-patch+json", {{"spec", {{"replicas", 6}}}})
            .tree()["spec"]["replicas"] == 6);
  CHECK(c.get(path + "/a").tree()["spec"]["replicas"] == 6);

  // Server-side apply merges lists by their keys.
  Json ports = object("CronTab", "a", {{"cronSpec", "5"}, {"ports", {{{"port", 80}, {"name", "web"}}}}});
  CHECK(c.send("PATCH", path + "/a?fieldManager=one&force=true", ports.dump(),
               {"application/apply-patch+yaml", {}})
            .status == 200);
  ports["spec"]["ports"] = {{{"port", 81}}};
  const Answer both = c.send("PATCH", path + "/a?fieldManager=two&force=true", ports.dump(),
                             {"application/apply-patch+yaml", {}});
  INFO(both.body);
  CHECK(both.tree()["spec"]["ports"].size() == 2);
}

TEST_CASE("discovery and OpenAPI tell of custom resources while they are served") {
  const Control& c = shared();
  const Json before = c.get("/apis").tree();
  {
    const Defined crd(c, definition("widgets", "Widget", {version("v1", cron_schema())}));
    const Json group = c.get("/apis/stable.example.com").tree();
    CHECK(group["preferredVersion"]["version"] == "v1");
    const Json list = c.get("/apis/stable.example.com/v1").tree();
    CHECK(list["resources"][0]["name"] == "widgets");
    CHECK(list["resources"][0]["kind"] == "Widget");
    CHECK(list["resources"][0]["shortNames"] == Json::parse(R"(["widx"])"));
    // Their kinds are told with group and version, which built-in ones leave out.
    const Json together =
        c.send("GET", "/apis", {},
               {{}, {"Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}})
            .tree();
    for (const Json& one : together["items"]) {
      if (one["metadata"]["name"] != "stable.example.com") continue;
      CHECK(one["versions"][0]["resources"][0]["responseKind"] ==
            Json{{"group", "stable.example.com"}, {"version", "v1"}, {"kind", "Widget"}});
    }
    const Json v2 = c.get("/openapi/v2").tree();
    const Json& model = v2["definitions"]["com.example.stable.v1.Widget"];
    CHECK(model["properties"]["spec"]["properties"]["image"]["default"] == "nginx");
    CHECK(model["properties"]["metadata"]["$ref"] ==
          "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    CHECK(c.get("/openapi/v3/apis/stable.example.com/v1")
              .tree()["components"]["schemas"]
              .contains("com.example.stable.v1.Widget"));
  }
  CHECK(gone(c, objects("widgets")));
  CHECK(gone(c, "/apis/stable.example.com/v1"));
  CHECK(c.get("/apis").tree() == before);
}

TEST_CASE("versions are one object") {
  const Control& c = shared();
  const Json free = Json::parse(R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  Json old = version("v1beta1", free, false);
  old["deprecated"] = true;
  const Defined crd(c, definition("gadgets", "Gadget", {version("v1", free), old}));
  CHECK(c.post(objects("gadgets", "v1beta1"), object("Gadget", "a", {{"x", 1}}, "v1beta1")).status == 201);
  const Answer read = c.get(objects("gadgets", "v1beta1") + "/a");
  CHECK(read.tree()["apiVersion"] == "stable.example.com/v1beta1");
  CHECK(read.headers.find(
            "stable.example.com/v1beta1 Gadget is deprecated; use stable.example.com/v1 Gadget") !=
        std::string::npos);
  CHECK(c.get(objects("gadgets") + "/a").tree()["apiVersion"] == "stable.example.com/v1");
  const Json list = c.get(objects("gadgets", "v1beta1")).tree();
  CHECK(list["apiVersion"] == "stable.example.com/v1beta1");
  CHECK(list["items"][0]["spec"] == Json::parse(R"({"x":1})"));
}

TEST_CASE("a changed schema is what objects are read by") {
  const Control& c = shared();
  Json schema = Json::parse(R"({"type":"object","properties":{"spec":{"type":"object","properties":{
      "keep":{"type":"string"},"drop":{"type":"string"}}}}})");
  const Defined crd(c, definition("things", "Thing", {version("v1", schema)}));
  CHECK(c.post(objects("things"), object("Thing", "a", {{"keep", "k"}, {"drop", "d"}})).status == 201);
  Json changed = c.get(crd.path()).tree();
  Json& properties =
      changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
  properties.erase("drop");
  properties["fresh"] = {{"type", "string"}, {"default", "new"}};
  const Answer put = c.put(crd.path(), changed);
  INFO(put.body);
  CHECK(put.status == 200);
  CHECK(c.get(objects("things") + "/a").tree()["spec"] == Json::parse(R"({"keep":"k","fresh":"new"})"));
}

TEST_CASE("a definition goes after its instances") {
  const Control& c = shared();
  const Json free = Json::parse(R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  const Defined crd(c, definition("leavers", "Leaver", {version("v1", free)}));
  Json held = object("Leaver", "held", Json::object());
  held["metadata"]["finalizers"] = {"example.com/hold"};
  CHECK(c.post(objects("leavers"), held).status == 201);
  CHECK(c.post(objects("leavers"), object("Leaver", "free", Json::object())).status == 201);
  CHECK(c.send("DELETE", crd.path()).status == 200);
  CHECK(gone(c, objects("leavers") + "/free"));
  CHECK(c.get(crd.path()).status == 200);
  check_error(c.post(objects("leavers"), object("Leaver", "late", Json::object())), 403, "Forbidden",
              "leavers.stable.example.com \"late\" is forbidden: create not allowed while custom resource "
              "definition is terminating");
  CHECK(c.patch(objects("leavers") + "/held", "merge-patch+json", {{"metadata", {{"finalizers", nullptr}}}})
            .status == 200);
  CHECK(gone(c, crd.path()));
  CHECK(c.get(objects("leavers")).status == 404);
}

TEST_CASE("names that are taken are not accepted") {
  const Control& c = shared();
  const Json free = Json::parse(R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  Json second = definition("others", "First", {version("v1", free)});
  {
    const Defined first(c, definition("firsts", "First", {version("v1", free)}));
    CHECK(c.post(kDefinitions, second).status == 201);
    std::string reason;
    for (int i = 0; i < 100 && reason.empty(); ++i) {
      const Json crd = c.get(base::cat(kDefinitions, "/others.stable.example.com")).tree();
      for (const Json& condition : base::array_at(crd, {"status", "conditions"})) {
        if (condition["type"] == "NamesAccepted") reason = condition["message"];
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    CHECK(reason == "\"FirstList\" is already in use");
    CHECK(c.get(objects("others")).status == 404);
  }
  establish(c, "others.stable.example.com");
  CHECK(c.send("DELETE", base::cat(kDefinitions, "/others.stable.example.com")).status == 200);
}

TEST_CASE("definitions that are wrong are refused") {
  const Control& c = shared();
  Json crd = definition("wrongs", "Wrong", {version("v1", {{"type", "object"}})});
  crd["metadata"]["name"] = "other";
  check_error(
      c.post(kDefinitions, crd), 422, "Invalid",
      "CustomResourceDefinition.apiextensions.k8s.io \"other\" is invalid: metadata.name: Invalid value: "
      "\"other\": must be spec.names.plural+\".\"+spec.group");
  crd = definition(
      "wrongs", "Wrong",
      {version("v1", Json::parse(R"({"type":"object","properties":{"a":{}, "b":{"type":"array"}}})"))});
  check_error(
      c.post(kDefinitions, crd), 422, "Invalid",
      "CustomResourceDefinition.apiextensions.k8s.io \"wrongs.stable.example.com\" is invalid: "
      "[spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified "
      "object fields, spec.validation.openAPIV3Schema.properties[b].items: Required value: must be "
      "specified]");
}

TEST_CASE("custom resources outlive a restart") {
  DataFolder folder;
  Control c(folder);
  c.start();
  const Json free = Json::parse(R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  CHECK(c.post(kDefinitions, definition("stayers", "Stayer", {version("v1", free)})).status == 201);
  establish(c, "stayers.stable.example.com");
  Json made = c.post(objects("stayers"), object("Stayer", "a", {{"x", 0}})).tree();
  const std::string since = made["metadata"]["resourceVersion"];
  made["spec"]["x"] = 1;
  CHECK(c.put(objects("stayers") + "/a", made).status == 200);
  CHECK(c.post(objects("stayers"), object("Stayer", "b", {{"x", 2}})).status == 201);
  CHECK(c.send("DELETE", objects("stayers") + "/b").status == 200);
  c.stop();
  c.start();
  CHECK(c.get(objects("stayers") + "/a").tree()["spec"]["x"] == 1);
  // A watch that was cut off goes on where it was.
  const auto seen = frames(c.get(objects("stayers") + "?watch=1&timeoutSeconds=1&resourceVersion=" + since));
  CHECK(brief(seen) == std::vector<std::string>{"MODIFIED a", "ADDED b", "DELETED b"});
}

TEST_CASE("custom resources are collected and leave with their namespace") {
  const Control& c = shared();
  const Json free = Json::parse(R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  const Defined crd(c, definition("kids", "Kid", {version("v1", free)}));
  const Json parent = c.post(objects("kids"), object("Kid", "parent", Json::object())).tree();
  Json child = object("Kid", "child", Json::object());
  child["metadata"]["ownerReferences"] = {{{"apiVersion", "stable.example.com/v1"},
                                           {"kind", "Kid"},
                                           {"name", "parent"},
                                           {"uid", parent["metadata"]["uid"]}}};
  CHECK(c.post(objects("kids"), child).status == 201);
  CHECK(c.send("DELETE", objects("kids") + "/parent").status == 200);
  CHECK(gone(c, objects("kids") + "/child"));

  // One that is orphaned loses that owner, and keeps the other.
  const auto made = [&](const char* name) {
    return c.post(objects("kids"), object("Kid", name, Json::object())).tree()["metadata"]["uid"];
  };
  const auto owner = [](const char* name, const Json& uid) {
    return Json{{"apiVersion", "stable.example.com/v1"}, {"kind", "Kid"}, {"name", name}, {"uid", uid}};
  };
  const Json kept = owner("kept", made("kept"));
  Json orphan = object("Kid", "orphan", Json::object());
  orphan["metadata"]["ownerReferences"] = {owner("leaver", made("leaver")), kept};
  CHECK(c.post(objects("kids"), orphan).status == 201);
  CHECK(c.send("DELETE", objects("kids") + "/leaver?propagationPolicy=Orphan").status == 200);
  CHECK(gone(c, objects("kids") + "/leaver"));
  CHECK(c.get(objects("kids") + "/orphan").tree()["metadata"]["ownerReferences"] == Json::array({kept}));

  CHECK(c.post("/api/v1/namespaces",
               {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "crs"}}}})
            .status == 201);
  CHECK(c.post(objects("kids", "v1", "crs"), object("Kid", "a", Json::object())).status == 201);
  CHECK(c.send("DELETE", "/api/v1/namespaces/crs").status == 200);
  CHECK(gone(c, "/api/v1/namespaces/crs"));
}

}  // namespace orch::testing
