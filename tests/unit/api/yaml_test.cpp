#include "api/yaml.h"

#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

TEST_CASE("YAML means what sigs.k8s.io/yaml takes it for") {
  const auto [text, json] = GENERATE(table<const char*, const char*>({
      {"a: 1", R"({"a":1})"},
      {"a: [yes, no, on, off, y, n, true, False]", R"({"a":[true,false,true,false,true,false,true,false]})"},
      {"a: ['yes', \"no\", !!str on]", R"({"a":["yes","no","on"]})"},
      {"a: [~, null, Null, '']", R"({"a":[null,null,null,""]})"},
      {"a:\nb: x", R"({"a":null,"b":"x"})"},
      {"a: [0644, 0o17, 0x1F, 0b101, -0x10, 1_000]", R"({"a":[420,15,31,5,-16,1000]})"},
      {"a: [1.5, 1.0, 1e3, .5, -.5e1, 08]", R"({"a":[1.5,1,1000,0.5,-5,8]})"},
      {"a: [9223372036854775807, 18446744073709551615]",
       R"({"a":[9223372036854775807,18446744073709551615]})"},
      {"a: [2026-01-01, 2026-01-01T00:00:00Z, 1:30, 1.2.3, 1Gi, 100m]",
       R"({"a":["2026-01-01","2026-01-01T00:00:00Z","1:30","1.2.3","1Gi","100m"]})"},
      {"1: a\ntrue: b\n1.5: c", R"({"1":"a","1.5":"c","true":"b"})"},
      {"a: |\n  x\n  y\nb: >-\n  x\n  y", R"({"a":"x\ny\n","b":"x y"})"},
      {"a: &x {b: 1}\nc: *x", R"({"a":{"b":1},"c":{"b":1}})"},
      {"a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3", R"({"a":{"b":1,"c":2},"d":{"b":1,"c":3}})"},
      {"a: &x {b: 1}\nb: &y {b: 2, c: 3}\nd:\n  <<: [*x, *y]",
       R"({"a":{"b":1},"b":{"b":2,"c":3},"d":{"b":1,"c":3}})"},
      {"- a\n- - b\n  - c", R"(["a",["b","c"]])"},
      {"{\"a\": [1, \"x\"]}", R"({"a":[1,"x"]})"},
      {"", "null"},
      {"# nothing\n", "null"},
      {"a: 1\n---\nb: 2", R"({"a":1})"},
      {"\"a\\u00e9\"", "\"a\xC3\xA9\""},
  }));
  INFO(text);
  const auto tree = parse_yaml(text);
  REQUIRE(tree.ok());
  CHECK(base::dump_json(*tree) == json);
}

TEST_CASE("broken YAML is refused with its line") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"a: b: c", "yaml: mapping values are not allowed in this context"},
      {"a: 1\nb: c: d", "yaml: line 2: mapping values are not allowed in this context"},
      {"a: 1\n b: 2", "yaml: line 2: mapping values are not allowed in this context"},
      {"a: 1\nb", "yaml: line 3: could not find expected ':'"},
      {"- a\nb: c", "yaml: line 1: did not find expected '-' indicator"},
      {"'a", "yaml: found unexpected end of stream"},
      {"a: [1, 2", "yaml: line 1: did not find expected ',' or ']'"},
      {"a: *x", "yaml: unknown anchor 'x' referenced"},
      {"\ta: 1", "yaml: found character that cannot start any token"},
      {"a: .inf", "yaml: line 1: the value .inf has no form in JSON"},
      {"a: !!int x", "yaml: line 1: cannot decode `x` as a !!int"},
      {"[a]: b", "yaml: line 1: unsupported map key"},
      {"~: b", "yaml: line 1: unsupported map key"},
      {"a: &x [*x]", "yaml: anchor 'x' value contains itself"},
      {"a:\n  <<: 1", "yaml: line 2: map merge requires map or sequence of maps as the value"},
      {std::string("a: \x01"), "yaml: control characters are not allowed"},
      {"a: \xFF", "yaml: invalid UTF-8"},
      {std::string(100000, '['), "yaml: line "},
  }));
  INFO(text.substr(0, 50));
  const auto tree = parse_yaml(text);
  REQUIRE_FALSE(tree.ok());
  CHECK(tree.error().code() == base::Code::kBadRequest);
  CHECK_THAT(tree.error().message(), orch::testing::contains(message));
}

