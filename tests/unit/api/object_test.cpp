#include "api/object.h"

#include "api/scan.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

namespace {

ObjectPtr stored(std::string_view text, int64_t revision = 7, const IndexedFields& fields = {}) {
  auto object = Object::from_stored(text, revision, fields);
  REQUIRE(object.ok());
  return object.value();
}

constexpr std::string_view kPod =
    R"({"kind":"Pod","apiVersion":"v1","metadata":{"annotations":{"a":"{\"x\":[1]}"},"generation":3,)"
    R"("labels":{"app":"web","empty":""},"name":"p","namespace":"ns","uid":"u-1"},)"
    R"("spec":{"containers":[{"name":"c"}],"hostNetwork":true,"nodeName":"node-1"},)"
    R"("status":{"phase":"Running","podIP":"10.0.0.1"}})";

}  // namespace

TEST_CASE("an object is indexed in one scan of its stored bytes") {
  const IndexedFields fields = {"spec.nodeName",
                                {"spec.hostNetwork", "spec.hostNetwork", "false"},
                                "status.phase",
                                "spec.missing",
                                "kindless"};
  const ObjectPtr pod = stored(kPod, 42, fields);
  CHECK(pod->kind() == "Pod");
  CHECK(pod->api_version() == "v1");
  CHECK(pod->name() == "p");
  CHECK(pod->ns() == "ns");
  CHECK(pod->uid() == "u-1");
  CHECK(pod->generation() == 3);
  CHECK(pod->revision() == 42);
  CHECK_FALSE(pod->deleting());
  REQUIRE(pod->label_count() == 2);
  CHECK(pod->label(0).first == "app");
  CHECK(pod->label("app") == "web");
  CHECK(pod->label("empty").data() != nullptr);
  CHECK(pod->label("other").data() == nullptr);
  CHECK(pod->field(0) == "node-1");
  CHECK(pod->field(1) == "true");
  CHECK(pod->field(2) == "Running");
  CHECK(pod->field(3).empty());
  CHECK(pod->field(9).empty());
}

TEST_CASE("the served form has the revision as the first member of metadata") {
  const ObjectPtr pod = stored(kPod, 42);
  std::string expected(kPod);
  expected.insert(expected.find("\"annotations\""), R"("resourceVersion":"42",)");
  CHECK(pod->bytes() == expected);
  CHECK(pod->bytes_from_metadata() == expected.substr(expected.find("\"metadata\"")));
  CHECK(base::string_at(pod->tree(), {"metadata", "resourceVersion"}) == "42");

  CHECK(stored(R"({"kind":"A","apiVersion":"v1","metadata":{}})", 5)->bytes() ==
        R"({"kind":"A","apiVersion":"v1","metadata":{"resourceVersion":"5"}})");
  CHECK(stored(R"({"kind":"A","apiVersion":"v1","metadata":{}})", 0)->bytes() ==
        R"({"kind":"A","apiVersion":"v1","metadata":{}})");
}

TEST_CASE("indexed values are plain text whatever the JSON looked like") {
  const IndexedFields fields = {"reason",
                                {"source", "source.component", "", "reportingComponent"},
                                {"other", "none.here", "0"},
                                "count",
                                "gone"};
  const ObjectPtr event = stored(
      R"({"kind":"Event","apiVersion":"v1","metadata":{"labels":{"k":"a\"b"},"name":"e"},"count":12,"gone":null,)"
      R"("reason":"tab\there \u00e9","reportingComponent":"kubelet","source":{}})",
      1, fields);
  CHECK(event->field(0) == "tab\there \xC3\xA9");
  CHECK(event->field(1) == "kubelet");
  CHECK(event->field(2) == "0");
  CHECK(event->field(3) == "12");
  CHECK(event->field(4).empty());
  CHECK(event->label("k") == "a\"b");
  CHECK(event->bytes().back() == '}');
}

TEST_CASE("the first path of a field wins over its fallback wherever both stand") {
  const IndexedFields fields = {{"source", "source.component", "", "reportingComponent"}};
  for (
      const char* text :
      {R"({"kind":"E","apiVersion":"v1","metadata":{},"reportingComponent":"b","source":{"component":"a"}})",
       R"({"kind":"E","apiVersion":"v1","metadata":{},"source":{"component":"a"},"reportingComponent":"b"})"}) {
    CHECK(stored(text, 1, fields)->field(0) == "a");
  }
}

TEST_CASE("an object that is being deleted says so") {
  CHECK(stored(R"({"kind":"A","apiVersion":"v1","metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}})")
            ->deleting());
  CHECK_FALSE(stored(R"({"kind":"A","apiVersion":"v1","metadata":{"deletionTimestamp":null}})")->deleting());
}

