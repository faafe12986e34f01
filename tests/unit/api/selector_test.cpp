#include "api/selector.h"

#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

namespace {

ObjectPtr with_labels(const Json& labels) {
  return Object::from_tree(
             {{"kind", "Pod"}, {"apiVersion", "v1"}, {"metadata", {{"name", "p"}, {"labels", labels}}}})
      .value();
}

}  // namespace

TEST_CASE("label selectors match as Kubernetes' do") {
  struct Row {
    const char* selector;
    Json labels;
    bool matches;
  };
  const Row row = GENERATE(values<Row>({
      {"", {{"a", "b"}}, true},
      {"x=y", {{"x", "y"}}, true},
      {"x==y", {{"x", "z"}}, false},
      {"x=y,z=w", {{"x", "y"}, {"z", "w"}}, true},
      {"x=y,z=w", {{"x", "y"}}, false},
      {"x!=y,z!=w", {{"x", "z"}, {"z", "a"}}, true},
      {"x!=y", Json::object(), true},
      {"notin=in", {{"notin", "in"}}, true},
      {"x", {{"x", ""}}, true},
      {"x", Json::object(), false},
      {"!x", Json::object(), true},
      {"!x", {{"x", ""}}, false},
      {"x>1", {{"x", "2"}}, true},
      {"x>2", {{"x", "2"}}, false},
      {"x<10", {{"x", "9"}}, true},
      {"x<10", {{"x", "nine"}}, false},
      {"x in (abc,def)", {{"x", "def"}}, true},
      {"x in (abc,def)", {{"x", "xyz"}}, false},
      {"x in (abc,)", {{"x", ""}}, true},
      {"x in ()", {{"x", ""}}, true},
      {"x notin (abc)", Json::object(), true},
      {"x notin (abc)", {{"x", "abc"}}, false},
      {"x in (in,notin)", {{"x", "notin"}}, true},
      {"x=", {{"x", ""}}, true},
      {" x , ! z ", {{"x", "1"}}, true},
      {"x=,z=w", {{"x", ""}, {"z", "w"}}, true},
  }));
  INFO(row.selector);
  const auto selector = LabelSelector::parse(row.selector);
  REQUIRE(selector.ok());
  CHECK(selector->matches(row.labels) == row.matches);
  CHECK(selector->matches(*with_labels(row.labels)) == row.matches);
}

TEST_CASE("label selectors have one canonical text") {
  const auto [from, to] = GENERATE(table<const char*, const char*>({
      {"x=a,y=b,z=c", "x=a,y=b,z=c"},
      {"z = c , a==b", "a=b,z=c"},
      {"x!=a,y!=b", "x!=a,y!=b"},
      {"x in (b,a,b)", "x in (a,b)"},
      {"x notin (a),!y,z", "x notin (a),!y,z"},
      {"x>7,y<8", "x>7,y<8"},
      {"x in ()", "x in ()"},
      {"", ""},
  }));
  CHECK(LabelSelector::parse(from)->text() == to);
}

TEST_CASE("broken label selectors are refused in Kubernetes' words") {
  const auto [text, message] = GENERATE(table<const char*, const char*>({
      {"x=a||y=b",
       "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be"},
      {"x==a==b", "found '==', expected: ',' or 'end of string'"},
      {"!x=a", "found '=', expected: ',' or 'end of string'"},
      {"x<a",
       "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value "
       "must be an integer"},
      {"x in a", "unable to parse requirement: found 'a' expected: '('"},
      {"x in (a", "unable to parse requirement: found '', expected: ',' or ')'"},
      {"x,,y", "found ',', expected: identifier after ','"},
      {",x", "found ',', expected: !, identifier, or 'end of string'"},
      {"x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"},
      {"!", "unable to parse requirement: found '', expected: identifier"},
      {"a/b/c",
       "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key must consist of"},
      {"x=,", "found '', expected: identifier after ','"},
      {"x=(", "unable to parse requirement: found '(', expected: identifier"},
  }));
  INFO(text);
  const auto selector = LabelSelector::parse(text);
  REQUIRE_FALSE(selector.ok());
  CHECK(selector.error().code() == base::Code::kBadRequest);
  CHECK_THAT(selector.error().message(), orch::testing::contains(message));
}

