#include "base/json_tape.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::base {
namespace {

using Kind = JsonToken::Kind;

TEST_CASE("a tape holds each value with its place in the text") {
  const std::string text = R"({"a": [1, {"b": "x"}, null], "c": true, "d": {}, "e": -2.5e1})";
  JsonTape tape;
  REQUIRE(tape.read(text));
  const JsonToken& root = tape.root();
  CHECK(root.kind == Kind::kObject);
  CHECK(root.text == text);
  const JsonToken* a = root.member("a");
  REQUIRE(a != nullptr);
  CHECK(a->text == R"([1, {"b": "x"}, null])");
  const JsonToken* item = a->first();
  CHECK(item->integer() == 1);
  item = item->next();
  CHECK(item->text == R"({"b": "x"})");
  CHECK(item->member("b")->text == "x");
  item = item->next();
  CHECK(item->kind == Kind::kNull);
  CHECK(item->next() == a->next());
  CHECK(root.member("c")->is_true());
  CHECK(root.member("d")->span == 1);
  CHECK(root.member("e")->number() == -25.0);
  CHECK_FALSE(root.member("e")->integer());
  CHECK(root.member("b") == nullptr);  // only its own members
  CHECK(a->member("b") == nullptr);    // no object
}

TEST_CASE("a member that is null is absent") {
  JsonTape tape;
  REQUIRE(tape.read(R"({"a":null,"b":0})"));
  CHECK(tape.root().member("a") == nullptr);
  CHECK(tape.root().member("b")->integer() == 0);
}

TEST_CASE("strings have their escapes replaced") {
  const std::pair<const char*, std::string> cases[] = {
      {R"("plain \u00e4 text")", "plain \xc3\xa4 text"},
      {R"("\"\\\/\b\f\n\r\t")", "\"\\/\b\f\n\r\t"},
      {R"("\u0000\u007f\u0800")", std::string("\0\x7f\xe0\xa0\x80", 5)},
      {R"("\ud83d\ude00")", "\xf0\x9f\x98\x80"},
      {R"("\ud83d alone")", "\xef\xbf\xbd alone"},
      {R"("\ude00")", "\xef\xbf\xbd"},
  };
  for (const auto& [text, wanted] : cases) {
    INFO(text);
    JsonTape tape;
    REQUIRE(tape.read(text));
    std::string scratch;
    CHECK(tape.root().escaped);
    CHECK(tape.root().string(scratch) == wanted);
  }
  JsonTape tape;
  std::string scratch;
  REQUIRE(tape.read(R"("as it is")"));
  CHECK_FALSE(tape.root().escaped);
  CHECK(tape.root().string(scratch) == "as it is");
  CHECK(scratch.empty());
}

TEST_CASE("a tape says what the parser says of all that was dumped") {
  const Json tree = {{"text", "a\"b\\c\u00e4\x01"},
                     {"list", {1, -2, 3.5, true, false, nullptr, Json::array(), Json::object()}}};
  JsonTape tape;
  const std::string text = dump_json(tree);
  REQUIRE(tape.read(text));
  std::string scratch;
  CHECK(tape.root().member("text")->string(scratch) == tree["text"].get<std::string>());
  const JsonToken* item = tape.root().member("list")->first();
  for (const Json& wanted : tree["list"]) {
    CHECK(std::string(item->kind_name()) == wanted.type_name());
    CHECK(item->text == wanted.dump());
    item = item->next();
  }
}

TEST_CASE("what is no JSON value is no tape, and nothing outside is read") {
  for (const char* text : {"", " ", "{", "}", "[1", "{]", "\"", "\"abc", "\"abc\\", "1 2", "{} {}", "[1]]"}) {
    INFO(text);
    JsonTape tape;
    CHECK_FALSE(tape.read(text));
  }
  // Grammar is not judged, but members are never looked for beyond the object.
  for (const char* text : {"{\"a\"}", "{\"a\":}", "[{\"a\"},1]", "{1,2}"}) {
    INFO(text);
    JsonTape tape;
    REQUIRE(tape.read(text));
    CHECK(tape.root().member("a") == nullptr);
    CHECK(tape.root().first()->member("a") == nullptr);
  }
}

}  // namespace
}  // namespace orch::base
