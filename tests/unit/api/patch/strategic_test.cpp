#include "api/patch/patch.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

namespace {

const Type* pod() {
  static const std::unique_ptr<const Schema> schema = Schema::builtin();
  return schema->kind("", "v1", "Pod");
}

}  // namespace

TEST_CASE("strategic merge patches apply") {
  struct Row {
    const char *what, *document, *patch, *expected;
  };
  const Row row = GENERATE(values<Row>({
      {"lists merge by key, patched items first",
       R"({"spec":{"containers":[{"name":"a","image":"1"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"b","image":"2"},{"name":"c"}]}})",
       R"({"spec":{"containers":[{"image":"1","name":"a"},{"image":"2","name":"b"},{"name":"c"}]}})"},
      {"an item is deleted", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"a","$patch":"delete"}]}})",
       R"({"spec":{"containers":[{"name":"b"}]}})"},
      {"a list is replaced", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"z"},{"$patch":"replace"}]}})",
       R"({"spec":{"containers":[{"name":"z"}]}})"},
      {"a map is replaced", R"({"metadata":{"labels":{"a":"1","b":"2"}}})",
       R"({"metadata":{"labels":{"$patch":"replace","c":"3"}}})", R"({"metadata":{"labels":{"c":"3"}}})"},
      {"a map is emptied", R"({"metadata":{"labels":{"a":"1"}}})",
       R"({"metadata":{"labels":{"$patch":"delete"}}})", R"({"metadata":{"labels":{}}})"},
      {"null removes", R"({"metadata":{"labels":{"a":"1","b":"2"}}})",
       R"({"metadata":{"labels":{"a":null,"z":null}}})", R"({"metadata":{"labels":{"b":"2"}}})"},
      {"atomic lists are replaced", R"({"spec":{"containers":[{"name":"a","args":["1","2"]}]}})",
       R"({"spec":{"containers":[{"name":"a","args":["3"]}]}})",
       R"({"spec":{"containers":[{"args":["3"],"name":"a"}]}})"},
      {"primitive lists with merge strategy unite", R"({"metadata":{"finalizers":["a","b"]}})",
       R"({"metadata":{"finalizers":["c","a"]}})", R"({"metadata":{"finalizers":["c","a","b"]}})"},
      {"items of a primitive list are deleted", R"({"metadata":{"finalizers":["a","b","c"]}})",
       R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a","c"]}})",
       R"({"metadata":{"finalizers":["b"]}})"},
      {"an order is given", R"({"spec":{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}})",
       R"({"spec":{"$setElementOrder/containers":[{"name":"c"},{"name":"a"}],"containers":[{"name":"a","image":"x"}]}})",
       R"({"spec":{"containers":[{"name":"b"},{"name":"c"},{"image":"x","name":"a"}]}})"},
      {"an order of primitives is given", R"({"metadata":{"finalizers":["a","b"]}})",
       R"({"metadata":{"$setElementOrder/finalizers":["b","a"]}})",
       R"({"metadata":{"finalizers":["b","a"]}})"},
      {"only retained keys stay", R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})",
       R"({"spec":{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]}})",
       R"({"spec":{"volumes":[{"hostPath":{"path":"/x"},"name":"v"}]}})"},
      {"directives in what is new do nothing", R"({"spec":{}})",
       R"({"spec":{"containers":[{"name":"a","$patch":"delete"},{"name":"b","env":null}]}})",
       R"({"spec":{"containers":[{"name":"b"}]}})"},
      {"types that differ: the patch wins", R"({"spec":{"nodeName":"x"}})",
       R"({"spec":{"nodeName":{"a":1}}})", R"({"spec":{"nodeName":{"a":1}}})"},
      {"lists are replaced where nothing is known", R"({"unknown":{"list":[{"name":"a"}],"map":{"x":1}}})",
       R"({"unknown":{"list":[{"name":"b"}],"map":{"y":2}}})",
       R"({"unknown":{"list":[{"name":"b"}],"map":{"x":1,"y":2}}})"},
      {"ports merge by number", R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80}]}]}})",
       R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"w"},{"containerPort":81}]}]}})",
       R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"w"},{"containerPort":81}]}]}})"},
  }));
  INFO(row.what);
  const auto out = strategic_merge_patch(Json::parse(row.document), Json::parse(row.patch), pod());
  REQUIRE(out.ok());
  CHECK(base::dump_json(*out) == row.expected);
}

TEST_CASE("broken strategic merge patches are refused in Kubernetes' words") {
  struct Row {
    const char* patch;
    base::Code code;
    const char* message;
  };
  const Row row = GENERATE(values<Row>({
      {"[]", base::Code::kBadRequest,
       "json: cannot unmarshal array into Go value of type map[string]interface {}"},
      {R"({"spec":{"containers":[{"image":"x"}]}})", base::Code::kUnknown,
       "map: map[image:x] does not contain declared merge key: name"},
      {R"({"spec":{"$patch":"frob"}})", base::Code::kUnknown,
       "unknown patch type: frob in map: map[$patch:frob]"},
      {R"({"spec":{"containers":[1]}})", base::Code::kUnknown,
       "list element types are not identical: [[map[name:a]] [1]]"},
      {R"({"spec":{"containers":[[]]}})", base::Code::kInvalid,
       "the server rejected our request due to an error in our request"},
      {R"({"spec":{"$retainKeys":["x"],"containers":[]}})", base::Code::kBadRequest,
       "invalid patch format of retainKeys"},
      {R"({"spec":{"$retainKeys":1}})", base::Code::kBadRequest, "invalid patch format of retainKeys"},
      {R"({"spec":{"$deleteFromPrimitiveList":["x"]}})", base::Code::kBadRequest,
       "invalid patch format of primitive list"},
      {R"({"spec":{"$setElementOrder":["x"]}})", base::Code::kBadRequest,
       "invalid patch format of setElementOrder list"},
      {R"({"spec":{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"c"}]}})",
       base::Code::kUnknown,
       "The order in patch list:\n[map[name:c]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n"},
  }));
  INFO(row.patch);
  const auto out = strategic_merge_patch(Json::parse(R"({"spec":{"containers":[{"name":"a"}]}})"),
                                         Json::parse(row.patch), pod());
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code() == row.code);
  CHECK(out.error().message() == row.message);
}

TEST_CASE("without a type a strategic merge patch merges objects") {
  const auto out = strategic_merge_patch({{"a", {{"b", 1}}}}, {{"a", {{"c", 2}}}}, nullptr);
  REQUIRE(out.ok());
  CHECK(base::dump_json(*out) == R"({"a":{"b":1,"c":2}})");
}
