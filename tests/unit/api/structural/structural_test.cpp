// Structural schemas: compiling, decoding, defaults and value validation.
#include <catch2/catch_all.hpp>

#include "api/structural/json_path.h"
#include "api/structural/object.h"
#include "api/structural/schema.h"
#include "api/structural/value.h"
#include "base/json.h"

namespace orch::api::structural {
namespace {

const Schema& builtin() {
  static const std::unique_ptr<const Schema> schema = Schema::builtin();
  return *schema;
}

Json parse(const std::string& text) {
  auto tree = base::parse_json(text);
  REQUIRE(tree.ok());
  return std::move(*tree);
}

/// A schema, compiled, for as long as the test.
struct Compiled {
  explicit Compiled(const std::string& text) : node(schemas.add(parse(text))) { schemas.finish(); }
  Schemas schemas;
  const Node* node;
};

std::string problems(const std::string& schema, const std::string& value, const std::string& old = {}) {
  const Compiled compiled(schema);
  const Json before = old.empty() ? Json() : parse(old);
  FieldErrors errors;
  validate_value(*compiled.node, parse(value), old.empty() ? nullptr : &before, {}, errors);
  return errors.empty() ? std::string() : errors.text();
}

TEST_CASE("equal parts of schemas are one node") {
  Schemas schemas;
  const Json part = parse(R"({"type":"object","properties":{"a":{"type":"string","pattern":"^a"}}})");
  Json one = {{"type", "object"}, {"properties", {{"x", part}, {"y", part}}}};
  Json two = one;
  two["description"] = "says more";
  const Node* a = schemas.add(one);
  CHECK(a->property("x") == a->property("y"));
  CHECK(schemas.add(two) == a);
  two["properties"]["y"]["properties"]["a"]["pattern"] = "^b";
  const Node* b = schemas.add(two);
  CHECK(b != a);
  CHECK(b->property("x") == a->property("x"));
  CHECK(b->property("z") == nullptr);
}

TEST_CASE("unknown members are pruned and told") {
  const Compiled c(R"({"type":"object","properties":{
      "spec":{"type":"object","properties":{
        "n":{"type":"integer"},
        "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true,
                "properties":{"known":{"type":"object","properties":{"a":{"type":"string"}}}}},
        "list":{"type":"array","items":{"type":"object","properties":{"a":{"type":"string"}}}},
        "map":{"type":"object","additionalProperties":{"type":"object","properties":{"v":{"type":"string"}}}},
        "any":{"type":"object","additionalProperties":true}}}}})");
  Json tree = parse(R"({"kind":"K","apiVersion":"g/v1","metadata":{"name":"x"},"other":1,
      "spec":{"n":1,"m":2,"free":{"x":{"y":1},"known":{"a":"1","b":"2"}},
              "list":[{"a":"1","c":1}],"map":{"k":{"v":"1","w":1}},"any":{"z":{"deep":1}}}})");
  std::vector<std::string> unknown;
  prune(c.node, tree, true, &unknown);
  CHECK(unknown == std::vector<std::string>{"other", "spec.any.z.deep", "spec.free.known.b", "spec.list[0].c",
                                            "spec.m", "spec.map.k.w"});
  CHECK(tree == parse(R"({"kind":"K","apiVersion":"g/v1","metadata":{"name":"x"},
      "spec":{"n":1,"free":{"x":{"y":1},"known":{"a":"1"}},"list":[{"a":"1"}],"map":{"k":{"v":"1"}},
              "any":{"z":{}}}})"));
}

