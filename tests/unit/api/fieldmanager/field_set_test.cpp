#include "api/fieldmanager/field_set.h"

#include "api/fieldmanager/managed_fields.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

FieldSet set(std::string_view json) {
  auto parsed = FieldSet::parse(json);
  INFO(json);
  REQUIRE(parsed.ok());
  return *parsed;
}

TEST_CASE("Elements are in the order of structured-merge-diff") {
  const std::vector<std::string_view> ordered = {
      "f:a",
      "f:b",
      R"(k:{"name":"a"})",
      R"(k:{"name":"a-b"})",
      R"(k:{"port":80})",
      R"(k:{"port":80,"protocol":"TCP"})",
      R"(k:{"port":80,"protocol":"UDP"})",
      R"(k:{"port":443,"protocol":"TCP"})",
      R"(k:{"port":8080,"protocol":"TCP"})",
      "v:9",
      "v:80",
      R"(v:"a")",
      R"(v:"ab")",
      "v:true",
      "i:1",
  };
  for (size_t i = 0; i < ordered.size(); ++i) {
    for (size_t j = 0; j < ordered.size(); ++j) {
      INFO(ordered[i] << " and " << ordered[j]);
      const int order = compare_elements(ordered[i], ordered[j]);
      CHECK((i < j ? order < 0 : i > j ? order > 0 : order == 0));
    }
  }
}

TEST_CASE("FieldsV1 is read and written") {
  const std::string text =
      R"({"f:a":{".":{},"f:b":{}},"f:l":{"k:{\"port\":80}":{".":{},"f:port":{}},"k:{\"port\":443}":{}},"f:s":{"v:\"x\"":{}}})";
  CHECK(set(text).json() == text);
  CHECK(set(R"({"f:b":{},"f:a":{"f:c":{},".":{}},"z:unknown":{"f:x":{}}})").json() ==
        R"({"f:a":{".":{},"f:c":{}},"f:b":{}})");
  CHECK(set("{}").empty());
  for (const char* broken : {"", "[]", R"({"f:a":1})", R"({"fa":{}})", R"({"k:[]":{}})", R"({"i:x":{}})",
                             R"({"v:{":{}})", R"({"f:a":{})", R"({} {})"}) {
    INFO(broken);
    CHECK_FALSE(FieldSet::parse(broken).ok());
  }
}

TEST_CASE("Sets are united, intersected and taken from each other") {
  const FieldSet a = set(R"({"f:a":{".":{},"f:b":{},"f:c":{}},"f:d":{}})");
  const FieldSet b = set(R"({"f:a":{"f:b":{}},"f:e":{}})");
  CHECK(a.united(b).json() == R"({"f:a":{".":{},"f:b":{},"f:c":{}},"f:d":{},"f:e":{}})");
  CHECK(a.intersected(b).json() == R"({"f:a":{"f:b":{}}})");
  CHECK(a.without(b).json() == R"({"f:a":{".":{},"f:c":{}},"f:d":{}})");
  CHECK(a.without(set(R"({"f:a":{}})")).json() == R"({"f:a":{"f:b":{},"f:c":{}},"f:d":{}})");
  FieldSet less = a;
  less.take_below(set(R"({"f:a":{}})"));
  CHECK(less.json() == R"({"f:d":{}})");
  less = a;
  less.take_below(set(R"({"f:a":{"f:c":{}}})"));
  CHECK(less.json() == R"({"f:a":{".":{},"f:b":{}},"f:d":{}})");
  CHECK(a.has({"f:a", "f:b"}));
  CHECK_FALSE(b.has({"f:a"}));
  CHECK(a.paths() == std::vector<std::vector<std::string>>{{"f:a"}, {"f:d"}, {"f:a", "f:b"}, {"f:a", "f:c"}});
}

TEST_CASE("Elements as messages name them") {
  CHECK(element_text("f:spec") == ".spec");
  CHECK(element_text(R"(k:{"name":"a","port":80})") == R"([name="a",port=80])");
  CHECK(element_text(R"(v:"x")") == R"([="x"])");
  CHECK(element_text("i:3") == "[3]");
}

TEST_CASE("The manager of a User-Agent") {
  CHECK(manager_of_user_agent("kubectl/v1.35 (linux/amd64)") == "kubectl");
  CHECK(manager_of_user_agent("a b") == "a b");
  CHECK(manager_of_user_agent("a\tb\x01/x") == "ab");
  CHECK(manager_of_user_agent("") == "");
  CHECK(manager_of_user_agent(std::string(200, 'x')) == std::string(128, 'x'));
}

}  // namespace
}  // namespace orch::api