TEST_CASE("what is not a stored form is refused") {
  const char* text = GENERATE(
      "", "{}", "[]", "null", R"({"apiVersion":"v1","kind":"A","metadata":{}})",
      R"({"kind":"A","apiVersion":"v1"})", R"({"kind":"A","apiVersion":"v1","metadata":[]})",
      R"({"kind":"A","apiVersion":"v1","metadata":{)", R"({"kind":"A","apiVersion":"v1","metadata":{}} x)",
      R"({"kind":"A","apiVersion":"v1","metadata":{},"spec":{"a":"b)",
      R"({"kind":"A","apiVersion":"v1","metadata":{"resourceVersion":"1"}})",
      R"({"kind":"A","apiVersion":"v1","metadata":{},})", R"({"kind":1,"apiVersion":"v1","metadata":{}})");
  INFO(text);
  const auto object = Object::from_stored(text, 1);
  REQUIRE_FALSE(object.ok());
  CHECK(object.error().code() == base::Code::kInternal);
}

TEST_CASE("a tree becomes the stored form and back") {
  const Json tree = {{"spec", {{"b", 1}, {"a", "x\n"}}},
                     {"metadata", {{"name", "n"}, {"resourceVersion", "12"}, {"selfLink", "/x"}}},
                     {"kind", "Foo"},
                     {"apiVersion", "g/v1"}};
  CHECK(to_stored(tree) ==
        R"({"kind":"Foo","apiVersion":"g/v1","metadata":{"name":"n"},"spec":{"a":"x\n","b":1}})");
  const auto object = Object::from_tree(tree, {"spec.a"});
  REQUIRE(object.ok());
  CHECK(object.value()->revision() == 12);
  CHECK(object.value()->field(0) == "x\n");
  Json expected = tree;
  expected["metadata"].erase("selfLink");
  CHECK(object.value()->tree() == expected);
  CHECK_FALSE(Object::from_tree(Json::object()).ok());
  CHECK_FALSE(Object::from_tree(Json(3)).ok());
}

TEST_CASE("a tree is without the owners of its fields") {
  auto object = Object::from_stored(
      R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"managedFields":[{"manager":"m"}],"name":"x"},"data":{"managedFields":"mine"}})",
      7);
  REQUIRE(object.ok());
  CHECK((*object)->bytes().find(R"("manager":"m")") != std::string_view::npos);
  CHECK((*object)->tree() == Json::parse(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x",)"
                                         R"("resourceVersion":"7"},"data":{"managedFields":"mine"}})"));
}

TEST_CASE("an object costs little more than its bytes") {
  const ObjectPtr pod = stored(kPod, 42, {"spec.nodeName", "status.phase"});
  CHECK(pod->memory() - pod->bytes().size() < 200);
}

TEST_CASE("apiVersion is split and made") {
  CHECK(make_api_version("", "v1") == "v1");
  CHECK(make_api_version("apps", "v1") == "apps/v1");
  CHECK(split_api_version("v1") == std::pair<std::string_view, std::string_view>("", "v1"));
  CHECK(split_api_version("apps/v1") == std::pair<std::string_view, std::string_view>("apps", "v1"));
}

TEST_CASE("values are found in bytes by path") {
  constexpr std::string_view kText =
      R"( { "a" : { "b" : [ 1 , {"c":"]}"} ] , "d" : "x\"y" } , "e" : -1.5e3 } )";
  CHECK(raw_value(kText, {"a", "b"}) == R"([ 1 , {"c":"]}"} ])");
  CHECK(raw_value(kText, {"a", "d"}) == R"("x\"y")");
  CHECK(raw_value(kText, {"e"}) == "-1.5e3");
  CHECK(raw_value(kText, {"a", "z"}).data() == nullptr);
  CHECK(raw_value(kText, {"e", "z"}).data() == nullptr);
  CHECK(raw_value("", {"e"}).data() == nullptr);
  CHECK(scalar_text(R"("x\"y")") == "x\"y");
  CHECK(scalar_text("null").empty());
  CHECK(scalar_text("{}").empty());
  CHECK(scalar_text("12") == "12");
}

TEST_CASE("a part is found wherever it stands") {
  CHECK(mentions(kPod, "\"nodeName\":"));
  CHECK(mentions(kPod, kPod));
  CHECK(mentions(kPod, ""));
  CHECK_FALSE(mentions(kPod, "\"nodename\""));
  CHECK_FALSE(mentions("", "a"));
  CHECK_FALSE(mentions({}, "a"));
}

TEST_CASE("escapes are resolved") {
  CHECK(unescape_json(R"(a\n\t\r\b\f\/\\\")") == "a\n\t\r\b\f/\\\"");
  CHECK(unescape_json(R"(\u0041\u00e9\u20ac\ud83d\ude00)") == "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CHECK(unescape_json(R"(\ud83d)") == "\xEF\xBF\xBD");
  CHECK(unescape_json(R"(\u12)") ==
        "\xEF\xBF\xBD"
        "12");
  CHECK(unescape_json("\\") == "\\");
  std::string out;
  append_json_string(out, "a\"\\\n\x01z");
  CHECK(out == R"("a\"\\\n\u0001z")");
}