TEST_CASE("metadata in embedded resources is coerced") {
  const Compiled c(R"({"type":"object","properties":{"template":{"type":"object",
      "x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}}})");
  std::vector<std::string> unknown;
  Json tree = parse(R"({"template":{"kind":"Pod","apiVersion":"v1","spec":{"x":1},
      "metadata":{"name":"a","creationTimestamp":null,"bogus":1}}})");
  REQUIRE(coerce_embedded(builtin(), *c.node, tree, false, &unknown).ok());
  CHECK(unknown == std::vector<std::string>{"template.metadata.bogus"});
  CHECK(tree["template"]["metadata"] == parse(R"({"name":"a"})"));
  CHECK(tree["template"]["spec"] == parse(R"({"x":1})"));
  Json bad = parse(R"({"template":{"kind":1,"apiVersion":"v1"}})");
  CHECK(coerce_embedded(builtin(), *c.node, bad, false, nullptr).message() ==
        "template.kind: Invalid value: 1: must be a string");
  FieldErrors errors;
  validate_embedded(builtin(), *c.node, parse(R"({"template":{"kind":"","metadata":{"name":"a/b"}}})"), {},
                    false, errors);
  CHECK(errors.text() ==
        "[template.apiVersion: Required value, template.kind: Invalid value: \"\": must not be empty, "
        "template.metadata.name: Invalid value: \"a/b\": may not contain '/']");
}

TEST_CASE("defaults fill what is absent, and null where it is not allowed") {
  const Compiled c(R"({"type":"object","properties":{
      "a":{"type":"string","default":"A"},
      "n":{"type":"string","nullable":true,"default":"N"},
      "o":{"type":"object","default":{},"properties":{"x":{"type":"integer","default":3}}},
      "l":{"type":"array","items":{"type":"object","properties":{"p":{"type":"boolean","default":true}}}},
      "m":{"type":"object","additionalProperties":{"type":"string","default":"M"}},
      "plain":{"type":"string"}}})");
  Json tree = parse(R"({"a":null,"n":null,"l":[{},{"p":false}],"m":{"k":null},"plain":null})");
  drop_nulls(c.node, tree);
  CHECK_FALSE(tree.contains("plain"));
  apply_defaults(*c.node, tree);
  CHECK(tree == parse(R"({"a":"A","n":null,"o":{"x":3},"l":[{"p":true},{"p":false}],"m":{"k":"M"}})"));
}