TEST_CASE("aliases cannot blow a document up") {
  std::string bomb = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 0; k < 8; ++k) bomb += "," + before;
    bomb += "]\n";
  }
  const auto wide = parse_yaml(bomb);
  REQUIRE_FALSE(wide.ok());
  CHECK_THAT(wide.error().message(), orch::testing::contains("document contains excessive aliasing"));

  std::string big = "a: &a " + std::string(1 << 20, 'x') + "\nb: [*a";
  for (int i = 0; i < 100; ++i) big += ",*a";
  CHECK_FALSE(parse_yaml(big + "]").ok());

  std::string deep = "a0: &a0 []\n";
  for (int i = 1; i < 20; ++i) {
    deep += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " " + std::string(100, '[') + "*a" +
            std::to_string(i - 1) + std::string(100, ']') + "\n";
  }
  const auto nested = parse_yaml(deep);
  REQUIRE_FALSE(nested.ok());
  CHECK_THAT(nested.error().message(), orch::testing::contains("exceeded max depth"));
}

TEST_CASE("repeated keys are named, the last one wins") {
  std::vector<std::string> duplicates;
  const auto tree = parse_yaml("a:\n- b: 1\n- b: 1\n  b: 2\nc: 1\nc: 2\n", &duplicates);
  REQUIRE(tree.ok());
  CHECK(base::dump_json(*tree) == R"({"a":[{"b":1},{"b":2}],"c":2})");
  CHECK(duplicates == std::vector<std::string>{"a[1].b", "c"});
}

TEST_CASE("a manifest has several documents") {
  const auto documents = parse_yaml_documents("a: 1\n---\n# nothing\n---\nb: 2\n...\n---\nc: 3\n");
  REQUIRE(documents.ok());
  REQUIRE(documents->size() == 3);
  CHECK((*documents)[2]["c"] == 3);
  CHECK(parse_yaml_documents("")->empty());
  CHECK_FALSE(parse_yaml_documents("a: 1\n---\nb: [").ok());
}

TEST_CASE("trees are written as YAML") {
  const Json tree =
      Json::parse(R"({"b":{"list":["x",1,true,null,[],{}],"maps":[{"k":"v","n":{"m":1}},[1,[2]]]},
      "a":"plain text","e":"","f":"yes","g":"1.5","h":"a: b","i":"it's #1","j":" x","k":"1:30","l":"-","m":"*x",
      "t":"tab\there","u":"line\nbreaks\n","v":"no\nend","w":"two\n\n","x":"\n","y":"a\n b \n","on":1})");
  CHECK(to_yaml(tree) == R"(a: plain text
b:
  list:
  - x
  - 1
  - true
  - null
  - []
  - {}
  maps:
  - k: v
    "n":
      m: 1
  - - 1
    - - 2
e: ""
f: "yes"
g: "1.5"
h: 'a: b'
i: 'it''s #1'
j: ' x'
k: "1:30"
l: '-'
m: '*x'
"on": 1
t: "tab\there"
u: |
  line
  breaks
v: |-
  no
  end
w: |+
  two

x: "\n"
"y": "a\n b \n"
)");
  CHECK(parse_yaml(to_yaml(tree)).value() == tree);
}

TEST_CASE("scalars alone are documents too") {
  CHECK(to_yaml(3) == "3\n");
  CHECK(to_yaml(Json::array()) == "[]\n");
  CHECK(to_yaml("a\nb") == "|-\n  a\n  b\n");
  CHECK(to_yaml(nullptr) == "null\n");
}
