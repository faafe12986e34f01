#include "api/schema/decode.h"

#include <algorithm>

#include "api/schema/defaults.h"
#include "base/json.h"
#include "tests/catch.h"
#include "tests/unit/api/schema/testdata.h"

namespace orch::api::schema {
namespace {

const Schema& builtin() {
  static const auto schema = Schema::builtin();
  return *schema;
}

TEST_CASE("objects are decoded as Kubernetes' library does") {
  for (const Json& record : testdata_lines("objects.jsonl")) {
    Json tree = record.at("input");
    INFO(record.at("kind") << " " << tree.dump().substr(0, 2000));
    const Type* type =
        builtin().kind(record.at("group").get<std::string>(), record.at("version").get<std::string>(),
                       record.at("kind").get<std::string>());
    REQUIRE(type != nullptr);
    auto problems = decode(builtin(), *type, tree);
    CHECK((problems.ok() ? "" : problems.error().message()) == record.value("error", ""));
    if (!problems.ok()) continue;
    std::sort(problems->begin(), problems->end());
    CHECK(*problems == record.value("strict", std::vector<std::string>()));
    normalise(builtin(), *type, tree);
    CHECK(tree == record.value("output", record.at("input")));
  }
}

TEST_CASE("normalising twice changes nothing") {
  for (const Json& record : testdata_lines("objects.jsonl")) {
    if (record.contains("error")) continue;
    Json tree = record.value("output", record.at("input"));
    const Json before = tree;
    const Type* type =
        builtin().kind(record.at("group").get<std::string>(), record.at("version").get<std::string>(),
                       record.at("kind").get<std::string>());
    normalise(builtin(), *type, tree);
    CHECK(tree == before);
  }
}

std::string error_of(std::string_view kind, const Json& tree) {
  Json copy = tree;
  auto result = decode(builtin(), *builtin().kind("", "v1", kind), copy);
  return result.ok() ? "" : result.error().message();
}

TEST_CASE("what is no object at all is refused") {
  CHECK(error_of("Pod", Json::array()) == "json: cannot unmarshal array into Go value of type v1.Pod");
  CHECK(error_of("Pod", "x") == "json: cannot unmarshal string into Go value of type v1.Pod");
  CHECK(error_of("Pod", Json{{"kind", 1}}) ==
        "json: cannot unmarshal number into Go struct field Pod.TypeMeta.kind of type string");
  CHECK(error_of("Pod", Json{{"kind", "Pod"}}).empty());
}

TEST_CASE("bytes may be a list of numbers") {
  struct Row {
    const char *sent, *error, *decoded;
  };
  const Row rows[] = {
      {R"([1])", "", R"("AQ==")"},
      {R"([104,105,null])", "", R"("aGkA")"},
      {R"([])", "", R"("")"},
      {R"([256])", "json: cannot unmarshal number 256 into Go struct field Secret.data of type uint8", ""},
      {R"([-1])", "json: cannot unmarshal number -1 into Go struct field Secret.data of type uint8", ""},
      {R"(["a"])", "json: cannot unmarshal string into Go struct field Secret.data of type uint8", ""},
      {R"({})", "json: cannot unmarshal object into Go struct field Secret.data of type []uint8", ""},
      {R"(1)", "json: cannot unmarshal number into Go struct field Secret.data of type []uint8", ""},
  };
  for (const Row& row : rows) {
    INFO(row.sent);
    Json secret = {{"data", {{"a", Json::parse(row.sent)}}}};
    auto result = decode(builtin(), *builtin().kind("", "v1", "Secret"), secret);
    CHECK((result.ok() ? "" : result.error().message()) == row.error);
    if (result.ok()) CHECK(secret["data"]["a"].dump() == row.decoded);
  }
}

TEST_CASE("at most a hundred problems are reported") {
  Json tree = Json::object();
  for (int i = 0; i < 1000; ++i) tree["x" + std::to_string(i)] = i;
  auto result = decode(builtin(), *builtin().kind("", "v1", "Pod"), tree);
  REQUIRE(result.ok());
  CHECK(result->size() == 100);
  CHECK(tree.empty());
}

TEST_CASE("a deep tree is decoded to its end") {
  Json deep = Json::object();
  for (int i = 0; i < 300; ++i) deep = Json{{"properties", {{"a", deep}}}};
  Json tree = {{"spec", {{"versions", Json::array({{{"schema", {{"openAPIV3Schema", deep}}}}})}}}};
  const Type* type = builtin().kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  auto result = decode(builtin(), *type, tree);
  REQUIRE(result.ok());
  CHECK(result->empty());
}

TEST_CASE("defaults of the schema fill what is absent") {
  const Type* pod = builtin().kind("", "v1", "Pod");
  Json tree = Json::parse(
      R"({"spec":{"containers":[{"ports":[{"containerPort":1},{"protocol":""},{"protocol":"UDP"}]}],
                              "volumes":[{"azureDisk":{"fsType":null,"kind":""}},{"iscsi":{}}]}})");
  apply_defaults(builtin(), *pod, tree);
  const Json& ports = tree["spec"]["containers"][0]["ports"];
  CHECK(ports[0]["protocol"] == "TCP");
  CHECK(ports[1]["protocol"] == "TCP");
  CHECK(ports[2]["protocol"] == "UDP");
  const Json& disk = tree["spec"]["volumes"][0]["azureDisk"];
  CHECK(disk["fsType"] == "ext4");
  CHECK(disk["kind"].get<std::string>().empty());  // a pointer: the empty text was meant
  CHECK(disk["cachingMode"] == "ReadWrite");
  CHECK(tree["spec"]["volumes"][1]["iscsi"]["iscsiInterface"] == "default");
  CHECK_FALSE(tree["spec"].contains("initContainers"));