TEST_CASE("values are validated in the words of the API server") {
  struct Row {
    const char *schema, *value, *problems;
  };
  const Row rows[] = {
      {R"({"type":"object","properties":{"spec":{"type":"object","properties":{"n":{"type":"integer"}}}}})",
       R"({"spec":{"n":"x"}})",
       R"(spec.n: Invalid value: "string": spec.n in body must be of type integer: "string")"},
      {R"({"type":"object","required":["spec"],"properties":{"spec":{"type":"object"}}})", "{}",
       "spec: Required value"},
      {R"({"properties":{"n":{"type":"integer","minimum":1,"maximum":5}}})", R"({"n":0})",
       "n: Invalid value: 0: n in body should be greater than or equal to 1"},
      {R"({"properties":{"n":{"type":"integer","maximum":5,"exclusiveMaximum":true}}})", R"({"n":5})",
       "n: Invalid value: 5: n in body should be less than 5"},
      {R"({"properties":{"n":{"type":"number","multipleOf":0.5}}})", R"({"n":1.3})",
       "n: Invalid value: 1.3: n in body should be a multiple of 0.5"},
      {R"({"properties":{"s":{"type":"string","maxLength":2}}})", R"({"s":"äöü"})",
       "s: Too long: may not be more than 2 bytes"},
      {R"({"properties":{"s":{"type":"string","minLength":2}}})", R"({"s":"a"})",
       R"(s: Invalid value: "a": s in body should be at least 2 chars long)"},
      {R"({"properties":{"s":{"type":"string","pattern":"^a+$"}}})", R"({"s":"b"})",
       R"(s: Invalid value: "b": s in body should match '^a+$')"},
      {R"({"properties":{"s":{"type":"string","enum":["a","b"]}}})", R"({"s":"c"})",
       R"(s: Unsupported value: "c": supported values: "a", "b")"},
      {R"({"properties":{"s":{"type":"string","format":"date"}}})", R"({"s":"2026-02-30"})",
       R"(s: Invalid value: "2026-02-30": s in body must be of type date: "2026-02-30")"},
      {R"({"properties":{"l":{"type":"array","maxItems":1,"items":{"type":"string"}}}})", R"({"l":["a","b"]})",
       "l: Too many: 2: must have at most 1 item"},
      {R"({"properties":{"l":{"type":"array","minItems":1,"items":{"type":"string"}}}})", R"({"l":[]})",
       "l: Invalid value: 0: l in body should have at least 1 items"},
      {R"({"properties":{"l":{"type":"array","items":{"type":"string"}}}})", R"({"l":["a",1]})",
       R"(l[1]: Invalid value: "integer": l[1] in body must be of type string: "integer")"},
      {R"({"properties":{"m":{"type":"object","additionalProperties":{"type":"string"}}}})", R"({"m":{"k":1}})",
       R"(m.k: Invalid value: "integer": m.k in body must be of type string: "integer")"},
      {R"({"properties":{"v":{"x-kubernetes-int-or-string":true}}})", R"({"v":true})",
       R"(v: Invalid value: "boolean": v in body must be of type integer,string: "boolean")"},
      {R"({"properties":{"v":{"type":"string"}}})", R"({"v":null})",
       R"(v: Invalid value: "null": v in body must be of type string: "null")"},
      {R"({"properties":{"v":{"type":"string","nullable":true}}})", R"({"v":null})", ""},
      {R"({"properties":{"v":{"type":"number"}}})", R"({"v":1})", ""},
      {R"({"properties":{"v":{"type":"object","properties":{"a":{},"b":{}},
           "oneOf":[{"required":["a"]},{"required":["b"]}]}}})",
       R"({"v":{}})",
       "[<nil>: Invalid value: \"\": \"v\" must validate one and only one schema (oneOf). Found none valid, "
       "v.a: Required value]"},
      {R"({"properties":{"v":{"type":"object","not":{"required":["a"]}}}})", R"({"v":{"a":1}})",
       R"(<nil>: Invalid value: "": "v" must not validate the schema (not))"},
      {R"({"properties":{"v":{"anyOf":[{"type":"integer"},{"type":"string"}]}}})", R"({"v":"a"})", ""},
      {R"({"properties":{"v":{"allOf":[{"minimum":3},{"maximum":5}]}}})", R"({"v":7})",
       "[v: Invalid value: 7: v in body should be less than or equal to 5, <nil>: Invalid value: \"\": \"v\" "
       "must validate all the schemas (allOf)]"},
  };
  for (const Row& row : rows) {
    INFO(row.schema << " " << row.value);
    CHECK(problems(row.schema, row.value) == row.problems);
  }
}

TEST_CASE("what did not change is let pass") {
  const char* schema = R"({"properties":{"spec":{"properties":{
      "a":{"type":"string","maxLength":2},"b":{"type":"integer"},
      "l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
           "items":{"properties":{"k":{"type":"string"},"v":{"type":"integer","maximum":1}}}}}}}})";
  const char* old = R"({"spec":{"a":"long","b":1,"l":[{"k":"x","v":9},{"k":"y","v":1}]}})";
  CHECK(problems(schema, R"({"spec":{"a":"long","b":2,"l":[{"k":"y","v":1},{"k":"x","v":9}]}})", old).empty());
  CHECK(problems(schema, R"({"spec":{"a":"longer","b":1}})", old) ==
        "spec.a: Too long: may not be more than 2 bytes");
  CHECK(problems(schema, R"({"spec":{"a":"ok","l":[{"k":"x","v":8}]}})", old) ==
        "spec.l[0].v: Invalid value: 8: spec.l[0].v in body should be less than or equal to 1");
}

TEST_CASE("lists that are sets and maps have everything once") {
  const Compiled c(R"({"properties":{
      "s":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
      "m":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["a","b"],
           "items":{"type":"object"}}}})");
  FieldErrors errors;
  validate_lists(*c.node, parse(R"({"s":["a","b","a","a"],"m":[{"a":1,"b":2},{"a":1},{"a":1,"b":2,"c":3}]})"),
                 errors);
  CHECK(errors.text() == R"([m[2]: Duplicate value: {"a":1,"b":2}, s[2]: Duplicate value: "a"])");
}

