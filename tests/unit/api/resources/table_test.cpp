#include "api/resources/table.h"

#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

namespace {

ObjectPtr object(const char* name) {
  return Object::from_tree({{"kind", "Foo"},
                            {"apiVersion", "v1"},
                            {"metadata",
                             {{"name", name},
                              {"resourceVersion", "5"},
                              {"creationTimestamp", "2026-01-01T00:00:00Z"},
                              {"labels", {{"a", "b"}}}}},
                            {"spec", {{"x", 1}}}})
      .value();
}

Resource row() {
  Resource out;
  out.kind = "Foo";
  out.columns = {{"Name", "string", "name", "", 0}, {"Size", "integer", "", "how big", 1}};
  auto strategy = std::make_shared<Strategy>();
  strategy->cells = [](const Json& tree, base::WallTime) -> std::vector<Json> {
    return {tree["metadata"]["name"], tree["spec"]["x"]};
  };
  out.strategy = strategy;
  return out;
}

}  // namespace

TEST_CASE("a Table has columns, cells and the part of the objects asked for") {
  TableOptions options;
  Json table =
      Json::parse(table_json(row(), {object("a"), object("b")}, R"({"resourceVersion":"9"})", options));
  CHECK(table["kind"] == "Table");
  CHECK(table["apiVersion"] == "meta.k8s.io/v1");
  CHECK(table["metadata"]["resourceVersion"] == "9");
  CHECK(table["columnDefinitions"] ==
        Json::parse(R"([{"name":"Name","type":"string","format":"name","description":"","priority":0},
            {"name":"Size","type":"integer","format":"","description":"how big","priority":1}])"));
  REQUIRE(table["rows"].size() == 2);
  CHECK(table["rows"][1]["cells"] == Json({"b", 1}));
  CHECK(table["rows"][0]["object"]["kind"] == "PartialObjectMetadata");
  CHECK(table["rows"][0]["object"]["metadata"]["labels"]["a"] == "b");
  CHECK_FALSE(table["rows"][0]["object"].contains("spec"));

  options.include = IncludeObject::kObject;
  options.columns = false;
  options.version = "v1beta1";
  table = Json::parse(table_json(row(), {object("a")}, "{}", options));
  CHECK(table["apiVersion"] == "meta.k8s.io/v1beta1");
  CHECK(table["columnDefinitions"].is_null());
  CHECK(table["rows"][0]["object"]["spec"]["x"] == 1);

  options.include = IncludeObject::kNone;
  table = Json::parse(table_json(row(), {object("a")}, "{}", options));
  CHECK(table["rows"][0]["object"].is_null());
  CHECK(Json::parse(table_json(row(), {}, "{}", options))["rows"].empty());
}

TEST_CASE("FlowSchemas are listed by precedence, then by name") {
  Resource flows = row();
  flows.group = "flowcontrol.apiserver.k8s.io";
  flows.kind = "FlowSchema";
  auto strategy = std::make_shared<Strategy>();
  strategy->cells = [](const Json& tree, base::WallTime) -> std::vector<Json> {
    const std::string name = tree["metadata"]["name"];
    return {name, "level", name == "first" ? 1 : 100};
  };
  flows.strategy = strategy;
  const Json table = Json::parse(table_json(flows, {object("a"), object("first"), object("b")}, "{}", {}));
  std::string names;
  for (const Json& one : table["rows"])
    names +=
        one["cells"][0].get<std::string>() + "/" + one["object"]["metadata"]["name"].get<std::string>() + " ";
  CHECK(names == "first/first a/a b/b ");
}

TEST_CASE("a kind without cells of its own shows name and creation time") {
  Resource plain;
  plain.strategy = std::make_shared<Strategy>();
  const Json table = Json::parse(table_json(plain, {object("a")}, "{}", {}));
  CHECK(table["rows"][0]["cells"] == Json({"a", "2026-01-01T00:00:00Z"}));
}

TEST_CASE("metadata alone is answered from bytes") {
  const Json one = Json::parse(partial_metadata_json(*object("a")));
  CHECK(one["kind"] == "PartialObjectMetadata");
  CHECK(one["metadata"]["name"] == "a");
  CHECK(one["metadata"]["resourceVersion"] == "5");
  CHECK_FALSE(one.contains("spec"));
  const Json list =
      Json::parse(partial_metadata_list_json({object("a"), object("b")}, R"({"continue":"c"})", "v1beta1"));
  CHECK(list["kind"] == "PartialObjectMetadataList");
  CHECK(list["apiVersion"] == "meta.k8s.io/v1beta1");
  CHECK(list["metadata"]["continue"] == "c");
  CHECK(list["items"][1]["metadata"]["name"] == "b");
}

TEST_CASE("includeObject is one of three words") {
  CHECK(parse_include_object("").value() == IncludeObject::kMetadata);
  CHECK(parse_include_object("None").value() == IncludeObject::kNone);
  CHECK(parse_include_object("Object").value() == IncludeObject::kObject);
  CHECK(parse_include_object("All").error().message() == "unrecognized includeObject value: \"All\"");
}