  Json controller = Json::object();
  apply_defaults(builtin(), *builtin().kind("", "v1", "ReplicationController"), controller);
  CHECK(controller == Json::parse(R"({"spec":{"replicas":1}})"));
  Json zero = Json::parse(R"({"spec":{"replicas":0}})");
  apply_defaults(builtin(), *builtin().kind("", "v1", "ReplicationController"), zero);
  CHECK(zero["spec"]["replicas"] == 0);
  Json wrong = Json::parse(R"({"spec":[1]})");
  apply_defaults(builtin(), *pod, wrong);
  CHECK(wrong == Json::parse(R"({"spec":[1]})"));
}

/// spec: {size: int = 3, free: any members, part: {name}}, metadata: ObjectMeta.
struct Widget {
  Widget() {
    const Type* meta = builtin().type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    Type& spec = set.add_type("com.example.v1.WidgetSpec");
    Type& free = set.add_type("com.example.v1.WidgetFree");
    free.preserve_unknown = free.structural = spec.structural = type.structural = true;
    free.fields.push_back({.name = "n", .value = set.scalar(ValueKind::kInt64)});
    spec.fields.push_back(
        {.name = "size", .value = set.scalar(ValueKind::kInt64), .notes = set.notes({.default_json = "3"})});
    spec.fields.push_back({.name = "free", .value = set.message(free)});
    spec.fields.push_back({.name = "words", .value = set.list(set.scalar(ValueKind::kString))});
    type.fields.push_back({.name = "metadata", .value = set.message(*meta)});
    type.fields.push_back({.name = "spec", .value = set.message(spec)});
    set.finish();
  }
  TypeSet set;
  Type& type = set.add_type("com.example.v1.Widget");
};

TEST_CASE("objects of a structural type are only pruned") {
  Widget widget;
  Json tree = Json::parse(R"({"metadata":{"name":"a","labels":{},"x":1},"y":null,
      "spec":{"size":"big","free":{"n":"x","any":[1]},"words":[1,null],"z":{}}})");
  auto problems = decode(builtin(), widget.type, tree);
  REQUIRE(problems.ok());
  CHECK(*problems == std::vector<std::string>{"unknown field \"metadata.x\"", "unknown field \"spec.z\"",
                                              "unknown field \"y\""});
  normalise(builtin(), widget.type, tree);
  CHECK(tree == Json::parse(R"({"metadata":{"name":"a"},
      "spec":{"size":"big","free":{"n":"x","any":[1]},"words":[1,null]}})"));
  Json bad = Json::parse(R"({"metadata":{"labels":{"a":1}}})");
  CHECK_FALSE(decode(builtin(), widget.type, bad).ok());
}

TEST_CASE("defaults of a structural type fill only what is absent") {
  Widget widget;
  Json tree = Json::parse(R"({"spec":{}})");
  apply_defaults(builtin(), widget.type, tree);
  CHECK(tree["spec"]["size"] == 3);
  tree["spec"]["size"] = 0;
  apply_defaults(builtin(), widget.type, tree);
  CHECK(tree["spec"]["size"] == 0);
  Json none = Json::object();
  apply_defaults(builtin(), widget.type, none);
  CHECK(none.empty());
}

}  // namespace
}  // namespace orch::api::schema
