#include "api/schema/openapi.h"

#include <deque>
#include <set>

#include "api/schema/wire.h"
#include "base/json.h"
#include "tests/catch.h"
#include "tests/unit/api/schema/testdata.h"

namespace orch::api::schema {
namespace {

using orch::testing::contains;

const Schema& builtin() {
  static const auto schema = Schema::builtin();
  return *schema;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  if (text == "-") return parts;
  for (size_t begin = 0;;) {
    size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

/// The built-in rows as this room sees them.
const std::vector<OpenApiResource>& rows() {
  static const std::vector<OpenApiResource> all = [] {
    std::vector<OpenApiResource> out;
    std::ifstream file("src/api/resources/builtin.rows");
    for (std::string line; std::getline(file, line);) {
      auto words = split(line, '\t');
      if (words[0] == "R") {
        OpenApiResource& r = out.emplace_back();
        r.group = words[1] == "-" ? "" : words[1];
        r.version = words[2];
        r.kind = words[3];
        r.list_kind = r.kind + "List";
        r.plural = words[4];
        r.namespaced = words[6] == "N";
        r.verbs = split(words[9], ',');
        r.type = builtin().kind(r.group, r.version, r.kind);
        r.list_type = builtin().kind(r.group, r.version, r.list_kind);
      } else if (words[0] == "S") {
        OpenApiResource& r = out.back();
        OpenApiSubresource& s = r.subresources.emplace_back();
        s.name = words[1];
        auto version = split(words[2], '/');
        s.group = version.empty() ? r.group : version[0];
        s.version = version.empty() ? r.version : version[1];
        s.kind = words[3];
        s.verbs = split(words[4], ',');
        s.type = builtin().kind(s.group, s.version, s.kind);
      }
    }
    return out;
  }();
  return all;
}

/// Every reference in a document points to something in it.
void check_references(const Json& document, const Json& at) {
  if (at.is_object()) {
    for (const auto& [key, value] : at.items()) {
      if (key == "$ref" && value.is_string()) {
        Json::json_pointer target(value.get<std::string>().substr(1));
        INFO(value);
        CHECK(document.contains(target));
      } else {
        check_references(document, value);
      }
    }
  } else if (at.is_array()) {
    for (const Json& item : at) check_references(document, item);
  }
}

Json parse(const std::string& text) {
  auto tree = base::parse_json(text);
  REQUIRE(tree.ok());
  return *tree;
}

TEST_CASE("the Swagger 2.0 document is whole") {
  Json doc = parse(openapi_v2(builtin(), rows(), "v1.35.4"));
  check_references(doc, doc);
  CHECK(doc["swagger"] == "2.0");
  CHECK(doc["info"]["version"] == "v1.35.4");
  CHECK(doc["definitions"].size() > 500);

  const Json& container = doc["definitions"]["io.k8s.api.core.v1.Container"];
  CHECK(container["required"] == Json::parse(R"(["name"])"));
  CHECK(container["properties"]["ports"] == Json::parse(R"({"type":"array",
      "items":{"$ref":"#/definitions/io.k8s.api.core.v1.ContainerPort"},
      "x-kubernetes-list-map-keys":["containerPort","protocol"],"x-kubernetes-list-type":"map",
      "x-kubernetes-patch-merge-key":"containerPort","x-kubernetes-patch-strategy":"merge"})"));
  CHECK(container["properties"]["imagePullPolicy"] ==
        Json::parse(R"({"type":"string","enum":["Always","IfNotPresent","Never"]})"));
  CHECK(doc["definitions"]["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] ==
        Json::parse(R"([{"group":"apps","kind":"Deployment","version":"v1"}])"));
  const Json& volume = doc["definitions"]["io.k8s.api.core.v1.Volume"]["properties"];
  CHECK(volume.contains("emptyDir"));
  CHECK(volume.contains("name"));

  std::set<std::string> ids;
  for (const auto& [path, operations] : doc["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      if (method == "parameters") continue;
      INFO(path << " " << method);
      CHECK(ids.insert(operation.at("operationId").get<std::string>()).second);
    }
  }
}

/// The fields of a protobuf message: number and content of those with a length.
std::vector<std::pair<uint32_t, std::string_view>> fields_of(std::string_view bytes) {
  std::vector<std::pair<uint32_t, std::string_view>> out;
  WireReader in(bytes);
  while (!in.done()) {
    uint32_t number = 0;
    WireType type = WireType::kVarint;
    std::string_view content;
    REQUIRE(in.tag(number, type));
    if (type == WireType::kBytes) {
      REQUIRE(in.bytes(content));
      out.emplace_back(number, content);
    } else {
      REQUIRE(in.skip(type));
    }
  }
  return out;
}

TEST_CASE("the Swagger 2.0 document has a protobuf form") {
  std::string text = openapi_v2(builtin(), rows(), "v1.35.4");
  auto bytes = openapi_v2_protobuf(text);
  REQUIRE(bytes.ok());
  Json doc = parse(text);
  size_t paths = 0, definitions = 0;
  for (const auto& [number, content] : fields_of(*bytes)) {
    if (number == 1) CHECK(content == "2.0");
    if (number == 8) paths = fields_of(content).size();
    if (number != 9) continue;
    for (const auto& [one, entry] : fields_of(content)) {
      ++definitions;
      auto parts = fields_of(entry);  // name, schema
      REQUIRE(parts.size() == 2);
      std::string name(parts[0].second);
      size_t properties = 0, extensions = 0;
      for (const auto& [part, value] : fields_of(parts[1].second)) {
        if (part == 25) properties = fields_of(value).size();
        if (part == 31) ++extensions;
      }
      INFO(name);
      const Json& definition = doc["definitions"].at(name);
      CHECK(properties == definition.value("properties", Json::object()).size());
      CHECK(extensions == definition.size() - definition.count("type") - definition.count("required") -
                              definition.count("properties") - definition.count("format"));
    }
  }
  CHECK(paths == doc["paths"].size());
  CHECK(definitions == doc["definitions"].size());
  CHECK_FALSE(openapi_v2_protobuf("{").ok());
}

TEST_CASE("operations say what they do and take") {
  Json doc = parse(openapi_v3(builtin(), rows(), "apps", "v1", "v1.35.4"));
  check_references(doc, doc);
  const Json& item = doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
  const Json& patch = item["patch"];
  CHECK(patch["operationId"] == "patchAppsV1NamespacedDeployment");
  CHECK(patch["x-kubernetes-action"] == "patch");
  CHECK(patch["x-kubernetes-group-version-kind"] ==
        Json::parse(R"({"group":"apps","kind":"Deployment","version":"v1"})"));
  std::set<std::string> names;
  for (const Json& parameter : patch["parameters"]) names.insert(parameter["name"].get<std::string>());
  CHECK(names == std::set<std::string>{"dryRun", "fieldManager", "fieldValidation", "force"});
  CHECK(patch["requestBody"]["content"].contains("application/strategic-merge-patch+json"));
  CHECK(item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"] ==
        "#/components/schemas/io.k8s.api.apps.v1.Deployment");
  CHECK(item["delete"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"] ==
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status");
  const Json& scale = doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"];
  CHECK(scale["operationId"] == "replaceAppsV1NamespacedDeploymentScale");
  CHECK(scale["x-kubernetes-group-version-kind"]["kind"] == "Scale");
  CHECK(doc["paths"]["/apis/apps/v1/deployments"]["get"]["operationId"] ==
        "listAppsV1DeploymentForAllNamespaces");
  CHECK_FALSE(doc["paths"].contains("/api/v1/namespaces/{namespace}/pods"));

  std::vector<OpenApiResource> changed = rows();
  for (OpenApiResource& r : changed) r.returns_deleted = r.kind == "Pod";
  Json core = parse(openapi_v3(builtin(), changed, "", "v1", "v1.35.4"));
  CHECK(core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["delete"]["responses"]["202"]["content"]
            ["application/json"]["schema"]["$ref"] == "#/components/schemas/io.k8s.api.core.v1.Pod");
  const Json& exec = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/exec"];
  CHECK(exec["post"]["x-kubernetes-action"] == "connect");
  CHECK(exec["parameters"].size() == 8);
  CHECK(core["paths"].contains("/api/v1/nodes/{name}/proxy/{path}"));
}

TEST_CASE("the version 3 schemas wrap references that say more, and carry defaults") {
  Json doc = parse(openapi_v3(builtin(), rows(), "", "v1", "v1.35.4"));
  const Json& schemas = doc["components"]["schemas"];
  const Json& pod = schemas["io.k8s.api.core.v1.Pod"]["properties"];
  CHECK(pod["metadata"] == Json::parse(R"({"default":{},
      "allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]})"));
  CHECK(pod["kind"] == Json::parse(R"({"type":"string"})"));
  const Json& port = schemas["io.k8s.api.core.v1.ContainerPort"]["properties"];
  CHECK(port["protocol"]["default"] == "TCP");
  CHECK(port["containerPort"] == Json::parse(R"({"type":"integer","format":"int32","default":0})"));
  CHECK(schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"] ==
        Json::parse(R"({"oneOf":[{"type":"string"},{"type":"number"}]})"));
  CHECK(schemas["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"][0]["discriminator"] == "type");
}

TEST_CASE("every group version has a document, and the index leads to it") {
  Json index = parse(openapi_v3_index(builtin(), rows(), "v1.35.4"));
  CHECK(index["paths"].size() == 22);
  CHECK_THAT(index["paths"]["apis/apps/v1"]["serverRelativeURL"].get<std::string>(),
             contains("/openapi/v3/apis/apps/v1?hash="));
  CHECK(index["paths"].contains("api/v1"));
  std::set<std::string> urls;
  for (const auto& [path, entry] : index["paths"].items()) {
    urls.insert(entry["serverRelativeURL"].get<std::string>().substr(
        entry["serverRelativeURL"].get<std::string>().find('?')));
    auto words = split(path, '/');
    std::string group = words[0] == "api" ? "" : words[1];
    Json doc = parse(openapi_v3(builtin(), rows(), group, words.back(), "v1.35.4"));
    INFO(path);
    check_references(doc, doc);
  }
  CHECK(urls.size() == 22);
  CHECK(openapi_v3(builtin(), rows(), "apps", "v2", "v1.35.4").empty());
  CHECK(index == parse(openapi_v3_index(builtin(), rows(), "v1.35.4")));
}

TEST_CASE("a custom resource is described by its own definition") {
  OpenApiResource row{.group = "example.com",
                      .version = "v1",
                      .kind = "Widget",
                      .list_kind = "WidgetList",
                      .plural = "widgets",
                      .verbs = {"get", "list", "create", "patch"},
                      .model = "com.example.v1.Widget",
                      .list_model = "com.example.v1.WidgetList",
                      .schema = [](bool v2) {
                        return v2 ? std::string(R"({"type":"object","title":"two"})")
                                  : std::string(R"({"type":"object","title":"three"})");
                      }};

  Json doc = parse(openapi_v3(builtin(), {row}, "example.com", "v1", "v1.35.4"));
  check_references(doc, doc);
  const Json& schemas = doc["components"]["schemas"];
  CHECK(schemas["com.example.v1.Widget"]["title"] == "three");
  CHECK(schemas.contains("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
  CHECK(schemas["com.example.v1.WidgetList"]["properties"]["items"]["items"]["$ref"] ==
        "#/components/schemas/com.example.v1.Widget");
  const Json& patch = doc["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
  CHECK_FALSE(patch["requestBody"]["content"].contains("application/strategic-merge-patch+json"));
  CHECK(patch["operationId"] == "patchExampleComV1NamespacedWidget");
  const Json two = parse(openapi_v2(builtin(), {row}, "v1.35.4"));
  CHECK(two["definitions"]["com.example.v1.Widget"]["title"] == "two");
}

}  // namespace
}  // namespace orch::api::schema
