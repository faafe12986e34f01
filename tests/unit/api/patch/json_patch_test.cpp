#include "api/patch/patch.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

TEST_CASE("JSON patches apply") {
  const auto [document, patch, expected] = GENERATE(table<const char*, const char*, const char*>({
      {R"({"a":1})", R"([{"op":"add","path":"/b","value":{"c":[]}}])", R"({"a":1,"b":{"c":[]}})"},
      {R"({"a":[1,2]})", R"([{"op":"add","path":"/a/1","value":9}])", R"({"a":[1,9,2]})"},
      {R"({"a":[1,2]})", R"([{"op":"add","path":"/a/-","value":9}])", R"({"a":[1,2,9]})"},
      {R"({"a":[1,2]})", R"([{"op":"add","path":"/a/-1","value":9}])", R"({"a":[1,2,9]})"},
      {R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/1"}])", R"({"a":[1,3]})"},
      {R"({"a":{"b":1}})", R"([{"op":"remove","path":"/a/b"}])", R"({"a":{}})"},
      {R"({"a":1})", R"([{"op":"replace","path":"/a","value":"x"}])", R"({"a":"x"})"},
      {R"({"a":1})", R"([{"op":"replace","path":"/new","value":"x"}])", R"({"a":1,"new":"x"})"},
      {R"({"a":1})", R"([{"op":"replace","path":"","value":{"z":1}}])", R"({"z":1})"},
      {R"({"a/b":1,"c~d":2})", R"([{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/c~0d"}])", "{}"},
      {R"({"a":{"b":1},"c":{}})", R"([{"op":"move","from":"/a/b","path":"/c/d"}])",
       R"({"a":{},"c":{"d":1}})"},
      {R"({"a":[1]})", R"([{"op":"copy","from":"/a","path":"/b"}])", R"({"a":[1],"b":[1]})"},
      {R"({"a":1})", R"([{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a"}])", "{}"},
      {R"({"a":1})", R"([{"op":"test","path":"/none","value":null}])", R"({"a":1})"},
      {R"({"a":1})", "[]", R"({"a":1})"},
  }));
  INFO(patch);
  const auto out = json_patch(Json::parse(document), Json::parse(patch));
  REQUIRE(out.ok());
  CHECK(base::dump_json(*out) == expected);
}

TEST_CASE("JSON patches that do not apply say why") {
  const auto [patch, why] = GENERATE(table<const char*, const char*>({
      {R"([{"op":"remove","path":"/x"}])",
       "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value"},
      {R"([{"op":"add","path":"/x/y","value":1}])",
       "add operation does not apply: doc is missing path: \"/x/y\": missing value"},
      {R"([{"op":"add","path":"/list/9","value":1}])",
       "error in add for path: '/list/9': Unable to access invalid index: 9: invalid index referenced"},
      {R"([{"op":"add","path":"/list/x","value":1}])",
       "error in add for path: '/list/x': value was not a proper array index: 'x'"},
      {R"([{"op":"test","path":"/a","value":2}])", "testing value /a failed: test failed"},
      {R"([{"op":"test","path":"/a","value":1.0}])", "testing value /a failed: test failed"},
      {R"([{"op":"replace","path":"/x/y","value":1}])",
       "replace operation does not apply: doc is missing path: /x/y: missing value"},
      {R"([{"op":"replace","path":"","value":1}])", "replace operation value must be object or array"},
      {R"([{"op":"move","from":"/x","path":"/y"}])",
       "error in move for path: 'x': Unable to remove nonexistent key: x: missing value"},
      {R"([{"op":"add","value":1}])", "add operation failed to decode path: missing value"},
      {R"([{"op":"frob","path":"/a"}])", "Unexpected kind: frob"},
      {R"([{"path":"/a"}])", "Unexpected kind: unknown"},
  }));
  INFO(patch);
  const Json document = Json::parse(R"({"a":1,"list":[1,2]})");
  const auto out = json_patch(document, Json::parse(patch));
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code() == base::Code::kInvalid);
  CHECK(out.error().message() == "the server rejected our request due to an error in our request");
  REQUIRE(out.error().details() != nullptr);
  CHECK(out.error().details()->causes.at(0).message == why);
}

TEST_CASE("what is no JSON patch is refused") {
  const auto [patch, message] = GENERATE(table<const char*, const char*>({
      {"{}",
       "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"},
      {"[1]",
       "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"},
      {R"([{"op":1}])",
       "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type "
       "string"},
  }));
  const auto out = json_patch(Json::object(), Json::parse(patch));
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code() == base::Code::kBadRequest);
  CHECK(out.error().message() == message);
}

TEST_CASE("JSON patches are bounded") {
  Json many = Json::array();
  for (int i = 0; i < 10001; ++i) many.push_back({{"op", "test"}, {"path", "/a"}, {"value", 1}});
  const auto refused = json_patch({{"a", 1}}, many);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code() == base::Code::kRequestEntityTooLarge);
  CHECK(refused.error().message() ==
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001");

  // Each copy doubles the document.
  Json doubling = Json::array();
  for (int i = 0; i < 60; ++i) {
    doubling.push_back({{"op", "copy"}, {"from", "/a"}, {"path", "/b"}});
    doubling.push_back({{"op", "copy"}, {"from", "/b"}, {"path", "/a/-"}});
  }
  CHECK_FALSE(json_patch(Json::parse(R"({"a":["xxxxxxxxxxxxxxxx"]})"), doubling).ok());

  // Each add nests deeper.
  Json nesting = Json::array();
  std::string path;
  for (int i = 0; i < 1200; ++i) {
    path += "/a";
    nesting.push_back({{"op", "add"}, {"path", path}, {"value", Json::object()}});
  }
  CHECK_FALSE(json_patch(Json::object(), nesting).ok());
}

TEST_CASE("unknown members of operations are named") {
  CHECK(
      json_patch_unknown_fields(Json::parse(R"([{"op":"add","path":"/a","value":1},{"op":"test","x":1}])")) ==
      std::vector<std::string>{"json patch unknown field \"[1].x\""});
}

TEST_CASE("merge patches apply") {
  const auto [document, patch, expected] = GENERATE(table<const char*, const char*, const char*>({
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", "{}"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"({"a":"foo"})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
      {"{}", R"({"a":[{"x":null}]})", R"({"a":[{}]})"},
      {R"({"a":null})", R"({"a":{"b":1}})", R"({"a":{"b":1}})"},
  }));
  const auto out = merge_patch(Json::parse(document), Json::parse(patch));
  REQUIRE(out.ok());
  CHECK(base::dump_json(*out) == expected);
}

TEST_CASE("a merge patch is an object") {
  const auto out = merge_patch(Json::object(), Json::array());
  REQUIRE_FALSE(out.ok());
  CHECK(out.error().code() == base::Code::kBadRequest);
  CHECK(out.error().message() ==
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}");
}