TEST_CASE("formats") {
  struct Row {
    const char *format, *value;
    bool right;
  };
  const Row rows[] = {{"ipv4", "10.0.0.1", true},     {"ipv4", "10.0.0.256", false},
                      {"ipv6", "::1", true},          {"ipv6", "10.0.0.1", false},
                      {"cidr", "10.0.0.0/8", true},   {"cidr", "10.0.0.0/33", false},
                      {"mac", "01:23:45:67:89:ab", true}, {"mac", "01:23:45:67:89", false},
                      {"uuid", "123e4567-e89b-12d3-a456-426614174000", true},
                      {"uuid4", "123e4567-e89b-12d3-a456-426614174000", false},
                      {"uri", "https://a.example/x", true}, {"uri", "no uri", false},
                      {"email", "a@b.example", true}, {"email", "a@", false},
                      {"hostname", "a.example.com", true}, {"hostname", "a_b", false},
                      {"byte", "YWJj", true},         {"byte", "YWJ", false},
                      {"date", "2024-02-29", true},   {"date", "2023-02-29", false},
                      {"date-time", "2026-01-02T03:04:05Z", true},
                      {"datetime", "2026-01-02T03:04:05.123+01:00", true},
                      {"date-time", "2026-01-02 03:04:05", false},
                      {"duration", "1h30m", true},    {"duration", "3 days", true},
                      {"duration", "soon", false},    {"hexcolor", "#FFaa00", true},
                      {"rgbcolor", "rgb(1, 2, 300)", false}, {"ssn", "123-45-6789", true},
                      {"isbn10", "0321751043", true}, {"isbn13", "978-0321751041", true},
                      {"creditcard", "4111 1111 1111 1111", true},
                      {"k8s-short-name", "a-b", true}, {"k8s-short-name", "a.b", false},
                      {"k8s-long-name", "a.b", true}, {"int32", "anything", true},
                      {"bsonobjectid", "507f1f77bcf86cd799439011", true}};
  for (const Row& row : rows) {
    INFO(row.format << " " << row.value);
    CHECK(has_format(format_of(row.format), row.value) == row.right);
  }
}

TEST_CASE("JSONPath finds what printer columns show") {
  const Json tree = parse(R"({"spec":{"replicas":3,"a.b":"dotted","ports":[{"n":1},{"n":2}]},
      "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Other","status":"False"}]}})");
  const auto find = [&](const char* text) {
    auto path = JsonPath::parse(text);
    if (!path.ok()) return path.error().message();
    std::string out;
    for (const Json* value : (*path)->find(tree)) out += base::cat(out.empty() ? "" : " ", value->dump());
    return out;
  };
  CHECK(find(".spec.replicas") == "3");
  CHECK(find(".spec.none.deep").empty());
  CHECK(find(R"(.spec.a\.b)") == "\"dotted\"");
  CHECK(find(R"(.status.conditions[?(@.type=="Ready")].status)") == "\"True\"");
  CHECK(find(R"(.status.conditions[?(@.type != 'Ready')].status)") == "\"False\"");
  CHECK(find(".spec.ports[*].n") == "1 2");
  CHECK(find(".spec.ports[-1:].n") == "2");
  CHECK(find(".spec.ports[0].n") == "1");
  CHECK(find(".spec.ports[7].n").empty());
  CHECK(find(".spec.ports[0,1].n") == "1 2");
  CHECK(find("..n") == "1 2");
  CHECK(find(".spec[") == "unterminated array");
}

TEST_CASE("patterns that are none are refused in Go's words") {
  CHECK(Pattern::problem("^a+$").empty());
  CHECK(Pattern::problem("a(b") == "error parsing regexp: missing closing ): `a(b`");
  CHECK(Pattern::problem("*") == "error parsing regexp: missing argument to repetition operator: `*`");
}

}  // namespace
}  // namespace orch::api::structural
