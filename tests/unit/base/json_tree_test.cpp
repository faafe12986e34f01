#include "base/json_tree.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::base {
namespace {

TEST_CASE("the tree that is read is that of the parser") {
  const char* cases[] = {
      R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{}},"spec":{"a":[1,[],{"b":null}]}})",
      R"([true,false,null,"",0,-1,-0,1.5,-2.5e3,1e2,9223372036854775807,9223372036854775808,18446744073709551615])",
      R"({"z":1,"a":{"y":2,"b":3},"m":[{"q":1,"c":"\u00e4\n\"\\ \ud83d\ude00"}]})",
      R"({"a":1,"a":2})",
      R"({"a":{"b":1},"a":[]})",
      R"({"escaped \"name\"":"and what is longer than a word\\"})",
      " { \"a\" : [ 1 ,\t2 ] ,\r\n\"b\" : { } } ",
      R"("text")",
      "7",
  };
  for (const char* text : cases) {
    INFO(text);
    const Json got = read_tree(text);
    const auto wanted = parse_json(text);
    REQUIRE(wanted.ok());
    CHECK(got == *wanted);
    CHECK(dump_json(got) == dump_json(*wanted));  // whole numbers stay whole
  }
}

TEST_CASE("a tree does without the member that is left out, where that stands") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"in":{"a":1,"out":{"x":["}",{"\"":[]}]},"z":2},"out":3})", R"({"in":{"a":1,"z":2},"out":3})"},
      {R"({"in":{"out":[{"x":1}]}})", R"({"in":{}})"},
      {R"({"in":{"out":"text","z":{"out":1}}})", R"({"in":{"z":{"out":1}}})"},
      {R"({"in":{"a":1,"out":-12.5e3}})", R"({"in":{"a":1}})"},
      {R"({"other":{"in":{"out":1}},"in":[{"out":1}]})", R"({"in":[{"out":1}],"other":{"in":{"out":1}}})"},
  };
  for (const auto& [text, wanted] : cases) {
    INFO(text);
    CHECK(dump_json(read_tree(text, "in", "out")) == wanted);
  }
}

TEST_CASE("what is no JSON value is no tree, and nothing outside is read") {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[1",
                           "{]",
                           "\"",
                           "\"abc",
                           "\"abc\\",
                           "1 2",
                           "{} {}",
                           "[1]]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{1,2}",
                           "[{\"a\"},1]",
                           "[1,]",
                           "{\"a\":1,}",
                           "nul",
                           "x",
                           "{\"in\":{\"out\":[}}",
                           "{\"in\":{\"out\":\"",
                           "{\"in\":{\"out\":1"}) {
    INFO(text);
    // Of its exact length, so that sanitizers see a step too far.
    const std::vector<char> exact(text, text + std::char_traits<char>::length(text));
    CHECK(read_tree({exact.data(), exact.size()}, "in", "out").is_null());
  }
}

}  // namespace
}  // namespace orch::base
