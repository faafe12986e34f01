#include "base/json.h"

#include <limits>
#include <thread>

#include "base/threads.h"
#include "tests/catch.h"

using orch::Json;
using orch::base::dump_json;
using orch::base::JsonParseOptions;
using orch::base::parse_json;

TEST_CASE("what parses, and to what") {
  const std::pair<std::string, std::string> cases[] = {
      {"null", "null"},
      {" [1, -2, 3.5, true, false, \"x\"] \n", "[1,-2,3.5,true,false,\"x\"]"},
      {R"({"b":1,"a":{"c":[]}})", R"({"a":{"c":[]},"b":1})"},
      {"9223372036854775807", "9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"18446744073709551615", "1.8446744073709552e+19"},
      {R"({"a":1,"a":2})", R"({"a":2})"},
      {R"({"a":{"x":1},"a":{"y":2}})", R"({"a":{"y":2}})"},
      {R"("\u00e9\ud83d\ude00")", "\"\xC3\xA9\xF0\x9F\x98\x80\""},
      {R"("\ud800x")", "\"\xEF\xBF\xBDx\""},                             // lone surrogate
      {R"("\\ud800")", R"("\\ud800")"},                                  // no escape at all
      {"\"a\xFF\xC0z\"", "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\""},              // invalid UTF-8, byte by byte
      {"\"\xED\xA0\x80\"", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},  // a surrogate in UTF-8
  };
  for (const auto& [text, want] : cases) {
    INFO(text);
    const auto tree = parse_json(text);
    REQUIRE(tree.ok());
    CHECK(dump_json(*tree) == want);
  }
}

TEST_CASE("what does not parse, and why") {
  const std::pair<std::string, std::string> cases[] = {
      {"", "unexpected end of JSON input at offset 0"},
      {"  ", "unexpected end of JSON input"},
      {"{", "unexpected end of JSON input at offset 1"},
      {R"({"a":)", "unexpected end of JSON input at offset 5"},
      {"\"abc", "unexpected end of JSON input"},
      {"{} x", "invalid character 'x' in JSON at offset 3"},
      {"{}{}", "invalid character '{' in JSON at offset 2"},
      {"[1,]", "invalid character ']' in JSON at offset 3"},
      {"{'a':1}", "invalid character ''' in JSON at offset 1"},
      {"nul", "JSON"},
      {"01", "invalid character '1' in JSON at offset 1"},
      {"+1", "invalid character '+' in JSON at offset 0"},
      {"NaN", "invalid character 'N' in JSON at offset 0"},
      {"// c\n1", "invalid character '/' in JSON at offset 0"},
      {"\"a\nb\"", "invalid character '\\x0a' in JSON at offset 2"},
      {"\xEF\xBB\xBF{}", "invalid character '\\xef' in JSON at offset 0"},
      {"1e999", "number out of range"},
      {std::string("{}\0", 3), "invalid character '\\x00' in JSON at offset 2"},
  };
  for (const auto& [text, want] : cases) {
    INFO(text);
    const auto tree = parse_json(text);
    REQUIRE_FALSE(tree.ok());
    CHECK(tree.error().code() == orch::base::Code::kBadRequest);
    CHECK_THAT(tree.error().message(), orch::testing::contains(want));
  }
}

TEST_CASE("depth is limited") {
  const auto nested = [](size_t depth, char open, char close) {
    return std::string(depth, open) + std::string(depth, close);
  };
  CHECK(parse_json(nested(1000, '[', ']')).ok());
  CHECK(parse_json(nested(1001, '[', ']')).error().message() == "exceeded max depth");
  CHECK(parse_json(nested(100000, '[', ']')).error().message() == "exceeded max depth");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  CHECK(parse_json(objects).error().message() == "exceeded max depth");
  JsonParseOptions options;
  options.max_depth = 2;
  CHECK(parse_json("[{}]", options).ok());
  CHECK_FALSE(parse_json("[{\"a\":[]}]", options).ok());
}

TEST_CASE("the deepest tree can be copied, compared, dumped and freed on a small thread") {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "{\"a\":[";
  for (int i = 0; i < 500; ++i) text += "]}";
  bool same = false;
  orch::base::start_thread("deep", [&] {
    const auto tree = parse_json(text);
    const Json copy = *tree;
    same = copy == *tree && dump_json(copy) == text;
  }).join();
  CHECK(same);
}

TEST_CASE("repeated keys are named by their path") {
  std::vector<std::string> seen;
  JsonParseOptions options;
  options.duplicates = &seen;
  REQUIRE(parse_json(R"({"a":1,"a":2,"a":3,"spec":{"list":[{"n":0},{"n":1,"n":2}],"x":{},"x":{}}})", options)
              .ok());
  CHECK(seen == std::vector<std::string>{"a", "spec.list[1].n", "spec.x"});
  seen.clear();
  REQUIRE(parse_json(R"([[{"k":1,"k":"\ud800"}]])", options).ok());
  CHECK(seen == std::vector<std::string>{"[0][0].k"});
}

TEST_CASE("members by path") {
  const Json tree = *parse_json(R"({"a":{"s":"x","i":7,"f":1.5,"b":true,"l":[1],"o":{"k":0}}})");
  CHECK(orch::base::find_path(tree, {"a", "s"})->is_string());
  CHECK(orch::base::find_path(tree, {"a", "zz"}) == nullptr);
  CHECK(orch::base::find_path(tree, {"a", "s", "deeper"}) == nullptr);
  CHECK(orch::base::find_path(tree, {}) == &tree);
  CHECK(orch::base::string_at(tree, {"a", "s"}) == "x");
  CHECK(orch::base::string_at(tree, {"a", "i"}, "d") == "d");
  CHECK(orch::base::int_at(tree, {"a", "i"}) == 7);
  CHECK(orch::base::int_at(tree, {"a", "f"}, 3) == 3);
  CHECK(orch::base::bool_at(tree, {"a", "b"}));
  CHECK(orch::base::bool_at(tree, {"a", "s"}, true));
  CHECK(orch::base::array_at(tree, {"a", "l"}).size() == 1);
  CHECK(orch::base::array_at(tree, {"a", "o"}).empty());
  CHECK(orch::base::object_at(tree, {"a", "o"}).size() == 1);
  CHECK(orch::base::object_at(tree, {"a", "l"}).is_object());
}

TEST_CASE("invalid UTF-8 in a tree is replaced when dumped") {
  CHECK(dump_json(Json("a\xFFz")) == "\"a\xEF\xBF\xBDz\"");
}

TEST_CASE("a tree is dumped as the library does it") {
  const Json trees[] = {
      nullptr,
      true,
      int64_t{-9223372036854775807},
      uint64_t{18446744073709551615U},
      0.1,
      1e300,
      -0.0,
      std::numeric_limits<double>::infinity(),
      "",
      "plain",
      "quote \" backslash \\ slash / line \n bell \x07 delete \x7f",
      "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
      Json::array(),
      Json::object(),
      {{"a\"b", {1, {{"c", Json::array({Json::object(), nullptr})}}, "x"}}, {"", false}, {"\xc3\xa4", 2.5}},
  };
  for (const Json& tree : trees) CHECK(dump_json(tree) == tree.dump());
}