TEST_CASE("the tree form of a label selector") {
  CHECK_FALSE(LabelSelector::from_tree(nullptr)->matches(Json::object()));
  CHECK(LabelSelector::from_tree(Json::object())->matches(Json::object()));
  CHECK(LabelSelector::from_tree(Json::object())->empty());
  const Json tree = Json::parse(R"({"matchLabels":{"a":"b"},"matchExpressions":[
      {"key":"c","operator":"In","values":["y","x"]},{"key":"d","operator":"DoesNotExist"},
      {"key":"e","operator":"NotIn","values":["z"]},{"key":"f","operator":"Exists"}]})");
  const auto selector = LabelSelector::from_tree(tree);
  REQUIRE(selector.ok());
  CHECK(selector->text() == "a=b,c in (x,y),!d,e notin (z),f");
  CHECK(selector->matches(Json{{"a", "b"}, {"c", "x"}, {"f", ""}}));
  CHECK_FALSE(selector->matches(Json{{"a", "b"}, {"c", "x"}, {"f", ""}, {"d", ""}}));

  const auto bad =
      LabelSelector::from_tree(Json::parse(R"({"matchExpressions":[{"key":"c","operator":"Is"}]})"));
  REQUIRE_FALSE(bad.ok());
  CHECK(bad.error().message() == "\"Is\" is not a valid label selector operator");
  const auto empty =
      LabelSelector::from_tree(Json::parse(R"({"matchExpressions":[{"key":"c","operator":"In"}]})"));
  REQUIRE_FALSE(empty.ok());
  CHECK(empty.error().message() ==
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
}

TEST_CASE("a map selects by equality") {
  CHECK(LabelSelector::from_map({{"a", "b"}}).matches(Json{{"a", "b"}, {"c", "d"}}));
  CHECK_FALSE(LabelSelector::from_map({{"a", "b"}}).matches(Json{{"a", "c"}}));
  CHECK(LabelSelector::from_map(nullptr).matches(Json()));
}

TEST_CASE("field selectors match indexed fields") {
  const IndexedFields fields = {"spec.nodeName", {"spec.unschedulable", "spec.unschedulable", "false"}};
  const ObjectPtr object = Object::from_tree({{"kind", "Pod"},
                                              {"apiVersion", "v1"},
                                              {"metadata", {{"name", "p"}, {"namespace", "ns"}}},
                                              {"spec", {{"nodeName", "n=1,2"}}}},
                                             fields)
                               .value();
  const auto [text, matches] = GENERATE(table<const char*, bool>({
      {"", true},
      {"metadata.name=p", true},
      {"metadata.name=q", false},
      {"metadata.namespace!=ns", false},
      {R"(spec.nodeName==n\=1\,2)", true},
      {"spec.unschedulable=false,metadata.name=p", true},
      {"spec.unschedulable!=false", false},
      {"spec.nodeName!=", true},
      {"spec.unknown=", false},
      {",metadata.name=p,", true},
  }));
  INFO(text);
  const auto selector = FieldSelector::parse(text);
  REQUIRE(selector.ok());
  CHECK(selector->matches(*object, fields) == matches);
}

TEST_CASE("broken field selectors are refused in Kubernetes' words") {
  const auto [text, message] = GENERATE(table<const char*, const char*>({
      {"metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"},
      {"a=b=c", "invalid field selector: unescaped character in value: 61"},
      {R"(a=\x)", R"(invalid field selector: invalid escape sequence: \x)"},
      {R"(a=b\)", R"(invalid field selector: invalid escape sequence: \)"},
  }));
  const auto selector = FieldSelector::parse(text);
  REQUIRE_FALSE(selector.ok());
  CHECK(selector.error().message() == message);
}

TEST_CASE("a field selector tells what it needs") {
  const auto selector = FieldSelector::parse("metadata.name=p,status.phase!=Failed");
  REQUIRE(selector.ok());
  CHECK(selector->exact("metadata.name") == "p");
  CHECK(selector->exact("status.phase").data() == nullptr);
  CHECK(selector->unknown_path({"status.phase"}).empty());
  CHECK(selector->unknown_path({}) == "status.phase");
}
